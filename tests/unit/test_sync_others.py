"""RWLock, Condition, Event and Barrier: what threading's have, between processes, and what a death does."""

import os
import signal
import threading
import time

import pytest

import weft

from ..helpers import start_program, until


def kill(program):
    os.kill(program.pid, signal.SIGKILL)
    os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)


# --- RWLock ----------------------------------------------------------------------------------------

READER = "lock = weft.RWLock('rw', create=False)\nwith lock.read(): say('reads'); hear()\nsay('left')\nhear()"
WRITER = "lock = weft.RWLock('rw', create=False)\nwith lock.write(): say('writes'); hear()\nsay('left')\nhear()"


def test_readers_share_and_writers_do_not():
    lock = weft.RWLock("rw")
    with lock.read(), start_program(READER) as other:
        other.expect("reads")
        assert sum(lock.statistics().readers.values()) == 2
        with start_program(WRITER) as writer:
            until(lambda: lock.statistics().waiters == 1)
            other.say()
            other.expect("left")
            writer.say()
            assert lock.statistics().readers.values()
            break_out = lock
            kill(writer)
    # The writer died waiting: it had the writers' lock, and is told of.
    with pytest.raises(weft.OwnerDied), break_out.write():
        pytest.fail("it is marked")
    with lock.recover():
        pass
    with lock.write():
        assert lock.locked()
        assert lock.statistics().owner.pid == os.getpid()


def test_a_waiting_writer_keeps_new_readers_out():
    for prefer, gets_in in (("writer", False), ("reader", True)):
        lock = weft.RWLock(f"rw-{prefer}", prefer=prefer)
        code = f"lock = weft.RWLock('rw-{prefer}')\nwith lock.write(): say('wrote')"
        with lock.read(), start_program(code) as writer:
            until(lambda lock=lock: lock.statistics().owner)
            time.sleep(0.05)  # until it has closed the gate, if it does
            found = []
            thread = threading.Thread(target=lambda lock=lock, found=found: found.append(_reads(lock)))
            thread.start()
            thread.join()
            assert found == [gets_in]
            with lock.read():  # again, in a thread that reads already
                pass
            _release_soon = writer
        # Left the block: the program was killed with the lock in its hands.
        with lock.recover():
            pass


def _reads(lock):
    try:
        with lock.read(timeout=0.1):
            return True
    except TimeoutError:
        return False


def test_a_dead_readers_share_comes_back():
    lock = weft.RWLock("rw")
    with start_program(READER) as reader:
        reader.expect("reads")
        with pytest.raises(TimeoutError), lock.write(timeout=0.05):
            pytest.fail("somebody reads")
        threading.Timer(0.1, reader.process.kill).start()
        with lock.write():
            assert lock.statistics().readers == {}
        assert lock.statistics().owner_deaths == 0


@pytest.mark.parametrize("side", ["read", "write"])
@pytest.mark.parametrize("waits", [False, True])
def test_a_dead_writer_marks(side, waits):
    lock = weft.RWLock("rw")
    with start_program(WRITER) as writer:
        writer.expect("writes")
        with pytest.raises(TimeoutError), getattr(lock, side)(timeout=0):
            pytest.fail("somebody writes")
        if waits:
            threading.Timer(0.1, writer.process.kill).start()
        else:
            kill(writer)
        for _ in range(2):
            with pytest.raises(weft.OwnerDied, match=f"pid {writer.pid}"), getattr(lock, side)():
                pytest.fail("it is marked")
        with pytest.raises(KeyError), lock.recover():
            raise KeyError
        with pytest.raises(weft.OwnerDied), getattr(lock, side)():
            pytest.fail("it is marked again")
        with lock.recover() as dead:
            assert dead.pid == writer.pid
            assert lock.locked()
        with lock.recover() as dead:
            assert dead is None
        for both in (lock.read, lock.write):
            with both():
                pass


@pytest.mark.parametrize("side", ["read", "write"])
def test_a_dead_writers_lock_is_handed_on(side):
    lock = weft.RWLock("rw", on_owner_death="warn")
    with start_program(WRITER) as writer:
        writer.expect("writes")
        kill(writer)
        with pytest.warns(weft.OwnerDiedWarning), getattr(lock, side)():
            pass
        with lock.read():
            pass


@pytest.mark.parametrize("side", ["read", "write"])
def test_a_function_repairs_after_a_writer(side):
    repaired = []
    lock = weft.RWLock("rw", on_owner_death=repaired.append)
    with start_program(WRITER) as writer:
        writer.expect("writes")
        kill(writer)
        with getattr(lock, side)():
            assert [dead.pid for dead in repaired] == [writer.pid]
        with lock.read():
            assert len(repaired) == 1


