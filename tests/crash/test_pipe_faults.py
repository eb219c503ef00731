"""Processes killed at each point at which a pipe is half changed."""

import os
import subprocess
import sys

import pytest

import weft
from weft.testing import fault_points

from . import pipe_kit
from .pipe_kit import CAPACITY, receive_all, send_all

pytestmark = pytest.mark.skipif(not fault_points(), reason="needs the test build: make test")

SENDING = [
    "lock_taken", "pool_split", "pool_taken", "put_block_written", "put_extent_linked", "put_record_written",
    "put_committed", "put_unlocked",
]  # fmt: skip
RECEIVING = ["lock_taken", "get_block_held", "get_copied", "get_committed", "get_unlocked"]

PROGRAM = f"""
import sys, weft
sys.path.insert(0, {os.path.dirname(pipe_kit.__file__)!r})
from pipe_kit import receive_all, send_all
end = weft.Pipe("p")
print("open", flush=True)
if sys.argv[1] == "send": send_all(end, lambda number: print(number, flush=True))
elif sys.argv[1] == "receive": receive_all(end, lambda number: print(number, flush=True))
else: end.close()
"""


def start(role, fault):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, role],
        stdout=subprocess.PIPE,
        env=dict(os.environ, WEFT_FAULT=fault),
        text=True,
    )


def finish(victim):
    lines, _ = victim.communicate(timeout=60)
    assert victim.returncode == -9
    return lines.split()


def test_every_point_of_pipes_is_covered():
    assert {point for point in fault_points() if point.startswith("pipe_")} == {
        "pipe_entered",
        "pipe_placed",
        "pipe_left",
    }


@pytest.mark.parametrize("passes", [3, 17])
@pytest.mark.parametrize("point", SENDING)
def test_sender_killed(point, passes):
    with weft.Pipe("p", capacity=CAPACITY) as end:
        victim = start("send", f"{point}:{1 + passes // 4 if point == 'put_extent_linked' else passes}:k")
        received = receive_all(end)
        lines = finish(victim)
        assert lines[0] == "open"
        assert len(lines) - 1 <= received <= len(lines)
        with pytest.raises(BrokenPipeError):
            end.send(1)


@pytest.mark.parametrize("passes", [3, 11])
@pytest.mark.parametrize("point", RECEIVING)
def test_receiver_killed(point, passes):
    with weft.Pipe("p", capacity=CAPACITY) as end:
        victim = start("receive", f"{point}:{passes}:k")
        with pytest.raises(BrokenPipeError):
            send_all(end, lambda number: None)
        finish(victim)
        with pytest.raises(EOFError):
            end.recv()


def test_killed_before_it_has_a_place():
    with weft.Pipe("p") as one:
        assert finish(start("close", "pipe_entered:1:k")) == []
        with weft.Pipe("p") as two:
            one.send(1)
            assert two.recv() == 1


def test_killed_with_a_place():
    with weft.Pipe("p") as one:
        assert finish(start("close", "pipe_placed:1:k")) == []
        with pytest.raises(weft.InUseError):
            weft.Pipe("p")
        with pytest.raises(EOFError):
            one.recv()


def test_killed_while_closing():
    with weft.Pipe("p") as one:
        assert finish(start("close", "pipe_left:1:k")) == ["open"]
        with pytest.raises(EOFError):
            one.recv()
        with pytest.raises(BrokenPipeError):
            one.send(1)


def test_killed_as_the_first_of_all():
    for point in ("pipe_entered", "pipe_placed", "pipe_left"):
        finish(start("close", f"{point}:1:k"))
        with weft.Pipe("p") as one, weft.Pipe("p") as two:
            two.send(point)
            assert one.recv() == point
