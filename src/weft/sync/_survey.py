"""All locks of a namespace, who holds them, and who waits: for those who look from outside."""

from __future__ import annotations

from dataclasses import dataclass

from weft.namespace import Namespace
from weft.statistics import Participant
from weft.sync._arenas import SORTS, each_arena
from weft.sync._people import participant, seconds_since


@dataclass(frozen=True)
class LockState:
    """One lock, or object of its kind, at one moment.

    Attributes:
        name: Its name; one that begins with ``anon-`` is weft's own.
        kind: ``"Lock"``, ``"Semaphore"``, ….
        owner: Who holds it, where one can; the writer of an RWLock.
        held_for: For how many seconds, at least: since somebody first met the owner.
        shares: What living processes have of it: permits, readers, places in a barrier.
        waiting: Who waits, each with seconds.
        marked: Whether an owner died and nobody has repaired.
    """

    name: str
    kind: str
    owner: Participant | None
    held_for: float | None
    shares: dict[Participant, int]
    waiting: tuple[tuple[Participant, float], ...]
    marked: bool


def survey(place: Namespace) -> list[LockState]:
    """Looks at all locks of a namespace. Joins their segments for as long as it takes."""
    found = []
    for arena in each_arena(place):
        waiters = arena.waiters()
        for index, name, sort in arena.records():
            held = arena.holder(index) if SORTS[sort] != "Barrier" else None
            has_shares = SORTS[sort] in ("RWLock", "Semaphore", "BoundedSemaphore", "Barrier")
            shares = arena.shares(index) if has_shares else []
            found.append(
                LockState(
                    name,
                    SORTS[sort],
                    None if held is None else participant(*held[:4]),
                    None if held is None else seconds_since(held[4]),
                    {participant(*share[:3]): share[3] for share in shares},
                    tuple(
                        (participant(*waiter[1:5]), seconds_since(waiter[5]))
                        for waiter in waiters
                        if waiter[0] == index
                    ),
                    arena.counters(index)[3],
                )
            )
    return sorted(found, key=lambda state: state.name)
