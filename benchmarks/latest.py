"""The latest value only: reads per second, alone or beside a writer, and writes per second."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.connection import Connection
from time import perf_counter, perf_counter_ns
from typing import Any

from .loads import Load
from .peers.base import Channel, Get, Put
from .processes import FORK, meet, partner, stop

_SAMPLES = 20_000


def run(channel: Channel, load: Load, seconds: float, way: str) -> dict[str, float]:
    """Measures in this process; beside it another one writes, if asked for.

    Returns:
        ``value``, in reads or writes per second; of reads also the median and the 99th percentile of the time
        of one, in microseconds.
    """
    with channel.sender() as put, channel.receiver() as get:
        for message in load.proof:
            put(message)
            if get() != message:
                raise ValueError("a value was changed before the clock started")
        if way == "writes":
            return {"value": _write(put, get, load, seconds)}
        if way == "reads":
            return _read(get, load, seconds, load.proof[-1:])
    here, there = FORK.Pipe()
    writer = partner(_write_on, channel, load, there)
    meet(here)
    with channel.receiver() as get:
        outcome = _read(get, load, seconds, load.lap)
    stop(writer)
    return outcome


def _write_on(channel: Channel, load: Load, there: Connection) -> None:
    with channel.sender() as put:
        put(load.lap[0])
        meet(there)
        while True:
            for message in load.lap:
                put(message)


def _write(put: Put, get: Get, load: Load, seconds: float) -> float:
    laps, start = 0, perf_counter()
    while perf_counter() - start < seconds:
        for message in load.lap:
            put(message)
        laps += 1
    rate = laps * len(load.lap) / (perf_counter() - start)
    if get() != load.lap[-1]:
        raise ValueError("the value is not the one written last")
    return rate


def _read(get: Get, load: Load, seconds: float, possible: list[Any]) -> dict[str, float]:
    known, lap = set(possible), range(len(load.lap))
    whole: Callable[[Any], bool] = known.__contains__ if len(known) > 1 else possible[0].__eq__
    laps, start = 0, perf_counter()
    while perf_counter() - start < seconds:
        for _ in lap:
            if not whole(get()):
                raise ValueError("a value was read that nobody wrote")
        laps += 1
    rate = laps * len(lap) / (perf_counter() - start)
    samples = []
    for _ in range(_SAMPLES):
        begin = perf_counter_ns()
        get()
        samples.append(perf_counter_ns() - begin)
    samples.sort()
    return {"value": rate, "p50 us": samples[_SAMPLES // 2] / 1e3, "p99 us": samples[_SAMPLES * 99 // 100] / 1e3}
