"""One producer, one consumer: messages per second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

from .loads import Load, joined, page_sum
from .peers.base import Channel, Get, Put
from .processes import FORK, meet, partner


def run(channel: Channel, load: Load, seconds: float) -> dict[str, float]:
    """Measures from the first timed put to the arrival of the last message.

    Returns:
        ``value``, in messages per second.
    """
    here, there = FORK.Pipe()
    producer = partner(_produce, channel, load, seconds, there)
    meet(here)
    with channel.receiver() as get:
        meet(here)
        arrived = _messages(get, channel.batch, len(load.proof))
        for message, expected in zip(arrived, load.expected, strict=True):
            if not load.same(message, expected):
                raise ValueError("a message was changed before the clock started")
        meet(here)
        laps, elapsed = _consume(get, channel.batch, load)
        put = here.recv()
        if put != laps:
            raise ValueError(f"{put} laps were put, {laps} arrived")
        meet(here)
    producer.join()
    return {"value": laps * len(load.lap) / elapsed}


def chunks(messages: list[Any], batch: int) -> list[Any]:
    """Divides messages into what one `put` takes."""
    if not batch:
        return messages
    return [messages[i : i + batch] for i in range(0, len(messages), batch)]


def put_all(put: Put, messages: list[Any]) -> None:
    """Puts one after the other."""
    for message in messages:
        put(message)


def _produce(channel: Channel, load: Load, seconds: float, there: Connection) -> None:
    lap = chunks(load.lap, channel.batch)
    final = chunks([*load.lap[:-1], load.last], channel.batch)
    with channel.sender() as put:
        meet(there)
        meet(there)
        put_all(put, chunks(load.proof, channel.batch))
        meet(there)
        end = perf_counter() + seconds
        laps = 1
        while perf_counter() < end:
            put_all(put, lap)
            laps += 1
        put_all(put, final)
        there.send(laps)
        # A sender that leaves may take along the memory that the consumer still reads.
        meet(there)


def _consume(get: Get, batch: int, load: Load) -> tuple[int, float]:
    count = len(load.lap)
    take = _taker(get, batch, load)
    right, final = load.check(load.lap), load.check([*load.lap[:-1], load.last])
    laps, ended = 0, False
    start = perf_counter()
    while not ended:
        found = take(count)
        laps += 1
        ended = found == final
        if not ended and found != right:
            raise ValueError(f"messages of lap {laps} were lost, doubled or changed")
    return laps, perf_counter() - start


def _taker(get: Get, batch: int, load: Load) -> Callable[[int], Any]:
    """Makes what takes a lap of so many messages and returns what to check of it."""
    if batch:
        return lambda count: load.check(_take_batches(get, batch, count))
    if load.check is joined:
        return lambda count: joined([get() for _ in range(count)])
    return partial(_weigh_each, get, load)


def _take_batches(get: Get, batch: int, count: int) -> list[Any]:
    lap: list[Any] = []
    while len(lap) < count:
        # Asking for no more than the lap still has keeps laps apart.
        lap += get(min(batch, count - len(lap)))
    return lap


def _weigh_each(get: Get, load: Load, count: int) -> tuple[int, int]:
    """Large ones and objects are let go one by one, as in most programs, and not kept for a lap."""
    total = weight = 0
    if load.kind == "array":
        for _ in range(count):
            weight = page_sum(get())
            total += weight
    else:
        key = load.key
        for _ in range(count):
            weight = get()[key]
            total += weight
    return total, weight


def _messages(get: Get, batch: int, count: int) -> Iterator[Any]:
    while count > 0:
        got = get(min(batch, count)) if batch else [get()]
        count -= len(got)
        yield from got
