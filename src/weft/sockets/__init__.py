"""Sockets: connections to processes that share no memory with this one, or no machine.

``Listener`` and ``Client`` have the interface of ``multiprocessing.connection``; ``serve`` and ``connect`` are for
event loops. The transport is the standard library's; weft adds framing, codecs, authentication and limits.

    listener  client  server               who listens, who connects
    connection                             what both get
    conversation                           frames in and out, waiting, the end
    handshake  reader  outgoing  transfer  coming to terms; one frame in, one out; sealed files
    stream  tls                            bytes in and out
    framing  authentication  credentials   what is said, by whom
    address  settings
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weft.sockets.client import Client, connect
from weft.sockets.connection import Connection
from weft.sockets.credentials import Peer
from weft.sockets.listener import Listener, ListenerStatistics

if TYPE_CHECKING:
    from weft.sockets.server import Server, serve

__all__ = ["Client", "Connection", "Listener", "ListenerStatistics", "Peer", "Server", "connect", "serve"]


def __getattr__(name: str) -> Any:
    if name not in ("Server", "serve"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from weft.sockets import server  # for event loops: it imports asyncio, which others do without

    globals().update(Server=server.Server, serve=server.serve)
    return globals()[name]
