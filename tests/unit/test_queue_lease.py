"""Leases: a message on condition."""

import gc

import numpy as np
import pytest

import weft

LARGE = 100_000


@pytest.fixture(params=[b"small", b"L" * LARGE, {"a": [1, 2]}, "t" * LARGE], ids=["bytes", "block", "dict", "text"])
def message(request):
    return request.param


@pytest.fixture
def queue(open_queue):
    return open_queue("q", capacity=4 << 20)


def is_at_rest(queue: weft.Queue) -> bool:
    seen = queue.statistics()
    return seen.sent == seen.received + seen.dropped + seen.depth + seen.leased


# --- settling --------------------------------------------------------------------------------------


def test_leaving_the_block_acknowledges(queue, message):
    queue.put(message)
    with queue.lease() as item:
        assert item == message
        assert queue.empty()
        assert queue.statistics().leased == 1
    assert queue.empty()
    assert (queue.statistics().leased, queue.statistics().received) == (0, 1)


def test_raising_gives_back_to_the_front(queue, message):
    queue.put(message)
    queue.put("next")
    with pytest.raises(LookupError), queue.lease() as item:
        assert item == message
        raise LookupError
    assert queue.qsize() == 2
    assert queue.get() == message
    assert queue.get() == "next"
    assert is_at_rest(queue)


def test_ack(queue, message):
    queue.put(message)
    lease = queue.lease()
    assert lease.item == message
    assert not lease.settled
    lease.ack()
    assert lease.settled
    lease.ack()
    lease.release()
    assert lease.item == message
    assert queue.empty()
    assert queue.statistics().leased == 0


def test_release(queue, message):
    queue.put(message)
    lease = queue.lease()
    lease.release()
    lease.release()
    lease.ack()
    assert lease.settled
    assert queue.get() == message
    assert queue.empty()


def test_settled_inside_the_block_stays_settled(queue, message):
    queue.put_many([message, "next"])
    lease = queue.lease()
    with lease:
        lease.release()
    assert queue.get() == message
    lease = queue.lease()
    with pytest.raises(LookupError), lease:
        lease.ack()
        raise LookupError
    assert queue.empty()


def test_redelivered(queue, message):
    queue.put(message)
    for times in range(4):
        lease = queue.lease()
        assert (lease.redelivered, lease.item) == (times, message)
        lease.release()
    assert queue.statistics().redelivered == 3
    assert queue.get() == message
    assert queue.statistics().redelivered == 4


def test_forgotten_lease_gives_back(queue, message):
    queue.put(message)
    queue.lease()
    gc.collect()
    assert queue.qsize() == 1
    with queue.lease() as item:
        assert item == message


def test_lease_of_a_closed_handle_gives_back(open_queue, queue, message):
    other = open_queue("q", capacity=4 << 20)
    other.put(message)
    lease = other.lease()
    other.close()
    assert queue.empty()
    del lease
    assert queue.get(timeout=0) == message


def test_lease_of_a_closed_handle_can_be_acknowledged(open_queue, queue, message):
    other = open_queue("q", capacity=4 << 20)
    other.put(message)
    lease = other.lease()
    other.close()
    lease.ack()
    del lease, other
    assert queue.empty()
    assert queue.statistics().received == 1


def test_nested(queue):
    queue.put_many(range(5))
    with queue.lease() as a, queue.lease() as b:
        assert (a, b) == (0, 1)
        with pytest.raises(LookupError), queue.lease() as c, queue.lease() as d:
            assert (c, d) == (2, 3)
            raise LookupError
        assert queue.qsize() == 3
    assert queue.get_many() == [2, 3, 4]


def test_what_is_given_back_comes_first_and_in_its_order(queue):
    queue.put_many(range(6))
    leases = [queue.lease() for _ in range(4)]
    for i in (2, 0, 3):
        leases[i].release()
    leases[1].ack()
    assert [queue.get() for _ in range(5)] == [0, 2, 3, 4, 5]


def test_lease_waits_for_nothing_with_timeout_zero(queue):
    with pytest.raises(weft.Empty):
        queue.lease(timeout=0)
    with pytest.raises(weft.Empty):
        queue.lease(block=False)


