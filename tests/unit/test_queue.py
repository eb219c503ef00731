"""A queue as one process sees it: putting, taking, counting, ending."""

import queue as standard
import warnings
import weakref

import pytest

import weft


def test_first_in_first_out(open_queue):
    queue = open_queue("q")
    for i in range(1000):
        queue.put(i)
    assert [queue.get() for _ in range(1000)] == list(range(1000))


def test_same_name_is_same_queue(open_queue):
    one, two = open_queue("q"), open_queue("q")
    one.put("there")
    assert two.get() == "there"
    two.put("and back")
    assert one.get() == "and back"


def test_other_name_is_other_queue(open_queue):
    one, two = open_queue("one"), open_queue("two")
    one.put(1)
    assert two.empty()
    assert one.get() == 1


def test_queue_without_a_name_is_nobody_elses(open_queue, namespace):
    one, two = open_queue(), open_queue()
    one.put(1)
    assert two.empty()
    assert one.path != two.path
    assert {one.path.name, two.path.name} == {path.name for path in namespace.iterdir()}
    assert one.name is None
    assert weft.Namespace().names() == []


def test_first_argument_may_be_maxsize_as_in_the_standard_library(open_queue):
    queue = open_queue(2)
    queue.put_many([1, 2])
    assert queue.full()


def test_name_and_path(open_queue, namespace):
    queue = open_queue("jobs")
    assert queue.name == "jobs"
    assert queue.path == namespace / "jobs"
    assert queue.path.is_file()


@pytest.mark.parametrize("block", [True, False])
def test_get_from_empty(open_queue, block):
    queue = open_queue("q")
    with pytest.raises(weft.Empty):
        queue.get(block, timeout=0)
    with pytest.raises(standard.Empty):
        queue.get_nowait()


def test_put_into_full(open_queue):
    queue = open_queue("q", 1)
    queue.put_nowait(1)
    with pytest.raises(weft.Full):
        queue.put(2, timeout=0)
    with pytest.raises(standard.Full):
        queue.put_nowait(2)
    assert queue.get() == 1
    queue.put_nowait(3)
    assert queue.get() == 3


def test_nowait_takes_what_is_there(open_queue):
    queue = open_queue("q")
    queue.put_nowait("x")
    assert queue.get_nowait() == "x"


def test_state(open_queue):
    queue = open_queue("q", maxsize=2)
    assert (queue.qsize(), queue.empty(), queue.full()) == (0, True, False)
    queue.put(1)
    assert (queue.qsize(), queue.empty(), queue.full()) == (1, False, False)
    queue.put(2)
    assert (queue.qsize(), queue.empty(), queue.full()) == (2, False, True)
    queue.get()
    assert (queue.qsize(), queue.empty(), queue.full()) == (1, False, False)


@pytest.mark.parametrize("maxsize", [0, -1])
def test_queue_bounded_by_capacity_alone_is_never_full(open_queue, maxsize):
    queue = open_queue("q", maxsize)
    queue.put_many(range(10_000))
    assert not queue.full()


# --- many ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 3000])
def test_put_many(open_queue, count):
    queue = open_queue("q")
    assert queue.put_many(range(count)) is None
    assert queue.qsize() == count
    assert [queue.get() for _ in range(count)] == list(range(count))


def test_put_many_takes_any_iterable(open_queue):
    queue = open_queue("q")
    queue.put_many(i * i for i in range(4))
    queue.put_many({"key": 1})
    assert queue.get_many() == [0, 1, 4, 9, "key"]


def test_many_of_all_sizes_keep_their_order(open_queue):
    queue = open_queue("q")
    messages = [bytes([i % 251]) * (i * 7919 % 30_000) for i in range(500)]
    queue.put_many(messages)
    taken = []
    while len(taken) < len(messages):
        taken += queue.get_many(64)
    assert taken == messages


def test_put_many_tells_how_many_were_sent(open_queue):
    queue = open_queue("q", 300)
    with pytest.raises(weft.Full) as caught:
        queue.put_many(range(1000), timeout=0)
    assert caught.value.sent == 300
    assert [queue.get() for _ in range(300)] == list(range(300))


def test_put_many_stops_at_what_cannot_be_encoded(open_queue):
    queue = open_queue("q")
    with pytest.raises(TypeError) as caught:
        queue.put_many([1, 2, object(), 4])
    assert caught.value.sent == 2
    assert queue.get_many() == [1, 2]


