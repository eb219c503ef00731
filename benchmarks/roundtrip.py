"""There and back again: microseconds."""

from __future__ import annotations

from multiprocessing.connection import Connection
from time import perf_counter, perf_counter_ns

from .loads import Load
from .peers.base import Channel, Get, Put
from .processes import FORK, meet, partner, pin


def run(there: Channel, back: Channel, load: Load, seconds: float, cores: int) -> dict[str, float]:
    """Measures round trips, one message at a time.

    Args:
        there: The channel to the partner.
        back: The channel from it.
        load: What is sent.
        seconds: How long.
        cores: See `processes.pin`.

    Returns:
        The median as ``value`` and the 99th percentile as ``p99``.
    """
    here, other = FORK.Pipe()
    echo = partner(_echo, there, back, load, cores, other)
    pin(cores, 0)
    with there.sender() as put:
        meet(here)
        with back.receiver() as get:
            meet(here)
            for message in load.proof:
                put(message)
                if not load.same(get(), message):
                    raise ValueError("a message was changed before the clock started")
            samples = _trips(put, get, load, seconds)
            put(load.last)
            if not load.same(get(), load.last):
                raise ValueError("the last message was changed")
            meet(here)
    echo.join()
    samples.sort()
    return {
        "value": samples[len(samples) // 2] / 1000,
        "p99": samples[len(samples) * 99 // 100] / 1000,
    }


def _trips(put: Put, get: Get, load: Load, seconds: float) -> list[int]:
    samples: list[int] = []
    key, lap_weight, ticks = load.key, load.lap_weight, perf_counter_ns
    end = perf_counter() + seconds
    while perf_counter() < end:
        total = 0
        before = ticks()
        for message in load.lap:
            put(message)
            total += get()[key]
            now = ticks()
            samples.append(now - before)
            before = now
        if total != lap_weight:
            raise ValueError("messages were lost, doubled or changed")
    return samples


def _echo(there: Channel, back: Channel, load: Load, cores: int, other: Connection) -> None:
    pin(cores, 1)
    key, last = load.key, load.last_weight
    with back.sender() as put:
        meet(other)
        with there.receiver() as get:
            meet(other)
            weight = -1
            while weight != last:
                message = get()
                put(message)
                weight = message[key]
            meet(other)
