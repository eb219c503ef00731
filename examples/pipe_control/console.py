"""Talks to an engine that it knows by name alone, and sees it die."""

import subprocess
import sys
import tempfile

import weft

# Does not wait for the engine: what is sent first is kept.
with weft.Pipe("engine") as end, subprocess.Popen([sys.executable, "engine.py"]):
    end.send({"do": "render", "shade": 128})
    picture = end.recv(timeout=30)
    print("picture", picture.shape, picture.dtype)

    end.send({"do": "brightness", "of": picture})
    print("brightness", end.recv(timeout=30))

    with tempfile.TemporaryFile() as file:
        end.send({"do": "save", "as": "sunset"})
        end.send_handle(file)
        print(end.recv(timeout=30))
        file.seek(0)
        print(file.read().decode())

    end.send({"do": "crash"})
    try:
        end.recv()
    except EOFError:
        print("the engine has died, and this program knows it at once")
    try:
        end.send({"do": "render", "shade": 0})
    except BrokenPipeError as error:
        print("BrokenPipeError:", error)
