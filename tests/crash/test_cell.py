"""Cells whose writers and readers are killed: at each point at which something is half done, and at random."""

import os
import random
import signal
import time

import pytest

import weft
from weft.testing import fault_points

from ..helpers import start_program, until
from .checked import make, number_of

POINTS = ["cell_claimed", "cell_filled", "cell_grown", "cell_published", "cell_held"]
needs_faults = pytest.mark.skipif(not fault_points(), reason="needs the test build: make test")

WRITER = """
import os
from tests.crash.checked import make

os.environ["WEFT_FAULT"] = sys.argv[3]
cell = weft.Cell("c", create=False, codec="raw")
first, step = int(sys.argv[1]), int(sys.argv[2])
number = first
say("ready")
while True:
    if step:
        os.write(1, b"+%d\\n" % number)
    cell.set(make(number))
    if step:
        os.write(1, b"=%d\\n" % number)
    number += 1
"""
READER = """
import os
from tests.crash.checked import number_of

os.environ["WEFT_FAULT"] = sys.argv[1]
cell = weft.Cell("c", create=False, codec="raw")
say("ready")
newest = 0
while True:
    number = number_of(cell.get())
    assert cell.seen >= newest
    newest = cell.seen
    view = cell.view()
    number_of(bytes(view))
    assert cell.seen >= newest
"""


@needs_faults
def test_every_point_is_covered():
    assert [point for point in fault_points() if point.startswith("cell_")] == POINTS


def open_cell():
    return weft.Cell("c", codec="raw", size=80_000)


def journal(program):
    lines = program.process.stdout.read().split()
    return [[int(line[1:]) for line in lines if line[0] == mark] for mark in "+="]


def assert_works(cell, buffers=4):
    """It takes and gives values of all sizes, and what the dead had is in use again."""
    for number in range(60):
        version = cell.set(make(number))
        assert number_of(cell.get()) == number
        assert cell.seen == version
    assert cell.statistics().buffers <= buffers


@needs_faults
@pytest.mark.parametrize("turn", [1, 2, 7, 23])
@pytest.mark.parametrize("point", ["cell_claimed", "cell_filled", "cell_published"])
def test_writer_killed(point, turn):
    with open_cell() as cell:
        cell.set(make(0))
        with start_program(WRITER, 1, 1, f"{point}:{turn}:k") as writer:
            writer.expect("ready")
            begun, done = journal(writer)
            assert writer.process.wait() == -signal.SIGKILL
        assert begun == [*done, turn]
        # The value before, or its own as a whole.
        published = point == "cell_published"
        assert number_of(cell.get()) == (turn if published else turn - 1)
        assert cell.version == turn + published
        assert_works(cell)


@needs_faults
@pytest.mark.parametrize("turn", [1, 2, 9])
def test_reader_killed_with_a_hold(turn):
    with open_cell() as cell:
        cell.set(make(5))
        with start_program(READER, f"cell_held:{turn}:k") as reader:
            reader.expect("ready")
            assert reader.process.wait() == -signal.SIGKILL
        assert number_of(cell.get()) == 5
        assert_works(cell)


@needs_faults
def test_writer_killed_as_the_cell_grows():
    code = WRITER.replace("while True:", "views = []\nwhile True:\n    number and views.append(cell.view())", 1)
    with open_cell() as cell:
        cell.set(make(0))
        with start_program(code, 1, 1, "cell_grown:1:k") as writer:
            writer.expect("ready")
            assert writer.process.wait() == -signal.SIGKILL
        assert_works(cell)


@needs_faults
def test_a_stopped_writer_hinders_nobody():
    with open_cell() as cell, start_program(WRITER, 1, 0, "cell_filled:3:s") as writer:
        writer.expect("ready")
        os.waitid(os.P_PID, writer.pid, os.WSTOPPED | os.WNOWAIT)
        assert number_of(cell.get()) == 2
        assert_works(cell)
        version = cell.version
        os.kill(writer.pid, signal.SIGCONT)
        assert number_of(cell.wait_newer(version)) >= 3


def test_who_waits_outlives_a_writer_killed_before_the_wake():
    code = "cell = weft.Cell('c', codec='raw', wait='power'); say('ready'); say(len(cell.wait_newer()))"
    with open_cell() as cell, start_program(code) as waiter:
        waiter.expect("ready")
        until(lambda: cell.statistics().waiting, waiter)
        fault = "cell_published:1:k" if fault_points() else ""
        with start_program(WRITER, 1, 1, fault) as writer:
            writer.expect("ready")
            assert int(waiter.hear()) > 0
        waiter.finish()


def run_storm(kills, seed):
    """Three writers and two readers at once, of which one is killed and replaced at each turn."""
    choose = random.Random(seed)
    with open_cell() as cell:
        cell.set(make(0))

        def start(place):
            first = choose.randrange(1 << 40)
            program = start_program(WRITER, first, 0, "") if place < 3 else start_program(READER, "")
            program.expect("ready")
            return program

        running = [start(place) for place in range(5)]
        seen = 0
        try:
            for _ in range(kills):
                # The moment of the kill is what the test varies: it stands for no event.
                end = time.monotonic() + choose.uniform(0.001, 0.03)
                while time.monotonic() < end:
                    number_of(cell.get())
                    assert cell.seen >= seen
                    seen = cell.seen
                place = choose.randrange(5)
                assert running[place].process.poll() is None, running[place].process.stdout.read()
                running[place].process.kill()
                running[place].process.wait()
                running[place].__exit__()
                running[place] = start(place)
        finally:
            for program in running:
                program.__exit__()
        assert cell.version >= seen
        number_of(cell.get())
        assert_works(cell, buffers=12)
        assert cell.statistics().attached == 1


def test_storm():
    run_storm(kills=20, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(4))
def test_long_storm(seed):
    run_storm(kills=400, seed=seed)


def test_create_set_kill_leaves_nothing():
    code = """
    import os, signal
    for turn in range(1000):
        with weft.Cell(f"c{turn % 3}") as cell:
            cell.set(turn)
            cell.view() if turn % 2 and cell.set(b"x") else None
            if turn == int(sys.argv[1]):
                os.kill(os.getpid(), signal.SIGKILL)
    """
    place = weft.Namespace()
    for turn in range(12):
        with start_program(code, turn) as program:
            assert program.process.wait() == -signal.SIGKILL
    assert len(place.names()) <= 3
    place.clean()
    assert place.names() == []
