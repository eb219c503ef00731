"""PriorityQueue: the standard library's order, and its entries."""

import asyncio
import pickle
import queue as standard
import random
from dataclasses import dataclass

import pytest

import weft

from ..helpers import start_program


def test_as_the_standard_library(open_queue):
    ours, theirs = weft.PriorityQueue("pq"), standard.PriorityQueue()
    rng = random.Random(3)
    with ours:
        for number in range(300):
            entry = (rng.randrange(32_768), number)
            ours.put(entry)
            theirs.put(entry)
            if number % 3 == 0:
                assert ours.get() == theirs.get()
        assert ours.qsize() == theirs.qsize()
        while not theirs.empty():
            assert ours.get_nowait() == theirs.get_nowait()
        assert ours.empty()


def test_first_in_first_out_within_one_priority_and_nothing_is_compared():
    with weft.PriorityQueue() as queue:
        queue.put_many([(1, {"not": "comparable"}), (1, None), (0, "x"), (1, {"a": 1}, "three")])
        assert queue.get_many(10) == [(0, "x"), (1, {"not": "comparable"}), (1, None), (1, {"a": 1}, "three")]
        assert queue.empty()


def test_get_many_gives_them_in_order():
    with weft.PriorityQueue() as queue:
        entries = [(number * 7 % 5, number) for number in range(50)]
        queue.put_many(entries)
        taken = []
        while not queue.empty():
            taken += queue.get_many(8)
        assert taken == sorted(entries)


@dataclass
class Job:
    priority: int
    name: str


def test_objects_with_a_priority():
    with weft.PriorityQueue(type=Job) as queue:
        queue.put(Job(5, "later"))
        queue.put(Job(2, "sooner"))
        assert queue.get() == Job(2, "sooner")
        assert queue.get() == Job(5, "later")
        with pytest.raises((TypeError, ValueError)):
            queue.put(Job("high", "x"))


@pytest.mark.parametrize("entry", [5, "x", b"x", (), (1,), [1, "x"], ("high", 1), (1.0, "x"), (True, "x"), None, {}])
def test_what_has_no_priority_is_refused(entry):
    with weft.PriorityQueue() as queue:
        queue.put((1, "good"))
        with pytest.raises(TypeError, match=r"\(priority, item\)"):
            queue.put(entry)
        with pytest.raises(TypeError):
            queue.put_many([entry])
        assert queue.get_many(5) == [(1, "good")]


@pytest.mark.parametrize("priority", [-1, 32_768, 1 << 80])
def test_priorities_out_of_range(priority):
    with weft.PriorityQueue() as queue, pytest.raises(ValueError, match="32767"):
        queue.put((priority, "x"))


def test_settings_that_can_not_be():
    for options in ({"on_full": "drop-oldest"}, {"codec": "raw"}, {"maxsize": 61_441}):
        with pytest.raises(ValueError):
            weft.PriorityQueue(**options)
    with pytest.raises(TypeError):
        weft.PriorityQueue(5, 5)
    with weft.PriorityQueue() as queue:
        for lend in (lambda: queue.loan(10), lambda: queue.loan_array(10)):
            with pytest.raises(TypeError):
                lend()


def test_full_and_shutdown():
    with weft.PriorityQueue(2) as queue:
        queue.put((2, "b"))
        queue.put((1, "a"))
        assert queue.full()
        with pytest.raises(weft.Full):
            queue.put((0, "c"), timeout=0)
        queue.shutdown()
        assert list(queue) == [(1, "a"), (2, "b")]
        with pytest.raises(weft.ShutDown):
            queue.put((0, "c"))


def test_leases_take_their_old_place_and_dead_letters():
    with (
        weft.PriorityQueue("pq", max_deliveries=2, dead_letter="dead") as queue,
        weft.Queue("dead", create=False) as dead,
    ):
        queue.put((1, "a"))
        queue.put((3, "c"))
        for turn in range(2):
            lease = queue.lease()
            assert (lease.item, lease.priority, lease.redelivered) == ((1, "a"), 1, turn)
            queue.put((2, f"b{turn}"))
            lease.release()
        assert queue.get() == (2, "b0")
        assert queue.get() == (2, "b1")
        assert queue.get() == (3, "c")
        assert dead.get(timeout=0) == (1, "a")


def test_event_loop_pickle_token_and_other_programs():
    with weft.PriorityQueue("pq") as queue:

        async def main():
            await queue.aput((4, "x"))
            await queue.aput((2, "y"))
            return await queue.aget()

        assert asyncio.run(main()) == (2, "y")
        for other in (pickle.loads(pickle.dumps(queue)), weft.open(queue.token)):
            with other:
                assert type(other) is weft.PriorityQueue
                other.put((1, "z"))
                assert queue.get() == (1, "z")
        with start_program("weft.PriorityQueue('pq', create=False).put((0, 'first'))") as program:
            program.finish()
        assert queue.get_many(2) in ([(0, "first"), (4, "x")], [(0, "first")])
        queue.get_many(2, block=False) if not queue.empty() else None


def test_other_class_is_refused():
    with weft.PriorityQueue("pq"), pytest.raises(weft.MismatchError):
        weft.MessageQueue("pq")


def test_a_large_entry_finds_room_where_small_ones_have_been():
    with weft.PriorityQueue(capacity=65_536) as queue:
        for _ in range(45):
            queue.put((0, bytes(900)))
            queue.get(timeout=0)
        queue.put((0, bytes(15_000)), timeout=0)
        assert queue.get(timeout=0) == (0, bytes(15_000))