def test_a_lease_comes_from_a_queue_only():
    with pytest.raises(TypeError):
        weft.Lease()


def test_leased_messages_do_not_count_for_maxsize(open_queue):
    queue = open_queue("q", maxsize=2)
    queue.put_many([1, 2])
    with queue.lease():
        assert not queue.full()
        queue.put_nowait(3)


def test_given_back_messages_count_for_maxsize(open_queue):
    queue = open_queue("q", maxsize=2)
    queue.put_many([1, 2])
    leases = [queue.lease(), queue.lease()]
    for lease in leases:
        lease.release()
    assert queue.full()
    with pytest.raises(weft.Full):
        queue.put_nowait(3)
    assert queue.get_many() == [1, 2]


def test_given_back_messages_count_for_maxsize_whatever_producers_have_seen(open_queue):
    queue = open_queue("q", maxsize=2)
    queue.put_many([1, 2])
    leases = [queue.lease(), queue.lease()]
    queue.put(3)
    leases.append(queue.lease())
    for lease in leases:
        lease.release()
    assert queue.full()
    with pytest.raises(weft.Full):
        queue.put_nowait(4)
    assert queue.get_many() == [1, 2, 3]


def test_thousands_of_leases(queue):
    queue.put_many(range(5000))
    leases = [queue.lease() for _ in range(5000)]
    assert queue.statistics().leased == 5000
    for lease in leases[::2]:
        lease.release()
    for lease in leases[1::2]:
        lease.ack()
    assert [queue.get() for _ in range(2500)] == list(range(0, 5000, 2))
    assert is_at_rest(queue)


def test_more_leases_than_there_can_be_is_a_typed_error(open_queue):
    queue = open_queue("q", codec="raw")
    queue.put_many([b""] * 65_537)
    leases = queue.lease_many(70_000)
    assert len(leases) == 65_536
    with pytest.raises(weft.SystemLimitError, match="65,536 leases"):
        queue.lease(timeout=0)
    assert queue.qsize() == 1
    leases.ack()
    with queue.lease(timeout=0) as item:
        assert item == b""


# --- many ------------------------------------------------------------------------------------------


def test_lease_many(queue):
    queue.put_many(range(10))
    with queue.lease_many(4) as items:
        assert items == [0, 1, 2, 3]
        assert queue.statistics().leased == 4
    assert queue.statistics().received == 4
    with pytest.raises(LookupError), queue.lease_many(100) as items:
        assert items == [4, 5, 6, 7, 8, 9]
        raise LookupError
    assert queue.get_many() == [4, 5, 6, 7, 8, 9]


def test_lease_many_settled_one_by_one(queue):
    queue.put_many(range(4))
    leases = queue.lease_many(timeout=0)
    assert len(leases) == 4
    with leases as items:
        assert items == [0, 1, 2, 3]
        leases.leases[1].release()
    assert queue.get_many() == [1]
    assert is_at_rest(queue)


def test_lease_many_ack_and_release(queue):
    queue.put_many(range(4))
    queue.lease_many(2).ack()
    queue.lease_many(2).release()
    assert queue.get_many() == [2, 3]
    with pytest.raises(weft.Empty):
        queue.lease_many(timeout=0)


class Fussy:
    """A codec that can't decode everything."""

    def encode(self, obj):
        return obj

    def decode(self, data):
        if bytes(data) == b"bad":
            raise ValueError("bad")
        return bytes(data)


def test_lease_many_that_fails_gives_back_what_it_had_at_once(open_queue):
    queue = open_queue("q", codec=Fussy())
    queue.put_many([b"a", b"b", b"bad", b"c"])
    with pytest.raises(ValueError, match="bad") as caught:
        queue.lease_many(timeout=0)
    assert queue.statistics().leased == 0
    assert [queue.get(timeout=0) for _ in range(3)] == [b"a", b"b", b"c"]
    del caught


