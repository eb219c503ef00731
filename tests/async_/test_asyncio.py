"""A queue in asyncio: tasks wait without a thread, and lose nothing when they are cancelled."""

import asyncio
import math
import signal
import time

import pytest

import weft

from ..helpers import run_program, start_program
from .loads import run, settle

# --- get, put, lease, iterate ----------------------------------------------------------------------


@pytest.mark.parametrize("message", [1, b"x", b"x" * 100_000, {"a": [1]}], ids=["int", "bytes", "block", "dict"])
def test_put_and_get(open_queue, message):
    async def main():
        queue = open_queue("q")
        await queue.aput(message)
        assert queue.qsize() == 1
        assert await queue.aget() == message

    run(main())


@pytest.mark.parametrize("debug", [False, True])
def test_get_waits_for_another_program(open_queue, debug):
    async def main():
        queue = open_queue("q")
        with start_program("queue = weft.Queue('q'); say('ready'); hear(); queue.put_many(range(3))") as producer:
            producer.expect("ready")
            first = asyncio.create_task(queue.aget())
            await settle()
            assert not first.done()
            producer.say()
            assert [await first, await queue.aget(), await queue.aget()] == [0, 1, 2]
            producer.finish()

    asyncio.run(main(), debug=debug)


@pytest.mark.parametrize("full", ["by count", "by bytes"])
def test_put_waits_for_room(open_queue, full):
    async def main():
        queue = open_queue("q", 2 if full == "by count" else 0, capacity=32 << 10)
        sent = 0
        with pytest.raises(weft.Full):
            while True:
                await queue.aput(b"%d" % sent + bytes(3000), timeout=0)
                sent += 1
        task = asyncio.create_task(queue.aput(b"late" + bytes(3000)))
        await settle()
        assert not task.done()
        code = "queue = weft.Queue('q'); [queue.get() for _ in range(int(sys.argv[1]))]"
        with start_program(code, sent) as consumer:
            await task
            consumer.finish()
        assert queue.get()[:4] == b"late"

    run(main())


def test_async_for_ends_when_shut_down_and_drained(open_queue):
    async def main():
        queue = open_queue("q")
        taken = []

        async def consume():
            async for message in queue:
                taken.append(message)

        consumer = asyncio.create_task(consume())
        for i in range(5):
            await queue.aput(i)
            await settle()
        queue.shutdown()
        await consumer
        assert taken == [0, 1, 2, 3, 4]

    run(main())


def test_lease(open_queue):
    async def main():
        queue = open_queue("q")
        queue.put_many(["a", "b"])
        async with queue.alease() as item:
            assert (item, queue.statistics().leased) == ("a", 1)
        assert queue.statistics().received == 1
        leasing = queue.alease(timeout=0)
        with pytest.raises(LookupError):
            async with leasing as item:
                assert (item, leasing.redelivered) == ("b", 0)
                raise LookupError
        leasing = queue.alease()
        async with leasing:
            assert leasing.redelivered == 1
            leasing.lease.release()
        assert queue.get() == "b"

    run(main())


def test_lease_waits_and_is_given_back_by_cancellation(open_queue):
    async def main():
        queue = open_queue("q")
        holding = asyncio.Event()

        async def hold():
            async with queue.alease() as item:
                assert item == "job"
                holding.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(hold())
        await settle()
        queue.put("job")
        await holding.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert queue.get(timeout=0) == "job"

    run(main())


def test_job_of_a_holder_that_was_killed_comes_to_a_task_that_waits(open_queue):
    async def main():
        queue = open_queue("q")
        queue.put("job")
        with start_program("lease = weft.Queue('q').lease(); say('leased'); hear()") as holder:
            holder.expect("leased")
            task = asyncio.create_task(queue.aget())
            await settle()
            holder.process.kill()
            assert await task == "job"

    run(main())


# --- time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, 0.001, 0.05, 0.4])
@pytest.mark.parametrize("call", ["aget", "alease", "aput"])
def test_never_ends_early(open_queue, call, timeout):
    async def main():
        queue = open_queue("q", 1)
        begin = time.monotonic()
        if call == "aput":
            queue.put(1)
            with pytest.raises(weft.Full):
                await queue.aput(2, timeout)
        elif call == "aget":
            with pytest.raises(weft.Empty):
                await queue.aget(timeout)
        else:
            with pytest.raises(weft.Empty):
                async with queue.alease(timeout):
                    pass
        assert time.monotonic() - begin >= timeout

    run(main())


@pytest.mark.parametrize("timeout", [-1, math.nan, -math.inf])
def test_timeout_that_is_none(open_queue, timeout):
    async def main():
        queue = open_queue("q")
        for call in (queue.aget(timeout), queue.aput(1, timeout), queue.alease(timeout).__aenter__()):
            with pytest.raises(ValueError, match="timeout"):
                await call
        assert queue.empty()

    run(main())


def test_timeout_that_is_no_number(open_queue):
    async def main():
        queue = open_queue("q")
        for call in (queue.aget("1"), queue.aput(1, "1"), queue.alease("1").__aenter__()):
            with pytest.raises(TypeError, match=r"timeout.*str"):
                await call
        assert queue.empty()

    run(main())


