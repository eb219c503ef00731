"""What locks count, for those who look."""

from __future__ import annotations

from typing import Any

from weft.statistics import (
    BarrierStatistics,
    ConditionStatistics,
    EventStatistics,
    LockStatistics,
    Participant,
    RWLockStatistics,
    SemaphoreStatistics,
)
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


def rwlock_statistics(handle: Any) -> RWLockStatistics:
    """Of an RWLock."""
    writers = lock_statistics(handle)
    shares = handle._attachment.shares(handle._index)
    return RWLockStatistics(
        writers.owner,
        writers.held_for,
        {participant(*share[:3]): share[3] for share in shares},
        writers.waiters,
        writers.waiting,
        writers.acquisitions,
        writers.contended,
        writers.owner_deaths,
        writers.marked,
    )


def condition_statistics(handle: Any) -> ConditionStatistics:
    """Of a Condition."""
    waiting = waiting_in(handle)
    return ConditionStatistics(lock_statistics(handle._lock), handle._waiting(), waiting)


def event_statistics(handle: Any) -> EventStatistics:
    """Of an Event."""
    waiting = waiting_in(handle)
    return EventStatistics(handle.is_set(), handle._count() // 2, len(waiting), waiting)


def barrier_statistics(handle: Any) -> BarrierStatistics:
    """Of a Barrier."""
    arena, index = handle._attachment, handle._index
    waiting = waiting_in(handle)
    members = tuple(participant(*share[:3]) for share in arena.shares(index))
    deaths = arena.counters(index)[2]
    return BarrierStatistics(handle.parties, handle.n_waiting, members, handle.broken, deaths, len(waiting), waiting)


def statistics(handle: Any) -> Any:
    """``handle.statistics()``, whatever it is."""
    return _BY_SORT[handle._kind.name](handle)


_BY_SORT = {
    "Lock": lock_statistics,
    "RLock": lock_statistics,
    "Semaphore": semaphore_statistics,
    "BoundedSemaphore": semaphore_statistics,
    "RWLock": rwlock_statistics,
    "Condition": condition_statistics,
    "Event": event_statistics,
    "Barrier": barrier_statistics,
}
