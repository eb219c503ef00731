"""A queue in trio: as in asyncio, by trio's own means."""

import math
import random
import threading
import time

import pytest

import weft

from ..helpers import start_program, until
from .loads import MANY, Account

trio = pytest.importorskip("trio")
testing = pytest.importorskip("trio.testing")


class Outcome:
    """Runs an asynchronous call in a nursery and keeps its end."""

    def __init__(self, nursery, call, *arguments) -> None:
        self.value = self.error = None
        self.done = trio.Event()
        nursery.start_soon(self._run, call, *arguments)

    async def _run(self, call, *arguments) -> None:
        try:
            self.value = await call(*arguments)
        except weft.WeftError as error:
            self.error = type(error)
        self.done.set()


@pytest.mark.parametrize("message", [1, b"x" * 100_000, {"a": [1]}], ids=["int", "block", "dict"])
def test_put_and_get(open_queue, message):
    async def main():
        queue = open_queue("q")
        await queue.aput(message)
        assert await queue.aget() == message

    trio.run(main)


def test_get_waits_for_another_program(open_queue):
    async def main():
        queue = open_queue("q")
        with start_program("queue = weft.Queue('q'); say('ready'); hear(); queue.put_many(range(3))") as producer:
            producer.expect("ready")
            async with trio.open_nursery() as nursery:
                first = Outcome(nursery, queue.aget)
                await testing.wait_all_tasks_blocked()
                producer.say()
                await first.done.wait()
            assert [first.value, await queue.aget(), await queue.aget()] == [0, 1, 2]
            producer.finish()

    trio.run(main)


@pytest.mark.parametrize("full", ["by count", "by bytes"])
def test_put_waits_for_room(open_queue, full):
    async def main():
        queue = open_queue("q", 2 if full == "by count" else 0, capacity=32 << 10)
        sent = 0
        with pytest.raises(weft.Full):
            while True:
                await queue.aput(b"%d" % sent + bytes(3000), 0)
                sent += 1
        code = "queue = weft.Queue('q'); hear(); [queue.get() for _ in range(int(sys.argv[1]))]"
        with start_program(code, sent) as consumer:
            async with trio.open_nursery() as nursery:
                late = Outcome(nursery, queue.aput, b"late" + bytes(3000))
                for _ in range(10):
                    await trio.lowlevel.checkpoint()
                assert not late.done.is_set()
                consumer.say()
            consumer.finish()
        assert queue.get()[:4] == b"late"

    trio.run(main)


def test_async_for_ends_when_shut_down_and_drained(open_queue):
    async def main():
        queue, taken = open_queue("q"), []

        async def consume():
            async for message in queue:
                taken.append(message)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(consume)
            for i in range(5):
                await queue.aput(i)
                while len(taken) <= i:
                    await trio.lowlevel.checkpoint()
            queue.shutdown()
        assert taken == [0, 1, 2, 3, 4]

    trio.run(main)


def test_lease(open_queue):
    async def main():
        queue = open_queue("q")
        queue.put_many(["a", "b"])
        async with queue.alease() as item:
            assert item == "a"
        leasing = queue.alease()
        with pytest.raises(LookupError):
            async with leasing as item:
                raise LookupError
        async with leasing as item:
            assert (item, leasing.redelivered) == ("b", 1)
        with pytest.raises(weft.Empty):
            async with queue.alease(0):
                pass
        assert queue.statistics().received == 2

    trio.run(main)


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

    trio.run(main)


@pytest.mark.parametrize("timeout", [-1, math.nan])
def test_timeout_that_is_none(open_queue, timeout):
    async def main():
        queue = open_queue("q")
        with pytest.raises(ValueError, match="timeout"):
            await queue.aget(timeout)
        with pytest.raises(ValueError, match="timeout"):
            await queue.aput(1, timeout)
        assert queue.empty()

    trio.run(main)


def test_every_call_is_a_checkpoint(open_queue):
    async def main():
        queue = open_queue("q")
        with testing.assert_checkpoints():
            await queue.aput(1)
        with testing.assert_checkpoints():
            await queue.aget()
        with trio.CancelScope() as scope:
            scope.cancel()
            await queue.aput(2)
        assert queue.empty()
        queue.put(3)
        with trio.CancelScope() as scope:
            scope.cancel()
            await queue.aget()
        assert queue.get() == 3

    trio.run(main)


