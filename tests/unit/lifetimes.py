"""A program whose children use an object and end in every way there is: see test_memory_lifetimes.py and
tests/pipe/test_lifetimes.py.

python lifetimes.py METHOD KIND LIFETIME     rounds by command: "ROLE END", "go", and so on
python lifetimes.py child ROLE END KIND LIFETIME
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


def use(role: str, kind: str, lifetime: str) -> None:
    value = 8 if role == "attacher" else 7
    options: dict[str, Any] = {"create": False} if role == "attacher" else {"create": True, "lifetime": lifetime}
    match kind:
        case "SharedMemory":
            both = attach() if role == "attacher" else create(lifetime)
            for memory in both:
                memory[0] = value
            shm, array = both
            held.extend([*both, shm.buf, array.array[1:]])
        case "MessageQueue":
            queue = weft.MessageQueue("m", **options)
            queue.send(value, priority=value)
            queue.send("leased", priority=100)
            held.extend((queue, queue.lease()))
        case "PriorityQueue":
            jobs = weft.PriorityQueue("m", **options)
            jobs.put((value, "job"))
            jobs.put((0, "leased"))
            held.extend((jobs, jobs.lease()))
        case "Pipe":
            end = weft.Pipe("p")
            end.send("hello")
            held.append(end)


def end(how: str) -> None:
    match how:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "_exit":
            os._exit(0)
        case "exec":
            os.execv(sys.executable, [sys.executable, "-c", "pass"])


def child(pipe: Any, role: str, how: str, kind: str, lifetime: str) -> None:
    use(role, kind, lifetime)
    pipe.send("ready")
    pipe.recv()
    end(how)


def run_child(context: Any, role: str, how: str, *what: str) -> None:
    mine, theirs = context.Pipe()
    process = context.Process(target=child, args=(theirs, role, how, *what))
    process.start()
    theirs.close()
    mine.recv()
    print("ready", flush=True)
    sys.stdin.readline()
    mine.send("go")
    process.join()
    print("ended", flush=True)


def run_unrelated(role: str, how: str, *what: str) -> None:
    command = [sys.executable, __file__, "child", role, how, *what]
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
        role, how, *what = sys.argv[2:]
        use(role, *what)
        print("ready", flush=True)
        sys.stdin.readline()
        end(how)
        return
    method, *what = sys.argv[1:]
    context = None if method == "unrelated" else multiprocessing.get_context(method)
    while line := sys.stdin.readline().split():
        if context:
            run_child(context, *line, *what)
        else:
            run_unrelated(*line, *what)


if __name__ == "__main__":
    main()