@pytest.mark.parametrize("timeout", [1e300, math.inf, 10**30, None])
def test_timeout_that_is_huge(open_queue, timeout):
    async def main():
        queue = open_queue("q")
        task = asyncio.create_task(queue.aget(timeout))
        await settle()
        queue.put(1)
        assert await task == 1

    run(main())


def test_timeouts_of_asyncio_take_nothing(open_queue):
    async def main():
        queue = open_queue("q")
        for _ in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await queue.aget()
        queue.put(1)
        assert await asyncio.wait_for(queue.aget(), 30) == 1

    run(main())


@pytest.mark.parametrize("call", ["aget", "alease", "aput by count", "aput by bytes"])
def test_waiting_costs_next_to_no_work(open_queue, call):
    async def main():
        queue = open_queue("q", int(call == "aput by count"), capacity=32 << 10)
        task = asyncio.create_task(queue.aget())  # what was rung for before does not count
        await settle()
        queue.put("rings")
        await task
        if "aput" in call:
            with pytest.raises(weft.Full):
                while True:
                    queue.put(bytes(8000), timeout=0)
        begin, work = time.monotonic(), time.process_time()
        with pytest.raises(weft.Full if "aput" in call else weft.Empty):
            if "aput" in call:
                await queue.aput(bytes(8000), timeout=0.5)
            elif call == "aget":
                await queue.aget(timeout=0.5)
            else:
                async with queue.alease(timeout=0.5):
                    pass
        assert time.process_time() - work < (time.monotonic() - begin) / 4

    run(main())


# --- policies and ends -----------------------------------------------------------------------------


def test_policies(open_queue):
    async def main():
        failing, oldest, newest = (open_queue(name, 1, on_full=name) for name in ("fail", "drop-oldest", "drop-newest"))
        for queue in (failing, oldest, newest):
            await queue.aput(1)
        with pytest.raises(weft.Full):
            await failing.aput(2)
        await oldest.aput(2)
        await newest.aput(2)
        assert (await failing.aget(), await oldest.aget(), await newest.aget()) == (1, 2, 1)

    run(main())


def test_what_cannot_be_encoded(open_queue):
    async def main():
        queue = open_queue("q")
        with pytest.raises(TypeError):
            await queue.aput(object())
        assert queue.empty()

    run(main())


async def wait_in_every_way(queue, full_queue) -> list[asyncio.Task]:
    async def lease():
        async with queue.alease():
            pass

    async def iterate():
        async for _ in queue:
            pass
        raise weft.ShutDown

    tasks = [asyncio.create_task(call) for call in (queue.aget(), lease(), iterate(), full_queue.aput(1))]
    await settle()
    assert not any(task.done() for task in tasks)
    return tasks


@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_wakes_all(open_queue, immediate):
    async def main():
        queue, full = open_queue("q"), open_queue("full", 1)
        full.put(1)
        tasks = await wait_in_every_way(queue, full)
        code = "weft.Queue('q').shutdown(bool(int(sys.argv[1]))); weft.Queue('full').shutdown()"
        with start_program(code, int(immediate)) as program:
            for task in tasks:
                with pytest.raises(weft.ShutDown):
                    await task
            program.finish()

    run(main())


@pytest.mark.parametrize("debug", [False, True])
def test_close_wakes_all(open_queue, debug):
    async def main():
        queue, full, other = open_queue("q"), open_queue("full", 1), open_queue("full", 1)
        full.put(1)
        tasks = await wait_in_every_way(queue, full)
        queue.close()
        full.close()
        for task in tasks:
            with pytest.raises(weft.ClosedError):
                await task
        assert other.get() == 1

    asyncio.run(main(), debug=debug)


@pytest.mark.parametrize("debug", [False, True])
def test_close_in_another_thread_wakes_all(debug):
    said = run_program(
        """
        import asyncio
        async def main():
            queue, full = weft.Queue("q"), weft.Queue("full", 1)
            full.put(1)
            tasks = [asyncio.create_task(call) for call in (queue.aget(), queue.aget(), full.aput(2))]
            await asyncio.sleep(0)
            other = weft.Queue("full", 1)
            for handle in (queue, full):
                await asyncio.to_thread(handle.close)
            say(*(type(error).__name__ for error in await asyncio.gather(*tasks, return_exceptions=True)))
            other.get()
        asyncio.run(main(), debug=bool(int(sys.argv[1])))
        """,
        int(debug),
    )
    assert said == "ClosedError ClosedError ClosedError\n"


def test_ctrl_c(open_queue):
    queue = open_queue("q")
    with start_program(
        """
        import asyncio
        async def main():
            task = asyncio.create_task(queue.aget())
            await asyncio.sleep(0)
            say("waiting")
            await task
        queue = weft.Queue("q")
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            say("interrupted")
        say(queue.get())
        """
    ) as program:
        program.expect("waiting")
        program.process.send_signal(signal.SIGINT)
        program.expect("interrupted")
        queue.put("still works")
        assert program.finish() == "still works\n"


def test_without_trio_nothing_imports_it(open_queue):
    said = run_program(
        """
        import asyncio
        queue = weft.Queue("q")
        queue.put(1)
        asyncio.run(queue.aget())
        say("trio" in sys.modules, "numpy" in sys.modules)
        """
    )
    assert said == "False False\n"
