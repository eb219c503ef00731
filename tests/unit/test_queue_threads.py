"""Threads of one process, on one handle and on several."""

import contextlib
import functools
import threading
from collections import Counter

import pytest

import weft

THREADS, EACH = 4, 3000


def run_all(*targets) -> None:
    """Runs each target in a thread of its own; the first error of any is raised here."""
    errors = []

    def guarded(target):
        try:
            target()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.fixture(params=["one handle", "a handle each"])
def handles(request, open_queue):
    """A function that returns the handle for the next thread."""

    def make(*arguments, **options):
        first = open_queue("q", *arguments, **options)
        return lambda: first if request.param == "one handle" else open_queue("q", *arguments, **options)

    return make


@pytest.mark.parametrize("options", [{}, {"maxsize": 3}, {"capacity": 64 << 10}], ids=["free", "maxsize", "capacity"])
@pytest.mark.parametrize("how", ["get", "get_many", "lease", "iteration"])
@pytest.mark.parametrize("size", [10, 9000])
def test_every_message_arrives_once_and_in_its_producers_order(handles, options, how, size):
    handle = handles(**options)
    each = EACH if size == 10 else EACH // 10
    taken = [[] for _ in range(THREADS)]
    left = threading.Semaphore(0)

    def produce(who, queue):
        for i in range(each):
            queue.put(b"%d %d " % (who, i) + bytes(size))
        left.release()

    def consume(mine, queue):
        if how == "iteration":
            mine.extend(queue)
            return
        try:
            while True:
                if how == "get":
                    mine.append(queue.get())
                elif how == "get_many":
                    mine.extend(queue.get_many(7))
                else:
                    with queue.lease() as item:
                        mine.append(item)
        except weft.ShutDown:
            return

    closing = handle()

    def close():
        for _ in range(THREADS):
            left.acquire()
        closing.shutdown()

    producing = [functools.partial(produce, who, handle()) for who in range(THREADS)]
    consuming = [functools.partial(consume, mine, handle()) for mine in taken]
    run_all(*producing, *consuming, close)
    seen = [[tuple(map(int, message.split(b" ")[:2])) for message in mine] for mine in taken]
    assert Counter(message for mine in seen for message in mine) == Counter(
        (who, i) for who in range(THREADS) for i in range(each)
    )
    for mine in seen:
        for who in range(THREADS):
            order = [i for producer, i in mine if producer == who]
            assert order == sorted(order)
    counts = closing.statistics()
    assert (counts.sent, counts.received) == (THREADS * each, THREADS * each)
    assert (counts.depth, counts.leased, counts.waiting_consumers, counts.waiting_producers) == (0, 0, 0, 0)


def test_large_messages_between_threads(open_queue):
    queue = open_queue("q", capacity=4 << 20)

    def produce():
        for i in range(300):
            queue.put(bytes([i % 256]) * 200_000)

    def consume():
        for _ in range(300):
            message = queue.get()
            assert message == message[:1] * 200_000

    run_all(produce, produce, consume, consume)
    assert queue.empty()


def test_settling_leases_in_other_threads(open_queue):
    queue, settling = open_queue("q"), []
    queue.put_many(range(1000))
    settling = [queue.lease() for _ in range(1000)]
    run_all(
        lambda: [lease.ack() for lease in settling[:500]],
        lambda: [lease.release() for lease in settling[500:]],
        lambda: [lease.ack() for lease in settling[:500]],  # repeated: no more than once counts
    )
    assert [queue.get() for _ in range(500)] == list(range(500, 1000))
    seen = queue.statistics()
    assert (seen.received, seen.leased, seen.depth) == (1000, 0, 0)


def test_close_while_others_use_the_handle(open_queue):
    uses = (
        lambda queue: queue.put("small"),
        lambda queue: queue.put(bytes(30_000)),
        lambda queue: queue.get(),
        lambda queue: queue.lease().ack(),
    )

    def work(use, queue, started):
        started.wait()
        with contextlib.suppress(weft.ClosedError):
            while True:
                use(queue)

    def close(queue, started):
        started.wait()
        queue.close()

    for _ in range(30):
        queue, watch = open_queue("q", 10), open_queue("q", 10)
        started = threading.Barrier(len(uses) + 1)
        run_all(
            *(functools.partial(work, use, queue, started) for use in uses),
            functools.partial(close, queue, started),
        )
        while not watch.empty():
            watch.get_many()
        watch.close()


def test_opening_and_closing_in_threads(namespace):
    def churn(who):
        for i in range(100):
            with weft.Queue(f"q{(who + i) % 3}") as queue:
                queue.put(i)
                queue.get()

    run_all(*(lambda who=who: churn(who) for who in range(4)))
    assert list(namespace.iterdir()) == []
