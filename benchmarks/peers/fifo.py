"""faster-fifo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from faster_fifo import Queue

from .base import Channel, Get, Put, Setup

# Its calls have a default timeout of 10 s; a case that hangs is for the runner to end.
_FOREVER = 1e6


class FasterFifo(Channel):
    """Pickling, as it does by default, in its default buffer of 1 MB."""

    def __init__(self, setup: Setup, *, batch: int = 0) -> None:
        self.queue = Queue()
        self.batch = batch

    @contextmanager
    def sender(self) -> Iterator[Put]:
        """Yields `put` or `put_many`."""
        yield partial(self.queue.put_many if self.batch else self.queue.put, timeout=_FOREVER)

    @contextmanager
    def receiver(self, index: int = 0) -> Iterator[Get]:
        """Yields `get` or `get_many`."""
        if self.batch:
            get_many = self.queue.get_many
            yield lambda n: get_many(timeout=_FOREVER, max_messages_to_get=n)
        else:
            yield partial(self.queue.get, timeout=_FOREVER)