def test_waiting_costs_next_to_no_work(open_queue):
    async def main():
        queue = open_queue("q", capacity=32 << 10)
        async with trio.open_nursery() as nursery:  # what was rung for before does not count
            nursery.start_soon(queue.aget)
            await testing.wait_all_tasks_blocked()
            queue.put("rings")
        begin, work = time.monotonic(), time.process_time()
        with pytest.raises(weft.Empty):
            await queue.aget(0.3)
        with pytest.raises(weft.Full):
            while True:
                await queue.aput(bytes(8000), 0.3)
        assert time.process_time() - work < (time.monotonic() - begin) / 4

    trio.run(main)


@pytest.mark.parametrize("how", ["shutdown", "close"])
def test_the_end_wakes_all(open_queue, how):
    async def main():
        queue, full = open_queue("q"), open_queue("full", 1)
        full.put(1)
        other = open_queue("full", 1)

        async def lease():
            async with queue.alease():
                pass

        async with trio.open_nursery() as nursery:
            outcomes = [Outcome(nursery, *call) for call in ((queue.aget,), (queue.aget,), (lease,), (full.aput, 2))]
            await testing.wait_all_tasks_blocked()
            for handle in (queue, full):
                getattr(handle, how)()
        assert [outcome.error for outcome in outcomes] == [weft.ShutDown if how == "shutdown" else weft.ClosedError] * 4
        assert other.get() == 1

    trio.run(main)


def test_job_of_a_holder_that_was_killed_comes_to_a_task_that_waits(open_queue):
    async def main():
        queue = open_queue("q")
        queue.put("job")
        with start_program("lease = weft.Queue('q').lease(); say('leased'); hear()") as holder:
            holder.expect("leased")
            async with trio.open_nursery() as nursery:
                outcome = Outcome(nursery, queue.aget)
                await testing.wait_all_tasks_blocked()
                holder.process.kill()
            assert outcome.value == "job"

    trio.run(main)


def test_many_tasks_on_one_handle(open_queue):
    async def main():
        queue, account = open_queue("q", 5), Account()

        async def consume():
            async for message in queue:
                account.taken.append(message)

        async with trio.open_nursery() as consumers:
            for _ in range(20):
                consumers.start_soon(consume)
            async with trio.open_nursery() as producers:

                async def produce():
                    for _ in range(200):
                        await queue.aput(account.next())

                for _ in range(5):
                    producers.start_soon(produce)
            queue.shutdown()
        account.assert_exact()

    trio.run(main)


def test_two_loops_in_two_threads_on_one_handle(open_queue):
    queue, account = open_queue("q"), Account()

    async def main():
        async for message in queue:
            account.taken.append(message)

    threads = [threading.Thread(target=trio.run, args=(main,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    producer = open_queue("q")
    for i in range(1000):
        producer.put(account.next())
        if i % 50 == 0:
            until(queue.empty)
    producer.shutdown()
    for thread in threads:
        thread.join()
    account.assert_exact()


@pytest.mark.parametrize("cancellations", MANY)
@pytest.mark.parametrize("how", ["aget", "alease"])
def test_cancelled_takes_lose_nothing(open_queue, cancellations, how):
    async def main():
        queue, producer, account, chance = open_queue("q"), open_queue("q"), Account(), random.Random(8)

        async def take():
            if how == "aget":
                account.taken.append(await queue.aget())
                return
            async with queue.alease() as number:
                await trio.lowlevel.checkpoint()
                account.taken.append(number)

        while account.cancelled < cancellations:
            count = chance.randrange(1, 8)
            before = len(account.taken)
            async with trio.open_nursery() as nursery:
                for _ in range(count):
                    nursery.start_soon(take)
                for _ in range(chance.randrange(4)):
                    await trio.lowlevel.checkpoint()
                for _ in range(chance.randrange(5)):
                    producer.put(account.next())
                for _ in range(chance.randrange(4)):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            account.cancelled += count - (len(account.taken) - before)
        while not queue.empty():
            account.taken.extend(queue.get_many())
        account.assert_exact()
        assert queue.statistics().leased == 0

    trio.run(main)
