"""Message queues against a heap: whatever is done in whatever order, both say the same."""

import gc
import heapq
import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

import weft

from ..conftest import discard

numbers = itertools.count()
priorities = st.one_of(st.sampled_from([0, 1, 5]), st.integers(0, 32_767))
sizes = st.sampled_from([0, 1, 30, 1023, 1024, 1025, 4096, 9000])


@dataclass(order=True)
class Sent:
    """A message on its way, best first."""

    rank: int
    sequence: int
    data: bytes = field(compare=False)
    deliveries: int = field(default=0, compare=False)

    @property
    def priority(self) -> int:
        return -self.rank


class MessageQueueMachine(RuleBasedStateMachine):
    """Two handles of one queue, and the model of it."""

    leases = Bundle("leases")

    @initialize(limit=st.sampled_from([1, 3, 50]))
    def open(self, limit):
        self.name, self.limit = f"mq{next(numbers)}", limit
        self.handles = [self.open_one(), self.open_one()]
        self.waiting: list[Sent] = []
        self.held: list[tuple[weft.Lease, Sent]] = []
        self.sent = 0

    def open_one(self):
        return weft.MessageQueue(self.name, max_messages=self.limit, max_message_size=16 << 10)

    def teardown(self):
        if not hasattr(self, "handles"):
            return
        try:
            for lease, sent in self.held:
                lease.release()
                heapq.heappush(self.waiting, sent)
            while self.waiting:
                sent = heapq.heappop(self.waiting)
                assert self.handles[0].receive(0) == (sent.data, sent.priority)
            gc.collect()
            # All memory has come back: as many as there may be, as large as they may be.
            for number in range(self.limit):
                self.handles[number % 2].send(bytes(16 << 10), 0)
            with pytest.raises(weft.Full):
                self.handles[0].send(b"", 0)
            while self.handles[0].current_messages:
                self.handles[0].receive(0)
        finally:
            for handle in self.handles:
                discard(handle)

    def add(self, priority: int, size: int) -> bytes:
        data = (b"%d:" % self.sent).ljust(size, b".")
        if len(self.waiting) < self.limit:
            heapq.heappush(self.waiting, Sent(-priority, self.sent, data))
            self.sent += 1
        return data

    @rule(who=st.integers(0, 1), priority=priorities, size=sizes)
    def send(self, who, priority, size):
        full = len(self.waiting) >= self.limit
        data = self.add(priority, size)
        if full:
            with pytest.raises(weft.Full):
                self.handles[who].send(data, 0, priority)
        else:
            self.handles[who].send(data, 0, priority)

    @rule(who=st.integers(0, 1), priority=priorities, parts=st.lists(sizes, max_size=6))
    def send_many(self, who, priority, parts):
        room = max(self.limit - len(self.waiting), 0)  # what came back may be beyond the limit
        data = [self.add(priority, size) for size in parts]
        if len(parts) <= room:
            self.handles[who].send_many(data, 0, priority)
        else:
            with pytest.raises(weft.Full) as caught:
                self.handles[who].send_many(data, 0, priority)
            assert caught.value.sent == room

    @rule(who=st.integers(0, 1))
    def receive(self, who):
        if not self.waiting:
            with pytest.raises(weft.Empty):
                self.handles[who].receive(0)
            return
        sent = heapq.heappop(self.waiting)
        assert self.handles[who].receive(0) == (sent.data, sent.priority)

    @rule(target=leases, who=st.integers(0, 1))
    def lease(self, who):
        if not self.waiting:
            return multiple()
        sent = heapq.heappop(self.waiting)
        lease = self.handles[who].lease(0)
        assert (lease.item, lease.priority, lease.redelivered) == (sent.data, sent.priority, sent.deliveries)
        sent.deliveries += 1
        self.held.append((lease, sent))
        return (lease, sent)

    @rule(held=consumes(leases), back=st.booleans())
    def settle(self, held, back):
        if held not in self.held:
            return  # closed meanwhile
        self.held.remove(held)
        if back:
            held[0].release()
            heapq.heappush(self.waiting, held[1])
        else:
            held[0].ack()

    @rule(who=st.integers(0, 1))
    def close_and_open(self, who):
        self.handles[who].close()
        self.handles[who] = self.open_one()

    @rule()
    def close_all_and_open(self):
        """Everybody goes: what was leased returns, each to its place."""
        for lease, sent in self.held:
            lease.release()
            heapq.heappush(self.waiting, sent)
        self.held.clear()
        for handle in self.handles:
            handle.close()
        self.handles = [self.open_one(), self.open_one()]

    @invariant()
    def agree(self):
        if not hasattr(self, "handles"):
            return
        for handle in self.handles:
            assert handle.current_messages == len(self.waiting)
        seen = self.handles[0].statistics()
        assert (seen.sent, seen.leased) == (self.sent, len(self.held))
        assert seen.sent == seen.received + seen.depth + seen.leased
        assert seen.depth_bytes == sum(len(sent.data) for sent in self.waiting)


MessageQueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestMessageQueue = MessageQueueMachine.TestCase
