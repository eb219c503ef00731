"""The end of the stream, as in ``queue.Queue.shutdown`` of Python 3.13."""

import queue as standard
import threading

import pytest

import weft

from ..helpers import run_program, start_program, until


def test_put_raises_at_once_and_get_when_drained(open_queue):
    queue = open_queue("q")
    queue.put_many([1, 2])
    queue.shutdown()
    for put in (lambda: queue.put(3), lambda: queue.put_nowait(b"3"), lambda: queue.put_many([3])):
        with pytest.raises(weft.ShutDown):
            put()
    assert queue.qsize() == 2
    assert [queue.get(), queue.get_nowait()] == [1, 2]
    for take in (queue.get, queue.get_nowait, queue.get_many, queue.lease, queue.lease_many):
        with pytest.raises(weft.ShutDown):
            take()


@pytest.mark.parametrize("size", [1, 100_000])
def test_large_puts_and_loans_raise_too(open_queue, size):
    queue = open_queue("q")
    queue.shutdown()
    with pytest.raises(weft.ShutDown):
        queue.put(bytes(size))
    with pytest.raises(weft.ShutDown), queue.loan(size):
        pass
    with pytest.raises(weft.ShutDown):
        queue.put_many([bytes(size)])


def test_immediate_drains_at_once(open_queue):
    queue = open_queue("q")
    queue.put_many([1, 2])
    queue.shutdown(immediate=True)
    with pytest.raises(weft.ShutDown):
        queue.get()
    with pytest.raises(weft.ShutDown):
        queue.put(3)
    assert queue.qsize() == 0
    assert queue.empty()


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize("end", ["release", "close"])
def test_what_is_given_back_after_an_immediate_end_is_dropped(open_queue, size, end):
    queue, other = open_queue("q"), open_queue("q")
    queue.put_many([bytes(size)] * 4)
    done, given_back = other.lease(), other.lease()
    queue.shutdown(immediate=True)
    assert queue.statistics().dropped == 2
    done.ack()
    if end == "release":
        given_back.release()
    else:
        del given_back, done
        other.close()
    seen = queue.statistics()
    assert (seen.sent, seen.received, seen.dropped, seen.depth, seen.leased) == (4, 1, 3, 0, 0)
    assert seen.depth_bytes == queue.qsize() == 0
    with pytest.raises(weft.ShutDown):
        queue.get()


def test_what_the_dead_had_after_an_immediate_end_is_dropped(open_queue):
    queue = open_queue("q")
    queue.put_many([1, 2])
    with start_program("lease = weft.Queue('q').lease(); say('leased'); hear()") as holder:
        holder.expect("leased")
        queue.shutdown(immediate=True)
    assert queue._recover()
    seen = queue.statistics()
    assert (seen.received, seen.dropped, seen.depth, seen.leased) == (0, 2, 0, 0)


@pytest.mark.skipif(not hasattr(standard, "ShutDown"), reason="queue.Queue has no shutdown before Python 3.13")
@pytest.mark.parametrize("immediate", [False, True])
def test_standard_library_does_the_same(open_queue, immediate):
    outcomes = []
    for queue in (standard.Queue(), open_queue("q")):
        queue.put(1)
        queue.shutdown(immediate)
        seen = [queue.qsize()]
        for call in (queue.get, queue.get, lambda queue=queue: queue.put(2)):
            try:
                seen.append(call())
            except standard.ShutDown:
                seen.append("shut down")
        outcomes.append(seen)
    assert outcomes[0] == outcomes[1]


def test_is_the_end_of_a_file_too():
    assert issubclass(weft.ShutDown, EOFError)
    assert issubclass(weft.ShutDown, getattr(standard, "ShutDown", EOFError))


def test_may_be_repeated_and_raised_but_not_taken_back(open_queue):
    queue = open_queue("q")
    queue.put_many([1, 2])
    queue.shutdown()
    queue.shutdown()
    assert queue.get() == 1
    queue.shutdown(immediate=True)
    queue.shutdown()
    with pytest.raises(weft.ShutDown):
        queue.get()


def test_concerns_every_handle_now_and_later(open_queue):
    one, two = open_queue("q"), open_queue("q")
    one.shutdown()
    for queue in (one, two, open_queue("q")):
        with pytest.raises(weft.ShutDown):
            queue.put(1)
    said = run_program(
        """
        try:
            weft.Queue("q").get()
        except weft.ShutDown:
            say("shut down")
        """
    )
    assert said == "shut down\n"


def test_iteration_ends_when_shut_down_and_drained(open_queue):
    queue = open_queue("q")
    queue.put_many(range(5))
    queue.shutdown()
    assert list(queue) == [0, 1, 2, 3, 4]
    assert list(queue) == []


def test_iteration_waits_for_more(open_queue):
    queue = open_queue("q")
    with start_program(
        """
        say(*weft.Queue("q"))
        """
    ) as consumer:
        for i in range(5):
            until(lambda: queue.statistics().waiting_consumers == 1)
            queue.put(i)
            until(queue.empty)
        queue.shutdown()
        assert consumer.finish() == "0 1 2 3 4\n"


def test_leases_that_are_out_can_be_settled(open_queue):
    queue = open_queue("q")
    queue.put_many([1, 2])
    first, second = queue.lease(), queue.lease()
    queue.shutdown()
    first.ack()
    second.release()
    assert queue.get() == 2
    with pytest.raises(weft.ShutDown):
        queue.get()


@pytest.mark.parametrize("wait", ["latency", "balanced", "power"])
@pytest.mark.parametrize("immediate", [False, True])
@pytest.mark.parametrize("call", ["get", "get_many", "lease", "put"])
def test_wakes_all_who_wait(open_queue, wait, immediate, call):
    queue = open_queue("q", 1, wait=wait)
    if call == "put":
        queue.put("full")
    ends = []

    def work():
        try:
            queue.put("more") if call == "put" else getattr(queue, call)()
        except weft.ShutDown:
            ends.append("shut down")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    counter = "waiting_producers" if call == "put" else "waiting_consumers"
    until(lambda: getattr(queue.statistics(), counter) == 4)
    queue.shutdown(immediate)
    for thread in threads:
        thread.join()
    assert ends == ["shut down"] * 4


def test_close_wakes_the_threads_that_wait_in_this_handle(open_queue):
    queue, other = open_queue("q"), open_queue("q")
    ends = []

    def work():
        try:
            queue.get()
        except weft.ClosedError:
            ends.append("closed")

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: other.statistics().waiting_consumers == 3)
    queue.close()
    for thread in threads:
        thread.join()
    assert ends == ["closed"] * 3
    other.put(1)
    assert other.get() == 1


def test_kept_queue_stays_shut_down(open_queue):
    queue = open_queue("q", lifetime="kept")
    queue.put(1)
    queue.shutdown()
    queue.close()
    again = open_queue("q")
    assert again.get() == 1
    with pytest.raises(weft.ShutDown):
        again.get()