def test_put_many_changes_nothing_if_its_iterable_raises(open_queue):
    queue = open_queue("q")

    def items():
        yield 1
        raise LookupError

    with pytest.raises(LookupError):
        queue.put_many(items())
    assert queue.empty()


@pytest.mark.parametrize("wanted", [1, 2, 256, 257, 1000])
def test_get_many_takes_at_most_what_is_wanted(open_queue, wanted):
    queue = open_queue("q")
    queue.put_many(range(600))
    assert queue.get_many(wanted) == list(range(min(wanted, 600)))
    assert queue.qsize() == 600 - min(wanted, 600)


def test_get_many_from_empty(open_queue):
    queue = open_queue("q")
    with pytest.raises(weft.Empty):
        queue.get_many(timeout=0)
    with pytest.raises(weft.Empty):
        queue.get_many(10, False)


# --- what the codec refuses ------------------------------------------------------------------------


def test_what_cannot_be_encoded_raises_in_the_caller_and_changes_nothing(open_queue):
    queue = open_queue("q")
    with pytest.raises(TypeError, match="pickle"):
        queue.put(object())
    assert queue.empty()
    assert queue.statistics().sent == 0
    queue.put("fine")
    assert queue.get() == "fine"


# --- statistics ------------------------------------------------------------------------------------


def test_statistics_count_everything(open_queue):
    queue = open_queue("q", 4, on_full="drop-oldest", capacity=1 << 20)
    for i in range(6):
        queue.put(i)  # 0 and 1 are dropped
    assert queue.get() == 2
    lease = queue.lease()
    assert lease.item == 3
    seen = queue.statistics()
    assert (seen.sent, seen.received, seen.dropped, seen.depth, seen.leased) == (6, 1, 2, 2, 1)
    assert (seen.capacity, seen.attached, seen.redelivered) == (1 << 20, 1, 0)
    assert (seen.waiting_producers, seen.waiting_consumers) == (0, 0)
    assert 0 < seen.reserved <= seen.capacity
    lease.release()
    seen = queue.statistics()
    assert (seen.sent, seen.received, seen.dropped, seen.depth, seen.leased) == (6, 1, 2, 3, 0)
    with queue.lease() as item:
        assert item == 3
    seen = queue.statistics()
    assert (seen.received, seen.redelivered, seen.depth) == (2, 1, 2)
    assert seen.sent == seen.received + seen.dropped + seen.depth + seen.leased


def test_statistics_count_bytes(open_queue):
    queue = open_queue("q", codec="raw")
    queue.put(bytes(100))
    queue.put(bytes(100_000))
    assert queue.statistics().depth_bytes == 100_100
    queue.get()
    assert queue.statistics().depth_bytes == 100_000
    queue.get()
    assert queue.statistics().depth_bytes == 0


def test_bytes_that_are_given_back_count_again(open_queue):
    queue, other = open_queue("q", codec="raw"), open_queue("q", codec="raw")
    sizes = [100, 100_000, 10]
    queue.put_many([bytes(size) for size in sizes])
    leases = [queue.lease(), other.lease(), queue.lease()]
    assert queue.statistics().depth_bytes == 0
    leases[0].release()
    assert queue.statistics().depth_bytes == 100
    leases.pop(1)  # given back when collected
    assert other.statistics().depth_bytes == 100_100
    assert len(queue.get()) == 100
    leases.pop().ack()
    assert (queue.statistics().depth, queue.statistics().depth_bytes) == (1, 100_000)
    assert len(queue.get()) == 100_000
    assert queue.statistics().depth_bytes == 0


def test_statistics_are_frozen(open_queue):
    seen = open_queue("q").statistics()
    with pytest.raises(AttributeError):
        seen.sent = 5


def test_statistics_count_who_is_attached(open_queue):
    one = open_queue("q")
    two = open_queue("q")
    assert one.statistics().attached == 2
    two.close()
    assert one.statistics().attached == 1


# --- the handle ------------------------------------------------------------------------------------


def test_context_manager_closes():
    with weft.Queue("q") as queue:
        assert not queue.closed
    assert queue.closed
    with pytest.raises(weft.ClosedError), queue:
        pass


def test_close_may_be_repeated(open_queue):
    queue = open_queue("q")
    queue.close()
    queue.close()
    assert queue.closed


