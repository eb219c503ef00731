"""Shared memory made, used and left by SIGKILL, thousands of times over: nothing piles up anywhere."""

import pytest

import weft

from ..helpers import Belongings, reserved_bytes, start_program
from .programs import KILL_CYCLES

# Forks one child after the other; each dies with all that there is in its hands, every other one at a fault point.
USE = """
points = [p for p in weft.testing.fault_points() if p.startswith(("memory", "segment", "slot"))] + ["none"]

def use(cycle):
    choose = random.Random(cycle)
    if cycle % 2:
        die_at(choose.choice(points), choose.randint(1, 3))
    shared = weft.SharedMemory("shared")
    shared[cycle % 100] = 1
    own = weft.SharedMemory(f"own-{cycle % 3}", create=None, size=10_000)
    anonymous = weft.SharedMemory(create=True, size=50_000)
    mapped = weft.mmap(-1, 20_000, tagname="mapped")
    listed = weft.ShareableList(range(10))
    view = own.buf
    for memory in (own, anonymous):
        memory.resize(30_000, force=True)
        memory.resize(100, force=True)
    shared.resize(1_000 + choose.randint(0, 9_000), force=True)
    choose.choice([anonymous, own]).close()
    die()

kill_cycles(use)
"""
STRIDE = 250
# Three names and one that is mapped, those without a name of the last ones killed, and the shared one.
MOST_FILES = 12
MOST_BYTES = 2 << 20


@pytest.mark.parametrize("cycles", [1000, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])])
def test_cycles_of_create_use_kill(namespace, cycles):
    with weft.SharedMemory("shared", create=True, size=1_000) as shared, start_program(KILL_CYCLES + USE) as server:
        shared[0] = 1
        before, of_server = Belongings(namespace), set()
        for _ in range(cycles // STRIDE):
            server.say(str(STRIDE))
            of_server.add(server.hear())
            files = list(namespace.iterdir())
            assert len(files) <= MOST_FILES
            assert sum(reserved_bytes(path) for path in files) <= MOST_BYTES
            assert Belongings(namespace).added_since(before).keys() <= {"files", "mappings"}
        assert len(of_server) == 1
        server.say("0")
        server.finish()
        assert shared.statistics().attached == 1
        shared.resize(5)
        assert shared[0] == 1
        weft.Namespace().clean()
        # It has grown, and keeps both mappings until it is closed.
        assert Belongings(namespace).added_since(before).keys() <= {"mappings"}
    assert list(namespace.iterdir()) == []
