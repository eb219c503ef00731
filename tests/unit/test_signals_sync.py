"""Signals during the waits of locks that another thread holds, and handlers that use what they interrupt."""

import asyncio
import contextlib
import os
import threading
import time

import pytest
import trio

import weft
from weft import signals

from ..helpers import until

pytestmark = pytest.mark.alone


@contextlib.contextmanager
def held_elsewhere(enter):
    """Another thread is inside until told to leave: yields what tells it."""
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with enter():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    try:
        yield leave.set
    finally:
        leave.set()
        thread.join()


# (id, make, how the other thread enters, how this one does)
HELD = [
    ("RLock", lambda: weft.RLock("calls"), lambda lock: lock, lambda lock: lock),
    ("Lock", lambda: weft.Lock("calls"), lambda lock: lock, lambda lock: lock),
    ("RWLock.read", lambda: weft.RWLock("calls"), lambda rw: rw.write(), lambda rw: rw.read()),
    ("RWLock.write", lambda: weft.RWLock("calls"), lambda rw: rw.read(), lambda rw: rw.write()),
    ("Condition", lambda: weft.Condition("calls"), lambda condition: condition, lambda condition: condition),
]
held = pytest.mark.parametrize("case", HELD, ids=lambda each: each[0])


@held
def test_handlers_run_while_another_thread_holds_it(case):
    _, make, enter, come = case
    seen = []
    with contextlib.closing(make()) as thing, held_elsewhere(lambda: enter(thing)) as leave:

        def handler(event):
            seen.append(event)
            if len(seen) == 3:
                leave()

        with (
            signals.on("USR1", handler),
            signals.timer(0.003, lambda event: signals.send(os.getpid(), "USR1")),
            come(thing),
        ):
            assert len(seen) >= 3


@held
def test_handler_that_raises_ends_the_wait_and_leaves_it_usable(case):
    _, make, enter, come = case

    def handler(event):
        raise LookupError("told to stop")

    with contextlib.closing(make()) as thing, held_elsewhere(lambda: enter(thing)) as leave:
        for _ in range(3):
            with (
                signals.on("ALRM", handler),
                pytest.raises(LookupError, match="told to stop"),
                signals.alarm(0.005),
                come(thing),
            ):
                pass
        leave()
        with come(thing):
            pass


def test_barrier_that_a_handler_breaks_out_of():
    def handler(event):
        raise LookupError("told to stop")

    with contextlib.closing(weft.Barrier("calls", 2)) as barrier:
        with signals.on("ALRM", handler), pytest.raises(LookupError), signals.alarm(0.005):
            barrier.wait()
        assert barrier.broken
        barrier.reset()
        thread = threading.Thread(target=barrier.wait)
        thread.start()
        ticks = []
        with signals.timer(0.002, ticks.append):
            assert barrier.wait(30) in (0, 1)
        thread.join()


def test_handlers_run_while_a_barrier_waits():
    seen = []
    with contextlib.closing(weft.Barrier("calls", 2)) as barrier:

        def come():
            until(lambda: len(seen) >= 3)
            barrier.wait(30)

        thread = threading.Thread(target=come)
        thread.start()
        with signals.timer(0.003, seen.append):
            assert barrier.wait(30) in (0, 1)
        thread.join()


@pytest.mark.parametrize("run", [lambda main: asyncio.run(main()), trio.run], ids=["asyncio", "trio"])
@pytest.mark.parametrize(
    ("make", "fill", "wait", "release"),
    [
        (lambda: weft.Lock("calls"), lambda it: it.acquire(), lambda it: it.aacquire(), lambda it: it.release()),
        (lambda: weft.Semaphore("calls", 0), lambda it: None, lambda it: it.aacquire(), lambda it: it.release()),
        (lambda: weft.Event("calls"), lambda it: None, lambda it: it.async_wait(), lambda it: it.set()),
    ],
    ids=["Lock.aacquire", "Semaphore.aacquire", "Event.async_wait"],
)
def test_awaited(make, fill, wait, release, run):
    seen = []
    with contextlib.closing(make()) as thing:
        fill(thing)

        async def main():
            def handler(event):
                seen.append(event)
                if len(seen) == 3:
                    release(thing)

            with signals.on("USR1", handler), signals.timer(0.003, lambda event: signals.send(os.getpid(), "USR1")):
                assert await wait(thing)

        run(main)
        assert len(seen) >= 3


def test_handlers_set_the_event_whose_methods_they_interrupt():
    """Thousands of times, at any moment of set, clear and wait: nothing hangs."""
    count = 0
    with contextlib.closing(weft.Event("calls")) as event:

        def handler(_):
            nonlocal count
            count += 1
            event.set()

        with signals.timer(0.0002, handler):
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                event.set()
                event.clear()
                assert event.wait()  # the next handler sets it
        assert count > 100


def test_handlers_release_the_semaphore_whose_methods_they_interrupt():
    """Thousands of times, at any moment of acquire and release: each permit counts once."""
    given = 0
    with contextlib.closing(weft.Semaphore("calls", 0)) as semaphore:

        def handler(_):
            nonlocal given
            semaphore.release()
            given += 1

        taken = released = 0
        with signals.timer(0.0002, handler):
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                assert semaphore.acquire()
                taken += 1
                semaphore.release(2)
                released += 2
                assert semaphore.acquire()
                assert semaphore.acquire()
                taken += 2
        assert given > 100
        assert semaphore.get_value() == given + released - taken


def test_handlers_use_the_lock_beside_the_one_that_is_held():
    """A handler that tries the very lock it interrupts is told that it is taken, and harms nothing."""
    outcomes = {True: 0, False: 0}
    with contextlib.closing(weft.Lock("calls")) as lock:

        def handler(_):
            got = lock.acquire(False)
            outcomes[got] += 1
            if got:
                lock.release()

        with signals.timer(0.0002, handler):
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                with lock:
                    pass
        assert sum(outcomes.values()) > 100
        assert not lock.locked()
