"""Starting victims, and reading what they had finished when they died."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import weft

VICTIM = Path(__file__).with_name("victim.py")

# For programs that fork one child after the other: ``kill_cycles(use)`` runs ``use(cycle)``, which ends by ``die()``,
# in as many as it is told, until that is 0. After each lot it says how many descriptors and mappings are its own.
KILL_CYCLES = """
import os, random, signal, traceback
import weft.testing

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def die_at(point, turn):
    os.environ["WEFT_FAULT"] = f"{point}:{turn}:k"

def kill_cycles(use):
    cycle = 0
    while count := int(hear()):
        faulthandler.dump_traceback_later(120, exit=True)
        for cycle in range(cycle + 1, cycle + count + 1):
            pid = os.fork()
            if not pid:
                try:
                    use(cycle)
                except BaseException:
                    traceback.print_exc()
                os._exit(1)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            assert status == -signal.SIGKILL, f"cycle {cycle} ended with {status}"
        with open("/proc/self/maps") as maps:
            mapped = sum(os.environ["WEFT_NAMESPACE"] in line for line in maps)
        say("done", len(os.listdir("/proc/self/fd")), mapped)
"""


class Victim:
    """A running victim; ``journal`` holds its lines once it has died."""

    program = VICTIM

    def __init__(self, *arguments: object, fault: str = "") -> None:
        environment = dict(os.environ, WEFT_FAULT=fault)
        self.process = subprocess.Popen(
            [sys.executable, str(self.program), *map(str, arguments)],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        self.journal: list[str] = []

    def __enter__(self) -> "Victim":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.stdout.close()
        self.process.wait()

    def wait_ready(self) -> None:
        assert self.process.stdout.readline() == "ready\n"

    def wait_dead(self) -> int:
        """Waits until it has died; its exit status."""
        self.journal += self.process.stdout.read().splitlines()
        return self.process.wait()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)

    def numbers(self, mark: str) -> list[int]:
        return [int(line[1:]) for line in self.journal if line[:1] == mark]


def number_of(data: bytes) -> int:
    return int(bytes(data).split(b":", 1)[0])


def drain(queue: weft.Queue) -> list[int]:
    """Takes all that is there, what the dead held included."""
    queue._recover()
    taken = []
    while True:
        try:
            taken.append(number_of(queue.get_nowait()))
        except weft.Empty:
            return taken


def assert_whole(queue: weft.Queue) -> None:
    """The queue works, owes nothing and has all its memory."""
    queue._recover()
    state = queue.statistics()
    assert (state.depth, state.leased) == (0, 0)
    for size in (1, 5_000, 9_000, 60_000):
        for _ in range(20):
            queue.put(bytes(size))
            assert len(queue.get(timeout=5)) == size
    with queue.lease(timeout=0) if queue.put(b"x") else queue.lease(timeout=5) as item:
        assert item == b"x"
    largest = queue._geometry[2]
    queue.put(bytes(largest), timeout=5)
    assert len(queue.get(timeout=5)) == largest
    pages = queue._pages()
    assert (pages["loaned"], pages["held"]) == (0, 0)


def duplicates(numbers: list[int]) -> list[int]:
    return [number for number, count in Counter(numbers).items() if count > 1]
