"""weft.Queue, opened by name in every process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import uuid4

import weft

from .base import Channel, Get, Put, Setup


class WeftQueue(Channel):
    """Made by the parent; every partner opens it by its name.

    Only what a row asks for is passed, so that the defaults are measured as a user has them.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        batch: int = 0,
        views: bool = False,
        in_place: bool = False,
        wait: str | None = None,
    ) -> None:
        self.load, self.batch, self.in_place = setup.load, batch, in_place
        self.options: dict[str, Any] = {}
        if views:
            self.options["views"] = True
        if wait:
            self.options["wait"] = wait
        # The creator's business; whoever opens the queue finds it as it was made.
        bounds: dict[str, Any] = {"maxsize": setup.slots} if setup.slots else {}
        self.name = f"benchmark-{uuid4().hex[:12]}"
        self.maker = os.getpid()
        self.queue = weft.Queue(self.name, create=True, **bounds, **self.options)

    @contextmanager
    def sender(self) -> Iterator[Put]:
        """Yields `put`, `put_many`, or a `put` that lets a loaned array be written."""
        with self._opened() as queue:
            if self.in_place:
                loan, shape = queue.loan_array, self.load.shape

                def put_in_place(fill: Put) -> None:
                    with loan(shape, "u1") as array:
                        fill(array)

                yield put_in_place
            else:
                yield queue.put_many if self.batch else queue.put

    @contextmanager
    def receiver(self, index: int = 0) -> Iterator[Get]:
        """Yields `get` or `get_many`."""
        with self._opened() as queue:
            yield queue.get_many if self.batch else queue.get

    def close(self) -> None:
        """Closes the maker's handle, and with the last one the queue is gone."""
        self.queue.close()

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        if os.getpid() == self.maker:
            yield self.queue
        else:
            with closing(weft.Queue(self.name, create=False, **self.options)) as queue:
                yield queue
