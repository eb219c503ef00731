"""Codecs: what may pass through an object, and how.

``"default"`` brings back Python's builtin data, dates and arrays, type for type, and decoding runs no
code. ``"raw"`` passes bytes. ``"json"`` and typed channels (``type=``) use msgspec. ``"pickle"`` passes
anything, and runs whatever a message tells it to: it is used only where it is asked for by name.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Protocol, runtime_checkable

from weft import errors
from weft._core import codec as _native

__all__ = ["UserCodec"]

_native.set_errors(errors.CorruptedError)


@runtime_checkable
class UserCodec(Protocol):
    """An object that encodes to bytes and decodes from them.

    Both ends must give one of the same name: its ``name`` attribute, or else its class's name.
    """

    def encode(self, obj: Any, /) -> Any:
        """Returns a bytes-like object."""

    def decode(self, data: Any, /) -> Any:
        """Returns the object; ``data`` is bytes-like and read-only."""


def make_codec(codec: Any, type_: Any) -> tuple[_native.Codec, dict[str, Any]]:
    """Builds the codec and what both ends must agree on, as plain data for the segment's header.

    Args:
        codec: A codec's name, an object with ``encode`` and ``decode``, or None for the default.
        type_: The type of a typed channel, or None.

    Raises:
        ValueError: An unknown name, or a type beside a codec that can't check it.
        TypeError: A type that msgspec can't check.
    """
    if type_ is not None:
        if codec not in (None, "default", "msgspec"):
            raise ValueError(f'type= goes with the codec "msgspec", not with {codec!r}')
        return _typed(type_)
    match codec:
        case None | "default":
            return _native.DefaultCodec(), {"codec": "default"}
        case "raw":
            return _native.RawCodec(), {"codec": "raw"}
        case "pickle":
            return _native.PickleCodec(), {"codec": "pickle"}
        case "json":
            import msgspec

            return _native.CallableCodec(
                "json", msgspec.json.Encoder().encode, _checked(msgspec.json.Decoder().decode)
            ), {"codec": "json"}
        case "msgspec":
            import msgspec

            return _native.CallableCodec(
                "msgspec", msgspec.msgpack.Encoder().encode, _checked(msgspec.msgpack.Decoder().decode)
            ), {"codec": "msgspec"}
        case str():
            raise ValueError(
                f'there is no codec {codec!r}: use "default", "raw", "pickle", "json", "msgspec" '
                "or an object with encode and decode"
            )
    if isinstance(codec, UserCodec):
        name = str(getattr(codec, "name", type(codec).__name__))
        return _native.CallableCodec(name, codec.encode, codec.decode), {"codec": f"user:{name}"}
    raise TypeError(f"codec must be a name or an object with encode and decode, not {type(codec).__name__}")


def _typed(type_: Any) -> tuple[_native.Codec, dict[str, Any]]:
    import msgspec

    try:
        schema = msgspec.json.schema(type_)
        decoder = msgspec.msgpack.Decoder(type_)
    except (TypeError, RuntimeError) as error:
        raise TypeError(f"type={type_!r} can't be checked by msgspec: {error}") from error
    digest = hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()[:16]
    name = getattr(type_, "__qualname__", None) or repr(type_)
    encode = msgspec.msgpack.Encoder().encode
    decode = decoder.decode

    def encode_checked(obj: Any) -> bytes:
        # A message of another type would fail in the consumer, far from its cause: a Struct or dataclass
        # of the type itself is sound; anything else is decoded once to see.
        data = encode(obj)
        if obj.__class__ is not type_:
            try:
                decode(data)
            except msgspec.ValidationError as error:
                raise TypeError(f"this channel carries {name}: {error}") from error
        return data

    return (
        _native.CallableCodec("msgspec", encode_checked, _checked(decode)),
        {"codec": "msgspec", "type": name, "schema": digest},
    )


def _checked(decode: Any) -> Any:
    """Msgspec's errors for a message that isn't one, as ours."""
    import msgspec

    def decode_checked(data: Any) -> Any:
        try:
            return decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise errors.CorruptedError(f"a message can't be decoded: {error}") from error

    return decode_checked
