"""weft.Pipe, whose ends go to the processes by fork."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import weft

from .base import Channel, Get, Put, Setup


class WeftPipe(Channel):
    """As `multiprocessing.Pipe` beside it: bytes as bytes; dicts and arrays as objects."""

    def __init__(self, setup: Setup) -> None:
        self.read_end, self.write_end = weft.Pipe()
        self.as_bytes = setup.load.kind == "bytes"

    @contextmanager
    def sender(self) -> Iterator[Put]:
        """Yields the end's own method."""
        yield self.write_end.send_bytes if self.as_bytes else self.write_end.send

    @contextmanager
    def receiver(self, index: int = 0) -> Iterator[Get]:
        """Yields the end's own method."""
        yield self.read_end.recv_bytes if self.as_bytes else self.read_end.recv

    def close(self) -> None:
        """Closes both ends."""
        self.read_end.close()
        self.write_end.close()
