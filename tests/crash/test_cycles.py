"""Queues made, used and left by SIGKILL, thousands of times over: nothing piles up anywhere."""

import pytest

import weft

from ..helpers import Belongings, reserved_bytes, start_program
from .programs import KILL_CYCLES, assert_whole

# Forks one child after the other. Each does all that a program can do with queues, and dies of it: every other
# one at a fault point, the rest with as much in their hands as there can be.
USE = """
points = [*weft.testing.fault_points(), "none"]

def use(cycle):
    choose = random.Random(cycle)
    if cycle % 2:
        die_at(choose.choice(points), choose.randint(1, 5))
    shared, own, anonymous = weft.Queue("shared", create=False), weft.Queue(f"own-{cycle % 3}"), weft.Queue()
    for queue in (shared, own, anonymous):
        for message in ("small", bytes(20_000), {"n": cycle}):
            queue.put(message)
        queue.get()
        with queue.lease():
            pass
        if choose.random() < 0.5:
            queue.fileno()
    choose.choice([own, anonymous]).close()
    held = [queue.lease() for queue in (shared, own, anonymous) if not queue.closed]
    loan = shared.loan(20_000)
    memory = loan.__enter__()
    shared.put(bytearray(30_000))
    view = shared.get()
    die()

kill_cycles(use)
"""
STRIDE = 250
# What there may be at any moment: three names, two without, the shared one, and a doorbell for each.
MOST_FILES = 12
MOST_BYTES = 2 << 20  # of all files but the shared one; it has a capacity


@pytest.mark.parametrize("cycles", [1000, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])])
def test_cycles_of_create_use_kill(namespace, cycles):
    # Memory that does not come back from the dead makes it full.
    with weft.Queue("shared", capacity=8 << 20, on_full="fail") as shared, start_program(KILL_CYCLES + USE) as server:
        shared.fileno()
        before, of_server = Belongings(namespace), set()
        for _ in range(cycles // STRIDE):
            server.say(str(STRIDE))
            of_server.add(server.hear())
            files = list(namespace.iterdir())
            assert len(files) <= MOST_FILES
            assert sum(reserved_bytes(path) for path in files if path != shared.path) <= MOST_BYTES
            assert reserved_bytes(shared.path) <= 9 << 20
            shared._recover()
            while not shared.empty():
                shared.get_many()
            added = Belongings(namespace).added_since(before)
            assert added.keys() <= {"files"}
        # Descriptors and mappings of the parent of all.
        assert len(of_server) == 1
        server.say("0")
        server.finish()
        assert shared.statistics().attached == 1
        assert_whole(shared)
        for name in ("own-0", "own-1"):
            with weft.Queue(name) as touched:
                assert touched.statistics().sent == 0
        weft.Namespace().clean()
        assert Belongings(namespace).added_since(before) == {}
    assert list(namespace.iterdir()) == []