def test_neither_up_nor_down():
    lock = weft.RWLock()
    with lock.read(), pytest.raises(RuntimeError, match="can't become its writer"), lock.write():
        pytest.fail("it would wait for itself")
    with lock.write():
        with pytest.raises(RuntimeError, match="reads already"), lock.read():
            pytest.fail("it would wait for itself")
        with pytest.raises(RuntimeError, match="already"), lock.write():
            pytest.fail("it would wait for itself")
    with lock.write():
        pass
    for timeout in (-2, float("nan")):
        with pytest.raises(ValueError, match="timeout"):
            lock.read(timeout)
        with pytest.raises(ValueError, match="timeout"):
            lock.write(timeout)


def test_a_forked_child_reads_not(namespace):
    lock = weft.RWLock("rw")
    with lock.read():
        pid = os.fork()
        if not pid:
            os._exit(0 if sum(lock.statistics().readers.values()) == 1 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with lock.write(timeout=10):
        pass


# --- Event -----------------------------------------------------------------------------------------


def test_an_event_between_programs():
    event = weft.Event("go")
    with start_program("e = weft.Event('go', create=False)\nsay(e.wait(0))\nsay(e.wait())") as program:
        program.expect("False")
        until(lambda: event.statistics().waiters == 1)
        event.set()
        program.expect("True")
        program.finish()
    assert event.is_set()
    event.clear()
    assert not event.wait(timeout=0.01)
    assert event.statistics().sets == 1


def test_a_pulse_is_seen():
    event = weft.Event("go")
    with start_program("say(weft.Event('go').wait())") as program:
        until(lambda: event.statistics().waiters == 1)
        event.set()
        event.clear()
        program.expect("True")
        program.finish()


# --- Condition -------------------------------------------------------------------------------------

WAITER = "c = weft.Condition('c', create=False)\nwith c: say(c.wait())"


def test_notify_wakes_so_many():
    condition = weft.Condition("c")
    with start_program(WAITER) as a, start_program(WAITER) as b, start_program(WAITER) as c:
        until(lambda: condition.statistics().waiters == 3)
        with condition:
            condition.notify(2)
        until(lambda: condition.statistics().waiters == 1)
        with condition:
            condition.notify_all()
        for program in (a, b, c):
            program.expect("True")
            program.finish()


def test_the_dead_are_not_notified():
    condition = weft.Condition("c")
    with start_program(WAITER) as first, start_program(WAITER) as second:
        until(lambda: condition.statistics().waiters == 2)
        order = [first, second] if condition.statistics().waiting[0].pid == first.pid else [second, first]
        kill(first)
        assert order
        with condition:
            condition.notify()
        second.expect("True")
        second.finish()
    with condition:
        condition.notify_all()  # waits for nobody
    assert condition.statistics().waiters == 0


def test_a_notification_of_the_dead_goes_to_another():
    condition = weft.Condition("c")
    with start_program(WAITER) as first:
        until(lambda: condition.statistics().waiters == 1)
        os.kill(first.pid, signal.SIGSTOP)
        with start_program(WAITER) as second:
            until(lambda: condition.statistics().waiters == 2)
            with condition:
                condition.notify()  # the one that has waited for longest: it is stopped
            until(lambda: condition.statistics().waiters == 1)
            kill(first)
            second.expect("True")
            second.finish()


def test_conditions_need_their_lock():
    condition = weft.Condition()
    for call in (condition.wait, condition.notify, condition.notify_all, lambda: condition.wait_for(lambda: False)):
        with pytest.raises(RuntimeError, match="un-acquired lock"):
            call()
    with pytest.raises(RuntimeError):
        condition.release()
    with condition:
        assert not condition.wait(0.01)
        assert not condition.wait_for(lambda: False, timeout=0.01)
        assert condition.wait_for(lambda: 7) == 7


@pytest.mark.parametrize("kind", [weft.Lock, weft.RLock])
def test_conditions_share_a_lock(kind):
    lock = kind("l")
    full, empty = weft.Condition("full", lock), weft.Condition(lock)
    with full, start_program("""
        lock = getattr(weft, sys.argv[1])("l")
        full = weft.Condition("full", lock)
        with full: full.notify(); say("done")
    """, kind.__name__) as program:  # fmt: skip
        assert lock.locked()
        assert full.wait(30)
        assert lock.locked()
        program.expect("done")
        program.finish()
        empty.notify()
    with pytest.raises(weft.MismatchError, match="lock"):
        weft.Condition("full")
    with pytest.raises(TypeError):
        weft.Condition(threading.Lock())


def test_a_waiter_learns_of_a_dead_owner():
    condition = weft.Condition("c")
    code = "c = weft.Condition('c')\nc.acquire(); c.notify(); say('holds'); hear()"
    caught = []

    def wait():
        try:
            with condition:
                condition.wait()
        except weft.OwnerDied as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: condition.statistics().waiters == 1)
    with start_program(code) as program:
        program.expect("holds")
        kill(program)
        thread.join()
    assert caught[0].owner.pid == program.pid
    with condition.recover() as dead:
        assert dead.pid == program.pid
    with condition:
        pass


