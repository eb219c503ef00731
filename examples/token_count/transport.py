"""How fast messages travel from one process to another, through weft and through multiprocessing alike.

Both queues work between the same two processes, in turn. The time runs from before the first ``put`` to
after the last ``get``; that everything has arrived is checked when the time has been taken.
"""

from __future__ import annotations

import multiprocessing
import signal
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import weft

ROUNDS = 3
AT_LEAST = 50_000  # messages in one round: enough for the faster of the two
START_SECONDS = 30

_shared: dict[str, Any] = {}


def compare(messages: list[Any]) -> dict[str, float]:
    """Messages per second from one producer to one consumer: the median of a few rounds."""
    spawn = multiprocessing.get_context("spawn")
    queues = {"weft": weft.Queue(), "multiprocessing": spawn.Queue()}
    times = -(-AT_LEAST // len(messages))
    speeds: dict[str, list[float]] = {name: [] for name in queues}
    setup = (queues, spawn.Barrier(2), messages, times)
    with ProcessPoolExecutor(2, mp_context=spawn, initializer=_share, initargs=setup) as pool:
        for _ in range(ROUNDS):
            for name in queues:
                begin, end = pool.submit(_produce, name), pool.submit(_consume, name)
                speeds[name].append(times * len(messages) / (end.result() - begin.result()))
    return {name: statistics.median(found) for name, found in speeds.items()}


def _share(queues: dict[str, Any], both_ready: Any, messages: list[Any], times: int) -> None:
    # Ctrl-C is the parent's affair; a round that has begun is over in a moment.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _shared.update(queues=queues, both_ready=both_ready, messages=messages, times=times)


def _produce(name: str) -> float:
    queue, messages = _shared["queues"][name], _shared["messages"]
    _shared["both_ready"].wait(START_SECONDS)
    begin = time.monotonic()
    for _ in range(_shared["times"]):
        for message in messages:
            queue.put(message)
    return begin


def _consume(name: str) -> float:
    queue, expected = _shared["queues"][name], _shared["messages"] * _shared["times"]
    _shared["both_ready"].wait(START_SECONDS)
    arrived = [queue.get() for _ in expected]
    end = time.monotonic()
    if arrived != expected:
        raise RuntimeError(f"{name}: what arrived is not what was sent")
    return end
