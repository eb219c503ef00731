"""Processes killed while they resize shared memory: it has the old size or the new one, and works."""

import pytest

import weft
from weft.testing import fault_points

from ..helpers import start_program

pytestmark = pytest.mark.skipif(not fault_points(), reason="needs the test build: make test")

PAGE = 4096
BEFORE = 3 * PAGE + 100
GROWING = {"memory_reserved": BEFORE, "memory_zeroed": BEFORE, "memory_grown": 9 * PAGE}
SHRINKING = {"memory_shrunk": 50, "memory_trimmed": 50}
RESIZE = """
import sys
shm = weft.SharedMemory("m")
say("ready")
hear()
shm.resize(int(sys.argv[1]))
"""


def test_every_point_is_covered():
    mine = {point for point in fault_points() if point.startswith("memory_")}
    assert mine == GROWING.keys() | SHRINKING.keys()


def kill_in_resize(monkeypatch, point, size, while_it_waits=lambda: None):
    monkeypatch.setenv("WEFT_FAULT", f"{point}:1:k")
    with start_program(RESIZE, size) as program:
        monkeypatch.delenv("WEFT_FAULT")
        program.expect("ready")
        while_it_waits()
        program.say()
        assert program.process.wait() == -9


@pytest.mark.parametrize("point", GROWING)
def test_killed_while_it_grows(point, monkeypatch):
    with weft.SharedMemory("m", create=True, size=9 * PAGE) as shm:
        shm[:] = b"x" * len(shm)
        shm.resize(BEFORE, force=True)
        kill_in_resize(monkeypatch, point, 9 * PAGE)
        assert shm.size == GROWING[point]
        shm.resize(10 * PAGE)
        # What a larger size had held has not come back.
        assert shm[:] == b"x" * BEFORE + bytes(10 * PAGE - BEFORE)


@pytest.mark.parametrize("point", SHRINKING)
def test_killed_while_it_shrinks(point, monkeypatch):
    with weft.SharedMemory("m", create=True, size=BEFORE, lifetime="kept") as shm:
        shm[:] = b"x" * BEFORE
        kill_in_resize(monkeypatch, point, 50, shm.close)
    with weft.SharedMemory("m") as again:
        assert again.size == 50
        again.resize(BEFORE)
        assert again[:] == b"x" * 50 + bytes(BEFORE - 50)
        again.resize(20)
        assert again.path.stat().st_size == 0x12000 + PAGE
        again.unlink()
