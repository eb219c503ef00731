"""posix_ipc.MessageQueue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import posix_ipc

from .base import Channel, Get, Put, Setup


class PosixQueue(Channel):
    """As many messages as the kernel allows to anyone by default, which is 10."""

    def __init__(self, setup: Setup) -> None:
        self.queue = posix_ipc.MessageQueue(None, posix_ipc.O_CREX, max_messages=10, max_message_size=setup.load.size)
        # The descriptor is inherited, so the name can go before anything can be killed.
        self.queue.unlink()

    @contextmanager
    def sender(self) -> Iterator[Put]:
        """Yields `send`."""
        yield self.queue.send

    @contextmanager
    def receiver(self, index: int = 0) -> Iterator[Get]:
        """Yields a `get` without the priority."""
        receive = self.queue.receive
        yield lambda: receive()[0]

    def close(self) -> None:
        """Closes the descriptor."""
        self.queue.close()
