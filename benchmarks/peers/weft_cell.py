"""weft.Cell, opened by name in every process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import weft

from .base import Channel, Get, Put, Setup


class WeftCell(Channel):
    """The latest value: `put` sets it and `get` reads it."""

    def __init__(self, setup: Setup) -> None:
        self.name = f"benchmark-{uuid4().hex[:12]}"
        self.cell = weft.Cell(self.name, create=True)

    @contextmanager
    def sender(self) -> Iterator[Put]:
        """Yields `set`."""
        with weft.Cell(self.name, create=False) as cell:
            yield cell.set

    @contextmanager
    def receiver(self, index: int = 0) -> Iterator[Get]:
        """Yields `get`."""
        with weft.Cell(self.name, create=False) as cell:
            yield cell.get

    def close(self) -> None:
        """Closes the maker's handle, and with the last one the cell is gone."""
        self.cell.close()
