"""What a queue does when it is full: maxsize, capacity, and the four policies."""

import pytest

import weft

from ..helpers import start_program


@pytest.fixture(params=["by count", "by bytes"])
def full_queue(request, open_queue):
    """Makes queues that hold a few messages; ``message(i)`` makes the i-th."""

    def make(on_full):
        if request.param == "by count":
            return open_queue("q", 3, on_full=on_full)
        return open_queue("q", capacity=32 << 10, on_full=on_full)

    def message(i):
        return b"%d:" % i + (b"" if request.param == "by count" else bytes(4000))

    make.message = message
    return make


def number(message: bytes) -> int:
    return int(message.split(b":")[0])


def numbers(queue: weft.Queue) -> list[int]:
    taken = []
    while not queue.empty():
        taken.append(number(queue.get()))
    return taken


@pytest.mark.parametrize("on_full", ["block", "fail"])
@pytest.mark.parametrize("arguments", [(False,), (True, 0)])
def test_full(full_queue, on_full, arguments):
    queue = full_queue(on_full)
    put = 0
    with pytest.raises(weft.Full):
        while True:
            queue.put(full_queue.message(put), *arguments)
            put += 1
    assert queue.qsize() == put
    assert numbers(queue) == list(range(put))
    assert queue.statistics().dropped == 0


def test_fail_does_not_wait(full_queue):
    queue = full_queue("fail")
    with pytest.raises(weft.Full):
        for i in range(100):
            queue.put(full_queue.message(i))  # with no timeout: would wait for ever
    with pytest.raises(weft.Full) as caught:
        queue.put_many([full_queue.message(0)])
    assert caught.value.sent == 0


def test_drop_newest(full_queue):
    queue = full_queue("drop-newest")
    for i in range(100):
        queue.put(full_queue.message(i))
    kept = queue.qsize()
    seen = queue.statistics()
    assert (seen.sent, seen.dropped, seen.depth) == (100, 100 - kept, kept)
    assert numbers(queue) == list(range(kept))
    queue.put(full_queue.message(100))
    assert numbers(queue) == [100]
    seen = queue.statistics()
    assert seen.sent == seen.received + seen.dropped


def test_drop_oldest(full_queue):
    queue = full_queue("drop-oldest")
    for i in range(100):
        queue.put(full_queue.message(i))
    seen = queue.statistics()
    assert seen.sent == 100
    assert seen.dropped + seen.depth == 100
    kept = numbers(queue)
    assert kept == list(range(100 - len(kept), 100))
    assert 3 <= len(kept) < 10


@pytest.mark.parametrize("on_full", ["drop-newest", "drop-oldest"])
def test_put_many_drops_too(full_queue, on_full):
    queue = full_queue(on_full)
    queue.put_many([full_queue.message(i) for i in range(1000)])
    seen = queue.statistics()
    assert (seen.sent, seen.dropped) == (1000, 1000 - seen.depth)
    kept = numbers(queue)
    assert kept == list(range(len(kept)) if on_full == "drop-newest" else range(1000 - len(kept), 1000))


def test_drop_oldest_drops_what_was_given_back_first(open_queue):
    queue = open_queue("q", 3, on_full="drop-oldest")
    queue.put_many([0, 1, 2])
    queue.lease().release()
    queue.put(3)
    assert queue.get_many() == [1, 2, 3]


def test_drop_oldest_does_not_drop_what_is_leased(open_queue):
    queue = open_queue("q", 2, on_full="drop-oldest")
    queue.put_many([0, 1])
    with queue.lease() as item:
        queue.put_many([2, 3, 4])
        assert item == 0
        assert queue.get_many() == [3, 4]


def test_when_all_memory_is_in_consumers_hands_dropping_the_oldest_drops_the_newest(open_queue):
    queue = open_queue("q", capacity=32 << 10, on_full="drop-oldest")
    leases = []
    while len(leases) < 100 and queue.statistics().dropped == 0:
        queue.put(bytes(4000))
        if not queue.empty():
            leases.append(queue.lease(timeout=0))
    assert 0 < len(leases) < 10
    seen = queue.statistics()
    assert seen.sent == len(leases) + seen.dropped
    for lease in leases:
        lease.ack()
    queue.put(b"fits again")
    assert queue.get(timeout=0) == b"fits again"


def test_policy_belongs_to_the_handle(open_queue):
    blocking, dropping = open_queue("q", 1), open_queue("q", 1, on_full="drop-oldest")
    blocking.put(1)
    with pytest.raises(weft.Full):
        blocking.put(2, timeout=0)
    dropping.put(3)
    assert blocking.get() == 3


@pytest.mark.parametrize("maxsize", [1, 2, 7, 255, 256, 257, 5000])
def test_maxsize_is_exact(open_queue, maxsize):
    queue = open_queue("q", maxsize)
    for _ in range(3):
        with pytest.raises(weft.Full) as caught:
            queue.put_many(range(maxsize + 1), timeout=0)
        assert caught.value.sent == maxsize == queue.qsize()
        assert queue.full()
        taken = 0
        while taken < maxsize:
            taken += len(queue.get_many(1000))
        assert taken == maxsize


def test_maxsize_is_exact_under_concurrency(open_queue):
    queue = open_queue("q", 5)
    code = """
        queue = weft.Queue("q")
        for i in range(3000):
            queue.put(i, timeout=30)
    """
    with start_program(code) as one, start_program(code) as two:
        for _ in range(6000):
            queue.get(timeout=30)
            assert queue.qsize() <= 5
        one.finish()
        two.finish()


def test_put_waits_for_room(full_queue):
    queue = full_queue("block")
    with pytest.raises(weft.Full):
        for i in range(100):
            queue.put(full_queue.message(i), timeout=0)
    waiting = queue.qsize()
    with start_program(
        """
        queue = weft.Queue("q")
        for _ in range(int(sys.argv[1])):
            say(queue.get(timeout=30)[:1])
        """,
        waiting,
    ) as consumer:
        for i in range(waiting):
            queue.put(full_queue.message(i), timeout=30)
        consumer.finish()
    assert numbers(queue) == list(range(waiting))
