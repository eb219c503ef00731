"""Cells and shared arrays made, used and left by SIGKILL, thousands of times over: nothing piles up anywhere."""

import pytest

import weft

from ..helpers import Belongings, reserved_bytes, start_program
from .programs import KILL_CYCLES

# Forks one child after the other, which dies with as much in its hands as there can be, or at a fault point before.
USE = """
import numpy

points = [point for point in weft.testing.fault_points() if point.startswith(("cell_", "segment_", "slot_"))]

def use(cycle):
    choose = random.Random(cycle)
    if points and cycle % 2:
        die_at(choose.choice(points), choose.randint(1, 5))
    shared, own = weft.Cell("shared", create=False), weft.Cell(f"cell-{cycle % 3}")
    array, anonymous = weft.SharedArray(f"array-{cycle % 3}", 5000, "u1"), weft.SharedArray(None, (10, 10))
    views = [array.array[1:], anonymous.array]
    for turn in range(3):
        shared.set(b"s" * choose.randrange(9000))
        views.append(shared.view())
        own.set({"turn": turn})
        own.get()
        array.array[:] = turn
    own.set(b"own")
    views.append(own.view())
    if cycle % 4 == 0:
        own.fileno()
        array.close()
    die()

kill_cycles(use)
"""
STRIDE = 200
MOST_FILES = 20  # the shared one, three of each kind, some without a name, and their doorbells
MOST_BYTES = 2 << 20


@pytest.mark.parametrize("cycles", [600, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])])
def test_cycles_of_create_use_kill(namespace, cycles):
    with weft.Cell("shared", size=9000) as shared, start_program(KILL_CYCLES + USE) as server:
        shared.set(b"")
        before, of_server = Belongings(namespace), set()
        for _ in range(cycles // STRIDE):
            server.say(str(STRIDE))
            of_server.add(server.hear())
            files = list(namespace.iterdir())
            assert len(files) <= MOST_FILES
            assert sum(reserved_bytes(path) for path in files) <= MOST_BYTES
            assert set(shared.get()) <= set(b"s")
            assert Belongings(namespace).added_since(before).keys() <= {"files"}
        # Descriptors and mappings of the parent of all.
        assert len(of_server) == 1
        server.say("0")
        server.finish()
        # What the dead held and wrote is in use again.
        for turn in range(100):
            shared.set(b"s" * turn)
        state = shared.statistics()
        assert (state.attached, state.version > cycles) == (1, True)
        assert state.buffers <= 12
    weft.Namespace().clean()
    assert list(namespace.iterdir()) == []
