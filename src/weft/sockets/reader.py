"""Frames out of a stream that may stop anywhere, and whose sender may be hostile.

A reader keeps what it has of a frame: each ``read`` goes on where the one before stopped, whether that ended
for want of data, by a timeout or by a cancelled task. No more memory is taken than data has come, but for one
body of a permitted size whose beginning is there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import time
from typing import Any, NamedTuple, NoReturn

from weft import errors
from weft.sockets.framing import HANDLES_FLAG, OVERHEAD, PREFIX, VALUE_HEAD, Kind
from weft.sockets.stream import Stream
from weft.sockets.transfer import map_sealed

__all__ = ["Frame", "FrameReader", "StandardReader"]

# A body up to here is read together with the prefix of the next frame.
SMALL = 1 << 15
# A slow peer has `frame_timeout` for a frame, and a second more for each so many bytes.
SLOWEST = 1 << 16
_VIEW_BODY = struct.Struct("<BQQ")
_CHUNK = 1 << 20
# So much of a body is taken at a time where others wait for the caller: then it looks at the clock, and an event loop
# at its other tasks.
_TURN = 4 << 20
_VALUE = bytes((Kind.VALUE,))


class Frame(NamedTuple):
    """What has arrived.

    Attributes:
        kind: See ``Kind``.
        data: The payload; a descriptor, for a handle.
        body_size: Of a value: bytes of the message's body.
        in_place: Of a value: whether it is to be decoded where it is.
    """

    kind: int
    data: Any
    body_size: int = 0
    in_place: bool = False


class _Reader:
    """What both protocols' readers have in common: a body of any size, and patience with an end."""

    def __init__(self, stream: Stream, max_message: int, frame_timeout: float) -> None:
        self._stream, self._limit, self._patience = stream, max_message, frame_timeout
        self._head = b""  # what has come of the next frame's prefix
        self._body: bytes | bytearray | None = None  # what has come of a large body
        self._size = 0  # of that body in all
        self._deadline: float | None = None  # for the frame that has begun

    @property
    def between(self) -> bool:
        """Whether no part of the next body has been read."""
        return self._body is None

    @property
    def begun(self) -> bool:
        """Whether a part of the next frame has been read already."""
        return bool(self._head) or self._body is not None

    @property
    def deadline(self) -> float | None:
        """When the frame that has begun must be here; None if none has begun."""
        return self._deadline if self.begun else None

    def expire(self) -> NoReturn:
        """Raises for a frame that is not here in time."""
        raise errors.ConnectionLostError(
            errno.ETIMEDOUT,
            f"the other side has begun a message and not gone on for too long (frame_timeout={self._patience:g} s)",
        )

    def state(self) -> bytes:
        """What has been read ahead, to go along with the socket to another process."""
        if not self.between:
            raise TypeError("a connection can't travel in the middle of a message: receive it first")
        return self._head

    def resume(self, state: bytes) -> None:
        """Takes over what another process had read ahead."""
        self._head = state

    def _await(self, size: int) -> None:
        if self._deadline is None:
            self._deadline = time.monotonic() + self._patience + size / SLOWEST

    def _take_body(self, blocking: bool) -> bytes | bytearray:
        """The whole of a large body: bytes if they came at once.

        However fast the rest comes, this returns before long, unless ``blocking`` says that nobody minds.

        Raises:
            BlockingIOError: It is not all here, or has not all been taken.
        """
        self._await(self._size)
        assert self._deadline is not None
        body = b"" if self._body is None else self._body
        rest = _TURN
        while (missing := self._size - len(body)) > 0:
            if blocking:
                data = self._stream.recv_whole(missing, self._deadline - time.monotonic())
            elif rest > 0 or self._stream.pending():
                data = self._stream.recv(min(missing, _CHUNK))
                rest -= len(data)
            else:
                raise BlockingIOError(errno.EAGAIN, "more of it is here, and others have waited for long enough")
            if not data:
                self._cut()
            if not body:
                body = data if len(data) == self._size else bytearray(data)
            else:
                body += data
            self._body = body
            if blocking and len(body) < self._size and time.monotonic() >= self._deadline:
                raise BlockingIOError(errno.EAGAIN, "it has taken too long")
        self._body, self._deadline = None, None
        return body

    def _cut(self) -> NoReturn:
        raise NotImplementedError

    def _too_large(self, size: int) -> NoReturn:
        raise errors.CorruptedError(
            f"the other side announces a message of {size} bytes, and has been told that max_message={self._limit} "
            "is the most: it is hostile or out of step"
        )


