"""Leases that end badly: messages that cannot be decoded, and those that come back too often."""

import pytest

import weft

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


def test_full_dead_letter_queue_keeps_the_message_for_later(open_queue):
    dead = open_queue("dead", 1)
    queue = open_queue("q", max_deliveries=1, dead_letter="dead")
    dead.put("old")
    queue.put("bad")
    queue.lease().release()
    with pytest.raises(weft.WeftError):
        queue.get(timeout=0)
    assert queue.qsize() == 1
    assert dead.get() == "old"
    with pytest.raises(weft.Empty):
        queue.get(timeout=0)
    assert dead.get(timeout=0) == "bad"


def test_dead_letter_queue_of_any_capacity(open_queue):
    dead = open_queue("dead", capacity=1 << 20)
    queue = open_queue("q", capacity=2 << 20, max_deliveries=1, dead_letter="dead")
    queue.put("bad")
    queue.lease().release()
    with pytest.raises(weft.Empty):
        queue.get(timeout=0)
    assert dead.get(timeout=0) == "bad"
