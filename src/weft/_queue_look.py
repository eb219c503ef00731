"""What a queue's counters mean, and what it tells to who looks from outside."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weft import errors
from weft._core import look as _native
from weft.statistics import AttachedProcess, QueueStatistics

if TYPE_CHECKING:
    from weft._core.look import Look

_SHOWN = (
    "depth", "depth_bytes", "sent", "received", "leased", "dropped", "redelivered", "dead_lettered",
    "waiting_producers", "waiting_consumers",
)  # fmt: skip


def statistics_of(counters: dict[str, int], producers: int, consumers: int, attached: int) -> QueueStatistics:
    """The statistics of a queue with these counters, so many threads waiting and so many participants."""
    taken = counters["received"] - counters["dropped_oldest"] - counters["leased"] - counters["returned"]
    dropped = counters["dropped_oldest"] + counters["dropped_newest"]
    waiting_bytes = max(counters["sent_bytes"] - counters["received_bytes"], 0) + counters["returned_bytes"]
    if counters["ended"]:  # at once: what is there still, or comes back, is for nobody any more
        dropped += max(counters["sent"] - counters["received"] + counters["returned"], 0)
        waiting_bytes = 0
    return QueueStatistics(
        sent=counters["sent"] + counters["dropped_newest"],
        received=max(taken, 0),
        dropped=dropped,
        redelivered=counters["redelivered"],
        dead_lettered=counters["dead_lettered"],
        depth=counters["depth"],
        leased=counters["leased"],
        depth_bytes=waiting_bytes,
        capacity=counters["capacity"],
        reserved=counters["reserved"],
        waiting_producers=producers,
        waiting_consumers=consumers,
        attached=attached,
    )


def inspect(look: Look, people: Mapping[int, AttachedProcess], settings: dict[str, Any]) -> dict[str, Any]:
    """What a queue with these settings tells, read without opening it.

    Raises:
        CorruptedError: It is no queue.
    """
    found = _native.queue_counters(look)
    if found is None:
        raise errors.CorruptedError("it holds what is no queue")
    counters, locks, holders = found
    alive = [person for person in people.values() if person.alive]
    numbers = statistics_of(
        counters,
        sum(person.waiting.get("room", 0) for person in alive),
        sum(person.waiting.get("messages", 0) for person in alive),
        len(alive),
    )
    locked = {what: people.get(owner) for what, owner in locks.items() if owner}
    return {
        "size": settings["capacity"],
        "state": ("open", "shut down", "shut down at once")[min(counters["shut"], 2)],
        **{name: settings[name] for name in ("maxsize", "max_message", "max_deliveries")},
        **{name: settings[name] for name in ("codec", "type", "dead_letter")},
        **{name: getattr(numbers, name) for name in _SHOWN},
        "locked": [{"lock": what, "process": person} for what, person in locked.items()],
        "holding": [
            {"process": people.get(owner), "leases": leases, "views_bytes": views, "loans_bytes": loans}
            for owner, (leases, views, loans) in sorted(holders.items())
        ],
        "notes": _notes(numbers, settings, locked, alive),
    }


def _notes(
    numbers: QueueStatistics,
    settings: dict[str, Any],
    locked: dict[str, AttachedProcess | None],
    alive: list[AttachedProcess],
) -> list[str]:
    """Who keeps whom waiting."""
    notes = []
    for what, person in locked.items():
        if person is not None and person.state == "stopped":
            who = "who need memory" if what == "memory" else f"other {what}"
            notes.append(f"pid {person.pid} was stopped inside a call and holds the lock of the {what}: {who} wait")
    if numbers.waiting_producers:
        limit = settings["maxsize"] or math.inf
        full = "it has as many messages as maxsize allows" if numbers.depth >= limit else "its memory is used up"
        others = sorted({str(person.pid) for person in alive if not person.waiting.get("room")}, key=int)
        who = f"none of the others (pid {', '.join(others)}) takes fast enough" if others else "nobody is there to take"
        notes.append(f"producers wait for room: {full}, and {who}")
    return notes