class FrameReader(_Reader):
    """Frames of weft's own protocol."""

    def __init__(self, stream: Stream, max_message: int, frame_timeout: float) -> None:
        super().__init__(stream, max_message, frame_timeout)
        self._unread: bytes | None = None  # the whole body of a small frame that was put back
        self._start: bytes | None = None  # what has come of a body's kind and head, while they are not whole
        self._kind, self._body_size = 0, 0  # of the body that has begun, once they are

    @property
    def between(self) -> bool:
        """Whether the next thing to read is a prefix, or what is left of one, or the body behind one."""
        return self._body is None and self._unread is None

    def put_back(self, body: bytes) -> None:
        """The body of a small frame is to be read again."""
        self._unread = body

    def size_ahead(self) -> int | None:
        """The payload's size of the next frame, if its prefix has been read."""
        if self._unread is not None:
            return len(self._unread) - 1
        if len(self._head) < PREFIX.size or self._body is not None:
            return None
        return int(PREFIX.unpack(self._head)[0] & ~HANDLES_FLAG) - 1

    def read_head(self, blocking: bool) -> None:
        """Reads the prefix alone. Raises as ``read``."""
        head = self._head
        while len(head) < PREFIX.size and self.between:
            if head:
                self._await(0)
            if blocking and not head:
                data = self._stream.recv_blocking(PREFIX.size)
            else:
                data = self._stream.recv(PREFIX.size - len(head))
            if not data:
                self._cut()
            self._head = head = head + data

    def read(self, blocking: bool) -> Frame:
        """Takes the next frame.

        Args:
            blocking: Whether to wait in the call for what can be waited for there.

        Raises:
            BlockingIOError: It is not all here.
            ConnectionLostError: The stream ends without a goodbye.
            CorruptedError: No honest peer sends this.
            SystemLimitError: A descriptor came, and there is no room for it; the frame is gone.
        """
        if self._unread is not None:
            body, self._unread = self._unread, None
            return self._small_frame(body, len(body))
        head = self._head
        if self._body is not None:
            return self._read_large(blocking)
        if len(head) < PREFIX.size:
            self.read_head(blocking)
            head = self._head
        (size,) = PREFIX.unpack(head)
        if 0 < size <= SMALL:
            stream = self._stream
            self._await(0)
            body = stream.recv(size + PREFIX.size) if not stream.is_tls else stream.recv(size)
            if len(body) >= size:
                self._head = body[size:]
                self._deadline = None
                return self._small_frame(body, size)
            if not body:
                self._cut()
            self._begin(body, size)  # only the beginning: the rest is read as that of a large body is
            return self._read_large(blocking)
        if size & HANDLES_FLAG:
            return self._read_handle(size & ~HANDLES_FLAG)
        if size == 0:
            raise errors.CorruptedError("a frame without a kind")
        if size > self._limit + OVERHEAD:
            self._too_large(size - 1)
        self._begin(b"", size)
        return self._read_large(blocking)

    def _small_frame(self, body: bytes, size: int) -> Frame:
        kind = body[0]
        if kind == Kind.BYTES:
            if size - 1 > self._limit:
                self._too_large(size - 1)
            return Frame(kind, body[1:size])
        if kind == Kind.VALUE:
            if size < OVERHEAD:
                raise errors.CorruptedError("a value's frame is cut short")
            if size - OVERHEAD > self._limit:
                self._too_large(size - OVERHEAD)
            return Frame(kind, body[OVERHEAD:size], VALUE_HEAD.unpack_from(body)[1])
        if kind == Kind.GOODBYE and size == 1:
            return Frame(kind, b"")
        raise errors.CorruptedError(f"a frame of the kind {kind} with {size} bytes, which weft never sends")

    def _begin(self, start: bytes, size: int) -> None:
        """A body of which this is here."""
        self._await(size)
        self._head, self._body = b"", b""
        self._start, self._size = start, size

    def _read_large(self, blocking: bool) -> Frame:
        if self._start is not None:
            self._read_start(self._start)
        data = self._take_body(blocking)
        if self._kind == Kind.BYTES:
            return Frame(Kind.BYTES, bytes(data))
        return Frame(Kind.VALUE, memoryview(data).toreadonly(), self._body_size, True)

    def _read_start(self, start: bytes) -> None:
        """Takes the kind and the head off the front of a body."""
        while len(start) < (wanted := OVERHEAD if start[:1] == _VALUE else 1):
            data = self._stream.recv(wanted - len(start))
            if not data:
                self._cut()
            self._start = start = start + data
        size = self._size - wanted
        if start[0] not in (Kind.VALUE, Kind.BYTES) or size < 0:
            raise errors.CorruptedError(
                f"a frame of the kind {start[0]} with {self._size} bytes, which weft never sends"
            )
        if size > self._limit:
            self._too_large(size)
        self._kind, self._size, self._start = start[0], size, None
        self._body_size = VALUE_HEAD.unpack_from(start)[1] if wanted == OVERHEAD else 0
        self._body = bytearray(start[wanted:]) if len(start) > wanted else b""

    def _read_handle(self, size: int) -> Frame:
        if not self._stream.passes_handles or size not in (1, _VIEW_BODY.size):
            raise errors.CorruptedError("a frame with a descriptor where none can be")
        self._await(0)
        data, handles, refused = self._stream.recv_handles(size)
        if not data:
            self._cut()
        self._head, self._deadline = b"", None
        try:
            if len(data) != size:
                raise errors.CorruptedError("a frame with a descriptor came in pieces")
            if refused and not handles:
                raise errors.SystemLimitError(
                    errno.EMFILE,
                    "a descriptor came and could not be taken: too many files are open (ulimit -n); it is lost",
                )
            if len(handles) != 1:
                raise errors.CorruptedError(f"{len(handles)} descriptors came with a frame that has one")
            if size == 1:
                if data[0] != Kind.HANDLE:
                    raise errors.CorruptedError(f"a descriptor with a frame of the kind {data[0]}")
                return Frame(Kind.HANDLE, handles.pop())
            kind, body_size, total = _VIEW_BODY.unpack(data)
            if kind != Kind.VIEW or total == 0 or body_size > total:
                raise errors.CorruptedError("a frame of a shared message that weft never sends")
            if total > self._limit:
                self._too_large(total)
            return Frame(Kind.VALUE, map_sealed(handles.pop(), total), body_size, True)
        finally:
            for handle in handles:
                os.close(handle)

    def _cut(self) -> NoReturn:
        where = "in the middle of a message" if self.begun else "without a goodbye"
        raise errors.ConnectionLostError(
            errno.ECONNRESET, f"the connection ended {where}: the other process died, or something cut it"
        )


