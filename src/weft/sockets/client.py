"""Client: connects to a listener."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

from weft import errors
from weft.sockets import aio, authentication, credentials, tls
from weft.sockets.address import Endpoint, candidates, explain, is_numeric, resolve
from weft.sockets.connection import Connection
from weft.sockets.handshake import Handshake
from weft.sockets.settings import (
    DEFAULT_FRAME_TIMEOUT,
    DEFAULT_HANDSHAKE_TIMEOUT,
    DEFAULT_MAX_MESSAGE,
    DEFAULT_SHARE_FROM,
    Settings,
)
from weft.sockets.stream import WRITE, Stream, wait_until

if TYPE_CHECKING:
    import ssl as _ssl
    from collections.abc import Callable

__all__ = ["Client", "connect"]

# An overloaded listener's backlog empties without telling anybody.
_RETRY = 0.02
_LATE = "connecting to {} took longer than handshake_timeout={:g} s: is the listener accepting?"


class _Calling:
    """A client on its way to a connection: what is the same whether a thread or a task waits."""

    def __init__(
        self,
        address: Any,
        family: str | None,
        authkey: Any,
        ssl: Any,
        server_hostname: str | None,
        allow_users: Any,
        **options: Any,
    ) -> None:
        self.settings = Settings(**options)
        self.key = authentication.check_key(authkey)
        self.users = credentials.check_users(allow_users)
        self.endpoint: Endpoint = resolve(address, family)
        tls.check_context(ssl, self.endpoint, listening=False)
        if server_hostname is not None and (ssl is None or not isinstance(server_hostname, str)):
            raise ValueError("server_hostname is the name in the listener's certificate: a str, and with ssl= alone")
        self.ssl = ssl
        self.host = None if self.endpoint.is_unix else server_hostname or self.endpoint.address[0]
        self.deadline = time.monotonic() + self.settings.handshake_timeout
        # As the standard library's: without a key, it does not wait to be accepted.
        self.patient = self.key is not None or ssl is not None

    def late(self) -> TimeoutError:
        return TimeoutError(_LATE.format(self.endpoint, self.settings.handshake_timeout))

    def open(self, sock: socket.socket) -> tuple[Stream, Handshake, credentials.Peer]:
        """Looks who is at the other end of a connected socket, before anything is said to it."""
        peer = credentials.peer_of(sock)
        credentials.refuse_others(peer, self.users)
        stream = tls.stream_of(sock, self.ssl, self.host)
        return stream, Handshake(stream, self.settings.dialogue(self.key, False), False), peer

    def connection(self, stream: Stream, handshake: Handshake, peer: credentials.Peer) -> Connection:
        """What the handshake has come to, or will."""
        agreement = handshake.agreement
        if stream.is_tls:
            peer = credentials.Peer(address=peer.address, certificate=stream.certificate())
        if agreement is None:
            return Connection(stream, self.settings, peer, handshake=handshake)
        return Connection(stream, self.settings, peer, max_send=agreement.max_message)


def Client(  # noqa: N802, as in the standard library
    address: Any,
    family: str | None = None,
    authkey: bytes | str | None = None,
    *,
    ssl: _ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    codec: Any = None,
    type: Any = None,
    protocol: str = "weft",
    max_message: int = DEFAULT_MAX_MESSAGE,
    handshake_timeout: float = DEFAULT_HANDSHAKE_TIMEOUT,
    frame_timeout: float = DEFAULT_FRAME_TIMEOUT,
    share_from: int | None = DEFAULT_SHARE_FROM,
    allow_users: Any = None,
) -> Connection:
    """Connects to a listener.

    With a key or TLS it waits until both sides have proved themselves. Without, it returns as soon as the
    listener's system has taken the connection, as the standard library's does; ``wait_connected`` waits for the rest.

    Args:
        address: As the listener's ``address``.
        family: As for ``Listener``.
        authkey: The listener's key, bytes or a str (as UTF-8).
        ssl: An ``ssl.SSLContext`` for TLS on TCP that trusts the listener's certificate.
        server_hostname: The name that must be in that certificate; by default the address's host.
        codec: As for ``weft.Queue``; both sides must give the same.
        type: As for ``weft.Queue``.
        protocol: ``"weft"``, or ``"multiprocessing"`` for a listener of the standard library: this pickles, so the
            listener may run any code here.
        max_message: The largest message that the listener may send, in bytes.
        handshake_timeout: Seconds that connecting and the handshake may take.
        frame_timeout: As for ``Listener``.
        share_from: As for ``Listener``.
        allow_users: Names and ids of users whose process may listen at a Unix socket, or ``"any"``; None for this
            user alone.

    Returns:
        The connection.

    Raises:
        ConnectionRefusedError: Nobody listens there, or the listener has as many connections as it takes.
        FileNotFoundError: There is no such socket.
        AuthenticationError: The keys differ, or one side has none.
        AccessError: Another user's process listens there, or the listener takes none of this user's.
        MismatchError: The listener speaks another codec or version. Without key and TLS, the first ``recv`` says so.
        CorruptedError: Something else listens there. Without key and TLS, the first ``recv`` says so.
        TimeoutError: It took longer than ``handshake_timeout``.
        ssl.SSLError: TLS could not be agreed on.
    """
    calling = _Calling(
        address,
        family,
        authkey,
        ssl,
        server_hostname,
        allow_users,
        codec=codec,
        type=type,
        protocol=protocol,
        max_message=max_message,
        handshake_timeout=handshake_timeout,
        frame_timeout=frame_timeout,
        share_from=share_from,
    )
    try:
        sock = _first(calling, _connect)
        try:
            stream, handshake, peer = calling.open(sock)
            sock = stream.sock
            while (wants := handshake.advance()) and (calling.patient or handshake.unsaid):
                if time.monotonic() >= calling.deadline:
                    raise calling.late()
                wait_until(sock.fileno(), wants, calling.deadline)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise _explained(error, calling) from error.__cause__
    return calling.connection(stream, handshake, peer)


def _first(calling: _Calling, attempt: Callable[[_Calling, int, Any], socket.socket]) -> socket.socket:
    """Connects to the first of a host's addresses that answers."""
    found = candidates(calling.endpoint)
    for family, address in found[:-1]:
        with contextlib.suppress(OSError):
            return attempt(calling, family, address)
    return attempt(calling, *found[-1])


