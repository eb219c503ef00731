"""Users of locks killed at each point at which shared state is half changed."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import weft
from weft.testing import fault_points

from ..helpers import until

pytestmark = pytest.mark.skipif(not fault_points(), reason="needs the test build: make test")

VICTIM = Path(__file__).with_name("sync_victim.py")
MAKING = ["record_filled", "record_made", "record_linked", "record_left", "record_unlinked"]
HOLDING = ["user_lock_taken", "user_lock_held"]
RECOVERING = ["user_lock_marked"]
PERMITS = ["permit_entered", "permit_moved", "permit_left"]
SETTLING = ["permit_settled"]
READING = ["reader_counted", "reader_left"]
WRITING = ["writer_alone", "gate_closed", "gate_opened"]
WAITING = ["condition_announced", "condition_released", "condition_woken"]
NOTIFYING = ["condition_notified"]
PARTIES = ["barrier_arrived", "barrier_opened"]
SETTING = ["event_set"]
POINTS = [
    *MAKING, *HOLDING, *RECOVERING, *PERMITS, *SETTLING, *READING, *WRITING, *WAITING, *NOTIFYING, *PARTIES, *SETTING,
]  # fmt: skip


OWN = ("record_", "user_", "permit_", "reader_", "writer_", "gate_", "condition_", "barrier_", "event_")


def test_every_point_is_covered():
    assert {point for point in fault_points() if point.startswith(OWN)} == {*POINTS}


def run_victim(*arguments, fault):
    """Runs a victim to its death at the fault point; what it said."""
    done = subprocess.run(
        [sys.executable, str(VICTIM), *arguments],
        env=os.environ | {"WEFT_FAULT": fault}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == -9, done.stdout[-500:] + done.stderr[-2000:]
    return done.stdout.split()


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("kind", ["Lock", "Semaphore"])
@pytest.mark.parametrize("point", MAKING)
def test_maker_killed(point, kind, count):
    run_victim("create", kind, fault=f"{point}:{count}:k")
    for name in ("made-0", "made-1", "made-2"):
        made = getattr(weft, kind)(name)
        assert made.acquire(False)
        made.release()
        assert made.statistics().owner_deaths == 0
        made.close()
    weft.Namespace().clean()
    assert os.listdir(weft.Namespace().path) == []


@pytest.mark.parametrize("point", MAKING)
def test_maker_killed_among_others(point):
    """The arena is in use by the living: nothing piles up in it, and names lead to what is whole."""
    with weft.Lock("mine") as mine:
        for _ in range(5):
            run_victim("create", "Lock", fault=f"{point}:2:k")
        again = [weft.Lock(f"made-{i}") for i in range(3)]
        for lock in again:
            with lock:
                pass
        assert len(mine._attachment.records()) <= 8
        del lock, again
    mine._attachment.clean()
    assert weft.Namespace().names() == ["mine"]


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("kind", ["Lock", "RLock"])
@pytest.mark.parametrize("point", HOLDING)
def test_holder_killed(point, kind, count):
    lock = getattr(weft, kind)("lock")
    said = run_victim("lock", kind, "lock", fault=f"{point}:{count}:k")
    assert said[-1] == f"+{count - 1}"
    with pytest.raises(weft.OwnerDied) as caught:
        lock.acquire()
    assert caught.value.owner.pid > 0
    with lock.recover() as dead:
        assert dead == caught.value.owner
    with lock:
        assert lock.statistics().owner_deaths == 1


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
@pytest.mark.parametrize(("point", "role"), [("user_lock_marked", "try"), ("lock_takeover", "recover")])
def test_recoverer_killed(point, role, kind):
    lock = getattr(weft, kind)("lock")
    run_victim("lock", kind, "lock", fault="user_lock_held:1:k")
    run_victim(role, kind, "lock", fault=f"{point}:1:k")
    with pytest.raises(weft.OwnerDied):
        lock.acquire()
    with lock.recover() as dead:
        assert dead is not None
    with lock:
        pass


@pytest.mark.parametrize("count", [1, 2, 9, 10])
@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
@pytest.mark.parametrize("point", PERMITS)
def test_owner_of_permits_killed(point, kind, count):
    permits = getattr(weft, kind)("permits", 3)
    run_victim("permit", kind, "permits", fault=f"{point}:{count}:k")
    assert [permits.acquire(timeout=10) for _ in range(3)] == [True] * 3
    assert not permits.acquire(False)
    permits.release(3)
    assert permits.get_value() == 3
    if kind == "BoundedSemaphore":
        with pytest.raises(ValueError, match="too many"):
            permits.release()


def test_giver_of_a_signal_killed():
    """Released at most once, whichever side of its store the releaser died on."""
    signal = weft.Semaphore("signal", 0)
    for point, most in (("permit_entered", 0), ("permit_moved", 1), ("permit_left", 1)):
        subprocess.run(
            [sys.executable, "-c", "import weft; weft.Semaphore('signal', create=False).release()"],
            env=os.environ | {"WEFT_FAULT": f"{point}:1:k"}, timeout=60, check=False,
        )  # fmt: skip
        assert [signal.acquire(False) for _ in range(2)] == [bool(most), False]


def test_who_settles_killed():
    permits = weft.Semaphore("permits", 2)
    run_victim("permit", "Semaphore", "permits", fault="permit_moved:1:k")
    for _ in range(3):
        subprocess.run(
            [sys.executable, "-c", "import weft; s = weft.Semaphore('permits', create=False); s.get_value()"],
            env=os.environ | {"WEFT_FAULT": "permit_settled:1:k"}, timeout=60, check=False,
        )  # fmt: skip
    assert permits.get_value() == 2
    assert permits.statistics().owners == {}


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("point", READING)
def test_reader_killed(point, count):
    lock = weft.RWLock("rw")
    run_victim("read", "RWLock", "rw", fault=f"{point}:{count}:k")
    with lock.write(timeout=10):
        assert lock.statistics().readers == {}
    assert lock.statistics().owner_deaths == 0


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("point", WRITING)
def test_writer_killed(point, count):
    lock = weft.RWLock("rw")
    run_victim("write", "RWLock", "rw", fault=f"{point}:{count}:k")
    with pytest.raises(weft.OwnerDied), lock.write():
        pytest.fail("it is marked")
    with lock.recover() as dead:
        assert dead.pid > 0
    with lock.read(timeout=10):
        pass
    with lock.write(timeout=10):
        pass


@pytest.mark.parametrize("point", WAITING)
def test_waiter_killed(point):
    condition = weft.Condition("c")
    run_victim("wait", "Condition", "c", fault=f"{point}:1:k")
    try:
        with condition:
            condition.notify_all()
    except weft.OwnerDied:
        assert point == "condition_announced"
        with condition.recover():
            pass
    with condition:
        assert not condition.wait(0.01)
    assert condition.statistics().waiters == 0


def test_notifier_killed():
    """Whoever has been marked as notified finds it, though nobody woke it."""
    condition = weft.Condition("c")
    found = []

    def wait():
        try:
            with condition:
                found.append(condition.wait())
        except weft.OwnerDied:
            found.append("told")

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: condition.statistics().waiters == 1)
    run_victim("notify", "Condition", "c", fault="condition_notified:1:k")
    thread.join()
    assert found == ["told"]
    with condition.recover():
        pass


@pytest.mark.parametrize("point", PARTIES)
def test_party_killed(point):
    barrier = weft.Barrier("b", 2)
    said = []

    def wait():
        try:
            said.append(barrier.wait())
        except threading.BrokenBarrierError as error:
            said.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: barrier.n_waiting == 1)
    run_victim("party", "Barrier", "b", fault=f"{point}:1:k")
    thread.join()
    if point == "barrier_opened":  # it was open already
        assert said == [0]
    else:
        assert "has died" in said[0]
    with pytest.raises(threading.BrokenBarrierError, match="has died"):
        barrier.wait()
    barrier.reset()
    thread = threading.Thread(target=wait)
    thread.start()
    assert barrier.wait() in (0, 1)
    thread.join()


def test_setter_killed():
    event = weft.Event("e")
    found = []
    thread = threading.Thread(target=lambda: found.append(event.wait()))
    thread.start()
    until(lambda: event.statistics().waiters == 1)
    run_victim("set", "Event", "e", fault="event_set:1:k")
    thread.join()
    assert found == [True]
