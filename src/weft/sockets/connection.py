"""Connection: one end of a conversation, with the interface of ``multiprocessing.connection.Connection``."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from multiprocessing import BufferTooShort, reduction
from types import TracebackType
from typing import Any

from weft import errors
from weft._core.codec import decode_in_place, decode_message, encode_parts
from weft.sockets import framing
from weft.sockets.conversation import Conversation, deadline_of
from weft.sockets.credentials import Peer
from weft.sockets.framing import Kind
from weft.sockets.outgoing import Outgoing
from weft.sockets.reader import Frame
from weft.sockets.settings import Settings
from weft.sockets.stream import READ, Stream, wait_until
from weft.sockets.transfer import sealed_file

__all__ = ["Connection"]

# A payload up to here is copied behind its head, which costs less than a second part.
_JOINED = 1 << 14
# The kernel's bytes for what the other side has not taken yet, from which nothing more is shared: two or three messages
# of whatever size, which no buffer bounds otherwise.
_MOST_UNDER_WAY = 4096
OVERHEAD = framing.OVERHEAD
PACK_HEAD, PACK_VALUE = framing.HEAD.pack, framing.WHOLE_HEAD.pack
UNPACK_SIZE = framing.SIZE.unpack_from
_MESSAGE, _HANDLE = (Kind.VALUE, Kind.BYTES), (Kind.HANDLE,)


class Connection(Conversation):
    """One end of a conversation over a socket, made by ``Listener``, ``Client``, ``sockets.serve`` and ``connect``.

    Messages arrive whole and in order, or not at all. Threads may use it at the same time, each call taking or
    sending one message; a task of an event loop uses the awaitable twins. ``fileno`` is the socket's descriptor,
    for ``multiprocessing.connection.wait``, ``select`` and event loops, and it is ready when there is something
    of the next message to read, or the end.

    When the other end is closed, what it has sent can still be received; then comes ``EOFError``. When it dies,
    or the connection is cut, it is ``ConnectionLostError`` instead, a ``ConnectionResetError``.

    It travels to other processes by pickling as the standard library's does (to a ``Process``, or through another
    connection), and by fork. Then two processes have the same end. One of them should use it; the other closes it,
    which ends nothing as long as that one has not used it since.

    Attributes:
        peer: The ``Peer`` at the other end.
    """

    # --- state -----------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether this end has been closed."""
        return self._closed

    @property
    def readable(self) -> bool:
        """Whether this end receives."""
        return self._readable

    @property
    def writable(self) -> bool:
        """Whether this end sends."""
        return self._writable

    @property
    def max_message(self) -> int:
        """The largest message that this end takes, in bytes."""
        return self._settings.max_message

    def fileno(self) -> int:
        """The socket's descriptor, to wait for what is to be received.

        With TLS, or before ``wait_connected``, it may be ready when there is no message yet: then ``poll`` says no.

        Raises:
            ConnectionClosedError: This end has been closed.
        """
        self._check_open()
        return self._stream.sock.fileno()

    def __repr__(self) -> str:
        return f"<weft.sockets.Connection to {self.peer}{' closed' if self._closed else ''}>"

    # --- sending ---------------------------------------------------------------------------------------

    def send(self, obj: Any, timeout: float | None = None) -> None:
        """Sends an object, encoded by the codec. Waits while the system's buffer is full.

        To a process of the same machine, on a Unix socket, an object with very large arrays or buffers
        (``share_from``) goes through memory that both have mapped: it is copied once here, and not at the other end.
        Where two such messages wait there already, the next goes through the socket, and so waits for its receiver.

        Args:
            obj: What the codec carries.
            timeout: Seconds to wait at most; None waits for ever, 0 not at all.

        Raises:
            TypeError: The codec does not carry it. Nothing has been sent.
            MessageTooLargeError: It is larger than what the other side takes. Nothing has been sent.
            TimeoutError: There was no room in time. If a part was out already, the rest goes out before the next
                message.
            BrokenPipeError: The other end is closed, or its process has died.
            ConnectionClosedError: This end has been closed.
        """
        parts, body_size = encode_parts(self._maker, obj)
        if len(parts) == 1:
            size = len(message := parts[0])
            if (
                size <= _JOINED
                and size <= self._max_send
                and self._send_short(PACK_VALUE(OVERHEAD + size, Kind.VALUE, body_size) + message)
            ):
                return
        self._check_writable()
        self._write(self._value(parts, body_size), timeout)

    def send_bytes(self, buf: Any, offset: int = 0, size: int | None = None, timeout: float | None = None) -> None:
        """Sends bytes, for ``recv_bytes`` at the other end.

        Args:
            buf: A bytes-like object.
            offset: Where in it to begin.
            size: How many bytes; None for all to its end.
            timeout: As for ``send``.

        Raises:
            ValueError: Offset or size are negative or beyond the end.
            MessageTooLargeError: As for ``send``, which see for the others too.
        """
        if (
            type(buf) is bytes
            and size is None
            and not offset
            and (length := len(buf)) <= _JOINED
            and length <= self._max_send
            and self._send_short(PACK_HEAD(1 + length, Kind.BYTES) + buf)
        ):
            return
        self._check_writable()
        self._write(self._bytes(buf, offset, size), timeout)

    def send_handle(self, handle: Any, destination_pid: int | None = None, *, timeout: float | None = None) -> None:
        """Sends a descriptor over a Unix socket, for ``recv_handle`` at the other end, in order with the messages.

        Args:
            handle: A descriptor, or an object with ``fileno()``. The other end gets one of its own.
            destination_pid: Not needed, and not looked at; ``multiprocessing.reduction.send_handle`` has it.
            timeout: As for ``send``.

        Raises:
            ValueError: This connection does not pass descriptors: it is TCP, or the standard library's protocol.
            OSError: There is no such descriptor.
        """
        self._check_writable()
        self._write(self._handle_frame(handle), timeout)

    async def asend(self, obj: Any, timeout: float | None = None) -> None:
        """``send`` for event loops. A cancelled one has sent nothing, or the whole message goes out with the next."""
        self._check_writable()
        await self._awrite(self._value(*encode_parts(self._maker, obj)), timeout)

    async def asend_bytes(
        self, buf: Any, offset: int = 0, size: int | None = None, timeout: float | None = None
    ) -> None:
        """``send_bytes`` for event loops, cancelled as ``asend``."""
        self._check_writable()
        await self._awrite(self._bytes(buf, offset, size), timeout)

    async def asend_handle(self, handle: Any, *, timeout: float | None = None) -> None:
        """``send_handle`` for event loops, cancelled as ``asend``."""
        self._check_writable()
        await self._awrite(self._handle_frame(handle), timeout)

    def _value(self, parts: list[Any], body_size: int) -> Outgoing:
        settings = self._settings
        size = len(parts[0]) if len(parts) == 1 else sum(map(len, parts))
        if size > self._max_send:
            self._refuse_size(size)
        if settings.is_standard:
            return self._standard(parts[0], size)
        share_from = settings.share_from
        if len(parts) == 1 and size <= _JOINED:
            return Outgoing([framing.value_head(body_size, size) + parts[0]])
        may_share = share_from is not None and size >= share_from and self._stream.passes_handles and len(parts) > 1
        if may_share and self._stream.under_way() < _MOST_UNDER_WAY:
            with contextlib.suppress(errors.NoSpaceError):  # then it is streamed
                frame = framing.view_frame(body_size, size)
                return Outgoing([frame[:8]], frame[8:], sealed_file(parts, size))
        return Outgoing([framing.value_head(body_size, size), *parts])

    def _bytes(self, buf: Any, offset: int, size: int | None) -> Outgoing:
        if type(buf) is not bytes:
            buf = memoryview(buf)
            if not buf.c_contiguous:
                raise BufferError("the items of the buffer are not contiguous")
            buf = buf.cast("B") if buf.nbytes else b""
        length = len(buf)
        if offset or size is not None:
            if offset < 0:
                raise ValueError("offset is negative")
            if length < offset:
                raise ValueError("buffer length < offset")
            if size is None:
                size = length - offset
            elif size < 0:
                raise ValueError("size is negative")
            elif offset + size > length:
                raise ValueError("buffer length < offset + size")
            buf, length = memoryview(buf)[offset : offset + size], size
        if length > self._max_send:
            self._refuse_size(length)
        if self._settings.is_standard:
            return self._standard(buf, length)
        head = framing.frame_head(Kind.BYTES, length)
        return Outgoing([head + bytes(buf)] if length <= _JOINED else [head, buf])

    @staticmethod
    def _standard(data: Any, size: int) -> Outgoing:
        head = framing.standard_head(size)
        return Outgoing([head + bytes(data)] if size <= _JOINED else [head, data])

    def _handle_frame(self, handle: Any) -> Outgoing:
        if self._settings.is_standard or not self._stream.passes_handles:
            raise ValueError(
                "descriptors pass over Unix sockets and weft's own protocol alone: connect by a path, "
                "or send what the other side can open by itself"
            )
        descriptor = handle.fileno() if hasattr(handle, "fileno") else handle
        if isinstance(descriptor, bool) or not isinstance(descriptor, int):
            raise TypeError(f"a descriptor is an int, or an object with fileno(), not {type(handle).__name__}")
        try:
            own = os.dup(descriptor)  # whatever becomes of the caller's until it is sent
        except OSError as error:
            raise OSError(error.errno, f"descriptor {descriptor} can't be passed: {error.strerror}") from None
        return Outgoing([framing.PREFIX.pack(1 | framing.HANDLES_FLAG)], framing.HANDLE_BODY, own)

    # --- receiving -------------------------------------------------------------------------------------

    def recv(self, timeout: float | None = None) -> Any:
        """Receives an object. Waits for it.

        Large arrays and buffers of 8 KiB or more come back read-only; those in shared memory keep it until the
        last of them goes.

        Args:
            timeout: Seconds to wait at most; None waits for ever, 0 not at all.

        Raises:
            EOFError: The other end has been closed, and all it had sent is received.
            ConnectionLostError: The other side died, or the connection was cut, or a message did not go on
                within ``frame_timeout``.
            TimeoutError: Nothing whole was there in time; what has come of it is kept for the next call.
            CorruptedError: The other side sent what weft never sends, and the connection has been cut; or one message
                can't be decoded, and the next ones can.
            MismatchError: A descriptor comes next: use ``recv_handle``.
            ConnectionClosedError: This end has been closed.
        """
        if timeout is None and (body := self._take_short(Kind.VALUE)) is not None:
            return decode_message(self._maker, body[OVERHEAD:], UNPACK_SIZE(body, 1)[0])
        return self._decode(self._take(_MESSAGE, timeout))

    def recv_bytes(self, maxlength: int | None = None, timeout: float | None = None) -> bytes:
        """Receives what the other side has sent by ``send_bytes``.

        Of an object that was sent by ``send`` it takes the encoding; ``send_bytes`` passes it on, and ``recv`` at the
        end of that connection brings the object back. Both connections have the same codec then.

        Args:
            maxlength: Bytes that it may have.
            timeout: As for ``recv``.

        Raises:
            OSError: It is longer than ``maxlength`` (``MessageTooLargeError`` too). It stays, for another call.
            MismatchError: A descriptor comes next: use ``recv_handle``.
        """
        if maxlength is not None and maxlength < 0:
            raise ValueError("negative maxlength")
        if maxlength is None and timeout is None and (body := self._take_short(Kind.BYTES)) is not None:
            return body[1:]
        return _encoding(self._take(_MESSAGE, timeout, maxlength))

    def recv_bytes_into(self, buf: Any, offset: int = 0, timeout: float | None = None) -> int:
        """Receives what the other side has sent by ``send_bytes`` into memory.

        Args:
            buf: A writable bytes-like object.
            offset: Where in it to begin, in bytes.
            timeout: As for ``recv``.

        Returns:
            How many bytes.

        Raises:
            multiprocessing.BufferTooShort: It did not fit; the message is the exception's first argument.
            ValueError: The offset is negative or beyond the end.
            MismatchError: As for ``recv_bytes``.
        """
        with memoryview(buf) as memory:
            if memory.readonly:
                raise BufferError("the buffer is read-only")
            if offset < 0:
                raise ValueError("negative offset")
            if offset > memory.nbytes:
                raise ValueError("offset too large")
            data = _encoding(self._take(_MESSAGE, timeout))
            if memory.nbytes - offset < len(data):
                raise BufferTooShort(data)
            if data:
                memory.cast("B")[offset : offset + len(data)] = data
            return len(data)

    def recv_handle(self, timeout: float | None = None) -> int:
        """Receives a descriptor that the other side has sent by ``send_handle``; the caller closes it.

        Args:
            timeout: As for ``recv``.

        Raises:
            SystemLimitError: This process has too many files open; the descriptor is lost.
            MismatchError: Another message comes next. It stays, for the right call.
        """
        return self._take(_HANDLE, timeout).data  # type: ignore[no-any-return]

    async def arecv(self, timeout: float | None = None) -> Any:
        """``recv`` for event loops. A cancelled one has taken nothing."""
        return self._decode(await self._atake(_MESSAGE, timeout))

    async def arecv_bytes(self, maxlength: int | None = None, timeout: float | None = None) -> bytes:
        """``recv_bytes`` for event loops. A cancelled one has taken nothing."""
        if maxlength is not None and maxlength < 0:
            raise ValueError("negative maxlength")
        return _encoding(await self._atake(_MESSAGE, timeout, maxlength))

    async def arecv_handle(self, timeout: float | None = None) -> int:
        """``recv_handle`` for event loops. A cancelled one has taken nothing."""
        return (await self._atake(_HANDLE, timeout)).data  # type: ignore[no-any-return]

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Waits for something to receive, a message or the end.

        Args:
            timeout: Seconds to wait at most; 0 and less do not wait, None waits for ever.

        Returns:
            Whether there is something: the beginning of a message at least.
        """
        self._check_readable()
        deadline = None if timeout is None else time.monotonic() + max(timeout, 0)
        while True:
            if self._pending is not None or self._ended is not None:
                return True
            try:
                if self._handshake is not None:
                    self._settle()
                elif not self._stream.is_tls:
                    return wait_until(self._stream.sock.fileno(), READ, deadline)
                else:
                    with self._reading:
                        self._reader.read_head(False)
                    return True
            except BlockingIOError:
                if self._reader.begun:
                    return True
                if not wait_until(self._stream.sock.fileno(), self._stream.wanted(READ), deadline):
                    return False
            except Exception:  # recv tells
                return True

    def __iter__(self) -> Connection:
        return self

    def __next__(self) -> Any:
        try:
            return self.recv()
        except EOFError:
            raise StopIteration from None

    def __aiter__(self) -> Connection:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.arecv()
        except EOFError:
            raise StopAsyncIteration from None

    def _decode(self, frame: Frame) -> Any:
        data = frame.data
        if self._settings.is_standard:
            return decode_message(self._maker, data, len(data))
        if frame.in_place:
            return decode_in_place(self._maker, data, frame.body_size)
        if frame.kind == Kind.VALUE:
            return decode_message(self._maker, data, frame.body_size)
        if len(data) < framing.SIZE.size:
            raise errors.CorruptedError("these bytes were sent by send_bytes, and are no object: use recv_bytes")
        return decode_in_place(self._maker, memoryview(data)[framing.SIZE.size :], UNPACK_SIZE(data)[0])

    # --- coming to terms -------------------------------------------------------------------------------

    def wait_connected(self, timeout: float | None = None) -> None:
        """Waits until the other side has accepted, and both have come to terms.

        ``Client`` does so by itself if there is a key or TLS. If there is neither, it returns without having heard
        of the other side, as the standard library's does, and the first ``recv`` hears it.

        Args:
            timeout: Seconds to wait at most; None for ``handshake_timeout``.

        Raises:
            TimeoutError: Nobody has accepted in time.
            MismatchError: The other side speaks another codec.
            AccessError: The other side takes no connections of this user.
            AuthenticationError: The other side wants an authkey.
        """
        deadline = deadline_of(self._settings.handshake_timeout if timeout is None else timeout)
        self._check_open()
        while self._handshake is not None:
            try:
                return self._settle()
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TimeoutError("nobody has accepted the connection in time: is the listener busy?") from None
            self._wait(READ, deadline)

    # --- the end ---------------------------------------------------------------------------------------

    def close(self) -> None:
        """Closes this end, and tells the other that it is on purpose. May be repeated; never fails.

        What has been sent arrives. Calls of other threads and tasks end with ``ConnectionClosedError``. An end that
        this process has handed to another, by pickling or fork, and not used since, is closed here alone.
        """
        self._close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()

    # --- travelling ------------------------------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        self._check_open()
        if self._stream.is_tls:
            raise TypeError("a connection with TLS can't travel: its keys are in this process")
        self.wait_connected()
        if self._out is not None or self._pending is not None:
            raise TypeError("a connection can't travel in the middle of a message: finish it first")
        state = (self._settings, self.peer, self._max_send, self._readable, self._writable, self._reader.state())
        descriptor = reduction.DupFd(self.fileno())
        self._epoch = -1  # older than any: it is the other process's now, unless this one goes on using it
        return (_arrive, (descriptor, *state))


def _arrive(
    descriptor: Any, settings: Settings, peer: Peer, max_send: int, readable: bool, writable: bool, state: bytes
) -> Connection:
    """A connection that has travelled."""
    sock = socket.socket(fileno=descriptor.detach())
    connection = Connection(Stream(sock), settings, peer, max_send=max_send, readable=readable, writable=writable)
    connection._reader.resume(state)
    return connection


def _encoding(frame: Frame) -> bytes:
    """The bytes of a message; of an object, what ``_decode`` takes again."""
    if frame.kind == Kind.BYTES:
        return frame.data  # type: ignore[no-any-return]
    return framing.SIZE.pack(frame.body_size) + bytes(frame.data)
