"""What is sent, and how it is checked on arrival: the same for every peer."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from operator import eq, itemgetter
from typing import Any

PAGE = 4096
_LAST = 255
_FRAME = (1080, 1920, 3)
_FRAMES = 4


@dataclass(frozen=True)
class Load:
    """The messages of a workload.

    Timed messages go in laps, so that neither end needs a clock or a count in its inner loop. A lap
    whose last message is `last` is the last one. Small messages are compared as a whole, one by one;
    of others a weight is added up, and a lap is right if its weights are.

    Attributes:
        kind: ``bytes``, ``object`` or ``array``.
        size: Bytes per message; 0 for objects.
        shape: The shape of arrays of bytes, else empty.
        lap: What is put in one timed lap.
        last: What is put instead of a lap's last message if no other lap follows.
        proof: Distinct messages, put before the clock starts.
        expected: What must arrive for `proof`.
        same: Whether an arrived message is in full the expected one.
        key: The subscript at which an arrived message carries its weight, a number that only a
            whole message has. Of arrays, None: their weight is `page_sum`.
        weight: The weight of what is put.
        whole: Whether messages are so small that they are compared as a whole.
    """

    kind: str
    size: int
    shape: tuple[int, ...]
    lap: list[Any]
    last: Any
    proof: list[Any]
    expected: list[Any]
    same: Callable[[Any, Any], bool]
    key: Any
    weight: Callable[[Any], int]
    whole: bool = False

    @cached_property
    def last_weight(self) -> int:
        """The weight of `last`, which no message of `lap` has."""
        return self.weight(self.last)

    @cached_property
    def lap_weight(self) -> int:
        """The sum of the weights of `lap`."""
        return sum(map(self.weight, self.lap))

    @cached_property
    def final_weight(self) -> int:
        """The sum of the weights of the last lap."""
        return self.lap_weight - self.weight(self.lap[-1]) + self.last_weight


def page_sum(array: Any) -> int:
    """Adds up one byte of every page of an array."""
    return int(array.reshape(-1)[::PAGE].sum())


def byte_strings(size: int, lap: int) -> Load:
    """Makes random bytes; the weight is the last byte, which only a whole message has."""
    source = random.Random(size)
    messages = [source.randbytes(size - 1) + bytes([i % _LAST]) for i in range(lap)]
    return Load(
        kind="bytes",
        size=size,
        shape=(),
        lap=messages,
        last=bytes(size - 1) + bytes([_LAST]),
        proof=messages,
        expected=messages,
        same=lambda message, expected: bytes(message) == expected,
        key=size - 1,
        weight=itemgetter(size - 1),
        whole=size <= PAGE,
    )


def objects(lap: int) -> Load:
    """Makes small dicts with an id each.

    All ids have the same width in pickle and in msgpack, for peers that read a fixed size.
    """
    messages: list[dict[str, Any]] = [{"id": 1000 + i, "name": "x", "xs": [1, 2, 3]} for i in range(lap)]
    last = {**messages[0], "id": 65_535}
    return Load(
        kind="object",
        size=0,
        shape=(),
        lap=messages,
        last=last,
        proof=messages,
        expected=messages,
        same=eq,
        key="id",
        weight=itemgetter("id"),
    )


def frames(*, in_place: bool = False) -> Load:
    """Makes RGB frames of 6.2 MB; the weight is the sum of one byte of every page.

    Copied frames lie in the sender's own memory.  In place, what is put is not a frame but a
    function that writes one into the array that the peer hands out: the whole frame for the
    proof, one byte of every page while the clock runs.
    """
    import numpy  # byte and object workloads do without

    def touch(array: Any, value: int) -> None:
        array.reshape(-1)[::PAGE] = value

    def fill(array: Any, frame: Any) -> None:
        array[...] = frame

    source = numpy.random.default_rng(1)
    pictures = [source.integers(0, _LAST, _FRAME, numpy.uint8) for _ in range(_FRAMES)]
    last = numpy.full(_FRAME, _LAST, numpy.uint8)
    size, pages = last.size, page_sum(last) // _LAST

    def weight(put: Any) -> int:
        return int(put.keywords["value"]) * pages if in_place else page_sum(put)

    return Load(
        kind="array",
        size=size,
        shape=_FRAME,
        lap=[partial(touch, value=i) for i in range(_FRAMES)] if in_place else pictures,
        last=partial(touch, value=_LAST) if in_place else last,
        proof=[partial(fill, frame=p) for p in pictures] if in_place else pictures,
        expected=pictures,
        same=lambda message, expected: numpy.array_equal(message.reshape(_FRAME), expected),
        key=None,
        weight=weight,
    )
