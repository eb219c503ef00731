"""Locks, semaphores, conditions, events and barriers that survive a killed holder.

The classes themselves are native, since a Python class in front would double the cost of a call; these
modules hold what is asked for once or seldom.
"""

from __future__ import annotations

from typing import Any, NoReturn

from weft._core.sync import Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, RWLock, Semaphore
from weft._kinds import Kind, register
from weft.sync import _policy
from weft.sync._arenas import KIND_OF_FILE, SORTS
from weft.sync._survey import LockState, survey

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Lock",
    "LockState",
    "RLock",
    "RWLock",
    "Semaphore",
    "survey",
]


def _no_opener(*_: Any, **__: Any) -> NoReturn:
    raise TypeError("an object of this kind is opened by its own class")


register(Kind(KIND_OF_FILE, "lock or the like", _no_opener, lambda _: {}, lambda _: {}))
for _class in (Lock, RLock, RWLock, Semaphore, BoundedSemaphore, Condition, Event, Barrier):
    register(
        Kind(
            KIND_OF_FILE + (SORTS.index(_class.__name__) << 8),
            _class.__name__,
            _class,
            _policy.option_texts,
            _policy.options_of,
        )
    )
