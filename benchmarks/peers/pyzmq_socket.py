"""pyzmq over ``ipc://``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import zmq

from .base import Channel, Get, Put, Setup

_PATTERNS = {"PAIR": (zmq.PAIR, zmq.PAIR), "PUSH/PULL": (zmq.PUSH, zmq.PULL)}


class ZmqSocket(Channel):
    """Receivers bind, senders connect to all of them; high-water marks are the library's own."""

    def __init__(self, setup: Setup, *, pattern: str) -> None:
        self.outgoing, self.incoming = _PATTERNS[pattern]
        self.pickled = setup.load.kind == "object"
        base = f"ipc://{setup.scratch}/{os.getpid()}-{id(self):x}"
        self.endpoints = [f"{base}-{i}" for i in range(setup.receivers)]

    @contextmanager
    def sender(self) -> Iterator[Put]:
        """Yields the socket's own method; lingering is the default, so nothing is lost after."""
        with zmq.Context() as context, context.socket(self.outgoing) as socket:
            for endpoint in self.endpoints:
                socket.connect(endpoint)
            yield socket.send_pyobj if self.pickled else socket.send

    @contextmanager
    def receiver(self, index: int = 0) -> Iterator[Get]:
        """Yields the socket's own method."""
        with zmq.Context() as context, context.socket(self.incoming) as socket:
            socket.bind(self.endpoints[index])
            yield socket.recv_pyobj if self.pickled else socket.recv
