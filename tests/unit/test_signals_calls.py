"""Signals during every blocking call of every object: handlers run, the call goes on, nothing is harmed."""

import asyncio
import os
import threading
import time
import warnings

import pytest
import trio

import weft
from weft import signals

from ..blocking_calls import AWAITED, CALLS, Call
from ..helpers import until

pytestmark = pytest.mark.alone

call_of = pytest.mark.parametrize("call", CALLS, ids=lambda each: each.id)


@pytest.fixture
def thing(call, namespace):
    opened = (call.open if isinstance(call, Call) else call[1])()
    (call.fill if isinstance(call, Call) else call[2])(opened)
    yield opened
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of what is left in a queue
        opened.close()
    for path in namespace.iterdir():
        path.unlink()


def beside(work):
    """Runs in another thread what must happen while the main one waits."""
    thread = threading.Thread(target=work)
    thread.start()
    return thread


@call_of
def test_handlers_run_and_the_call_goes_on(call, thing):
    seen = []

    def strike():
        for count in range(1, 4):
            until(lambda: call.waits(thing))
            signals.send(os.getpid(), "USR1")
            until(lambda count=count: len(seen) == count)
        until(lambda: call.waits(thing))
        call.release(thing)

    with signals.on("USR1", seen.append):
        thread = beside(strike)
        assert call.call(thing, None) == call.result
        thread.join()
    assert len(seen) == 3


@call_of
def test_what_is_left_of_the_timeout_is_waited(call, thing):
    ticks = []
    begin = time.monotonic()
    with signals.timer(0.004, ticks.append):
        if isinstance(call.timed_out, type):
            with pytest.raises(call.timed_out):
                call.call(thing, 0.08)
        else:
            assert call.call(thing, 0.08) is call.timed_out
        passed = time.monotonic() - begin
    assert passed >= 0.08
    assert len(ticks) > 1


@call_of
def test_handler_that_raises_ends_the_call_with_the_object_intact(call, thing):
    def handler(event):
        raise LookupError("told to stop")

    def strike():
        until(lambda: call.waits(thing))
        signals.send(os.getpid(), "USR1")

    with signals.on("USR1", handler):
        for _ in range(3):
            thread = beside(strike)
            with pytest.raises(LookupError, match="told to stop"):
                call.call(thing, None)
            thread.join()
    assert not call.waits(thing)
    call.release(thing)
    assert call.call(thing, 30) == call.result


@call_of
def test_deadline_ends_the_call(call, thing):
    with pytest.raises(TimeoutError), signals.deadline(0.01):
        call.call(thing, None)
    call.release(thing)
    assert call.call(thing, 30) == call.result


@call_of
def test_handler_may_use_the_object_that_is_waited_for(call, thing):
    def strike():
        until(lambda: call.waits(thing))
        signals.send(os.getpid(), "USR1")

    with signals.on("USR1", lambda e: call.from_handler(thing)):
        thread = beside(strike)
        assert call.call(thing, None) == call.result
        thread.join()


@call_of
def test_handler_of_a_call_in_another_thread_runs_in_the_main_one(call, thing):
    seen, results = [], []
    with signals.on("USR1", lambda e: seen.append(threading.current_thread() is threading.main_thread())):
        thread = beside(lambda: results.append(call.call(thing, None)))
        until(lambda: call.waits(thing))
        signals.send(os.getpid(), "USR1")
        until(lambda: seen)
        call.release(thing)
        thread.join()
    assert (seen, results) == ([True], [call.result])


@call_of
def test_in_a_forked_child(call, thing):
    with signals.on("USR1", lambda e: call.from_handler(thing)):
        if (pid := os.fork()) == 0:
            status = 1
            try:
                status = 0 if call.call(thing, None) == call.result else 2
            finally:
                os._exit(status)
        until(lambda: call.waits(thing))
        with signals.Process(pid) as child:
            child.send("USR1")
        assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.parametrize("run", [lambda main: asyncio.run(main()), trio.run], ids=["asyncio", "trio"])
@pytest.mark.parametrize("call", AWAITED, ids=lambda each: each[0])
def test_awaited_calls(call, run, thing):
    *_, wait, release, result = call
    seen = []

    async def main():
        def handler(event):
            seen.append(event)
            if len(seen) == 3:
                release(thing)

        with signals.on("USR1", handler), signals.timer(0.003, lambda e: signals.send(os.getpid(), "USR1")):
            assert await wait(thing) == result

    run(main)
    assert len(seen) >= 3


@pytest.mark.parametrize("sizes", ["small", "large"])
def test_handlers_use_the_queue_whose_calls_they_interrupt(open_queue, sizes):
    """Thousands of times, at any moment: nothing hangs, nothing is lost, nothing comes twice."""
    queue = open_queue("q")
    pad = b"x" * (20 if sizes == "small" else 50_000)
    sent, got = [0], []

    def put(event):
        queue.put_nowait(("handler", sent[0], pad))
        sent[0] += 1

    with signals.timer(0.0002, put):
        end = time.monotonic() + 1.0
        i = 0
        while time.monotonic() < end:
            queue.put(("main", i, pad))
            i += 1
            if i % 3 == 0:
                got += [(kind, n) for kind, n, _ in queue.get_many(8)]
            else:
                kind, n, _ = queue.get()
                got.append((kind, n))
    while True:
        try:
            kind, n, _ = queue.get_nowait()
            got.append((kind, n))
        except weft.Empty:
            break
    assert sent[0] > 100
    assert [n for kind, n in got if kind == "main"] == list(range(i))
    assert [n for kind, n in got if kind == "handler"] == list(range(sent[0]))
