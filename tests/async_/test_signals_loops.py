"""Signals in event loops: streams and handlers that await, beside the loop's own."""

import asyncio
import gc
import os
import signal
import threading

import pytest
import trio

import weft
from weft import signals

pytestmark = pytest.mark.alone

both = pytest.mark.parametrize("run", [lambda main: asyncio.run(main()), trio.run], ids=["asyncio", "trio"])


def strike(sig="USR1", value=None):
    signals.send(os.getpid(), sig, value)


@pytest.fixture(autouse=True)
def restored():
    before = [signal.getsignal(n) for n in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)]
    yield
    gc.collect()
    assert [signal.getsignal(n) for n in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)] == before


@both
def test_stream(run):
    async def main():
        seen = []
        # The other stream stays until the timer has ended: a signal that nobody takes would end the process.
        with signals.stream("RTMIN"), signals.timer(0.002, lambda e: strike("RTMIN", len(seen))):
            async for event in signals.stream("RTMIN", "TERM"):
                seen.append(event.name)
                if len(seen) == 5:
                    strike("TERM")
                if event.name == "SIGTERM":
                    break
        assert seen[:5] == ["SIGRTMIN"] * 5

    run(main)


@both
def test_nothing_is_lost_between_steps_or_with_a_cancelled_wait(run):
    async def main():
        with signals.stream("RTMIN") as events:
            assert await events.get(timeout=0.001) is None
            for value in range(1000):
                strike("RTMIN", value)
            assert [(await events.get()).value for _ in range(1000)] == list(range(1000))
            assert await events.get(timeout=0) is None

    run(main)


@both
def test_each_stream_gets_each_event_and_several_tasks_share_one(run):
    async def main():
        seen = []
        with signals.stream("RTMIN") as one, signals.stream("RTMIN") as other:
            for value in range(4):
                strike("RTMIN", value)
            seen += [(await one.get()).value for _ in range(4)]
            seen += [(await other.get()).value for _ in range(4)]
        assert seen == [*range(4), *range(4)]
        with pytest.raises(weft.ClosedError):
            await one.get()
        assert [event async for event in one] == []

    run(main)


@both
def test_aon(run):
    async def main():
        seen = []

        async def handler(event):
            seen.append(f"begin {event.value}")
            await (trio.sleep(0.001) if run is trio.run else asyncio.sleep(0.001))
            seen.append(f"end {event.value}")

        async with signals.aon("RTMIN", handler):
            strike("RTMIN", 1)
            strike("RTMIN", 2)
            while len(seen) < 4:
                await (trio.sleep(0.001) if run is trio.run else asyncio.sleep(0.001))
        assert seen == ["begin 1", "end 1", "begin 2", "end 2"]

    run(main)


@both
def test_aon_handler_that_raises_ends_the_block(run):
    async def main():
        async def handler(event):
            raise LookupError("in the handler")

        with pytest.raises(ExceptionGroup) as caught:
            async with signals.aon("USR1", handler):
                strike()
                await (trio.sleep(60) if run is trio.run else asyncio.sleep(60))
        assert caught.group_contains(LookupError, match="in the handler")

    run(main)


@pytest.mark.parametrize("handler", [None, "USR2", lambda: None])
def test_aon_needs_a_handler(handler):
    async def main():
        with pytest.raises(TypeError):
            async with signals.aon("USR1", handler):
                pass

    asyncio.run(main())


def test_beside_the_loops_own_handlers():
    async def main():
        loop = asyncio.get_running_loop()
        own, seen = [], []
        loop.add_signal_handler(signal.SIGUSR1, own.append, "own")
        with signals.stream("USR1") as events:
            strike()
            seen.append(await events.get())
            await asyncio.sleep(0)
        until_own = asyncio.timeout(30)
        async with until_own:
            while len(own) < 1:
                await asyncio.sleep(0.001)
            strike()
            while len(own) < 2:
                await asyncio.sleep(0.001)
        loop.remove_signal_handler(signal.SIGUSR1)
        assert (own, len(seen)) == (["own", "own"], 1)

    asyncio.run(main())


def test_beside_trios_own():
    async def main():
        with trio.open_signal_receiver(signal.SIGUSR1) as own:
            with signals.stream("USR1", keep=True) as events:
                strike()
                assert (await events.get()).pid == os.getpid()
            async for number in own:
                assert number == signal.SIGUSR1
                break

    trio.run(main)


def test_loops_in_several_threads():
    """Each gets every event, also without the main thread's help."""
    results = []

    async def main(stream):
        with stream:
            ready.release()
            results.append([(await stream.get()).value for _ in range(3)])

    def run():
        async def body():
            await main(signals.stream("RTMIN"))

        asyncio.run(body())

    ready = threading.Semaphore(0)
    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in threads:
        ready.acquire()
    for value in range(3):
        strike("RTMIN", value)
    for thread in threads:
        thread.join()
    assert [sorted(each) for each in results] == [[0, 1, 2]] * 3


def test_stream_that_nobody_refers_to_is_gone():
    async def main():
        async for _ in signals.stream("USR1"):
            break

    async def strike_and_run():
        asyncio.get_running_loop().call_later(0.01, strike)
        await main()

    asyncio.run(strike_and_run())
    gc.collect()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_deadline_in_a_loop_ends_the_run():
    async def main():
        with signals.deadline(0.02):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