class StandardReader(_Reader):
    """Messages of ``multiprocessing.connection``: a length, and as many bytes."""

    _SHORT, _LONG = struct.Struct("!i"), struct.Struct("!Q")

    def size_ahead(self) -> int | None:
        """The size of the next message, if its length has been read."""
        if len(self._head) < 4 or self._body is not None:
            return None
        (size,) = self._SHORT.unpack_from(self._head)
        if size >= 0:
            return int(size)
        return int(self._LONG.unpack_from(self._head, 4)[0]) if len(self._head) == 12 else None

    def read_head(self, blocking: bool) -> None:
        """Reads the length alone. Raises as ``read``."""
        while True:
            head = self._head
            wanted = 4 if len(head) < 4 or self._SHORT.unpack_from(head)[0] >= 0 else 12
            if len(head) == wanted:
                return
            if head:
                self._await(0)
            if blocking and not head:
                data = self._stream.recv_blocking(wanted)
            else:
                data = self._stream.recv(wanted - len(head))
            if not data:
                self._cut()
            self._head = head + data

    def read(self, blocking: bool) -> Frame:
        """Takes the next message. Raises as ``FrameReader.read``, and ``EOFError`` at the end."""
        if self._body is None:
            self.read_head(blocking)
            (size,) = self._SHORT.unpack_from(self._head)
            if size < 0:
                (size,) = self._LONG.unpack_from(self._head, 4)
            if size > self._limit:
                self._too_large(size)
            self._await(size)
            if size <= SMALL:
                data = self._stream.recv(size) if size else b""
                if len(data) == size:
                    self._head, self._deadline = b"", None
                    return Frame(Kind.BYTES, data)
                if not data:
                    self._cut()
                self._body = bytearray(data)
            else:
                self._body = b""
            self._size = size
            self._head = b""
        return Frame(Kind.BYTES, bytes(self._take_body(blocking)))

    def _cut(self) -> NoReturn:
        if self.begun:
            raise errors.ConnectionLostError(
                errno.ECONNRESET, "got end of file during message: the other process died, or something cut it"
            )
        raise EOFError("the other end is closed")


def discard(frame: Frame | None) -> None:
    """Lets go of a frame that nobody will take."""
    if frame is not None and frame.kind == Kind.HANDLE:
        with contextlib.suppress(OSError):
            os.close(frame.data)