def test_ctrl_c_in_a_wait_takes_the_lock_again():
    condition = weft.Condition("c")
    code = """
        c = weft.Condition("c")
        with c:
            try:
                c.wait()
            except KeyboardInterrupt:
                say(c.locked(), c._is_owned())
    """
    with start_program(code) as program:
        until(lambda: condition.statistics().waiters == 1)
        os.kill(program.pid, signal.SIGINT)
        program.expect("True True")
        program.finish()


# --- Barrier ---------------------------------------------------------------------------------------

PARTY = """
import threading
b = weft.Barrier('b', create=False)
say('party')
while hear():
    try:
        say(b.wait())
    except threading.BrokenBarrierError as error:
        say(error)
"""


def test_a_barrier_opens_for_all():
    ran = []
    barrier = weft.Barrier("b", 3, lambda: ran.append(1))
    with start_program(PARTY) as a, start_program(PARTY) as b:
        for program in (a, b):
            program.expect("party")
        for _ in range(3):
            a.say("go")
            b.say("go")
            until(lambda: barrier.n_waiting == 2)
            numbers = {barrier.wait(), int(a.hear()), int(b.hear())}
            assert numbers == {0, 1, 2}
        assert len(ran) == 3
        for program in (a, b):
            program.say()
            program.finish()
    # They have ended in order: nothing is broken.
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(timeout=0.2)
    assert barrier._broken_by() == 0


@pytest.mark.parametrize("waits", [True, False])
def test_a_dead_party_breaks_the_barrier(waits):
    barrier = weft.Barrier("b", 3)
    with start_program(PARTY) as survivor, start_program(PARTY) as victim:
        for program in (survivor, victim):
            program.expect("party")
        survivor.say("go")
        if waits:
            victim.say("go")
        until(lambda: barrier.n_waiting == 1 + waits)
        kill(victim)
        assert f"pid {victim.pid}" in survivor.hear()
        with pytest.raises(threading.BrokenBarrierError, match=f"pid {victim.pid}"):
            barrier.wait()
        assert barrier.broken
        barrier.reset()
        assert not barrier.broken
        with start_program(PARTY) as another:
            another.expect("party")
            another.say("go")
            survivor.say("go")
            assert {barrier.wait(timeout=30), int(another.hear()), int(survivor.hear())} == {0, 1, 2}


def test_barriers_break_by_time_abort_and_reset():
    barrier = weft.Barrier("b", 2)
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(timeout=0.01)
    barrier.reset()
    for end in (barrier.abort, barrier.reset):
        barrier.reset()
        with start_program(PARTY) as party:
            party.expect("party")
            party.say("go")
            until(lambda: barrier.n_waiting == 1)
            end()
            assert "broken" in party.hear()
            party.say()
            party.finish()
    barrier.reset()
    failing = weft.Barrier(1, action=lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        failing.wait()
    assert failing.broken


def test_parties():
    for parties in (0, -1):
        with pytest.raises(ValueError, match="parties"):
            weft.Barrier(parties)
    with pytest.raises(TypeError):
        weft.Barrier()
    barrier = weft.Barrier("b", 2)
    with pytest.raises(weft.MismatchError, match="parties 3 was asked for and is 2"):
        weft.Barrier("b", 3)
    assert weft.Barrier("b").parties == 2
    assert barrier.statistics().members[0].pid == os.getpid()


@pytest.mark.parametrize("make", [
    lambda: weft.Event("x"), lambda: weft.RWLock("x"), lambda: weft.Condition("x"), lambda: weft.Barrier("x", 2),
])  # fmt: skip
def test_names_tokens_and_closing(make, namespace):
    one = make()
    assert one.name == "x"
    again = weft.open(one.token)
    assert type(again) is type(one)
    with pytest.raises(weft.MismatchError, match="is a"):
        weft.Lock("x")
    one.close()
    assert namespace.joinpath("x").exists()
    again.close()
    assert list(namespace.iterdir()) == []
    with pytest.raises(weft.ClosedError):
        again.statistics()
