"""Circles of threads that wait for one another, over locks and processes.

Each thread that sleeps for a lock has an entry that says so in the lock's arena, and each lock says who has
it. So a circle can be seen by any of its threads: from the lock that it waits for to its holder, to the lock
that this one waits for, and so on until it meets itself.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from weft import errors
from weft.sync._arenas import attached_arenas
from weft.sync._people import TASK, describe, participant


@dataclass(frozen=True)
class _Step:
    thread: tuple[int, int]  # pid, and number of the thread
    waits_for: str
    held_by: tuple[int, int]
    holder: str


def _waits() -> dict[tuple[int, int], _Step]:
    """What each thread waits for, in all arenas of this process; circles lie within what it can see."""
    steps = {}
    for arena in attached_arenas():
        names = {index: name for index, name, _ in arena.records()}
        for index, pid, _, _, thread, _ in arena.waiters():
            held = arena.holder(index)
            if held is None or thread & TASK:
                continue
            owner, command, started, by, *_ = held
            steps[pid, thread] = _Step(
                (pid, thread), names.get(index, "?"), (owner, by), describe(participant(owner, command, started, by))
            )
    return steps


def find_circle(thread: tuple[int, int]) -> list[_Step]:
    """The circle that this thread is part of, or nothing."""
    steps = _waits()
    circle: list[_Step] = []
    at = thread
    while at in steps and len(circle) <= len(steps):
        circle.append(steps[at])
        at = steps[at].held_by
        if at == thread:
            return circle
    return []


def check_deadlock(handle: Any, thread: int) -> None:
    """Raises if this thread, which is about to sleep, would do so for ever."""
    me = (os.getpid(), thread)
    circle = find_circle(me)
    # What was read one after the other may never have been true at one moment: a circle stays.
    if not circle or find_circle(me) != circle:
        return
    if len(circle) == 1:
        raise errors.DeadlockError(f"{handle!r} is held by this very thread: to wait for it would be for ever")
    words = "; ".join(f"{step.waits_for!r} is held by {step.holder}" for step in circle)
    raise errors.DeadlockError(
        f"to wait for {handle!r} would be for ever: {words}, who waits for this thread. Acquire locks in one order"
    )
