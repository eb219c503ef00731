"""What remains of shared memory, whoever made it and however those end who use it."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

import weft

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
    with Rounds(method, lifetime) as rounds:
        for role, end in itertools.product(("creator", "alone", "attacher"), ENDS):
            if role == "attacher":
                mine = weft.SharedMemory("m", create=True, size=10, lifetime=lifetime)
            rounds.ask(f"{role} {end}", "ready")
            if role == "creator":
                mine = weft.SharedMemory("m")
            value = 8 if role == "attacher" else 7
            if role != "alone":
                assert (mine[0], mine.statistics().attached) == (value, 2)
            rounds.ask("go", "ended")
            if role != "alone":
                # Who is left has it, whole and by itself.
                assert (mine[0], mine.statistics().attached) == (value, 1)
                mine.resize(5)
                with weft.SharedMemory("m") as other:
                    assert other[0] == value
                mine.close()
            if lifetime == "kept":
                with weft.SharedMemory("m") as again:
                    assert again[0] == value
                    again.unlink()
            with pytest.raises(FileNotFoundError):
                weft.SharedMemory("m")
            # Killed as the last one, it left a file, which the look at its name has removed.
            assert os.listdir(namespace) == [], (role, end)
