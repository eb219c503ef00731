"""The queue against a deque: whatever is done in whatever order, both say the same."""

import bisect
import gc
import itertools
from collections import deque
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

import weft

from ..conftest import discard

small = st.one_of(st.binary(max_size=40), st.integers(), st.text(max_size=10), st.tuples(st.booleans(), st.none()))
large = st.builds(
    lambda make, size, fill: make([fill]) * size,
    st.sampled_from([bytes, bytearray]),
    st.sampled_from([4096, 8191, 8192, 8193, 12_289, 20_000]),
    st.integers(0, 255),
)
messages = st.one_of(small, small, large)
numbers = itertools.count()


@dataclass(order=True)
class Sent:
    """A message on its way, as the model sees it."""

    sequence: int
    message: Any
    deliveries: int = 0


class QueueMachine(RuleBasedStateMachine):
    """Two handles of one queue, and the model of it."""

    leases = Bundle("leases")

    @initialize(
        maxsize=st.sampled_from([0, 1, 2, 7]),
        on_full=st.sampled_from(["block", "fail", "drop-newest", "drop-oldest"]),
    )
    def open(self, maxsize, on_full):
        self.maxsize, self.on_full = maxsize, on_full
        self.name = f"q{next(numbers)}"
        self.handles = [self.open_one(), self.open_one()]
        self.waiting: deque[Sent] = deque()
        self.returned: list[Sent] = []  # in the order of their sequence
        self.held: list[tuple[weft.Lease, Sent]] = []
        self.sent = self.received = self.dropped = self.redelivered = 0

    def open_one(self):
        return weft.Queue(self.name, self.maxsize, on_full=self.on_full, lifetime="kept", capacity=16 << 20)

    def teardown(self):
        if not hasattr(self, "handles"):
            return
        try:
            self.release_all()
            for expected in self.take_all():
                assert self.handles[0].get(timeout=0) == expected.message
            assert self.handles[1].empty()
            gc.collect()
            # All memory has come back: what must fit an empty queue does.
            self.handles[0].put(bytes(4 << 20), timeout=0)
        finally:
            for handle in self.handles:
                discard(handle)

    def release_all(self):
        for lease, sent in self.held:
            lease.release()
            bisect.insort(self.returned, sent)
        self.held.clear()

    # --- the model -----------------------------------------------------------------------------

    def size(self) -> int:
        return len(self.waiting) + len(self.returned)

    def take(self) -> Sent:
        sent = self.returned.pop(0) if self.returned else self.waiting.popleft()
        self.redelivered += sent.deliveries > 0
        return sent

    def take_all(self) -> list[Sent]:
        return [self.take() for _ in range(self.size())]

    def add(self, message) -> bool:
        """Whether the queue takes the message, or drops one."""
        if self.maxsize and self.size() >= self.maxsize:
            if self.on_full in ("block", "fail"):
                return False
            if self.on_full == "drop-newest":
                self.sent += 1
                self.dropped += 1
                return True
            while self.size() >= self.maxsize:
                self.take()
                self.dropped += 1
        self.waiting.append(Sent(self.sent, message))
        self.sent += 1
        return True

    # --- what both do --------------------------------------------------------------------------

    @rule(who=st.integers(0, 1), message=messages)
    def put(self, who, message):
        if self.add(message):
            self.handles[who].put(message, timeout=0)
        else:
            with pytest.raises(weft.Full):
                self.handles[who].put(message, timeout=0)

    @rule(who=st.integers(0, 1), items=st.lists(messages, max_size=6))
    def put_many(self, who, items):
        taken = [self.add(message) for message in items]
        if all(taken):
            self.handles[who].put_many(items, timeout=0)
        else:
            with pytest.raises(weft.Full) as caught:
                self.handles[who].put_many(items, timeout=0)
            assert caught.value.sent == taken.index(False)

    @rule(who=st.integers(0, 1))
    def get(self, who):
        if self.size():
            assert self.handles[who].get(timeout=0) == self.take().message
            self.received += 1
        else:
            with pytest.raises(weft.Empty):
                self.handles[who].get(timeout=0)

    @rule(who=st.integers(0, 1), wanted=st.integers(1, 10))
    def get_many(self, who, wanted):
        expected = [self.take().message for _ in range(min(wanted, self.size()))]
        if expected:
            assert self.handles[who].get_many(wanted, timeout=0) == expected
            self.received += len(expected)
        else:
            with pytest.raises(weft.Empty):
                self.handles[who].get_many(wanted, timeout=0)

    @rule(target=leases, who=st.integers(0, 1))
    def lease(self, who):
        if not self.size():
            with pytest.raises(weft.Empty):
                self.handles[who].lease(timeout=0)
            return multiple()
        return self.hold(self.handles[who].lease(timeout=0))

    @rule(target=leases, who=st.integers(0, 1), wanted=st.integers(1, 5))
    def lease_many(self, who, wanted):
        if not self.size():
            return multiple()
        taken = self.handles[who].lease_many(wanted, timeout=0).leases
        assert len(taken) == min(wanted, self.size())
        return multiple(*(self.hold(lease) for lease in taken))

    def hold(self, lease):
        sent = self.take()
        assert lease.item == sent.message
        assert lease.redelivered == sent.deliveries
        sent.deliveries += 1
        self.held.append((lease, sent))
        return (lease, sent)

    @rule(held=consumes(leases))
    def acknowledge(self, held):
        if held not in self.held:
            return  # closed meanwhile
        self.held.remove(held)
        held[0].ack()
        self.received += 1

    @rule(held=consumes(leases))
    def release(self, held):
        if held not in self.held:
            return
        self.held.remove(held)
        held[0].release()
        bisect.insort(self.returned, held[1])

    @rule(who=st.integers(0, 1))
    def close_and_open(self, who):
        self.handles[who].close()
        self.handles[who] = self.open_one()

    @rule()
    def close_all_and_open(self):
        """Everybody goes, and what was leased returns."""
        self.release_all()
        for handle in self.handles:
            handle.close()
        self.handles = [self.open_one(), self.open_one()]

    @invariant()
    def agree(self):
        if not hasattr(self, "handles"):
            return
        for handle in self.handles:
            assert handle.qsize() == self.size()
            assert handle.empty() == (self.size() == 0)
            assert handle.full() == (0 < self.maxsize <= self.size())
        seen = self.handles[0].statistics()
        assert (seen.sent, seen.dropped, seen.depth) == (self.sent, self.dropped, self.size())
        assert (seen.received, seen.leased, seen.redelivered) == (self.received, len(self.held), self.redelivered)
        assert seen.sent == seen.received + seen.dropped + seen.depth + seen.leased


QueueMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestQueue = QueueMachine.TestCase


class CapacityMachine(RuleBasedStateMachine):
    """A queue that is bounded by its memory: ``Full`` at times that no model knows, and no memory ever lost."""

    held = Bundle("held")

    @initialize(pages=st.integers(8, 40))
    def open(self, pages):
        self.queue = weft.Queue(capacity=pages * 4096, views=True)
        self.largest = pages * 1024
        self.waiting: deque[bytes] = deque()
        self.views: list[Any] = []

    def teardown(self):
        if not hasattr(self, "queue"):
            return
        try:
            while self.waiting:
                assert self.queue.get(timeout=0) == self.waiting.popleft()
            self.views.clear()
            gc.collect()
            # Wherever what is left of the ring may lie.
            self.queue.put(bytes(self.largest), timeout=0)
        finally:
            discard(self.queue)

    @rule(part=st.floats(0, 1), fill=st.integers(0, 255))
    def put(self, part, fill):
        message = bytes([fill]) * int(part * self.largest)
        try:
            self.queue.put(message, timeout=0)
        except weft.Full:
            assert self.waiting or self.views
        else:
            self.waiting.append(message)

    @rule()
    def get(self):
        if self.waiting:
            assert self.queue.get(timeout=0) == self.waiting.popleft()

    @rule()
    def get_and_keep(self):
        if self.waiting:
            view = self.queue.get(timeout=0)
            expected = self.waiting.popleft()
            assert view == expected
            self.views.append((view, expected))

    @rule(data=st.data())
    def let_go(self, data):
        if self.views:
            self.views.pop(data.draw(st.integers(0, len(self.views) - 1)))

    @rule()
    def lease_and_give_back(self):
        if self.waiting:
            with pytest.raises(LookupError), self.queue.lease(timeout=0):
                raise LookupError

    @invariant()
    def views_stay(self):
        for view, expected in getattr(self, "views", ()):
            assert view == expected


CapacityMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestCapacity = CapacityMachine.TestCase
