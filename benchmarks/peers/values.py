"""What one uses for the latest value today."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.shared_memory import SharedMemory
from typing import Any

from .base import Channel, Get, Put, Setup


class MpArray(Channel):
    """The standard library's: memory with a lock that each read and write takes."""

    def __init__(self, setup: Setup) -> None:
        self.array: Any = multiprocessing.get_context("fork").Array("c", setup.load.size)

    @contextmanager
    def sender(self) -> Iterator[Put]:
        """Yields what writes under the lock."""
        array = self.array

        def put(value: bytes) -> None:
            array.raw = value

        yield put

    @contextmanager
    def receiver(self, index: int = 0) -> Iterator[Get]:
        """Yields what reads under the lock."""
        array = self.array

        def get() -> Any:
            return array.raw

        yield get


class ShmSeqlock(Channel):
    """By hand: a sequence number that is odd while the one writer is at work; readers try again.

    It relies on stores that become visible in their order, as those of x86-64 do, and a writer killed in
    the middle leaves its readers trying for ever.
    """

    def __init__(self, setup: Setup) -> None:
        self.size = setup.load.size
        self.memory = SharedMemory(create=True, size=8 + self.size)
        # Forked partners inherit the mapping, so the name can go before anything can be killed.
        self.memory.unlink()

    @contextmanager
    def sender(self) -> Iterator[Put]:
        """Yields what writes between two changes of the number."""
        sequence, data = self._parts()

        def put(value: bytes) -> None:
            number = sequence[0]
            sequence[0] = number + 1
            data[:] = value
            sequence[0] = number + 2

        yield put

    @contextmanager
    def receiver(self, index: int = 0) -> Iterator[Get]:
        """Yields what reads until the number has not changed."""
        sequence, data = self._parts()

        def get() -> bytes:
            while True:
                before = sequence[0]
                value = bytes(data)
                if sequence[0] == before and not before & 1:
                    return value

        yield get

    def _parts(self) -> tuple[Any, Any]:
        memory = self.memory.buf
        assert memory is not None
        return memory[:8].cast("Q"), memory[8 : 8 + self.size]
