"""One producer, one consumer: messages per second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
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
    take = taker(get, batch, load)
    laps, ended = 0, False
    start = perf_counter()
    while not ended:
        ended = take()
        laps += 1
    return laps, perf_counter() - start


def taker(get: Get, batch: int, load: Load) -> Callable[[], bool]:
    """Makes what takes a lap, checks it, and tells whether it was the last."""
    if batch:
        return partial(_take_batches, get, batch, load)
    return partial(_take_whole if load.whole else _take_weighed, get, load)


def _take_whole(get: Get, load: Load) -> bool:
    message: Any = None
    for expected in load.lap:
        message = get()
        if message != expected and not (message == load.last and expected is load.lap[-1]):
            raise ValueError("a message was lost, doubled or changed")
    return bool(message == load.last)


def _take_batches(get: Get, batch: int, load: Load) -> bool:
    messages: list[Any] = []
    at, end = 0, len(load.lap)
    while at < end:
        # Asking for no more than the lap still has keeps laps apart.
        messages = get(min(batch, end - at))
        expected = load.lap[at : at + len(messages)]
        at += len(messages)
        if messages != expected and not (at == end and messages == [*expected[:-1], load.last]):
            raise ValueError("a message was lost, doubled or changed")
    return bool(messages[-1] == load.last)


def _take_weighed(get: Get, load: Load) -> bool:
    total = weight = 0
    if load.kind == "array":
        for _ in load.lap:
            weight = page_sum(get())
            total += weight
    else:
        key = load.key
        for _ in load.lap:
            weight = get()[key]
            total += weight
    ended = weight == load.last_weight
    if total != (load.final_weight if ended else load.lap_weight):
        raise ValueError("messages were lost, doubled or changed")
    return ended


def _messages(get: Get, batch: int, count: int) -> Iterator[Any]:
    while count > 0:
        got = get(min(batch, count)) if batch else [get()]
        count -= len(got)
        yield from got
