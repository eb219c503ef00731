"""Descriptors that go from one end of a pipe to the other.

Shared memory can't carry one: the kernel hands descriptors over by a socket alone (``SCM_RIGHTS``). Beside the pipe
stands one of sequenced packets: a pair, for a pipe without a name; for one by name a listener, which the first end has
and to which the second connects. The descriptor goes ahead, with a random number; the number follows as a message of
the pipe, so that descriptors keep their place among the messages.

``pidfd_getfd`` would need no socket, but the right to trace the other process, which systems grant to parents at most.
"""

from __future__ import annotations

import array
import errno
import os
import select
import socket
import struct
import threading
import time
from typing import Any

from weft import _aio, errors

__all__ = ["Mail", "asend_handle", "join", "recv_handle", "send_handle"]

_NUMBER = 16
_MOST_KEPT, _MOST_PACKETS = 64, 1024
_TICK = 0.02


class Mail:
    """One end's part of the socket. It may be shared by fork, and travels with the end.

    Args:
        sock: The connected socket, if there is one already.
        address: Where the first end listens, or the second connects.
        listens: Whether this is the first end.
    """

    def __init__(self, sock: socket.socket | None = None, address: str | None = None, listens: bool = False) -> None:
        self.sock, self._address = sock, address
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()
        self._kept: dict[bytes, int] = {}
        if address is None:
            return
        if listens:
            self._listener = _make_socket()
            try:
                self._listener.bind(address)
                self._listener.listen(4)
            except OSError:  # none of ours is there: descriptors can't be passed, and who tries is told
                self.close()
        else:
            self._connect()

    def _connect(self) -> bool:
        """Whether there is a connection to the other end now."""
        if self.sock is not None or self._address is None:
            return self.sock is not None
        try:
            if self._listener is None:
                sock = _make_socket()
                try:
                    sock.connect(self._address)
                except OSError:
                    sock.close()
                    raise
            else:
                while True:
                    sock, _ = self._listener.accept()
                    if _user_of(sock) in (os.geteuid(), 0):
                        break
                    sock.close()
        except OSError:
            return False
        if _user_of(sock) not in (os.geteuid(), 0):
            sock.close()
            return False
        self.sock = sock
        return True

    def try_send(self, number: bytes, descriptor: int) -> None:
        """Sends it, or raises BlockingIOError where it has to wait."""
        with self._lock:
            if not self._connect() or self.sock is None:
                raise BlockingIOError(errno.EAGAIN, "the other end is not there")
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
            try:
                self.sock.sendmsg([number], rights, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except OSError as error:
                if error.errno == errno.ETOOMANYREFS:  # as many on their way as may be
                    raise BlockingIOError(errno.EAGAIN, "too many descriptors on their way") from None
                if isinstance(error, (BrokenPipeError, ConnectionResetError)):
                    raise BrokenPipeError(errno.EPIPE, "the other end is closed, or its process has died") from None
                raise

    def take(self, number: bytes) -> int:
        """The descriptor that was sent with that number."""
        with self._lock:
            for _ in range(_MOST_PACKETS):  # a peer that sends nothing but others may not keep us
                if number in self._kept or not self._connect() or self.sock is None:
                    break
                try:
                    data, rights, flags, _ = self.sock.recvmsg(
                        _NUMBER, socket.CMSG_SPACE(4), socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
                    )
                except BlockingIOError:
                    break
                found = [fd for level, kind, got in rights if kind == socket.SCM_RIGHTS for fd in array.array("i", got)]
                if not data and not found:
                    break
                if flags & socket.MSG_CTRUNC and data == number:
                    raise errors.SystemLimitError(
                        errno.EMFILE, "this process has too many open files (ulimit -n): a descriptor has been lost"
                    )
                self._keep(data, found)
            if number in self._kept:
                return self._kept.pop(number)
        raise OSError(
            errno.EBADF,
            "the descriptor is lost: another process that has this end has taken it, or more than "
            f"{_MOST_KEPT} came whose messages others took; receive descriptors in one process, in their order",
        )

    def _keep(self, number: bytes, descriptors: list[int]) -> None:
        for extra in descriptors[1:]:
            os.close(extra)
        if descriptors and number in self._kept:
            os.close(self._kept.pop(number))
        if descriptors:
            self._kept[number] = descriptors[0]
        while len(self._kept) > _MOST_KEPT:  # whose messages never came
            os.close(self._kept.pop(next(iter(self._kept))))

    def wait(self, seconds: float | None) -> None:
        """Waits until there may be room."""
        if self.sock is None:
            time.sleep(_TICK if seconds is None else min(seconds, _TICK))
            return
        poll = select.poll()
        poll.register(self.sock, select.POLLOUT)
        poll.poll(1000 * (_TICK if seconds is None else min(seconds, _TICK)))

    def close(self) -> None:
        """Closes it for this process."""
        for sock in (self.sock, self._listener):
            if sock is not None:
                sock.close()
        self.sock = self._listener = None
        self._address = None
        while self._kept:
            os.close(self._kept.popitem()[1])


def _make_socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)


