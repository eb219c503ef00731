"""Connections over sockets: weft's, and those of `multiprocessing.connection`."""

from __future__ import annotations

import multiprocessing.connection
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import weft

from .base import Channel, Get, Put, Setup


class SocketConnection(Channel):
    """A listener made by the parent; the receiver accepts, the sender connects.

    Both libraries with their defaults and the same family, and bytes by `send_bytes` in both.
    """

    def __init__(self, setup: Setup, *, library: str, family: str) -> None:
        self.library, self.kind = library, setup.load.kind
        made = weft.Listener if library == "weft" else multiprocessing.connection.Listener
        self.listener = made(family=family)
        self.address = self.listener.address

    @contextmanager
    def sender(self) -> Iterator[Put]:
        """Yields the connection's own method."""
        made = weft.Client if self.library == "weft" else multiprocessing.connection.Client
        with made(self.address) as connection:
            if self.kind == "bytes":
                yield connection.send_bytes
            elif self.kind == "array" and self.library != "weft":
                send = connection.send_bytes
                # A connection measures a buffer by len(), which counts an array's rows.
                yield lambda frame: send(memoryview(frame).cast("B"))
            else:
                yield connection.send

    @contextmanager
    def receiver(self, index: int = 0) -> Iterator[Get]:
        """Yields the connection's own method, with a NumPy view around the bytes of an array."""
        with self.listener.accept() as connection:
            if self.kind == "bytes":
                yield connection.recv_bytes
            elif self.kind == "array" and self.library != "weft":
                import numpy

                receive: Any = connection.recv_bytes
                yield lambda: numpy.frombuffer(receive(), numpy.uint8)
            else:
                yield connection.recv

    def close(self) -> None:
        """Closes the listener, and removes its path."""
        self.listener.close()
