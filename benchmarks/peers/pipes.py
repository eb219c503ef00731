"""Kernel pipes: `os.pipe` used directly, and `multiprocessing.Pipe`."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from .base import Channel, Get, Put, Setup

_PREFIX = 4


def _codec(name: str) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    if name == "pickle":
        return partial(pickle.dumps, protocol=pickle.HIGHEST_PROTOCOL), pickle.loads
    import msgspec  # only the rows that ask for it need it

    return msgspec.msgpack.encode, msgspec.msgpack.decode


class OsPipe(Channel):
    """A write and a read per message.

    The read asks for exactly one message, the fastest way a pipe has, and possible only if all
    messages have one size; `framed` is what a program does that cannot know the size.
    """

    def __init__(self, setup: Setup, *, codec: str | None = None, framed: bool = False) -> None:
        self.read_end, self.write_end = os.pipe()
        self.codec, self.framed = codec, framed
        self.size = setup.load.size
        if codec and not framed:
            encode, _ = _codec(codec)
            sizes = {len(encode(m)) for m in (*setup.load.lap, setup.load.last)}
            (self.size,) = sizes

    @contextmanager
    def sender(self) -> Iterator[Put]:
        """Yields a `put` that is one system call."""
        write = partial(os.write, self.write_end)
        if self.codec is None:
            yield write
            return
        encode, _ = _codec(self.codec)

        def put(message: Any) -> None:
            write(encode(message))

        def put_framed(message: Any) -> None:
            data = encode(message)
            write(len(data).to_bytes(_PREFIX, "little") + data)

        yield put_framed if self.framed else put

    @contextmanager
    def receiver(self, index: int = 0) -> Iterator[Get]:
        """Yields a `get` that is one system call, or two if framed."""
        read = partial(os.read, self.read_end)
        if self.codec is None:
            yield partial(os.read, self.read_end, self.size)
            return
        _, decode = _codec(self.codec)
        size = self.size

        def get() -> Any:
            return decode(read(size))

        def get_framed() -> Any:
            return decode(read(int.from_bytes(read(_PREFIX), "little")))

        yield get_framed if self.framed else get

    def close(self) -> None:
        """Closes both ends."""
        os.close(self.read_end)
        os.close(self.write_end)


class MpPipe(Channel):
    """`multiprocessing.Pipe`: bytes as bytes, dicts pickled, arrays as bytes-like objects."""

    def __init__(self, setup: Setup) -> None:
        self.read_end, self.write_end = multiprocessing.Pipe(duplex=False)
        self.kind = setup.load.kind

    @contextmanager
    def sender(self) -> Iterator[Put]:
        """Yields the connection's own method."""
        send_array = self.write_end.send_bytes
        puts: dict[str, Put] = {
            "bytes": self.write_end.send_bytes,
            "object": self.write_end.send,
            # A connection measures a buffer by len(), which counts an array's rows.
            "array": lambda frame: send_array(memoryview(frame).cast("B")),
        }
        yield puts[self.kind]

    @contextmanager
    def receiver(self, index: int = 0) -> Iterator[Get]:
        """Yields the connection's own method, with a NumPy view around the bytes of an array."""
        if self.kind == "array":
            import numpy

            receive = self.read_end.recv_bytes
            yield lambda: numpy.frombuffer(receive(), numpy.uint8)
        else:
            yield self.read_end.recv if self.kind == "object" else self.read_end.recv_bytes

    def close(self) -> None:
        """Closes both ends."""
        self.read_end.close()
        self.write_end.close()
