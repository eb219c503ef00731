"""What happens between two ends: frames in and out, coming to terms, saying goodbye.

Nothing here waits while it holds a lock or a half-changed state, but for a reader that waits for the first byte:
each operation is an attempt that does what can be done at once, and waits outside. So threads, event loops,
timeouts and cancelled tasks are the same thing: what an attempt began, the next one finishes.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import os
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable
from multiprocessing import util
from typing import Any, NoReturn

from weft import errors
from weft.sockets import aio, framing
from weft.sockets.credentials import Peer
from weft.sockets.framing import Kind
from weft.sockets.handshake import Handshake
from weft.sockets.outgoing import Congested, Outgoing
from weft.sockets.reader import SMALL, Frame, FrameReader, StandardReader, discard
from weft.sockets.settings import Settings
from weft.sockets.stream import READ, WRITE, Stream, wait_until

__all__ = ["Conversation", "deadline_of"]

PREFIX_SIZE = framing.PREFIX.size
_SEND_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
MSG_DONTWAIT = int(socket.MSG_DONTWAIT)
from_bytes = int.from_bytes
_PAUSE = 0.01  # seconds, where no event tells that there is room
_DRAINED = 64  # reads of up to 64 KiB at close
_SENT_BY = {Kind.VALUE: "send()", Kind.BYTES: "send_bytes()", Kind.HANDLE: "send_handle()"}
_TAKEN_BY = {Kind.VALUE: "recv()", Kind.BYTES: "recv_bytes()", Kind.HANDLE: "recv_handle()"}

_live: weakref.WeakSet[Conversation] = weakref.WeakSet()
_forks = 0  # of this process and its forebears


class Conversation:
    """One end of a connection: the part of ``Connection`` that knows frames and no objects."""

    peer: Peer

    def __init__(
        self,
        stream: Stream,
        settings: Settings,
        peer: Peer,
        *,
        max_send: int | None = None,
        handshake: Handshake | None = None,
        readable: bool = True,
        writable: bool = True,
    ) -> None:
        self.peer = peer
        self._stream, self._settings = stream, settings
        self._readable, self._writable = readable, writable
        self._maker = settings.maker
        self._max_send = settings.max_message if max_send is None else max_send
        reader = StandardReader if settings.is_standard else FrameReader
        self._reader: FrameReader | StandardReader = reader(stream, settings.max_message, settings.frame_timeout)
        self._handshake = handshake
        self._ended: BaseException | None = None  # what recv raises once all has been taken
        self._pending: Frame | None = None  # read, and of a kind that nobody has asked for yet
        self._out: Outgoing | None = None  # of which a part is out
        self._closed = self._released = False
        self._epoch = _forks  # at the last use: if it is older, another process may have the same end
        self._waiting: set[Callable[[], None]] = set()  # wakes the tasks that wait here
        self._armed: set[tuple[int, int]] = set()  # of event loops and what they wait for by this descriptor
        self._on_close: Callable[[Any], None] | None = None
        self._calm = False  # nothing special is going on: the short ways can be taken
        self._short = min(SMALL, settings.max_message)  # bytes of a body that the short way takes
        self._sock_send, self._sock_recv = stream.sock.send, stream.sock.recv
        self._new_locks()
        self._take_stock()
        _live.add(self)

    def _new_locks(self) -> None:
        # Locks are held during attempts; `_reading` also while a thread waits for the first byte of a message.
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._settling = threading.Lock()

    # --- state -----------------------------------------------------------------------------------------

    def _take_stock(self) -> None:
        """Called after each change of what the short ways leave out."""
        self._calm = not (
            self._closed
            or self._stream.is_tls
            or self._settings.is_standard
            or self._handshake is not None
            or self._ended is not None
            or self._pending is not None
            or self._out is not None
        )

    def _descriptor(self) -> int:
        return self._stream.sock.fileno()

    def _wait(self, direction: int, deadline: float | None) -> None:
        descriptor = self._stream.sock.fileno()
        if descriptor >= 0:  # it has not been closed meanwhile
            wait_until(descriptor, self._stream.wanted(direction), deadline)

    def _check_open(self) -> None:
        if self._closed:
            raise errors.ConnectionClosedError("handle is closed: this end of the connection takes no more calls")

    def _check_readable(self) -> None:
        self._check_open()
        if not self._readable:
            raise OSError(errno.EBADF, "connection is write-only: receive at the other end")

    def _check_writable(self) -> None:
        self._check_open()
        if not self._writable:
            raise OSError(errno.EBADF, "connection is read-only: send at the other end")

    # --- sending ---------------------------------------------------------------------------------------

    def _send_short(self, data: bytes) -> bool:
        """Sends a whole small frame if that can be done at once, and nothing special goes on; else does nothing."""
        with self._writing:
            if not (self._calm and self._writable):
                return False
            if (pace := self._stream.pace) is not None:
                pace.message()
            try:
                sent = self._sock_send(data, _SEND_FLAGS)
            except OSError:  # no room, or the end: the long way tells
                return False
            self._epoch = _forks
            if sent != len(data):
                self._out = Outgoing([data[sent:]])
                self._out.begun = True
                self._take_stock()
            return True

    def _refuse_size(self, size: int) -> NoReturn:
        raise errors.MessageTooLargeError(
            f"a message of {size} bytes is larger than the other side takes ({self._max_send}): send it in parts, "
            f"or give it max_message={size} or more",
            size,
            self._max_send,
        )

    def _write(self, out: Outgoing, timeout: float | None) -> None:
        deadline = None if timeout is None else deadline_of(timeout)
        try:
            while True:
                try:
                    return self._attempt_write(out)
                except BlockingIOError as error:
                    congested = isinstance(error, Congested)
                if deadline is not None and time.monotonic() >= deadline:
                    self._time_out(out)
                if congested:
                    time.sleep(_PAUSE)
                else:
                    self._wait(WRITE, deadline)
        except BaseException:
            out.keep()
            raise

    async def _awrite(self, out: Outgoing, timeout: float | None) -> None:
        deadline = None if timeout is None else deadline_of(timeout)
        try:
            await aio.checkpoint()
            while True:
                try:
                    return self._attempt_write(out)
                except BlockingIOError as error:
                    congested = isinstance(error, Congested)
                if deadline is not None and time.monotonic() >= deadline:
                    self._time_out(out)
                if congested:
                    await aio.sleep(_PAUSE)
                else:
                    await aio.ready(self, self._stream.wanted(WRITE), deadline)
        except BaseException:
            out.keep()
            raise

    @staticmethod
    def _time_out(out: Outgoing) -> NoReturn:
        rest = "; the rest of it goes out before the next message" if out.begun else ": nothing of it has been sent"
        raise TimeoutError(f"no room for the message in time, the other side does not read{rest}")

    def _attempt_write(self, out: Outgoing) -> None:
        """Sends ``out``, after the rest of another; raises BlockingIOError if it is not all out."""
        with self._writing:
            if self._closed:
                self._check_open()
            if self._handshake is not None:
                with contextlib.suppress(BlockingIOError):  # the other side's part may come later
                    self._settle()
            if self._ended is not None:
                self._refuse_write()
            if (pace := self._stream.pace) is not None and not out.begun:
                pace.message()
            try:
                if self._out is not None and self._out is not out:
                    self._out.advance(self._stream)
                    self._set_out(None)
                if not out.done:
                    out.advance(self._stream)
                self._set_out(None)
            except BlockingIOError:
                if out.begun:
                    self._set_out(out)
                raise
            except OSError as error:
                self._set_out(None)
                self._check_open()
                if error.errno in (errno.EPIPE, errno.ECONNRESET):
                    self._refuse_write()
                raise
            self._epoch = _forks

    def _set_out(self, out: Outgoing | None) -> None:
        if self._out is not out:
            self._out = out
            self._take_stock()

    def _end(self, error: BaseException) -> None:
        self._ended = error
        self._take_stock()

    def _refuse_write(self) -> NoReturn:
        if self._ended is not None and not isinstance(self._ended, EOFError | ConnectionError):
            raise copy.copy(self._ended)
        raise BrokenPipeError(errno.EPIPE, "the other end is closed, or its process has died: nobody will read this")

    # --- receiving -------------------------------------------------------------------------------------

    def _take_short(self, kind: int) -> bytes | None:
        """The body of the next frame if it is small and of that kind, and nothing special goes on; else takes nothing.

        Waits for the first byte. The prefix of the frame behind it is read along, so that in a stream of messages
        each costs one call of the system.
        """
        if (pace := self._stream.pace) is not None and pace.collects:
            pace.flush()
        with self._reading:
            reader = self._reader
            if not (self._calm and self._readable and reader.between):
                return None
            assert isinstance(reader, FrameReader)  # else it is never calm
            head = reader._head
            try:
                if not head:
                    reader._head = head = self._sock_recv(PREFIX_SIZE)
                if len(head) != PREFIX_SIZE:
                    return None
                size = from_bytes(head, "little")
                if not 0 < size <= self._short:
                    return None
                body = self._sock_recv(size + PREFIX_SIZE, MSG_DONTWAIT)
            except OSError:  # not here yet, or the end: the long way tells
                return None
            self._epoch = _forks
            if len(body) > size:
                reader._head = body[size:]
                body = body[:size]
            elif len(body) == size:
                reader._head = b""
            else:
                if body:
                    reader._begin(body, size)
                return None
            if body[0] == kind and (kind != Kind.VALUE or size >= framing.OVERHEAD):
                return body
            reader.put_back(body)
            return None

    def _take(self, accepted: tuple[int, ...], timeout: float | None, maxlength: int | None = None) -> Frame:
        deadline = None if timeout is None else deadline_of(timeout)
        while True:
            try:
                return self._attempt_take(accepted, maxlength, deadline is None)
            except BlockingIOError:
                pass
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError("no whole message in time")
            self._wait(READ, self._patience(deadline))

    async def _atake(self, accepted: tuple[int, ...], timeout: float | None, maxlength: int | None = None) -> Frame:
        deadline = None if timeout is None else deadline_of(timeout)
        await aio.checkpoint()
        while True:
            try:
                return self._attempt_take(accepted, maxlength, False)
            except BlockingIOError:
                pass
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError("no whole message in time")
            await aio.ready(self, self._stream.wanted(READ), self._patience(deadline))

    def _patience(self, deadline: float | None) -> float | None:
        """When to look again: at the caller's deadline, or that of the message which has begun."""
        other = self._reader.deadline
        return deadline if other is None else other if deadline is None else min(deadline, other)

    def _attempt_take(self, accepted: tuple[int, ...], maxlength: int | None, blocking: bool) -> Frame:
        """Takes the next message if it is of an accepted kind; raises BlockingIOError if it is not all here."""
        self._check_readable()
        if self._stream.pace is not None:
            self._stream.pace.flush()
        if not self._reading.acquire(blocking):
            raise BlockingIOError(errno.EAGAIN, "another thread is receiving")
        try:
            frame = self._pending
            if frame is None:
                if self._handshake is not None:
                    self._settle()
                if self._ended is not None:
                    raise copy.copy(self._ended)
                frame = self._read(maxlength, blocking)
            elif maxlength is not None and frame.kind == Kind.BYTES and len(frame.data) > maxlength:
                raise _longer(len(frame.data), maxlength)
            if frame.kind not in accepted:
                self._pending = frame
                self._take_stock()
                raise errors.MismatchError(
                    f"what comes next was sent by {_SENT_BY[frame.kind]}: receive it by {_TAKEN_BY[frame.kind]}",
                    _TAKEN_BY[accepted[0]],
                    _TAKEN_BY[frame.kind],
                )
            if self._pending is not None:
                self._pending = None
                self._take_stock()
            return frame
        finally:
            self._reading.release()

    def _read(self, maxlength: int | None, blocking: bool) -> Frame:
        reader = self._reader
        try:
            if maxlength is not None:
                reader.read_head(blocking)
                size = reader.size_ahead()
                if size is not None and size > maxlength:
                    raise _longer(size, maxlength)
            frame = reader.read(blocking)
            self._epoch = _forks
            if frame.kind == Kind.GOODBYE:
                raise EOFError("the other end has been closed, and all it had sent is received")
            return frame
        except BlockingIOError:
            if reader.deadline is None or time.monotonic() < reader.deadline:
                raise
            try:
                reader.expire()
            except errors.ConnectionLostError as error:
                self._break(error)
        except (errors.SystemLimitError, errors.MessageTooLargeError):
            raise  # of one message
        except (EOFError, errors.ConnectionLostError) as error:
            self._check_open()  # this end has been closed meanwhile
            self._end(error)
            raise
        except errors.CorruptedError as error:
            self._break(error)
        except OSError as error:
            self._check_open()
            where = " in the middle of a message" if reader.begun else ""
            lost = errors.ConnectionLostError(
                error.errno, f"the connection was cut{where}, or the other process died: {error.strerror}"
            )
            self._end(lost)
            raise copy.copy(lost) from error

    def _break(self, error: Exception) -> NoReturn:
        """Has no more to do with a peer that is hostile or out of step."""
        self._end(error)
        with contextlib.suppress(OSError):
            self._stream.sock.shutdown(socket.SHUT_RDWR)
        raise copy.copy(error) from None

    # --- coming to terms -------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Goes on with a handshake whose other side was not waited for; raises BlockingIOError if it goes on."""
        with self._settling:
            if (handshake := self._handshake) is None:
                return
            try:
                if handshake.advance():
                    raise BlockingIOError(errno.EAGAIN, "the other side has not answered yet")
            except BlockingIOError:
                raise
            except Exception as error:
                self._handshake = None
                self._break(error)
            assert handshake.agreement is not None
            self._max_send = handshake.agreement.max_message
            self._handshake = None
            self._take_stock()

    # --- the end ---------------------------------------------------------------------------------------

    def _close(self) -> None:
        if self._closed:
            return
        self._closed, self._calm = True, False
        mine = self._epoch == _forks
        stream = self._stream
        if mine:
            if self._writing.acquire(blocking=False):
                try:
                    with contextlib.suppress(OSError):
                        self._say_goodbye()
                finally:
                    self._writing.release()
            with contextlib.suppress(OSError):
                if not stream.passes_handles:
                    self._drain()
            with contextlib.suppress(OSError):
                stream.sock.shutdown(socket.SHUT_RDWR)  # ends the waits of other threads and tasks
        discard(self._pending)
        if self._out is not None:
            self._out.drop()
        self._pending = self._out = None
        for wake in tuple(self._waiting):
            wake()
        if not self._waiting:
            self._release()
        if self._on_close is not None:
            self._on_close(self)

    def _say_goodbye(self) -> None:
        if self._out is not None:
            self._out.advance(self._stream, sys.maxsize)  # or there is no goodbye, as a message is cut
        if not self._settings.is_standard and self._ended is None and self._writable:
            self._stream.send(framing.GOODBYE)

    def _drain(self) -> None:
        """Takes what was not received: TCP answers a close that leaves data by a reset, which can destroy ours."""
        self._stream.sock.shutdown(socket.SHUT_WR)
        for _ in range(_DRAINED):
            if not self._stream.sock.recv(1 << 16) if self._stream.is_tls else not self._stream.recv(1 << 16):
                break

    def _release(self) -> None:
        """Closes the descriptor, once no task waits for it."""
        if not self._released:
            self._released = True
            self._stream.sock.close()


