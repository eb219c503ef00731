"""Bytes in and out of a connected socket, without waiting: plain, or by TLS.

What can't be done at once raises ``BlockingIOError``, and ``wanted`` then tells what to wait for. A plain socket
is in blocking mode, and each call says whether it waits; a TLS socket never waits. Both may be used by a
reader and a writer at the same time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import select
import socket
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

__all__ = ["READ", "WRITE", "Stream", "TlsStream", "wait_until"]

READ, WRITE = select.POLLIN, select.POLLOUT
_TIMEVAL = struct.Struct("@ll")
_MOST_PARTS = 64
# The kernel may install one descriptor more than a buffer for one is meant for, as it rounds up.
_ONE_HANDLE = socket.CMSG_SPACE(4)


class Pace:
    """When TCP may collect small messages: in a burst without answers, where a segment for each costs the most.

    Otherwise each is sent at once. A burst is told by the clock, one look for so many messages. What a burst's end
    leaves in the buffer goes out when the other side has acknowledged what was before (40 ms at most), or at once
    when this side receives, sends again after a pause, or closes.

    Attributes:
        collects: Whether it may now.
    """

    MESSAGES, SECONDS, PAUSE = 64, 0.004, 0.002

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._left, self._since = self.MESSAGES, time.monotonic()
        self.collects = True
        self.flush()

    def message(self) -> None:
        """A message is about to be sent."""
        if self.collects:
            now = time.monotonic()
            if now - self._since > self.PAUSE:
                self.flush()
            self._since = now
            return
        self._left -= 1
        if self._left == 0:
            self._left, before, self._since = self.MESSAGES, self._since, time.monotonic()
            if self._since - before < self.SECONDS:
                self.collects = True
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)

    def flush(self) -> None:
        """Sends what has been collected, and each message by itself from now on."""
        if self.collects:
            self.collects = False
            with contextlib.suppress(OSError):  # it has gone
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Stream:
    """A plain connected socket.

    Attributes:
        pace: Of TCP: told of each message sent, and asked to flush before a wait for an answer.
        passes_handles: Whether descriptors can come along.
        is_tls: Whether what goes over the wire is encrypted.
    """

    is_tls = False

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(True)
        self.sock = sock
        self.pace = None if sock.family == socket.AF_UNIX else Pace(sock)
        self.passes_handles = sock.family == socket.AF_UNIX
        self.recv_blocking: Callable[[int], bytes] = sock.recv  # waits for the first byte

    def wanted(self, direction: int) -> int:
        """What to wait for before reading (``READ``) or writing (``WRITE``) is tried again."""
        return direction

    def shake(self, listening: bool) -> None:
        """Goes on with TLS's handshake, if there is TLS."""

    def certificate(self) -> Any:
        """The peer's certificate, if TLS asked for one."""
        return None

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes that are there; b"" at the end."""
        return self.sock.recv(size, socket.MSG_DONTWAIT)

    def recv_whole(self, size: int, seconds: float) -> bytes:
        """Waits up to ``seconds`` for all of ``size`` bytes; what has come until then."""
        sock = self.sock
        whole, part = divmod(max(seconds, 0.001), 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(int(whole), int(part * 1e6)))
        try:
            return sock.recv(size, socket.MSG_WAITALL)
        finally:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(0, 0))

    def recv_handles(self, size: int) -> tuple[bytes, list[int], bool]:
        """The bytes, the descriptors that came with them, and whether some could not be taken."""
        data, ancillary, flags, _ = self.sock.recvmsg(size, _ONE_HANDLE, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC)
        handles: list[int] = []
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                handles += struct.unpack(f"{len(payload) // 4}i", payload[: len(payload) // 4 * 4])
        return data, handles, bool(flags & socket.MSG_CTRUNC)

    def send(self, data: Any) -> int:
        """Sends some of the bytes; how many."""
        return self.sock.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def send_parts(self, parts: list[Any]) -> int:
        """Sends some of what stands in the parts; how many bytes."""
        if len(parts) == 1:
            return self.send(parts[0])
        return self.sock.sendmsg(parts[:_MOST_PARTS], (), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def send_handle(self, data: bytes, handle: int) -> int:
        """Sends bytes with a descriptor: all of them, as they are few."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", handle))]
        return self.sock.sendmsg([data], rights, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def under_way(self) -> int:
        """Bytes of the kernel's memory for what has been sent and not been taken by the other side."""
        return int.from_bytes(fcntl.ioctl(self.sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    def readable(self, timeout: float | None) -> bool:
        """Waits until there is something to read, or the end."""
        return wait_until(self.sock.fileno(), READ, None if timeout is None else time.monotonic() + timeout)

    def pending(self) -> bool:
        """Whether there is something to read that the descriptor does not tell of."""
        return False


class TlsStream(Stream):
    """A socket with TLS. OpenSSL allows one call at a time on a connection; none of these waits."""

    is_tls = True

    def __init__(self, sock: ssl.SSLSocket) -> None:
        super().__init__(sock)
        sock.setblocking(False)
        self.tls = sock
        self._lock = threading.Lock()
        self._wants = READ
        self.recv_blocking = self.recv

    def wanted(self, direction: int) -> int:
        """As ``Stream.wanted``: TLS may have to write in order to read, and the other way round."""
        return self._wants

    def shake(self, listening: bool) -> None:
        """As ``Stream.shake``."""
        import ssl

        question = "is TLS spoken on both sides?" if listening else "does the listener speak TLS?"
        try:
            self._call(lambda _: self.tls.do_handshake(), None)
        except ConnectionResetError as error:
            raise ConnectionResetError(error.errno, f"the connection was cut in TLS's handshake: {question}") from None
        except ssl.SSLCertVerificationError as error:
            _hint(error, "the other side's certificate is not trusted: load its authority into the context")
            raise
        except ssl.SSLError as error:
            _hint(error, question)
            raise

    def certificate(self) -> Any:
        """As ``Stream.certificate``."""
        return self.tls.getpeercert()

    def _call(self, function: Any, argument: Any) -> Any:
        import ssl

        with self._lock:
            try:
                return function(argument)
            except ssl.SSLWantReadError:
                self._wants = READ
            except ssl.SSLWantWriteError:
                self._wants = WRITE
            except ssl.SSLEOFError:
                raise ConnectionResetError(errno.ECONNRESET, "TLS was cut") from None
        raise BlockingIOError(errno.EAGAIN, "not now")

    def recv(self, size: int) -> bytes:
        """As ``Stream.recv``."""
        return self._call(self.tls.recv, size)  # type: ignore[no-any-return]

    def recv_whole(self, size: int, seconds: float) -> bytes:
        """As ``recv``: waiting is left to the caller."""
        return self.recv(min(size, 1 << 18))

    def send(self, data: Any) -> int:
        """As ``Stream.send``."""
        return self._call(self.tls.send, data)  # type: ignore[no-any-return]

    def send_parts(self, parts: list[Any]) -> int:
        """As ``Stream.send_parts``; a head goes into one record with what follows it."""
        if len(parts) > 1 and len(parts[0]) < 64:
            return self.send(bytes(parts[0]) + bytes(parts[1][: (1 << 14) - len(parts[0])]))
        return self.send(parts[0])

    def pending(self) -> bool:
        """Whether OpenSSL has something decrypted."""
        with self._lock:
            return self.tls.pending() > 0


def _hint(error: ssl.SSLError, hint: str) -> None:
    if error.strerror:
        error.strerror += f" ({hint})"


def wait_until(descriptor: int, events: int, deadline: float | None) -> bool:
    """Waits for events of a descriptor; whether there are any before the deadline."""
    poll = select.poll()
    poll.register(descriptor, events)
    if deadline is None:
        return bool(poll.poll())
    # Rounded up, or the rest of a millisecond would be spent in a loop.
    return bool(poll.poll(max(deadline - time.monotonic(), 0) * 1000 + 0.999))
