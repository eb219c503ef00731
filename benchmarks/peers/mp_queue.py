"""`multiprocessing.Queue`."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

from .base import Channel, Get, Put, Setup


class MpQueue(Channel):
    """With a bound only where it is faster with one.

    The bound's semaphore costs one producer a third of its speed; but of several producers that
    never pause, the threads that write get too little of the interpreter without it.
    """

    def __init__(self, setup: Setup, *, maxsize: int = 0) -> None:
        self.queue = multiprocessing.get_context("fork").Queue(maxsize)

    @contextmanager
    def sender(self) -> Iterator[Put]:
        """Yields `put`; afterwards waits for the thread that does the writing."""
        yield self.queue.put
        self.queue.close()
        self.queue.join_thread()

    @contextmanager
    def receiver(self, index: int = 0) -> Iterator[Get]:
        """Yields `get`."""
        yield self.queue.get
