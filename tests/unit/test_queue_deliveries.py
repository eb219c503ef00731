"""Leases that end badly: messages that cannot be decoded, and those that come back too often."""

import asyncio
import contextlib
import re
import signal
from pathlib import Path

import pytest

import weft

from ..segments import OBJECT_AT

LARGE = 100_000


@pytest.fixture(params=[b"small", b"L" * LARGE, {"a": [1, 2]}, "t" * LARGE], ids=["bytes", "block", "dict", "text"])
def message(request):
    return request.param


def is_at_rest(queue: weft.Queue) -> bool:
    seen = queue.statistics()
    return seen.sent == seen.received + seen.dropped + seen.depth + seen.leased


# --- decoding that fails ---------------------------------------------------------------------------


class Refusing:
    """A codec whose decoder raises what it is told to."""

    error: BaseException | None = None

    def encode(self, obj):
        return obj

    def decode(self, data):
        if self.error:
            raise self.error
        return bytes(data)


def test_what_cannot_be_decoded_does_not_stop_the_queue(open_queue):
    codec = Refusing()
    queue = open_queue("q", codec=codec)
    queue.put_many([b"bad", b"good"])
    codec.error = ValueError("bad")
    with pytest.raises(ValueError, match="bad"):
        queue.lease()
    codec.error = None
    with queue.lease(timeout=0) as item:
        assert item == b"good"


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("size", [10, LARGE])
def test_interrupted_decoding_loses_no_job(open_queue, error, size):
    codec = Refusing()
    queue = open_queue("q", codec=codec)
    queue.put(b"j" * size)
    codec.error = error()
    with pytest.raises(error):
        queue.lease()
    codec.error = None
    with queue.lease(timeout=0) as item:
        assert item == b"j" * size


# --- deliveries ------------------------------------------------------------------------------------


def test_given_up_after_max_deliveries(open_queue, message):
    queue = open_queue("q", max_deliveries=2)
    queue.put_many([message, "next"])
    for _ in range(2):
        queue.lease().release()
    with queue.lease() as item:
        assert item == "next"
    assert queue.empty()
    seen = queue.statistics()
    assert (seen.dead_lettered, seen.leased) == (1, 0)
    assert is_at_rest(queue)


@pytest.mark.parametrize("take", ["get", "get_many", "lease", "lease_many"])
def test_given_up_messages_go_to_the_dead_letter_queue(open_queue, message, take):
    queue = open_queue("q", max_deliveries=1, dead_letter="dead")
    dead = open_queue("dead")
    queue.put(message)
    queue.lease().release()
    with pytest.raises(weft.Empty):
        getattr(queue, take)(timeout=0)
    assert dead.get(timeout=0) == message
    assert queue.statistics().dead_lettered == 1
    assert queue.empty()


def test_given_up_messages_within_a_batch(open_queue):
    queue = open_queue("q", max_deliveries=1, dead_letter="dead")
    dead = open_queue("dead")
    queue.put_many(range(6))
    leases = [queue.lease() for _ in range(4)]
    leases[1].release()
    leases[3].release()
    taken = []
    while len(taken) < 2:
        taken += queue.get_many(timeout=0)
    assert taken == [4, 5]
    assert dead.get_many() == [1, 3]
    leases[0].ack()
    leases[2].ack()
    assert is_at_rest(queue)


def overwrite(path: Path, at: int, value: int, size: int = 4) -> None:
    """Writes into the state of the queue behind ``path``."""
    with path.open("r+b") as file:
        file.seek(OBJECT_AT + at)
        file.write(value.to_bytes(size, "little"))


def iterate(queue: weft.Queue):
    return next(iter(queue))


def take_async(queue: weft.Queue):
    async def main():
        return await queue.aget(timeout=0)

    return asyncio.run(main())


def lease(queue: weft.Queue):
    with queue.lease(timeout=0) as item:
        return item


def lease_many(queue: weft.Queue):
    with queue.lease_many(1, timeout=0) as items:
        return items[0]


TAKES = [lambda q: q.get(timeout=0), lambda q: q.get_many(1)[0], lease, lease_many, iterate, take_async]


