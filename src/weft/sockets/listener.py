"""Listener: accepts connections, and lets nobody who dawdles or does not belong there keep the others waiting.

Handshakes go on side by side. Those that have begun and the listening socket are in one epoll, whose descriptor
is what an event loop waits for; no thread, no task of its own. What a peer may cost before it has proved itself
is one socket and a few hundred bytes, for ``handshake_timeout`` seconds, ``max_handshakes`` times.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import socket
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from weft import errors
from weft._opening import check_count
from weft.namespace import check_mode
from weft.sockets import aio, authentication, credentials, tls
from weft.sockets.address import resolve
from weft.sockets.binding import Bound, bind, unbind
from weft.sockets.connection import Connection
from weft.sockets.conversation import deadline_of
from weft.sockets.framing import Refusal
from weft.sockets.handshake import Handshake
from weft.sockets.settings import (
    DEFAULT_FRAME_TIMEOUT,
    DEFAULT_HANDSHAKE_TIMEOUT,
    DEFAULT_MAX_MESSAGE,
    DEFAULT_SHARE_FROM,
    Settings,
)
from weft.sockets.stream import READ, WRITE, wait_until

if TYPE_CHECKING:
    import ssl as _ssl

__all__ = ["Listener", "ListenerStatistics"]

_REFUSALS = (errors.AuthenticationError, errors.AccessError, errors.MismatchError, ConnectionRefusedError)

_log = logging.getLogger("weft.sockets")


@dataclass(frozen=True)
class ListenerStatistics:
    """The counters of a listener, in this process.

    Attributes:
        accepted: Connections that ``accept`` has returned.
        refused: Peers that could not prove themselves, belong to other users, speak another codec, or found it full.
        failed: Peers that went away, took too long, were pushed out by newer ones, or spoke something else.
        handshaking: Handshakes that go on now.
        open: Accepted connections that are not closed.
        max_connections: How many there may be.
    """

    accepted: int
    refused: int
    failed: int
    handshaking: int
    open: int
    max_connections: int


class _Guest:
    """A peer whose handshake goes on."""

    def __init__(self, listener: Listener, sock: socket.socket) -> None:
        self.sock = sock
        self.deadline = time.monotonic() + listener._settings.handshake_timeout
        self.peer = credentials.peer_of(sock)
        refusal = Refusal.NONE
        try:
            credentials.refuse_others(self.peer, listener._users)
        except errors.AccessError:
            refusal = Refusal.USER
            if listener._settings.is_standard:
                raise
        if refusal == Refusal.NONE and len(listener._open) + len(listener._done) >= listener._max_connections:
            if listener._settings.is_standard:
                raise ConnectionRefusedError(errno.ECONNREFUSED, "max_connections is reached")
            refusal = Refusal.FULL
        self.stream = tls.stream_of(sock, listener._ssl)
        self.sock = self.stream.sock
        dialogue = listener._settings.dialogue(listener._key, True, refusal)
        self.handshake = Handshake(self.stream, dialogue, True)


class Listener:
    r"""Listens for connections at a Unix socket's path, an abstract name, or ``(host, port)``.

    ``Listener(address, family, backlog, authkey)`` is as in ``multiprocessing.connection``; see there for what is
    not said here. The differences: the default protocol does not pickle; the peers of Unix sockets must belong to
    this user; what other machines could reach needs a key or TLS; and who is slow, hostile or mistaken keeps
    nobody else from being accepted.

    Threads may call ``accept`` at the same time. A forked child may accept too, each from the same backlog.

    Args:
        address: A path, an abstract name that begins with ``"\0"``, or ``(host, port)``, port 0 for any that is
            free. None chooses: a socket in a new directory that only this user may enter, or for ``AF_INET`` a port
            at 127.0.0.1. A path that a killed listener has left is replaced; one where somebody listens is not.
        family: ``"AF_UNIX"``, ``"AF_INET"``, ``"AF_INET6"``; None to tell from the address.
        backlog: Connections that the kernel keeps until they are accepted.
        authkey: A key that both sides must prove to have, bytes or a str (as UTF-8).
        ssl: An ``ssl.SSLContext`` for TLS on TCP, with this side's certificate loaded.
        codec: As for ``weft.Queue``; both sides must give the same.
        type: As for ``weft.Queue``.
        protocol: ``"weft"``, or ``"multiprocessing"`` for clients that use the standard library: this pickles, so
            who may connect may run any code here.
        max_message: The largest message that a peer may send, in bytes.
        max_connections: Accepted connections that may be open at a time; more are refused, and told so.
        max_handshakes: Handshakes that may go on at a time; one more pushes out the oldest.
        handshake_timeout: Seconds that a handshake may take.
        frame_timeout: Seconds that a message may take which has begun to arrive, and one more for each 64 KiB of it.
        share_from: Bytes from which a message with large arrays or buffers goes through shared memory on a Unix
            socket (32 MiB: below, the socket is faster); None for never.
        allow_users: Names and ids of users whose processes may connect to a Unix socket, or ``"any"``; None for
            this user alone. Root is a user like others.
        mode: Permissions of the path; by default 0o600, or 0o666 with ``allow_users``, which is checked by itself.

    Raises:
        ValueError: An unknown family, an address that is none, or one that other machines can reach with neither
            ``authkey`` nor ``ssl``.
        OSError: The address is in use, or can't be bound.
    """

    def __init__(
        self,
        address: Any = None,
        family: str | None = None,
        backlog: int = 128,
        authkey: bytes | str | None = None,
        *,
        ssl: _ssl.SSLContext | None = None,
        codec: Any = None,
        type: Any = None,
        protocol: str = "weft",
        max_message: int = DEFAULT_MAX_MESSAGE,
        max_connections: int = 1000,
        max_handshakes: int = 64,
        handshake_timeout: float = DEFAULT_HANDSHAKE_TIMEOUT,
        frame_timeout: float = DEFAULT_FRAME_TIMEOUT,
        share_from: int | None = DEFAULT_SHARE_FROM,
        allow_users: Any = None,
        mode: int | None = None,
    ) -> None:
        self._closed = True  # until it is open
        self._settings = Settings(
            codec=codec,
            type=type,
            protocol=protocol,
            max_message=max_message,
            handshake_timeout=handshake_timeout,
            frame_timeout=frame_timeout,
            share_from=share_from,
        )
        self._key = authentication.check_key(authkey)
        self._max_connections = check_count(max_connections, "max_connections", 1 << 30, 1)
        self._max_handshakes = check_count(max_handshakes, "max_handshakes", 1 << 20, 1)
        check_count(backlog, "backlog", 1 << 30)
        self._users = credentials.check_users(allow_users)
        if mode is None:
            mode = 0o600 if allow_users is None else 0o666
        check_mode(mode)
        endpoint = resolve(address, family, listening=True)
        try:
            tls.check_context(ssl, endpoint, listening=True)
            bound = bind(endpoint, backlog, mode, self._key is not None or ssl is not None)
        except BaseException:
            if endpoint.temporary is not None:
                os.rmdir(endpoint.temporary)
            raise
        self._ssl = ssl
        self._bound: Bound = bound
        self._finalizer = weakref.finalize(self, unbind, bound)  # also at the end of the program
        self._accepting = threading.Lock()
        self._waiting: set[Callable[[], None]] = set()
        self._armed: set[tuple[int, int]] = set()
        self._open: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._accepted = self._refused = self._failed = 0
        self._last: Any = None
        self._start()
        self._closed = self._released = False

    def _start(self) -> None:
        """An epoll of this process's own, with nothing but the listening socket in it."""
        self._pid = os.getpid()
        self._guests: OrderedDict[int, _Guest] = OrderedDict()  # by descriptor, the oldest first
        self._done: deque[Connection | Exception] = deque()
        self._epoll = select.epoll()
        self._epoll.register(self._bound.sock.fileno(), select.EPOLLIN)
        self._bell, self._rung = os.eventfd(0, os.EFD_CLOEXEC), False  # while there are outcomes, and after close
        self._epoll.register(self._bell, select.EPOLLIN)

    # --- state -----------------------------------------------------------------------------------------

    @property
    def address(self) -> Any:
        """What clients connect to."""
        return self._bound.address

    @property
    def last_accepted(self) -> Any:
        """The address of the client that was accepted last, as the standard library has it; None for Unix sockets."""
        return self._last

    @property
    def closed(self) -> bool:
        """Whether the listener has been closed."""
        return self._closed

    def fileno(self) -> int:
        """A descriptor that is ready when ``accept`` has something to do; with ``timeout=0`` it does that alone."""
        self._check_open()
        return self._epoll.fileno()

    def statistics(self) -> ListenerStatistics:
        """The counters at this moment."""
        return ListenerStatistics(
            self._accepted, self._refused, self._failed, len(self._guests), len(self._open), self._max_connections
        )

    def __repr__(self) -> str:
        return f"<weft.Listener at {self._bound.endpoint}{' closed' if self._closed else ''}>"

    def _check_open(self) -> None:
        if self._closed:
            raise errors.ConnectionClosedError("this listener is closed: make another")

    # --- accepting -------------------------------------------------------------------------------------

    def accept(self, timeout: float | None = None) -> Connection:
        """Waits for a client that has proved itself.

        Peers that go away, dawdle, speak something else or belong to other users are dropped, counted in
        ``statistics`` and logged (``weft.sockets``); this call goes on waiting.

        Args:
            timeout: Seconds to wait at most; None waits for ever, 0 not at all.

        Raises:
            AuthenticationError: A client had another authkey, or none. The next call accepts the next client.
            TimeoutError: There was none in time.
            ConnectionClosedError: The listener is closed.
            OSError: The system lacks descriptors; the client still waits.
        """
        deadline = None if timeout is None else deadline_of(timeout)
        while True:
            if (connection := self._attempt()) is not None:
                return connection
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError("no client in time")
            until = self._patience(deadline)
            with contextlib.suppress(ValueError):  # closed meanwhile: the next attempt tells
                wait_until(self._epoll.fileno(), READ, until)

    async def aaccept(self, timeout: float | None = None) -> Connection:
        """``accept`` for event loops. A cancelled one has accepted nothing."""
        deadline = None if timeout is None else deadline_of(timeout)
        await aio.checkpoint()
        while True:
            if (connection := self._attempt()) is not None:
                return connection
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError("no client in time")
            await aio.ready(self, READ, self._patience(deadline))

    def _descriptor(self) -> int:
        return self._epoll.fileno()

    def _patience(self, deadline: float | None) -> float | None:
        """When to look again: at the caller's deadline, or that of the oldest handshake."""
        oldest = next(iter(tuple(self._guests.values())[:1]), None)
        if oldest is None:
            return deadline
        return oldest.deadline if deadline is None else min(deadline, oldest.deadline)

    def _attempt(self) -> Connection | None:
        """Goes on with all that goes on, without waiting; the next connection, or None."""
        with self._accepting:
            self._check_open()
            if self._pid != os.getpid():
                self._inherit()
            if not self._done:
                for descriptor, _ in self._epoll.poll(0):
                    if descriptor == self._bound.sock.fileno():
                        self._welcome()
                    elif descriptor in self._guests:
                        self._advance(self._guests[descriptor])
                self._expire()
            if not self._done:
                return None
            outcome = self._done.popleft()
            if bool(self._done) != self._rung:  # others that wait are to come, or to wait again
                self._rung = not self._rung
                os.eventfd_write(self._bell, 1) if self._rung else os.eventfd_read(self._bell)
            if isinstance(outcome, Exception):
                raise outcome
            self._accepted += 1
            self._last = outcome.peer.address
            return outcome

    def _inherit(self) -> None:
        """In a forked child: the handshakes are the parent's, only the socket is shared."""
        for guest in self._guests.values():
            guest.sock.close()
        self._epoll.close()
        os.close(self._bell)
        self._open = weakref.WeakSet()
        self._start()

    def _welcome(self) -> None:
        for _ in range(self._max_handshakes):
            try:
                sock, _ = self._bound.sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._done.append(_explain_accept(error))
                return
            try:
                guest = _Guest(self, sock)
            except Exception as error:
                self._drop(error, str(credentials.peer_of(sock)))
                sock.close()
                continue
            if len(self._guests) >= self._max_handshakes:
                oldest = next(iter(self._guests.values()))
                self._dismiss(oldest, TimeoutError("pushed out by newer ones: max_handshakes is reached"))
            self._guests[guest.sock.fileno()] = guest
            self._epoll.register(guest.sock.fileno(), select.EPOLLIN)
            self._advance(guest)

    def _advance(self, guest: _Guest) -> None:
        try:
            wants = guest.handshake.advance()
        except Exception as error:
            self._dismiss(guest, error)
            return
        descriptor = guest.sock.fileno()
        if wants:
            self._epoll.modify(descriptor, select.EPOLLOUT if wants & WRITE else select.EPOLLIN)
            return
        self._epoll.unregister(descriptor)
        del self._guests[descriptor]
        agreement = guest.handshake.agreement
        assert agreement is not None
        peer = replace(guest.peer, certificate=guest.stream.certificate())
        connection = Connection(guest.stream, self._settings, peer, max_send=agreement.max_message)
        self._open.add(connection)
        connection._on_close = self._open.discard
        self._done.append(connection)

    def _expire(self) -> None:
        now = time.monotonic()
        for guest in tuple(self._guests.values()):
            if guest.deadline > now:
                return
            self._dismiss(guest, TimeoutError("the handshake took longer than handshake_timeout"))

    def _dismiss(self, guest: _Guest, error: Exception) -> None:
        self._guests.pop(guest.sock.fileno(), None)
        with contextlib.suppress(OSError):
            self._epoll.unregister(guest.sock.fileno())
        guest.sock.close()
        self._drop(error, str(guest.peer))

    def _drop(self, error: Exception, who: str) -> None:
        if isinstance(error, _REFUSALS):
            self._refused += 1
        else:
            self._failed += 1
        _log.warning("%r has not accepted %s: %s", self, who, error)
        if isinstance(error, errors.AuthenticationError):
            self._done.append(error)

    # --- the end ---------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stops listening, and removes the path. Accepted connections go on; may be repeated."""
        if self._closed:
            return
        self._closed = True
        with self._accepting:
            for guest in self._guests.values():
                guest.sock.close()
            self._guests.clear()
            while self._done:
                outcome = self._done.popleft()
                if isinstance(outcome, Connection):
                    outcome.close()
            os.eventfd_write(self._bell, 1)
        for wake in tuple(self._waiting):
            wake()
        if not self._waiting:
            self._release()

    def _release(self) -> None:
        """Closes the descriptors, once no task waits for them."""
        if not self._released:
            self._released = True
            self._epoll.close()
            os.close(self._bell)
            self._finalizer()

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()


def _explain_accept(error: OSError) -> OSError:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return errors.SystemLimitError(
            error.errno, "a client waits and can't be accepted: too many files are open (ulimit -n); close some"
        )
    return error
