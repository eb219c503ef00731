"""ShareableList: a list of fixed length in shared memory, with the standard's interface.

In the memory, all numbers little-endian and 8 bytes long, everything at a multiple of 8:

    the bytes b"weftlist", and N, the number of items
    N places: where an item's value stands, and how much room it has
    N states: what is there now: its kind in the highest byte, its length in the rest
    the values

The kind and the exact length of each item are stored, so that what comes back is what was put, trailing NULs and
all; room is counted in bytes of UTF-8, not in characters.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any

from weft import errors
from weft._core.memory import SharedMemory
from weft._kinds import OTHERS

__all__ = ["ShareableList"]

_MAGIC = b"weftlist"
_HEADER = 16
_NONE, _BOOL, _INT, _FLOAT, _STR, _BYTES = range(6)
_KINDS = {type(None): _NONE, bool: _BOOL, int: _INT, float: _FLOAT, str: _STR, bytes: _BYTES}
# What `format` says, in the standard's words; None: a str or bytes, by its room.
_FORMATS = {_NONE: "xxxxxx?x", _BOOL: "xxxxxxx?", _INT: "q", _FLOAT: "d"}
_LENGTH = (1 << 56) - 1


class ShareableList:
    r"""A list in shared memory whose items any process may read and replace; its length is fixed.

    Items are str, bytes, int (64 bits), float, bool and None. They come back as they were put, also where the
    standard library's class loses something: trailing NULs, and characters of several bytes.

    The room of a str or bytes is that of its first value: its bytes, or its characters and one more if those are
    more, rounded up to a multiple of 8. Others may replace an item by anything that fits. Nothing orders accesses
    of different processes but your locks; without them a reader may see an item half replaced.

    Example:
        >>> import weft
        >>> mine = weft.ShareableList(["howdy", b"bytes\0", 100, -2.5, None, True], name="doctest-list")
        >>> other = weft.ShareableList(name="doctest-list")
        >>> other[2] += 1
        >>> list(mine)
        ['howdy', b'bytes\x00', 101, -2.5, None, True]
        >>> mine.shm.close(), other.shm.close()
        (None, None)

    Args:
        sequence: The items of a new list; None opens the one called ``name``.
        name: As that of every object; None gives it one, ``shm.name``.
        options: ``lifetime``, ``mode``, ``group`` and ``namespace`` of the memory: see ``SharedMemory``.

    Attributes:
        shm: The memory behind it: ``list.shm.close()`` and ``list.shm.unlink()`` end it.

    Raises:
        FileNotFoundError: Nothing has that name.
        FileExistsError: ``sequence`` was given, and something has that name.
        TypeError: An item is of another type.
        OverflowError: An int has more than 64 bits.
        MismatchError: What has that name is not a list.
        CorruptedError: It is one, and damaged.
    """

    def __init__(self, sequence: Iterable[Any] | None = None, *, name: str | None = None, **options: Any) -> None:
        if name is None or sequence is not None:
            self._make(list(sequence or ()), name, options)
        else:
            self._attach(SharedMemory(name, **options))

    def _make(self, items: list[Any], name: str | None, options: dict[str, Any]) -> None:
        values = [_encode(item) for item in items]
        places, at = [], _HEADER + 24 * len(items)
        for item, (_, data) in zip(items, values, strict=True):
            # As much as the standard gives, which counts characters, and as much as the bytes need.
            room = max(8 * (len(item) // 8 + 1), (len(data) + 7) // 8 * 8) if data is not None else 8
            places.append((at, room))
            at += room
        self.shm = SharedMemory(name, create=True, size=at, **options)
        self._places = places
        for position, (kind, data) in enumerate(values):
            struct.pack_into("<QQ", self.shm.buf, _HEADER + 16 * position, *places[position])
            self._store(position, kind, data, items[position])
        # Last: who opens it before finds no list yet.
        struct.pack_into("<8sQ", self.shm.buf, 0, _MAGIC, len(items))

    def _attach(self, shm: SharedMemory) -> None:
        """Checks all that will be relied on."""
        try:
            size = shm.size
            magic, count = struct.unpack("<8sQ", shm[:_HEADER]) if size >= _HEADER else (b"", 0)
            if magic != _MAGIC:
                raise errors.MismatchError(
                    f"SharedMemory {shm.name!r} holds no ShareableList, or one that is not complete yet",
                    "ShareableList",
                    "SharedMemory",
                )
            start = _HEADER + 24 * count
            table = shm[_HEADER : _HEADER + 16 * count] if start <= size else b""
            self._places = list(struct.iter_unpack("<QQ", table))
            if len(self._places) != count or any(
                at < start or at % 8 or room < 8 or at + room > size for at, room in self._places
            ):
                raise errors.CorruptedError(f"ShareableList {shm.name!r} is damaged: unlink it and make a new one")
        except BaseException:
            shm.close()
            raise
        self.shm = shm

    def _store(self, position: int, kind: int, data: bytes | None, value: Any) -> None:
        at, _ = self._places[position]
        if data is None:
            data = struct.pack("<d" if kind == _FLOAT else "<q", value or 0)
        self.shm[at : at + len(data)] = data
        struct.pack_into("<Q", self.shm.buf, self._state_at(position), kind << 56 | len(data))

    def _state_at(self, position: int) -> int:
        return _HEADER + 16 * len(self._places) + 8 * position

    def _state(self, position: int) -> tuple[int, int]:
        (state,) = struct.unpack_from("<Q", self.shm.buf, self._state_at(position))
        kind, length = state >> 56, state & _LENGTH
        if kind > _BYTES or length > self._places[position][1] or (kind < _STR and length != 8):
            self._fail_damaged(position)
        return kind, length

    def _fail_damaged(self, position: int) -> None:
        raise errors.CorruptedError(
            f"item {position} of ShareableList {self.shm.name!r} is damaged, or was read while it was replaced"
        )

    def _check(self, position: Any, what: str) -> int:
        if not hasattr(position, "__index__"):
            raise TypeError(f"list indices must be integers, not {type(position).__name__}")
        index = int(position.__index__())
        index = index + len(self._places) if index < 0 else index
        if not 0 <= index < len(self._places):
            raise IndexError(f"{what} out of range")
        return index

    def __getitem__(self, position: int) -> Any:
        position = self._check(position, "index")
        kind, length = self._state(position)
        at, _ = self._places[position]
        data = self.shm[at : at + length]
        if kind == _NONE:
            return None
        if kind == _BYTES:
            return data
        if kind == _STR:
            try:
                return data.decode("utf-8", "surrogatepass")
            except UnicodeDecodeError:
                self._fail_damaged(position)
        (value,) = struct.unpack("<d" if kind == _FLOAT else "<q", data)
        return bool(value) if kind == _BOOL else value

    def __setitem__(self, position: int, value: Any) -> None:
        position = self._check(position, "assignment index")
        kind, data = _encode(value)
        _, room = self._places[position]
        if data is not None and len(data) > room:
            raise ValueError(f"bytes/str item exceeds available storage: {len(data)} bytes for {room}")
        self._store(position, kind, data, value)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Any]:
        return (self[position] for position in range(len(self)))

    def __repr__(self) -> str:
        if self.shm.closed:
            return f"<weft.{type(self).__name__} closed>"
        return f"{type(self).__name__}({list(self)}, name={self.shm.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopen, (type(self), self.shm))

    def _get_packing_format(self, position: int) -> str:
        position = self._check(position, "index")
        kind, _ = self._state(position)
        return _FORMATS.get(kind) or f"{self._places[position][1]}s"

    @property
    def format(self) -> str:
        """The items' types and room, as the standard library's class tells them."""
        return "".join(self._get_packing_format(position) for position in range(len(self)))

    def count(self, value: Any) -> int:
        """How many items equal ``value``."""
        return sum(value == item for item in self)

    def index(self, value: Any) -> int:
        """The index of the first item that equals ``value``.

        Raises:
            ValueError: None does.
        """
        for position, item in enumerate(self):
            if value == item:
                return position
        raise ValueError(f"{value!r} not in this container")


def _encode(value: Any) -> tuple[int, bytes | None]:
    """A value's kind, and its bytes if its length varies."""
    kind = _KINDS.get(type(value))
    if kind is None:
        names = ", ".join(kind.__name__ for kind in _KINDS)
        raise TypeError(f"a ShareableList holds {names}, not {type(value).__name__}")
    if kind == _INT and not -(1 << 63) <= value < 1 << 63:
        raise OverflowError(f"an int in a ShareableList has 64 bits: {value} does not fit")
    if kind == _STR:
        return kind, value.encode("utf-8", "surrogatepass")
    return kind, value if kind == _BYTES else None


def _reopen(cls: type[ShareableList], shm: SharedMemory) -> ShareableList:
    made = cls.__new__(cls)
    made._attach(shm)
    return made


OTHERS["ShareableList"] = ShareableList
