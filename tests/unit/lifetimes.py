"""A program whose children use shared memory, or an end of a pipe, and end in every way there is: see
test_memory_lifetimes.py and tests/pipe/test_lifetimes.py.

python lifetimes.py METHOD LIFETIME     rounds by command: "ROLE END", "go", and so on
python lifetimes.py child ROLE END LIFETIME
"""

import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
from typing import Any

import weft

held: list[Any] = []


def use(role: str, lifetime: str) -> None:
    if role == "talker":
        end = weft.Pipe("p")
        end.send("hello")
        held.append(end)
        return
    if role == "attacher":
        shm = weft.SharedMemory("m")
        shm[0] = 8
    else:
        shm = weft.SharedMemory("m", create=True, size=10, lifetime=lifetime)
        shm[0] = 7
    held.append(shm)
    held.append(shm.buf)


def end(how: str) -> None:
    match how:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "_exit":
            os._exit(0)
        case "exec":
            os.execv(sys.executable, [sys.executable, "-c", "pass"])


def child(pipe: Any, role: str, how: str, lifetime: str) -> None:
    use(role, lifetime)
    pipe.send("ready")
    pipe.recv()
    end(how)


def run_child(context: Any, role: str, how: str, lifetime: str) -> None:
    mine, theirs = context.Pipe()
    process = context.Process(target=child, args=(theirs, role, how, lifetime))
    process.start()
    theirs.close()
    mine.recv()
    print("ready", flush=True)
    sys.stdin.readline()
    mine.send("go")
    process.join()
    print("ended", flush=True)


def run_unrelated(role: str, how: str, lifetime: str) -> None:
    command = [sys.executable, __file__, "child", role, how, lifetime]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        print(process.stdout.readline(), end="", flush=True)
        sys.stdin.readline()
        process.stdin.write("go\n")
        process.stdin.flush()
        process.wait()
    print("ended", flush=True)


def main() -> None:
    faulthandler.dump_traceback_later(100, exit=True)
    if sys.argv[1] == "child":
        role, how, lifetime = sys.argv[2:]
        use(role, lifetime)
        print("ready", flush=True)
        sys.stdin.readline()
        end(how)
        return
    method, lifetime = sys.argv[1:]
    context = None if method == "unrelated" else multiprocessing.get_context(method)
    while line := sys.stdin.readline().split():
        if context:
            run_child(context, *line, lifetime)
        else:
            run_unrelated(*line, lifetime)


if __name__ == "__main__":
    main()
