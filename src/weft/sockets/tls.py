"""TLS by the standard library's ``ssl``, which is imported only where somebody brings a context."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from weft.sockets.address import Endpoint
from weft.sockets.stream import Stream, TlsStream

if TYPE_CHECKING:
    import ssl

__all__ = ["check_context", "stream_of"]


def check_context(context: Any, endpoint: Endpoint, listening: bool) -> None:
    """Whether a context fits.

    Raises:
        TypeError: It is no context.
        ValueError: It is one of the other side's, or there is nothing to encrypt on a Unix socket.
    """
    if context is None:
        return
    import ssl

    if not isinstance(context, ssl.SSLContext):
        raise TypeError(f"ssl takes an ssl.SSLContext, not {type(context).__name__}")
    if endpoint.is_unix:
        raise ValueError("TLS is for TCP: on a Unix socket the kernel itself vouches for the peer")
    wrong = ssl.PROTOCOL_TLS_CLIENT if listening else ssl.PROTOCOL_TLS_SERVER
    if context.protocol == wrong:
        purpose = "CLIENT_AUTH" if listening else "SERVER_AUTH"
        raise ValueError(
            f"this context is for the other side: use ssl.create_default_context(ssl.Purpose.{purpose}, …)"
        )


def stream_of(sock: socket.socket, context: ssl.SSLContext | None, host: str | None = None) -> Stream:
    """A connected socket as a stream, by TLS if there is a context; ``host`` is the name that a client expects."""
    if context is None:
        return Stream(sock)
    sock.setblocking(False)
    wrapped = context.wrap_socket(
        sock, server_side=host is None, server_hostname=host, do_handshake_on_connect=False, suppress_ragged_eofs=False
    )
    return TlsStream(wrapped)
