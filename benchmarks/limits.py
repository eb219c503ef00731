"""What the check alone allows: the consumer's loop with messages made, or only met, in its own process."""

from __future__ import annotations

from itertools import cycle, islice
from time import perf_counter
from typing import Any

from .flow import taker
from .loads import Load


def run(load: Load, seconds: float, *, batch: int = 0, made: bool = True) -> dict[str, float]:
    """Measures the loop of `flow` with nothing behind `get`.

    Args:
        load: Bytes.
        seconds: How long.
        batch: As a channel's.
        made: Whether each message is made, by one call of a built-in method that copies it, and freed; otherwise
            it is one that has been there, as no channel between processes can have it.

    Returns:
        ``value``, in messages per second.
    """
    copies = [bytes(bytearray(message)) for message in load.lap]
    messages: Any = cycle(copies)
    if made:
        messages = map(memoryview.tobytes, cycle(map(memoryview, copies)))
    take = taker((lambda count: list(islice(messages, count))) if batch else messages.__next__, batch, load)
    laps = 0
    start = perf_counter()
    while perf_counter() - start < seconds:
        take()
        laps += 1
    return {"value": laps * len(load.lap) / (perf_counter() - start)}
