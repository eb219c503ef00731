"""One producer, one consumer: messages per second."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

from .loads import Load, page_sum
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
    count, key = len(load.lap), load.key
    lap_weight = sum(load.weights)
    final_weight = lap_weight - load.weights[-1] + load.last_weight
    laps, last = 0, -1
    start = perf_counter()
    while last != load.last_weight:
        if key is None:
            total, last = _take_arrays(get, count)
        elif batch:
            total, last = _take_batches(get, count, key, batch)
        else:
            total, last = _take_singly(get, count, key)
        laps += 1
        if total != (final_weight if last == load.last_weight else lap_weight):
            raise ValueError(f"messages of lap {laps} were lost, doubled or changed")
    return laps, perf_counter() - start


def _take_singly(get: Get, count: int, key: int | str) -> tuple[int, int]:
    total = 0
    message: Any = None
    for _ in range(count):
        message = get()
        total += message[key]
    return total, message[key]


def _take_batches(get: Get, count: int, key: int | str, batch: int) -> tuple[int, int]:
    total = 0
    message: Any = None
    while count:
        # Asking for no more than the lap still has keeps laps apart.
        messages = get(min(batch, count))
        count -= len(messages)
        for message in messages:
            total += message[key]
    return total, message[key]


def _take_arrays(get: Get, count: int) -> tuple[int, int]:
    total = weight = 0
    for _ in range(count):
        weight = page_sum(get())
        total += weight
    return total, weight


def _messages(get: Get, batch: int, count: int) -> Iterator[Any]:
    while count > 0:
        got = get(min(batch, count)) if batch else [get()]
        count -= len(got)
        yield from got
