"""weft.MessageQueue, in memory and with a journal, and SQLite as what one uses for the latter today."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import uuid4

import weft

from .base import Channel, Get, Put, Setup


class WeftMessageQueue(Channel):
    """Made by the parent; every partner opens it by its name."""

    def __init__(self, setup: Setup) -> None:
        self.name = f"benchmark-{uuid4().hex[:12]}"
        self.queue = weft.MessageQueue(self.name, create=True, lifetime="attached")

    @contextmanager
    def sender(self) -> Iterator[Put]:
        """Yields `send`."""
        with weft.MessageQueue(self.name, create=False) as queue:
            yield queue.send

    @contextmanager
    def receiver(self, index: int = 0) -> Iterator[Get]:
        """Yields a `get` without the priority."""
        with weft.MessageQueue(self.name, create=False) as queue:
            receive = queue.receive
            yield lambda: receive()[0]

    def close(self) -> None:
        """Closes the maker's handle, and with the last one the queue is gone."""
        self.queue.close()


class WeftDurable(Channel):
    """With a journal; for one process, which takes out what it has put."""

    def __init__(self, setup: Setup, *, batch: int = 0) -> None:
        self.batch = batch
        self.queue = weft.MessageQueue(
            f"benchmark-{uuid4().hex[:12]}", create=True, max_messages=60_000, directory=setup.scratch
        )

    @contextmanager
    def sender(self) -> Iterator[Put]:
        """Yields `send_many`, or `send`."""
        yield self.queue.send_many if self.batch else self.queue.send

    @contextmanager
    def receiver(self, index: int = 0) -> Iterator[Any]:
        """Yields what takes all that is there."""

        def take_all() -> list[Any]:
            return [self.queue.receive(0)[0] for _ in range(self.queue.current_messages)]

        yield take_all

    def close(self) -> None:
        """Removes the queue and its journal."""
        self.queue.unlink()
        self.queue.close()


class Sqlite(Channel):
    """A table of messages, in write-ahead mode with every commit on the disk."""

    def __init__(self, setup: Setup, *, batch: int = 0) -> None:
        self.batch, self.path = batch, setup.scratch / "messages.db"

    @contextmanager
    def sender(self) -> Iterator[Put]:
        """Yields what inserts a batch, or a message, in a transaction of its own."""
        insert = "INSERT INTO messages (priority, body) VALUES (0, ?)"
        with closing(sqlite3.connect(self.path, isolation_level=None)) as self.database:
            database = self.database
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=FULL")
            database.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, priority INTEGER, body BLOB)")

            def put_many(messages: list[bytes]) -> None:
                database.execute("BEGIN IMMEDIATE")
                database.executemany(insert, [(message,) for message in messages])
                database.execute("COMMIT")

            yield put_many if self.batch else lambda message: database.execute(insert, (message,))

    @contextmanager
    def receiver(self, index: int = 0) -> Iterator[Any]:
        """Yields what takes all that is there."""

        def take_all() -> list[Any]:
            found = [row[0] for row in self.database.execute("SELECT body FROM messages ORDER BY id")]
            self.database.execute("DELETE FROM messages")
            return found

        yield take_all