def _user_of(sock: socket.socket) -> int:
    pid_user_group = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", pid_user_group)[1])


def join(one: Any, two: Any) -> None:
    """Connects the ends of a pipe without a name."""
    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    one._mail, two._mail = Mail(first), Mail(second)


def _descriptor_of(handle: Any) -> int:
    descriptor = handle.fileno() if hasattr(handle, "fileno") else handle
    if isinstance(descriptor, bool) or not isinstance(descriptor, int):
        raise TypeError(f"a descriptor is an int, or an object with fileno(), not {type(handle).__name__}")
    try:
        return os.dup(descriptor)  # whatever becomes of the caller's until it is sent
    except OSError as error:
        raise OSError(error.errno, f"descriptor {descriptor} can't be passed: {error.strerror}") from None


def _mail_of(end: Any) -> Mail:
    mail: Mail | None = end._mail
    if mail is None:
        raise OSError(
            errno.ENOTCONN,
            "this end has come by its address alone and passes no descriptors: send it from a process of the same "
            "family (multiprocessing), or open the pipe by name",
        )
    return mail


def send_handle(end: Any, handle: Any, timeout: float | None) -> None:
    """The body of ``PipeEnd.send_handle``."""
    _check_sends(end)
    mail, number = _mail_of(end), os.urandom(_NUMBER)
    deadline = None if timeout is None else time.monotonic() + timeout
    descriptor = _descriptor_of(handle)
    try:
        while True:
            try:
                mail.try_send(number, descriptor)
                break
            except BlockingIOError:
                _check_sends(end)
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(
                        "the descriptor could not be sent in time: the other end does not take"
                    ) from None
                mail.wait(left)
    finally:
        os.close(descriptor)
    end._send_handle(number, None if deadline is None else max(deadline - time.monotonic(), 0))


async def asend_handle(end: Any, handle: Any, timeout: float | None) -> None:
    """The body of ``PipeEnd.asend_handle``."""
    _check_sends(end)
    mail, number = _mail_of(end), os.urandom(_NUMBER)
    deadline = None if timeout is None else time.monotonic() + timeout
    descriptor = _descriptor_of(handle)

    def attempt() -> None:
        _check_sends(end)
        mail.try_send(number, descriptor)

    try:
        await _aio.attempt_until(end, 1, attempt, BlockingIOError, timeout, lambda: _TICK)
    except BlockingIOError:
        raise TimeoutError("the descriptor could not be sent in time: the other end does not take") from None
    finally:
        os.close(descriptor)
    left = None if deadline is None else max(deadline - time.monotonic(), 0)
    await _aio.attempt_until(end, 1, lambda: end._send_handle(number, 0), TimeoutError, left, lambda: _TICK)


def _check_sends(end: Any) -> None:
    """Raises if there is nobody to send to any more."""
    end._begin_send()
    if end._is_over():
        raise BrokenPipeError(errno.EPIPE, "the other end is closed, or its process has died: nobody will read this")


def recv_handle(end: Any, timeout: float | None) -> int:
    """The body of ``PipeEnd.recv_handle``."""
    number = end._recv_handle(timeout)
    return _mail_of(end).take(number)