class _LongMessageError(errors.MessageTooLargeError, OSError):
    """A message is longer than the caller's ``maxlength``."""


def _longer(size: int, maxlength: int) -> _LongMessageError:
    return _LongMessageError(
        f"bad message length: {size} bytes are next, and maxlength={maxlength}; call again with more", size, maxlength
    )


def deadline_of(timeout: float) -> float:
    """When a wait of that many seconds ends."""
    if not timeout >= 0:
        raise ValueError(f"timeout must be None or at least 0, not {timeout!r}")
    return time.monotonic() + timeout


# --- processes -----------------------------------------------------------------------------------------


def _has_forked() -> None:
    global _forks
    _forks += 1


def _is_forked() -> None:
    _has_forked()
    for conversation in list(_live):
        conversation._new_locks()  # a thread that held one is not here
        conversation._waiting, conversation._armed = set(), set()


def _close_all() -> None:
    """At the normal end of a process, which is a close on purpose of what it has used."""
    for conversation in list(_live):
        if conversation._epoch == _forks:
            conversation._close()


class _Exit:
    """Has the connections closed at the end of this process, and of those that multiprocessing forks."""

    def __init__(self) -> None:
        self.register()
        util.register_after_fork(self, _Exit.register)

    def register(self) -> None:
        util.Finalize(None, _close_all, exitpriority=0)


os.register_at_fork(after_in_parent=_has_forked, after_in_child=_is_forked)
_exit = _Exit()