def test_lease_many_gives_back_all_that_can_be_though_views_are_in_use(open_queue):
    queue = open_queue("q", capacity=256 << 10, views=True)
    queue.put_many([b"1" * 60_000, b"2" * 60_000, b"3" * 60_000])
    batch = queue.lease_many()
    views = [batch.leases[0].item]
    with pytest.raises(BufferError):
        batch.release()  # there is no memory for a copy of the first
    assert [lease.settled for lease in batch.leases] == [False, True, True]
    assert [bytes(queue.get(timeout=0)[:1]) for _ in range(2)] == [b"2", b"3"]
    views.clear()
    batch.release()
    assert bytes(queue.get(timeout=0)) == b"1" * 60_000


def test_lease_many_whose_block_raises_gives_back_with_the_last_view(open_queue):
    queue = open_queue("q", capacity=256 << 10, views=True)
    queue.put_many([b"1" * 60_000, b"2" * 60_000, b"3" * 60_000])
    views = []
    with pytest.raises(LookupError), queue.lease_many() as items:
        views.append(items.pop(0))
        items.clear()
        raise LookupError
    assert queue.qsize() == 2
    views.clear()
    assert [bytes(queue.get(timeout=0)[:1]) for _ in range(3)] == [b"1", b"2", b"3"]


# --- blocks ----------------------------------------------------------------------------------------


def test_leased_array_is_a_view_that_outlives_its_lease(queue):
    queue.put(np.full(LARGE, 7, "u1"))
    with queue.lease() as view:
        pass
    for _ in range(100):
        queue.put(bytes(LARGE))
        queue.get()
    assert (view == 7).all()


def test_view_of_a_message_given_back_stays_what_it_was(queue):
    queue.put(np.full(LARGE, 7, "u1"))
    lease = queue.lease()
    view = lease.item
    lease.release()
    again = queue.get()
    assert (again == 7).all()
    del again
    for _ in range(100):
        queue.put(bytes(LARGE))
        queue.get()
    assert (view == 7).all()


def test_giving_back_a_message_in_use_needs_memory_for_a_copy(open_queue):
    queue = open_queue("q", capacity=1 << 20)
    leases = []
    with pytest.raises(weft.Full):
        while True:
            queue.put(np.full(LARGE, len(leases), "u1"), timeout=0)
            leases.append(queue.lease())
    view = leases[2].item
    with pytest.raises(BufferError, match="views"):
        leases[2].release()
    assert (view == 2).all()
    del view
    leases[2].release()
    assert (queue.get() == 2).all()


def test_giving_back_a_message_that_nobody_views_needs_no_memory(open_queue):
    queue = open_queue("q", capacity=1 << 20)
    leases = []
    with pytest.raises(weft.Full):
        while True:
            queue.put(bytes([len(leases)]) * LARGE, timeout=0)
            leases.append(queue.lease())
    for lease in leases:
        lease.release()
    assert [queue.get(timeout=0)[0] for _ in leases] == list(range(len(leases)))


@pytest.mark.parametrize("how", ["block that raises", "lease forgotten", "release"])
def test_message_that_cannot_be_given_back_now_returns_with_its_last_view(open_queue, how):
    queue = open_queue("q", capacity=1 << 20)
    leases = []
    with pytest.raises(weft.Full):
        while True:
            queue.put(np.full(LARGE, len(leases), "u1"), timeout=0)
            leases.append(queue.lease())
    view = leases[0].item
    if how == "block that raises":
        with pytest.raises(LookupError), leases[0]:
            raise LookupError
    elif how == "release":
        with pytest.raises(BufferError):
            leases[0].release()
    del leases[0]
    assert queue.empty()
    assert (view == 0).all()
    del view
    assert (queue.get(timeout=0) == 0).all()


def test_memory_of_leased_blocks_returns(queue):
    def pass_messages(count):
        for i in range(count):
            queue.put(np.zeros(LARGE, "u1"))
            lease = queue.lease()
            if i % 3 == 0:
                lease.release()
                lease = queue.lease()
            lease.ack()
        del lease
        return queue.statistics().reserved

    at_first = pass_messages(30)
    assert pass_messages(1000) == at_first
