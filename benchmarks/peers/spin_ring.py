"""The least that messages through shared memory can cost in Python: slots, two counters, and no waiting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from typing import Any

from .base import Channel, Get, Put, Setup

# Words, far enough apart for neither side to disturb the other's.
_SENT, _TAKEN, _WORDS = 0, 32, 512


class SpinRing(Channel):
    """One producer, one consumer, both spinning; no names, no closing, no deaths.

    Not something to use: a limit. It relies on stores being seen in their order, as on x86-64.
    """

    def __init__(self, setup: Setup, *, slots: int = 2, in_place: bool = False, views: bool = False) -> None:
        self.load, self.slots, self.in_place, self.views = setup.load, slots, in_place, views
        self.words = memoryview(mmap(-1, _WORDS * 8)).cast("Q")
        self.stride = -(-self.load.size // 4096) * 4096
        self.memory = memoryview(mmap(-1, slots * self.stride))

    @contextmanager
    def sender(self) -> Iterator[Put]:
        """Yields a `put` that copies into the next free slot, or lets it be written there."""
        words, memory, count = self.words, self._slots(), self.slots
        sent = 0

        def put(message: Any) -> None:
            nonlocal sent
            while sent - words[_TAKEN] >= count:
                pass
            memory[sent % count][:] = message
            sent += 1
            words[_SENT] = sent

        def put_in_place(fill: Put) -> None:
            nonlocal sent
            while sent - words[_TAKEN] >= count:
                pass
            fill(memory[sent % count])
            sent += 1
            words[_SENT] = sent

        yield put_in_place if self.in_place else put

    @contextmanager
    def receiver(self, index: int = 0) -> Iterator[Get]:
        """Yields a `get` that returns a copy of bytes, or the slot itself, which is free again with the next."""
        words, memory, count = self.words, self._slots(), self.slots
        taken = 0

        def get_copy() -> bytes:
            nonlocal taken
            while words[_SENT] == taken:
                pass
            message = bytes(memory[taken % count])
            taken += 1
            words[_TAKEN] = taken
            return message

        def get_slot() -> Any:
            nonlocal taken
            words[_TAKEN] = taken
            while words[_SENT] == taken:
                pass
            taken += 1
            return memory[(taken - 1) % count]

        yield get_slot if self.views or self.load.kind == "array" else get_copy

    def _slots(self) -> list[Any]:
        starts = range(0, self.slots * self.stride, self.stride)
        slots = [self.memory[start : start + self.load.size] for start in starts]
        if self.load.kind == "array":
            import numpy

            return [numpy.frombuffer(s, numpy.uint8).reshape(self.load.shape) for s in slots]
        return slots
