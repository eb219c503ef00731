"""Many tasks, loops and threads on one handle."""

import asyncio
import os
import threading

from ..helpers import start_program, until
from .loads import Account, run, settle


def test_many_tasks_on_one_handle(open_queue):
    async def main():
        queue = open_queue("q")
        taken = []

        async def consume():
            async for message in queue:
                taken.append(message)

        tasks = [asyncio.create_task(consume()) for _ in range(50)]
        await settle()
        with start_program(
            """
            queue = weft.Queue("q")
            for i in range(3000):
                queue.put(i)
            queue.shutdown()
            """
        ) as producer:
            await asyncio.gather(*tasks)
            producer.finish()
        assert sorted(taken) == list(range(3000))

    run(main())


def test_producers_and_consumers_in_one_loop(open_queue):
    async def main():
        queue = open_queue("q", 3)
        account = Account()

        async def produce():
            for _ in range(300):
                await queue.aput(account.next())

        async def consume():
            async for message in queue:
                account.taken.append(message)

        consumers = [asyncio.create_task(consume()) for _ in range(4)]
        await asyncio.gather(*(produce() for _ in range(4)))
        queue.shutdown()
        await asyncio.gather(*consumers)
        account.assert_exact()

    run(main())


def test_two_loops_in_two_threads_on_one_handle(open_queue):
    queue, account = open_queue("q"), Account()

    def consume():
        async def main():
            async for message in queue:
                account.taken.append(message)

        asyncio.run(main())

    threads = [threading.Thread(target=consume) for _ in range(2)]
    for thread in threads:
        thread.start()
    producer = open_queue("q")
    for i in range(2000):
        producer.put(account.next())
        if i % 50 == 0:
            until(queue.empty)
    producer.shutdown()
    for thread in threads:
        thread.join()
    account.assert_exact()


def test_loop_beside_threads_that_block_on_the_same_handle(open_queue):
    queue, account = open_queue("q"), Account()

    def block():
        account.taken.extend(queue)

    thread = threading.Thread(target=block)

    async def main():
        thread.start()
        producer = open_queue("q")
        tasks = [asyncio.create_task(queue.aget()) for _ in range(20)]
        while not all(task.done() for task in tasks):
            await producer.aput(account.next())
            await settle()
        account.taken.extend(task.result() for task in tasks)
        producer.shutdown()

    run(main())
    thread.join()
    account.assert_exact()


def test_owns_no_thread_and_keeps_no_descriptor(open_queue):
    async def main():
        queue = open_queue("q")
        first = asyncio.create_task(queue.aget())  # opens the doorbell, which the queue keeps
        await settle()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        before = len(os.listdir("/proc/self/fd")), threading.active_count()
        tasks = [asyncio.create_task(queue.aget()) for _ in range(100)]
        await settle()
        assert len(os.listdir("/proc/self/fd")) <= before[0] + 2
        assert threading.active_count() == before[1]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before

    run(main())


def test_waiting_tasks_in_one_loop_after_another(open_queue):
    queue = open_queue("q")

    async def main(i):
        task = asyncio.create_task(queue.aget())
        await settle()
        await queue.aput(i)
        assert await task == i

    for i in range(20):
        asyncio.run(main(i))


def test_loop_that_was_left_with_a_task_waiting(open_queue):
    queue = open_queue("q")
    loop = asyncio.new_event_loop()
    task = loop.create_task(queue.aget())
    loop.run_until_complete(settle())
    assert not task.done()
    queue.put(1)
    assert asyncio.run(queue.aget()) == 1
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
