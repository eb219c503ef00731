"""What locks count, for those who look."""

from __future__ import annotations

from typing import Any

from weft.statistics import LockStatistics, Participant, SemaphoreStatistics
from weft.sync._people import participant, seconds_since


def waiting_in(handle: Any) -> tuple[Participant, ...]:
    """The living threads that sleep for it."""
    return tuple(
        participant(pid, command, started, thread)
        for _, pid, command, started, thread, _ in handle._attachment.waiters(handle._index)
    )


def lock_statistics(handle: Any) -> LockStatistics:
    """Of a Lock or an RLock."""
    arena, index = handle._attachment, handle._index
    acquisitions, contended, deaths, marked = arena.counters(index)
    held = arena.holder(index)
    waiting = waiting_in(handle)
    return LockStatistics(
        owner=None if held is None else participant(*held[:4]),
        held_for=None if held is None else seconds_since(held[4]),
        waiters=len(waiting),
        waiting=waiting,
        acquisitions=acquisitions,
        contended=contended,
        owner_deaths=deaths,
        marked=marked,
    )


def semaphore_statistics(handle: Any) -> SemaphoreStatistics:
    """Of a Semaphore or a BoundedSemaphore."""
    arena, index = handle._attachment, handle._index
    acquisitions, contended, deaths, _ = arena.counters(index)
    waiting = waiting_in(handle)
    return SemaphoreStatistics(
        value=handle.get_value(),
        owners={participant(*share[:3]): share[3] for share in arena.shares(index)},
        waiters=len(waiting),
        waiting=waiting,
        acquisitions=acquisitions,
        contended=contended,
        owner_deaths=deaths,
    )


def statistics(handle: Any) -> Any:
    """``handle.statistics()``, whatever it is."""
    return _BY_SORT[handle._kind.name](handle)


_BY_SORT = {
    "Lock": lock_statistics,
    "RLock": lock_statistics,
    "Semaphore": semaphore_statistics,
    "BoundedSemaphore": semaphore_statistics,
}