@pytest.mark.parametrize("take", TAKES, ids=["get", "get_many", "lease", "lease_many", "next", "aget"])
@pytest.mark.parametrize("end", ["full", "shut down", "shut down at once", "too small"])
def test_dead_letter_queue_that_takes_nothing_more_does_not_end_the_stream(open_queue, message, take, end):
    dead = open_queue("dead", 1, max_message=4 if end == "too small" else None)
    queue = open_queue("q", max_deliveries=1, dead_letter="dead")
    dead.put(1)
    if end.startswith("shut down"):
        dead.shutdown(immediate=end == "shut down at once")
    if end == "too small":
        dead.get()
    queue.put_many([message, "next", "last"])
    queue.lease().release()
    with pytest.warns(RuntimeWarning, match="'q' that had been delivered 1 time.* lost: .*'dead'") as warned:
        assert take(queue) == "next"
    assert [warning.filename for warning in warned] == [__file__]
    seen = queue.statistics()
    assert (seen.dropped, seen.dead_lettered, seen.received, seen.depth, seen.leased) == (1, 0, 1, 1, 0)
    assert is_at_rest(queue)
    assert queue.get(timeout=0) == "last"
    assert queue._pages()["loaned"] == queue._pages()["held"] == 0


def test_last_message_lost_to_a_dead_letter_queue_ends_the_stream(open_queue):
    dead = open_queue("dead")
    queue = open_queue("q", max_deliveries=1, dead_letter="dead")
    queue.put("bad")
    queue.lease().release()
    dead.shutdown()
    queue.shutdown()
    with pytest.warns(RuntimeWarning, match="has been shut down"):
        assert list(queue) == []


def test_lost_message_is_lost_once_even_if_its_warning_is_an_error(open_queue):
    dead = open_queue("dead", 1)
    queue = open_queue("q", max_deliveries=1, dead_letter="dead")
    dead.put("old")
    queue.put_many(["bad", "good"])
    queue.lease().release()
    with pytest.raises(RuntimeWarning, match="no room"):
        queue.get()
    assert queue.get(timeout=0) == "good"
    assert queue.statistics().dropped == 1
    assert dead.get_many() == ["old"]


def test_dead_letter_queue_that_is_damaged_does_not_end_the_stream(open_queue):
    dead = open_queue("dead")
    queue = open_queue("q", max_deliveries=1, dead_letter="dead")
    queue.put_many(["bad", "good"])
    queue.lease().release()
    overwrite(dead.path, 0x100, 1 << 33, 8)  # tail, now far beyond its extent
    with pytest.warns(RuntimeWarning, match=re.escape(str(dead.path))):
        assert queue.get() == "good"


@contextlib.contextmanager
def interrupted_soon():
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_interrupt_on_the_way_to_the_dead_letter_queue_gives_the_message_back(open_queue):
    dead = open_queue("dead")
    queue = open_queue("q", max_deliveries=1, dead_letter="dead")
    queue.put("bad")
    queue.lease().release()
    overwrite(dead.path, 0x80, 1 | 1 << 12)  # the producers' lock, as if `dead` were in the middle of a put
    with interrupted_soon():
        queue.get()
    overwrite(dead.path, 0x80, 0)
    seen = queue.statistics()
    assert (seen.depth, seen.leased, seen.dropped, seen.dead_lettered) == (1, 0, 0, 0)
    with pytest.raises(weft.Empty):
        queue.get(timeout=0)
    assert dead.get(timeout=0) == "bad"


@pytest.mark.parametrize(("capacity", "size"), [(64 << 10, 8000), (1 << 20, 8000), (1 << 20, LARGE)])
def test_dead_letter_queue_with_smaller_records(open_queue, capacity, size):
    dead = open_queue("dead", capacity=capacity)
    queue = open_queue("q", max_deliveries=1, dead_letter="dead")
    expired = [b"b" * size, "t" * size, {"d": b"d" * size}]
    dead.put("before")
    queue.put_many(expired)
    for taken in [queue.lease() for _ in expired]:
        taken.release()
    with pytest.raises(weft.Empty):
        queue.get(timeout=0)
    dead.put("behind")
    assert dead.get_many() == ["before", *expired, "behind"]
    assert queue.statistics().dead_lettered == 3


def test_dead_letter_queue_of_any_capacity(open_queue):
    dead = open_queue("dead", capacity=1 << 20)
    queue = open_queue("q", capacity=2 << 20, max_deliveries=1, dead_letter="dead")
    queue.put("bad")
    queue.lease().release()
    with pytest.raises(weft.Empty):
        queue.get(timeout=0)
    assert dead.get(timeout=0) == "bad"