def _connect(calling: _Calling, family: int, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_UNIX:
            # A full backlog is waited for in the system: no event tells of it.
            left = max(calling.deadline - time.monotonic(), 0.001)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(left), int(left % 1 * 1e6)))
            sock.connect(address)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 0, 0))
        else:
            sock.settimeout(max(calling.deadline - time.monotonic(), 0.001))
            sock.connect(address)
    except BlockingIOError:
        sock.close()
        raise calling.late() from None
    except BaseException:
        sock.close()
        raise
    return sock


def _explained(error: OSError, calling: _Calling) -> OSError:
    """Errors of the system with a sentence; those that have one already as they are."""
    if isinstance(error, errors.WeftError | socket.gaierror) or error.errno is None:
        return error
    if "ssl" in type(error).__module__ or (isinstance(error, ConnectionError) and "listener" in str(error)):
        return error
    return explain(error, calling.endpoint, "connecting to")


async def connect(
    address: Any,
    family: str | None = None,
    authkey: bytes | str | None = None,
    *,
    ssl: _ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    codec: Any = None,
    type: Any = None,
    protocol: str = "weft",
    max_message: int = DEFAULT_MAX_MESSAGE,
    handshake_timeout: float = DEFAULT_HANDSHAKE_TIMEOUT,
    frame_timeout: float = DEFAULT_FRAME_TIMEOUT,
    share_from: int | None = DEFAULT_SHARE_FROM,
    allow_users: Any = None,
) -> Connection:
    """``Client`` for event loops, asyncio and trio; it always waits until both sides have come to terms.

    Args:
        address: As for ``Client``, as are all that follow.
        family: As for ``Client``.
        authkey: As for ``Client``.
        ssl: As for ``Client``.
        server_hostname: As for ``Client``.
        codec: As for ``Client``.
        type: As for ``Client``.
        protocol: As for ``Client``.
        max_message: As for ``Client``.
        handshake_timeout: As for ``Client``.
        frame_timeout: As for ``Client``.
        share_from: As for ``Client``.
        allow_users: As for ``Client``.

    Returns:
        The connection, whose awaitable methods begin with an ``a``.

    Raises:
        OSError: As for ``Client``, as are the other errors.
    """
    calling = _Calling(
        address,
        family,
        authkey,
        ssl,
        server_hostname,
        allow_users,
        codec=codec,
        type=type,
        protocol=protocol,
        max_message=max_message,
        handshake_timeout=handshake_timeout,
        frame_timeout=frame_timeout,
        share_from=share_from,
    )
    try:
        needs_look_up = not calling.endpoint.is_unix and not is_numeric(calling.endpoint.address[0])
        found = await aio.in_thread(candidates, calling.endpoint) if needs_look_up else candidates(calling.endpoint)
        sock = None
        for family_, each in found[:-1]:
            with contextlib.suppress(OSError):
                sock = await _aconnect(calling, family_, each)
                break
        if sock is None:
            sock = await _aconnect(calling, *found[-1])
        try:
            stream, handshake, peer = calling.open(sock)
            sock = stream.sock
            while wants := handshake.advance():
                await _await(calling, sock, wants)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise _explained(error, calling) from error.__cause__
    return calling.connection(stream, handshake, peer)


async def _aconnect(calling: _Calling, family: int, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        while (status := sock.connect_ex(address)) not in (0, errno.EISCONN):
            if status == errno.EAGAIN:  # a full backlog, of a Unix socket
                if time.monotonic() >= calling.deadline:
                    raise calling.late()
                await aio.sleep(_RETRY)
            elif status == errno.EINPROGRESS:
                await _await(calling, sock, WRITE)
                if status := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise OSError(status, "")
                break
            else:
                raise OSError(status, "")
    except BaseException:
        sock.close()
        raise
    return sock


async def _await(calling: _Calling, sock: socket.socket, wants: int) -> None:
    if time.monotonic() >= calling.deadline:
        raise calling.late()
    await aio.ready(aio.Bare(sock), wants, calling.deadline)
