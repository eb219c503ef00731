"""What remains of an object, whoever made it and however those end who use it."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

import weft

from .lifetimes import attach, create

pytest.importorskip("numpy")

PROGRAM = Path(__file__).with_name("lifetimes.py")
ENDS = ("normal", "kill", "_exit", "exec")


class Rounds:
    """The program whose children end."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "Rounds":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def ask(self, words: str, answer: str) -> None:
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == answer + "\n"


@pytest.mark.parametrize("lifetime", ["attached", "kept"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "unrelated"])
def test_matrix(method, lifetime, namespace):
    with Rounds(method, "SharedMemory", lifetime) as rounds:
        for role, end in itertools.product(("creator", "alone", "attacher"), ENDS):
            if role == "attacher":
                mine = create(lifetime)
            rounds.ask(f"{role} {end}", "ready")
            if role == "creator":
                mine = attach()
            value = 8 if role == "attacher" else 7
            if role != "alone":
                assert [(memory[0], memory.statistics().attached) for memory in mine] == 2 * [(value, 2)]
            rounds.ask("go", "ended")
            if role != "alone":
                # Who is left has it, whole and by itself.
                assert [(memory[0], memory.statistics().attached) for memory in mine] == 2 * [(value, 1)]
                mine[0].resize(5)
                for other in attach():
                    assert other[0] == value
                    other.close()
                for memory in mine:
                    memory.close()
            if lifetime == "kept":
                for again in attach():
                    assert again[0] == value
                    again.unlink()
                    again.close()
            for kind, name in ((weft.SharedMemory, "m"), (weft.SharedArray, "a")):
                with pytest.raises(FileNotFoundError):
                    kind(name)
            # Killed as the last one, it left a file, which the look at its name has removed.
            assert os.listdir(namespace) == [], (role, end)


def take(queue: weft.MessageQueue | weft.PriorityQueue) -> object:
    return queue.receive(0) if isinstance(queue, weft.MessageQueue) else queue.get_nowait()


@pytest.mark.parametrize("lifetime", ["attached", "kept"])
@pytest.mark.parametrize(
    ("kind", "method"), [("MessageQueue", "unrelated"), ("MessageQueue", "fork"), ("PriorityQueue", "fork")]
)
def test_queues_with_priorities(kind, method, lifetime, namespace):
    """What waits in them lives as long as they do, and what the ended had on lease is there again."""
    make = getattr(weft, kind)
    expected = {
        "MessageQueue": [("leased", 100), (8, 8), (7, 7)],
        "PriorityQueue": [(0, "leased"), (7, "job"), (8, "job")],
    }[kind]
    with Rounds(method, kind, lifetime) as rounds:
        for role, end in itertools.product(("creator", "alone", "attacher"), ENDS):
            if role == "attacher":
                mine = make("m", create=True, lifetime=lifetime)
            rounds.ask(f"{role} {end}", "ready")
            if role == "creator":
                mine = make("m", create=False)
            if role != "alone":
                assert mine.statistics().attached == 2
                assert (mine.statistics().depth, mine.statistics().leased) == (1, 1)
            rounds.ask("go", "ended")
            theirs = [expected[0], next(each for each in expected if (8 if role == "attacher" else 7) in each)]
            if role != "alone":
                if kind == "MessageQueue":
                    mine._queue._recover()
                else:
                    mine._recover()
                assert mine.statistics().attached == 1
                if lifetime == "attached":
                    assert [take(mine), take(mine)] == theirs
                mine.close()
            if lifetime == "kept":
                with make("m", create=False) as again:
                    assert [take(again), take(again)] == theirs
                    again.unlink()
            with pytest.raises(FileNotFoundError):
                make("m", create=False)
            assert os.listdir(namespace) == [], (role, end)
