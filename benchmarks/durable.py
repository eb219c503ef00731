"""Messages per second of a sender each batch of whose messages is on the disk before it sends the next."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from .flow import chunks
from .loads import Load
from .peers.base import Channel

# Batches, and messages at most, between two looks at what has arrived, for which the clock stands still.
_BATCHES, _MESSAGES = 100, 20_000


def run(channel: Channel, load: Load, seconds: float) -> dict[str, float]:
    """Measures the puts alone; what they have put is taken out and compared in between.

    Returns:
        ``value``, in messages per second.
    """
    size = channel.batch or 1
    count = min(size * _BATCHES, _MESSAGES)
    messages = (load.lap * (count // len(load.lap) + 1))[:count]
    batches = chunks(messages, channel.batch)
    elapsed, sent = 0.0, 0
    with channel.sender() as put, channel.receiver() as take_all:
        _lap(put, take_all, batches, messages)
        while elapsed < seconds:
            elapsed += _lap(put, take_all, batches, messages)
            sent += len(messages)
    return {"value": sent / elapsed}


def _lap(put: Callable[[Any], Any], take_all: Callable[[], Any], batches: list[Any], messages: list[Any]) -> float:
    start = perf_counter()
    for batch in batches:
        put(batch)
    took = perf_counter() - start
    if take_all() != messages:
        raise ValueError("a message was lost, doubled or changed")
    return took
