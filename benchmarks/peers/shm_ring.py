"""What one writes by hand today: slots in `shared_memory`, counted by two semaphores."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from multiprocessing.shared_memory import SharedMemory
from typing import Any

from .base import Channel, Get, Put, Setup


class ShmRing(Channel):
    """One producer, one consumer; a slot is free again when the consumer asks for the next."""

    def __init__(self, setup: Setup, *, in_place: bool = False) -> None:
        self.load, self.in_place = setup.load, in_place
        slots = setup.slots or 64
        # A slot begins on a page, as in any ring that hands out arrays.
        self.stride = -(-self.load.size // 4096) * 4096
        self.memory = SharedMemory(create=True, size=slots * self.stride)
        # Forked partners inherit the mapping, so the name can go before anything can be killed.
        self.memory.unlink()
        context = multiprocessing.get_context("fork")
        self.free, self.filled = context.Semaphore(slots), context.Semaphore(0)
        self.starts = range(0, slots * self.stride, self.stride)

    @contextmanager
    def sender(self) -> Iterator[Put]:
        """Yields a `put` that copies into the next free slot, or lets it be written there."""
        acquire, release = self.free.acquire, self.filled.release
        slots = cycle(self._slots())

        def put(message: Any) -> None:
            acquire()
            next(slots)[:] = message
            release()

        def put_in_place(fill: Put) -> None:
            acquire()
            fill(next(slots))
            release()

        yield put_in_place if self.in_place else put

    @contextmanager
    def receiver(self, index: int = 0) -> Iterator[Get]:
        """Yields a `get` that returns a copy of bytes, or the slot itself as an array."""
        acquire, release = self.filled.acquire, self.free.release
        slots = cycle(self._slots())
        holding = False

        def get_bytes() -> bytes:
            acquire()
            message = bytes(next(slots))
            release()
            return message

        def get_array() -> Any:
            nonlocal holding
            if holding:
                release()
            acquire()
            holding = True
            return next(slots)

        yield get_array if self.load.kind == "array" else get_bytes

    def _slots(self) -> list[Any]:
        memory = self.memory.buf
        assert memory is not None
        slots = [memory[start : start + self.load.size] for start in self.starts]
        if self.load.kind == "array":
            import numpy

            return [numpy.frombuffer(s, numpy.uint8).reshape(self.load.shape) for s in slots]
        return slots
