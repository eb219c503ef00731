"""A pipe against a model: two lists, two ends."""

from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import weft

SIZES = st.sampled_from([0, 1, 63, 64, 2000, 8192, 8193, 20_000, 60_000])


class PipeMachine(RuleBasedStateMachine):
    """Both ends in one process; every call is one that does not wait."""

    @initialize()
    def make(self):
        self.ends = weft.Pipe(capacity=1 << 20)
        self.sent = [deque(), deque()]  # by the end that has to receive it
        self.open = [True, True]
        self.has_remains = [False, False]  # of messages given up in the middle, until that end has come past them
        self.number = 0

    def teardown(self):
        for end in getattr(self, "ends", ()):
            end.close()

    def message(self, size):
        self.number += 1
        return b"%d:" % self.number + bytes(size)

    @rule(which=st.sampled_from([0, 1]), size=SIZES, as_bytes=st.booleans())
    def send(self, which, size, as_bytes):
        message = self.message(size)
        end = self.ends[which]
        call = end.send_bytes if as_bytes else end.send
        if not self.open[which]:
            with pytest.raises(weft.ConnectionClosedError):
                call(message)
        elif not self.open[1 - which]:
            with pytest.raises(BrokenPipeError):
                call(message)
        else:
            try:
                call(message, timeout=0)
            except TimeoutError:
                held = sum(len(waiting) for _, waiting in self.sent[1 - which])
                assert held > 200_000 or self.has_remains[1 - which]
            else:
                self.sent[1 - which].append((as_bytes, message))

    @rule(which=st.sampled_from([0, 1]), extra=st.integers(1, 300_000))
    def send_too_much(self, which, extra):
        """More than a direction may have: it can't get through, and nothing of it is seen."""
        self.has_remains[1 - which] = True
        if self.open[which]:
            error = TimeoutError if self.open[1 - which] else BrokenPipeError
            with pytest.raises(error):
                self.ends[which].send(bytes((1 << 19) + extra), timeout=0)

    @rule(which=st.sampled_from([0, 1]))
    def receive(self, which):
        end, waiting = self.ends[which], self.sent[which]
        if not self.open[which]:
            with pytest.raises(weft.ConnectionClosedError):
                end.recv()
        elif waiting:
            assert end.poll()
            as_bytes, message = waiting.popleft()
            assert (end.recv_bytes() if as_bytes else end.recv()) == message
        else:
            with pytest.raises(TimeoutError if self.open[1 - which] else EOFError):
                end.recv(timeout=0)
            self.has_remains[which] = False

    @rule(which=st.sampled_from([0, 1]), room=st.integers(0, 70_000))
    def receive_into(self, which, room):
        end, waiting = self.ends[which], self.sent[which]
        if self.open[which] and waiting and waiting[0][0]:
            _, message = waiting.popleft()
            memory = bytearray(room)
            if room < len(message):
                with pytest.raises(Exception) as caught:
                    end.recv_bytes_into(memory)
                assert caught.value.args == (message,)
            else:
                assert memory[: end.recv_bytes_into(memory)] == message

    @rule(which=st.sampled_from([0, 1]), limit=st.integers(0, 30_000))
    def receive_at_most(self, which, limit):
        end, waiting = self.ends[which], self.sent[which]
        if self.open[which] and waiting and waiting[0][0]:
            if limit < len(waiting[0][1]):
                with pytest.raises(weft.MessageTooLargeError):
                    end.recv_bytes(limit)
            else:
                assert end.recv_bytes(limit) == waiting.popleft()[1]

    @precondition(lambda self: self.number > 10)
    @rule(which=st.sampled_from([0, 1]))
    def close(self, which):
        self.ends[which].close()
        self.open[which] = False
        self.sent[which].clear()


PipeMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPipe = PipeMachine.TestCase