@pytest.mark.parametrize(
    "use",
    [
        lambda queue: queue.put(1),
        lambda queue: queue.put(b"1"),
        lambda queue: queue.put_nowait(1),
        lambda queue: queue.put_many([1]),
        lambda queue: queue.get(),
        lambda queue: queue.get_nowait(),
        lambda queue: queue.get_many(),
        lambda queue: queue.lease(),
        lambda queue: queue.lease_many(),
        lambda queue: queue.loan(10).__enter__(),
        lambda queue: queue.loan_array(10_000).__enter__(),
        lambda queue: queue.qsize(),
        lambda queue: queue.empty(),
        lambda queue: queue.full(),
        lambda queue: queue.statistics(),
        lambda queue: queue.shutdown(),
        lambda queue: queue.fileno(),
        lambda queue: queue.unlink(),
        lambda queue: queue.__reduce__(),
        lambda queue: next(queue),
    ],
)
def test_closed_handle_says_so(open_queue, use):
    queue = open_queue("q")
    queue.close()
    with pytest.raises(weft.ClosedError, match="'q'"):
        use(queue)


def test_closing_one_handle_does_not_concern_others(open_queue):
    one, two = open_queue("q"), open_queue("q")
    one.put(1)
    one.close()
    assert two.get() == 1


def test_forgotten_handle_closes_itself(namespace):
    queue = weft.Queue("q")
    gone = weakref.ref(queue)
    del queue
    assert gone() is None
    assert list(namespace.iterdir()) == []


def test_a_queue_is_opened_once(open_queue):
    queue = open_queue("q")
    with pytest.raises(RuntimeError):
        queue.__init__("other")
    assert queue.path.name == "q"


def test_repr(open_queue):
    queue = open_queue("jobs")
    queue.put_many([1, 2])
    assert repr(queue) == "<weft.Queue 'jobs' 2 waiting>"
    assert queue.get_many() == [1, 2]
    queue.close()
    assert repr(queue) == "<weft.Queue 'jobs' closed>"
    assert "anonymous" in repr(open_queue())
    assert "not open" in repr(weft.Queue.__new__(weft.Queue))


# --- what closing the last handle takes along ------------------------------------------------------


def test_closing_the_last_handle_of_a_queue_with_messages_warns(open_queue):
    queue = open_queue("q")
    queue.put_many([1, 2, 3])
    with pytest.warns(ResourceWarning, match="3 message"):
        queue.close()
    assert not queue.path.exists()


def test_forgetting_the_last_handle_of_a_queue_with_messages_warns():
    queue = weft.Queue("q")
    queue.put(1)
    with pytest.warns(ResourceWarning, match="1 message"):
        del queue


def test_what_is_leased_is_lost_with_the_lease(open_queue):
    queue = open_queue("q")
    queue.put_many([1, 2])
    lease = queue.lease()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        queue.close()
        with weft.Queue("q", create=False) as other:
            assert other.qsize() == 1
    with pytest.warns(ResourceWarning, match="2 message") as warned:
        del lease
    assert [warning.filename for warning in warned] == [__file__]


def test_what_is_settled_is_not_lost(open_queue):
    queue = open_queue("q")
    queue.put_many([1, 2])
    lease = queue.lease()
    lease.ack()
    with pytest.warns(ResourceWarning, match="1 message") as warned:
        queue.close()
    assert [warning.filename for warning in warned] == [__file__]
    assert lease.settled


def test_closing_warns_when_the_last_view_goes(open_queue):
    queue = open_queue("q", views=True)
    queue.put_many([bytes(100_000), 2])
    view = queue.get()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        queue.close()
    assert queue.path.exists()
    with pytest.warns(ResourceWarning, match="'q' .* 1 message"):
        del view
    assert not queue.path.exists()


def test_closing_warns_of_given_up_messages_too(open_queue):
    queue = open_queue("q", max_deliveries=1, dead_letter="dead")
    queue.put("bad")
    queue.lease().release()
    with pytest.raises(weft.Empty):
        queue.get(timeout=0)
    with pytest.warns(ResourceWarning, match="'dead' .* 1 message"):
        queue.close()


def test_closing_an_unlinked_queue_does_not_warn(open_queue):
    queue = open_queue("q")
    queue.put(1)
    queue.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        queue.close()


def test_closing_warns_of_nothing_that_is_not_lost(open_queue):
    first, second, empty = open_queue("q"), open_queue("q"), open_queue("empty")
    kept = open_queue("kept", lifetime="kept")
    first.put(1)
    kept.put(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first.close()
        empty.close()
        kept.close()
    assert second.get() == 1


def test_close_never_fails_even_if_its_warning_is_an_error(open_queue):
    queue = open_queue("q")
    queue.put(1)
    with pytest.raises(ResourceWarning), warnings.catch_warnings():
        warnings.simplefilter("error")
        queue.close()
    assert queue.closed
