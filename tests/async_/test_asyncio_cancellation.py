"""Cancellation in asyncio: exact counts, however often and whenever tasks are cancelled."""

import asyncio
import random

import pytest

import weft

from ..helpers import start_program
from .loads import MANY, Account, run, settle


@pytest.mark.parametrize(
    ("how", "cancellations"),
    [("aget", 100_000), ("alease", 5_000), pytest.param("alease", 100_000, marks=pytest.mark.slow)],
)
def test_cancelled_takes_lose_nothing(open_queue, how, cancellations):
    async def main():
        queue, producer, account, chance = open_queue("q"), open_queue("q"), Account(), random.Random(5)

        async def take():
            if how == "aget":
                account.taken.append(await queue.aget())
                return
            async with queue.alease() as number:
                await asyncio.sleep(0)
                account.taken.append(number)

        while account.cancelled < cancellations:
            tasks = [asyncio.create_task(take()) for _ in range(chance.randrange(1, 8))]
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            for _ in range(chance.randrange(5)):
                producer.put(account.next())
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            account.cancelled += sum(isinstance(result, asyncio.CancelledError) for result in done)
            assert all(result is None or isinstance(result, asyncio.CancelledError) for result in done)
        while not queue.empty():
            account.taken.extend(queue.get_many())
        account.assert_exact()
        assert queue.statistics().leased == 0

    run(main())


def test_cancelled_takes_lose_nothing_of_other_programs(open_queue):
    async def main():
        queue, account, chance = open_queue("q", 4), Account(), random.Random(6)
        with start_program(
            """
            queue, sent = weft.Queue("q"), 0
            try:
                while True:
                    queue.put(sent)
                    sent += 1
            except weft.ShutDown:
                say(sent)
            """
        ) as producer:
            while account.cancelled < 100_000:
                tasks = [asyncio.create_task(queue.aget()) for _ in range(chance.randrange(1, 8))]
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                for result in await asyncio.gather(*tasks, return_exceptions=True):
                    if isinstance(result, asyncio.CancelledError):
                        account.cancelled += 1
                    else:
                        account.taken.append(result)
            queue.shutdown()
            account.put = int(producer.finish())
        with pytest.raises(weft.ShutDown):
            while True:
                account.taken.append(queue.get())
        account.assert_exact()

    run(main())


@pytest.mark.parametrize("cancellations", MANY)
def test_cancelled_puts_put_nothing(open_queue, cancellations):
    async def main():
        queue, consumer, account, chance = open_queue("q", 3), open_queue("q", 3), Account(), random.Random(7)
        taken, put = [], []

        async def send(number):
            await queue.aput(number)
            put.append(number)

        while account.cancelled < cancellations:
            tasks = [asyncio.create_task(send(account.next())) for _ in range(chance.randrange(1, 8))]
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            for _ in range(chance.randrange(3)):
                if not consumer.empty():
                    taken.append(consumer.get())
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            account.cancelled += sum(isinstance(result, asyncio.CancelledError) for result in done)
        while not consumer.empty():
            taken.append(consumer.get())
        assert sorted(taken) == sorted(put)
        assert len(taken) > 50

    run(main())


def test_a_woken_task_that_is_cancelled_wakes_the_next(open_queue):
    async def main():
        queue, producer = open_queue("q"), open_queue("q")
        for _ in range(200):
            first, second = asyncio.create_task(queue.aget()), asyncio.create_task(queue.aget())
            await settle()
            producer.put("one for the two of them")
            first.cancel()
            done, _ = await asyncio.wait([first, second], return_when=asyncio.ALL_COMPLETED, timeout=None)
            results = [task.result() for task in done if not task.cancelled()]
            assert results == ["one for the two of them"]

    run(main())
