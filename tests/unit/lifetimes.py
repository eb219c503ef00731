"""A program whose children use shared memory and a shared array, or an end of a pipe, and end in every way there is:
see test_memory_lifetimes.py and tests/pipe/test_lifetimes.py.

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


def create(lifetime: str) -> tuple[weft.SharedMemory, weft.SharedArray]:
    """Shared memory and a shared array, ten bytes each."""
    return (
        weft.SharedMemory("m", create=True, size=10, lifetime=lifetime),
        weft.SharedArray("a", 10, "u1", create=True, lifetime=lifetime),
    )


def attach() -> tuple[weft.SharedMemory, weft.SharedArray]:
    return weft.SharedMemory("m"), weft.SharedArray("a")


def use(role: str, lifetime: str) -> None:
    if role == "talker":
        end = weft.Pipe("p")
        end.send("hello")
        held.append(end)
        return
    both = attach() if role == "attacher" else create(lifetime)
    for memory in both:
        memory[0] = 8 if role == "attacher" else 7
    shm, array = both
    held.extend([*both, shm.buf, array.array[1:]])


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
