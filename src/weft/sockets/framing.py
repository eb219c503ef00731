"""What goes over the wire: the preamble, and frames. Pure functions of bytes; nothing here does input or output.

A connection begins with fixed-size records, so that nobody needs to be believed about a length before it
is known who is there: a ``hello`` from each side, a proof from each side if there is a key, ``terms`` from
each side. Frames follow::

    prefix   8 bytes, little-endian: the size of the body, at least 1; the highest bit tells that
             descriptors come along with the body
    body     a kind (1 byte), and what that kind has

As no body is empty, a receiver can read the next prefix together with a body and still be woken by
``select`` for the next frame: its body is yet to be read.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from dataclasses import dataclass
from typing import Any

from weft import errors

__all__ = ["Hello", "Kind", "Refusal", "Terms"]

# No text protocol and no length of the standard library's begins like this.
MAGIC = b"\x89weft\r\n"
VERSION = 1
NONCE = 32
HANDLES_FLAG = 1 << 63
PREFIX = struct.Struct("<Q")
HEAD = struct.Struct("<QB")  # prefix, kind
WHOLE_HEAD = struct.Struct("<QBQ")  # prefix, kind; size of the message's body
# Signed, so that what is too large for any memory is negative, and refused as that is.
SIZE = struct.Struct("<q")
VALUE_HEAD = struct.Struct("<Bq")  # kind; size of the message's body, the rest being its buffers
VIEW_FRAME = struct.Struct("<QBQQ")  # prefix, kind; size of the message's body, of the message
# Beside the payload, in the body of a frame.
OVERHEAD = VALUE_HEAD.size


class Kind:
    """The first byte of a frame's body."""

    VALUE = 1  # an object, encoded
    BYTES = 2  # bytes as they are
    GOODBYE = 3  # nothing follows; the other end is closed on purpose
    VIEW = 4  # an object, encoded in a sealed file whose descriptor comes along
    HANDLE = 5  # a descriptor


class Refusal:
    """Why a listener does not go on, in its hello or its terms."""

    NONE = 0
    USER = 1
    FULL = 2


GOODBYE = PREFIX.pack(1) + bytes((Kind.GOODBYE,))
HANDLE_BODY = bytes((Kind.HANDLE,))


@dataclass(frozen=True)
class Hello:
    """The first record of either side.

    Attributes:
        nonce: Never used before.
        wants_proof: Whether this side has a key and will not go on without proof of the other's.
        refusal: Of a listener.
    """

    nonce: bytes
    wants_proof: bool
    refusal: int = Refusal.NONE

    LAYOUT = struct.Struct("<7sBBBH4x32s")  # magic, version, flags, refusal, reserved, nonce

    @classmethod
    def new(cls, wants_proof: bool, refusal: int = Refusal.NONE) -> Hello:
        """One with a nonce of its own."""
        return cls(os.urandom(NONCE), wants_proof, refusal)

    def pack(self) -> bytes:
        """The record."""
        return self.LAYOUT.pack(MAGIC, VERSION, self.wants_proof, self.refusal, 0, self.nonce)

    @classmethod
    def unpack(cls, data: bytes) -> Hello:
        """Reads the record.

        Raises:
            MismatchError: Another version.
            CorruptedError: No such record: the other side speaks something else.
        """
        magic, version, flags, refusal, reserved, nonce = cls.LAYOUT.unpack(data)
        if magic != MAGIC:
            raise errors.CorruptedError(
                f"the other side does not speak weft's protocol (it begins with {data[:12]!r}): compare the "
                'addresses; protocol="multiprocessing" speaks the standard library\'s'
            )
        if version != VERSION:
            raise errors.MismatchError(
                f"the other side speaks version {version} of weft's protocol, this one {VERSION}: "
                "use the same version of weft",
                VERSION,
                version,
            )
        if flags > 1 or reserved or refusal not in (Refusal.NONE, Refusal.USER):
            raise errors.CorruptedError("the other side's hello has what this version of weft never sends")
        return cls(nonce, bool(flags), refusal)


@dataclass(frozen=True)
class Terms:
    """What a side says when it is known who it is.

    Attributes:
        digest: Of codec and schema.
        name: The codec in words, for errors.
        max_message: The largest message it will take, in bytes.
        refusal: Of a listener.
    """

    digest: bytes
    name: str
    max_message: int
    refusal: int = Refusal.NONE

    LAYOUT = struct.Struct("<QBB6x32s80s")  # max_message, refusal, size of the name, digest, name
    LONGEST_NAME = 80

    @classmethod
    def of(cls, config: dict[str, Any], max_message: int) -> Terms:
        """For a codec, by what ``make_codec`` says that both ends must agree on."""
        digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).digest()
        kind = f" of {config['type']}" if "type" in config else ""
        return cls(digest, config["codec"] + kind, max_message)

    def pack(self, refusal: int = Refusal.NONE) -> bytes:
        """The record."""
        name = self.name.encode("utf-8", "replace")[: self.LONGEST_NAME]
        return self.LAYOUT.pack(self.max_message, refusal, len(name), self.digest, name)

    @classmethod
    def unpack(cls, data: bytes) -> Terms:
        """Reads the record.

        Raises:
            CorruptedError: It holds what no honest program writes.
        """
        max_message, refusal, size, digest, name = cls.LAYOUT.unpack(data)
        if size > cls.LONGEST_NAME or refusal not in (Refusal.NONE, Refusal.FULL) or not 0 < max_message < 1 << 62:
            raise errors.CorruptedError("the other side's terms have what this version of weft never sends")
        return cls(digest, name[:size].decode("utf-8", "replace"), max_message, refusal)


def frame_head(kind: int, size: int) -> bytes:
    """Prefix and kind of a frame with that many bytes behind them."""
    return HEAD.pack(1 + size, kind)


def value_head(body_size: int, size: int) -> bytes:
    """All of a value's frame that stands before the message of ``size`` bytes."""
    return WHOLE_HEAD.pack(OVERHEAD + size, Kind.VALUE, body_size)


def view_frame(body_size: int, size: int) -> bytes:
    """The frame that comes along with a sealed file of ``size`` bytes."""
    return VIEW_FRAME.pack((VIEW_FRAME.size - PREFIX.size) | HANDLES_FLAG, Kind.VIEW, body_size, size)


_SHORT, _LONG = struct.Struct("!i"), struct.Struct("!iQ")


def standard_head(size: int) -> bytes:
    """What stands before a message of that size in the standard library's protocol."""
    return _SHORT.pack(size) if size <= 0x7FFFFFFF else _LONG.pack(-1, size)
