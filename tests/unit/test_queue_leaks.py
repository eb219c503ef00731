"""What calls leave behind in this process: nothing; and a process that ends as it stands harms nobody."""

import asyncio
import contextlib
import gc
import sys

import numpy as np
import pytest

import weft

from ..helpers import run_program

LARGE = np.zeros(20_000, "u1")


def fail_to_put(queue):
    with contextlib.suppress(TypeError):
        queue.put(object())


def fail_to_get(queue):
    with contextlib.suppress(weft.Empty):
        queue.get_nowait()


def fail_to_open(queue):
    with contextlib.suppress(weft.MismatchError):
        weft.Queue("q", maxsize=5)


def lease_and_give_back(queue):
    queue.put({"job": 1})
    with contextlib.suppress(LookupError), queue.lease():
        raise LookupError
    queue.lease().ack()


def lease_many(queue):
    queue.put_many([LARGE, "x"])
    with queue.lease_many():
        pass


def loan(queue):
    with queue.loan_array(20_000) as array:
        array[0] = 1
    queue.get()
    with queue.loan(10) as view:
        view[0] = 1
    queue.get()


def put_and_get_many(queue):
    queue.put_many([{"n": i} for i in range(10)])
    queue.get_many()


def pass_one(message):
    def use(queue):
        queue.put(message)
        queue.get()

    return use


async def wait_and_cancel(queue):
    task = asyncio.create_task(queue.aget())
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(pass_one({"a": [1, "two", 3.0, b"4"]}), id="dict"),
        pytest.param(pass_one(b"x" * 20_000), id="bytes"),
        pytest.param(pass_one(LARGE), id="array"),
        put_and_get_many,
        lease_and_give_back,
        lease_many,
        loan,
        fail_to_put,
        fail_to_get,
        fail_to_open,
        lambda queue: queue.statistics(),
        lambda queue: weft.Queue("q").close(),
        lambda queue: weft.open(queue.token).close(),
        lambda queue: asyncio.run(wait_and_cancel(queue)),
    ],
)
def test_no_objects_are_left(open_queue, use):
    queue = open_queue("q")

    def objects_after(times):
        for _ in range(times):
            use(queue)
        gc.collect()
        return sys.getallocatedblocks()

    objects_after(50)
    before = objects_after(50)
    assert objects_after(500) - before < 250  # less than one for two calls


@pytest.mark.parametrize(
    "code",
    [
        "thread = threading.Thread(target=queue.get, daemon=True); thread.start(); until_waiting()",
        "threading.Thread(target=lambda: [time.sleep(0) or queue.put(b'x' * 20_000) for _ in iter(int, 1)], daemon=True).start()",
        "queue.put_many([1, 2]); lease, many = queue.lease(), queue.lease_many()",
        "queue.put(numpy.zeros(20_000)); view = queue.get(); loan = queue.loan(20_000); memory = loan.__enter__()",
        "queue.fileno(); queue.put(1)",
        "cycle = [queue]; cycle.append(cycle); del queue",
        "sys.queue = queue; queue.put(numpy.zeros(20_000)); sys.lease = queue.lease()",
        "loop = asyncio.new_event_loop(); task = loop.create_task(queue.aget()); loop.run_until_complete(asyncio.sleep(0))",
        "iterator = iter(queue); queue.put(1); next(iterator); queue.shutdown()",
        "queue.put('x' * 1000000); sys.exit(0)",
    ],
)
def test_process_that_ends_as_it_stands(open_queue, code):
    watch = open_queue("q")
    watch.put("before")
    run_program(
        f"""
        import asyncio, atexit, threading, time, warnings
        import numpy
        warnings.simplefilter("ignore")
        queue = weft.Queue("q")
        queue.get()
        def until_waiting():
            while not queue.statistics().waiting_consumers:
                time.sleep(0.001)
        {code}
        """
    )
    assert watch.statistics().attached == 1
    assert watch.statistics().waiting_consumers == 0
    with contextlib.suppress(weft.Empty, weft.ShutDown):
        while True:
            watch.get_many(timeout=0)
    with contextlib.suppress(weft.ShutDown):
        watch.put("after", timeout=0)
        assert watch.get(timeout=0) == "after"
    assert watch.statistics().leased == 0
