"""Semaphore and BoundedSemaphore: permits, who owns them, and what becomes of those of the dead."""

import os
import signal
import threading
import time

import pytest

import weft

from ..helpers import start_program, until

OWNER = """
s = weft.Semaphore("s", create=False)
for _ in range(int(sys.argv[1])): s.acquire()
say("owned")
while command := hear():
    getattr(s, command)()
    say(command)
"""


def kill(program):
    os.kill(program.pid, signal.SIGKILL)
    os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)


@pytest.fixture(params=[weft.Semaphore, weft.BoundedSemaphore], ids=["Semaphore", "BoundedSemaphore"])
def kind(request):
    return request.param


def test_permits(kind):
    s = kind("s", 2)
    assert s.get_value() == 2
    assert s.acquire()
    assert s.acquire(timeout=1)
    assert not s.acquire(False)
    assert s.locked()
    before = time.monotonic()
    assert not s.acquire(timeout=0.05)
    assert time.monotonic() - before >= 0.05
    s.release(2)
    assert s.get_value() == 2
    with s:
        assert s.get_value() == 1


def test_values(kind):
    assert kind().get_value() == 1
    assert kind(4).get_value() == 4
    assert kind(0).get_value() == 0
    assert kind(value=3).get_value() == 3
    with kind("named", 5), kind("named") as found:
        assert found.get_value() == 3
    for value in (-1, 1 << 31):
        with pytest.raises(ValueError, match="value"):
            kind(value)
    with pytest.raises(TypeError):
        kind(1, 2)
    with pytest.raises(TypeError):
        kind("x", "y")
    with kind("three", 3), pytest.raises(weft.MismatchError, match="value 4 was asked for and is 3"):
        kind("three", 4)


def test_a_bound():
    s = weft.BoundedSemaphore(2)
    with pytest.raises(ValueError, match="too many times"):
        s.release()
    s.acquire()
    with pytest.raises(ValueError, match="too many times"):
        s.release(2)
    assert s.get_value() == 1
    s.release()
    assert s.get_value() == 2


def test_no_more_permits_than_there_can_be():
    s = weft.Semaphore(0x7FFFFFFF)
    with pytest.raises(ValueError, match="too many times"):
        s.release()
    assert s.get_value() == 0x7FFFFFFF


@pytest.mark.parametrize("n", [0, -1])
def test_n_must_be_positive(kind, n):
    with pytest.raises(ValueError, match="one or more"):
        kind(1).release(n)
    with pytest.raises(TypeError):
        kind(1).release(1.5)


def test_a_signal():
    """A semaphore may be released by who never acquired: what comes of it is nobody's."""
    s = weft.Semaphore("s", 0)
    with start_program("s = weft.Semaphore('s')\nfor _ in range(3): s.acquire()\nsay('three')\nhear()") as program:
        s.release(3)
        program.expect("three")
        kill(program)
        assert not s.acquire(False)
        assert s.statistics().owners == {}


@pytest.mark.parametrize("owned", [1, 3])
@pytest.mark.parametrize("waits", [False, True])
def test_permits_of_the_dead_come_back_once(kind, owned, waits):
    s = kind("s", 4)
    with start_program(OWNER.replace("weft.Semaphore", f"weft.{kind.__name__}"), owned) as program:
        program.expect("owned")
        ((who, count),) = s.statistics().owners.items()
        assert (who.pid, count) == (program.pid, owned)
        assert s.get_value() == 4 - owned
        if waits:
            taken = [s.acquire() for _ in range(4 - owned)]
            threading.Timer(0.1, program.process.kill).start()
            taken += [s.acquire(timeout=30) for _ in range(owned)]
        else:
            kill(program)
            taken = [s.acquire(False) for _ in range(4)]
        assert taken == [True] * 4
        assert not s.acquire(False)
        s.release(4)
        assert s.get_value() == 4
        assert s.statistics().owner_deaths == 1


def test_a_release_by_others_is_charged_to_the_longest_owner():
    s = weft.Semaphore("s", 4)
    with start_program(OWNER, 1) as first, start_program(OWNER.replace("say", "say", 1), 0) as second:
        first.expect("owned")
        second.expect("owned")
        second.say("acquire")
        second.expect("acquire")
        assert s.get_value() == 2
        s.release()  # by one that owns none
        assert {who.pid: count for who, count in s.statistics().owners.items()} == {second.pid: 1}
        kill(first)
        assert s.get_value() == 3
        kill(second)
        assert s.get_value() == 4


def test_a_release_wakes_a_sleeper(kind):
    s = kind("s", 1)
    with s, start_program(f"s = weft.{kind.__name__}('s')\nsay('go')\nwith s: say('got')\n") as program:
        program.expect("go")
        until(lambda: s.statistics().waiters == 1)
        s.release()
        program.expect("got")
        program.finish()
        s.acquire()


def test_statistics(kind):
    s = kind("s", 2)
    with s, s:
        state = s.statistics()
        assert (state.value, state.acquisitions, state.waiters, state.owner_deaths) == (0, 2, 0, 0)
        ((who, count),) = state.owners.items()
        assert (who.pid, count) == (os.getpid(), 2)


def test_a_forked_child_owns_nothing(kind):
    s = kind(2)
    s.acquire()
    pid = os.fork()
    if not pid:
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert s.acquire(False)
    assert not s.acquire(False)
    s.release(2)


def test_closing_gives_back(kind):
    s, other = kind("s", 2), kind("s")
    with start_program(OWNER.replace("weft.Semaphore", f"weft.{kind.__name__}"), 0) as program:
        program.expect("owned")
        s.acquire()
        s.close()
        assert other.get_value() == 1
        other.close()
        with kind("s", create=False) as again:
            assert again.get_value() == 1


def test_ctrl_c_takes_no_permit(kind):
    s = kind("s", 1)
    s.acquire()
    code = f"""
        s = weft.{kind.__name__}("s")
        try:
            s.acquire()
        except KeyboardInterrupt:
            say("interrupted")
            hear()
    """
    with start_program(code) as program:
        until(lambda: s.statistics().waiters == 1)
        os.kill(program.pid, signal.SIGINT)
        program.expect("interrupted")
        s.release()
        assert s.get_value() == 1
