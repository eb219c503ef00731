"""What the native locks ask for once or seldom: settings, errors' words, repair, waiting in event loops."""

from __future__ import annotations

import asyncio
import secrets
import sys
from types import TracebackType
from typing import Any, NoReturn

from weft import _aio, _handle, errors
from weft._core import sync as _native
from weft._kinds import KINDS, Kind
from weft._opening import LIFETIMES, WAITS, check_create, check_one_of
from weft.namespace import ANONYMOUS, Namespace, check_mode, check_name, group_id
from weft.statistics import Participant
from weft.sync._arenas import KIND_OF_FILE, SORTS, Found, Spec, open_record
from weft.sync._deadlock import check_deadlock
from weft.sync._people import TASK, describe, participant
from weft.sync._statistics import statistics

__all__ = [
    "Recovery", "aacquire", "check_deadlock", "check_permits", "closed", "configure_lock", "configure_semaphore",
    "dead_owner", "fail", "fail_beyond", "fail_closed", "fail_not_held", "fail_owner_died", "statistics",
    "task_number", "warn_inherited",
]  # fmt: skip

MOST_PERMITS = 0x7FFFFFFF
fail, fail_closed = _handle.fail, _handle.fail_closed


# --- opening ---------------------------------------------------------------------------------------


def kind_of(sort: str) -> Kind:
    """The registered kind of a class."""
    return KINDS[KIND_OF_FILE + (SORTS.index(sort) << 8)]


def open_object(
    handle: Any,
    name: Any,
    spec: Spec,
    options: dict[str, Any],
    *,
    create: bool | None,
    lifetime: str | None,
    mode: int,
    group: str | int | None,
    namespace: Any,
    wait: str,
) -> Found:
    """Opens the record behind ``handle``, and tells the handle what it is."""
    if handle._opened():
        raise RuntimeError(f"a {SORTS[spec.sort]} is opened once; make another object")
    if name is not None:
        check_name(name)
    check_one_of(wait, "wait", WAITS)
    if lifetime is not None:
        check_one_of(lifetime, "lifetime", LIFETIMES)
    check_create(create, name)
    place = namespace if isinstance(namespace, Namespace) else Namespace(namespace)
    chosen = group_id(group)
    where = {"mode": check_mode(mode), "group": -1 if chosen is None else chosen, "lifetime": lifetime}
    if name is None:
        place.ensure()
        place.sweep()
        found = open_record(place, ANONYMOUS + secrets.token_hex(8), True, spec, **where)  # type: ignore[arg-type]
    else:
        found = open_record(place, name, create, spec, **where)  # type: ignore[arg-type]
    _handle.bind(handle, kind_of(SORTS[spec.sort]), place, found.file_name, found.identity, options | {"wait": wait})
    handle._waiters = {}
    return found


def configure_lock(lock: Any, sort: str, name: Any, *, on_owner_death: Any, debug: bool, **where: Any) -> None:
    """The body of ``Lock.__init__`` and ``RLock.__init__``."""
    inherits, repair = death_policy(on_owner_death)
    options = {"on_owner_death": on_owner_death, "debug": bool(debug)}
    found = open_object(lock, name, Spec(SORTS.index(sort), inherits), options, **where)
    lock._bind_lock(found.arena, found.index, WAITS.index(where["wait"]), repair, bool(debug))


def death_policy(on_owner_death: Any) -> tuple[bool | None, Any]:
    """Whether the next acquirer inherits, and the function that repairs, if there is one."""
    if on_owner_death is None or callable(on_owner_death):
        return (None if on_owner_death is None else False), on_owner_death
    check_one_of(on_owner_death, "on_owner_death", ("raise", "warn"))
    return on_owner_death == "warn", None


def configure_semaphore(semaphore: Any, sort: str, name: Any, value: Any, **where: Any) -> None:
    """The body of ``Semaphore.__init__`` and ``BoundedSemaphore.__init__``."""
    if isinstance(name, int) and not isinstance(name, bool):  # Semaphore(4), as in the standard library
        if value is not None:
            raise TypeError(f"{sort} takes one value")
        name, value = None, name
    if value is not None:
        value = check_number(value, "value", 0)
    if value is None and (name is None or where["create"] is True):
        value = 1
    made = Spec(SORTS.index(sort), size=value)
    if value is None and where["create"] is None:
        # Whatever there is; one that has to be made begins with 1.
        try:
            return configure_semaphore(semaphore, sort, name, None, **where | {"create": False})
        except errors.NotFoundError:
            made = Spec(SORTS.index(sort), size=1)
    found = open_object(semaphore, name, made, {}, **where)
    semaphore._bind_semaphore(found.arena, found.index, WAITS.index(where["wait"]))


def check_number(value: Any, what: str, least: int) -> int:
    """Returns ``value`` as an int between ``least`` and what there can be, or raises."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} must be an int, not {type(value).__name__}")
    number = int(value.__index__())
    if not least <= number <= MOST_PERMITS:
        raise ValueError(f"{what} must be from {least} to {MOST_PERMITS}, not {number}")
    return number


def check_permits(n: Any) -> int:
    """The argument of ``Semaphore.release``."""
    if isinstance(n, int) and n < 1:
        raise ValueError(f"n must be one or more, not {n}")
    return check_number(n, "n", 1)


# --- errors ----------------------------------------------------------------------------------------


def fail_not_held(handle: Any) -> NoReturn:
    """Raises for a release of what is not held."""
    raise errors.NotHeldError(f"{handle!r} is released, but not held{_by_this(handle)}")


def _by_this(handle: Any) -> str:
    return "" if isinstance(handle, _native.Lock) else " by this thread"


def fail_beyond(handle: Any) -> NoReturn:
    """Raises for a release of more than there can be."""
    raise ValueError(f"{handle!r} is released too many times: no more permits than that can be out")


def dead_owner(handle: Any) -> Participant:
    """The last owner that died."""
    return participant(*handle._attachment.dead(handle._index))


def fail_owner_died(handle: Any) -> NoReturn:
    """Raises for a marked lock."""
    dead = dead_owner(handle)
    raise errors.OwnerDied(
        f"{describe(dead)} died while it held {handle!r}: what it guards may be half changed. Check and repair it "
        "in `with lock.recover() as dead:`; until then nobody gets the lock",
        dead,
    )


def warn_inherited(handle: Any) -> None:
    """Warns who gets a lock from the dead."""
    _handle.warn(
        f"{describe(dead_owner(handle))} died while it held {handle!r}, which is held here now: what it guards may "
        "be half changed",
        errors.OwnerDiedWarning,
    )


# --- after a death ---------------------------------------------------------------------------------


class Recovery:
    """``with lock.recover() as dead:``; see there."""

    def __init__(self, lock: Any, timeout: float | None) -> None:
        self._lock, self._timeout = lock, timeout
        self._marked = False

    def __enter__(self) -> Participant | None:
        if not self._lock._recover_enter(self._timeout):
            raise TimeoutError(f"{self._lock!r} was held for {self._timeout} s: nothing has been recovered")
        self._marked = self._lock._is_marked()
        return dead_owner(self._lock) if self._marked else None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock._recover_exit(self._marked and kind is not None)


# --- event loops -----------------------------------------------------------------------------------


class _NotYet(Exception):
    pass


def task_number(handle: Any) -> int:
    """The number of the task that runs in this thread, by which a lock knows its holder; 0 if none does."""
    task: object = None
    if _aio._in_trio():
        import trio

        task = trio.lowlevel.current_task()
    elif asyncio._get_running_loop() is not None:
        task = asyncio.current_task()
    return 0 if task is None else TASK | id(task) >> 4 & (TASK - 1)


async def aacquire(handle: Any, timeout: float | None) -> bool:
    """Acquires for a task; whether it did in time."""
    number = task_number(handle)

    def attempt() -> None:
        if not handle._acquire_as(number):
            raise _NotYet

    try:
        await _aio.attempt_until(
            handle, 0, attempt, _NotYet, None if timeout == -1 else timeout, lambda: _aio.WATCHFUL_TICK
        )
    except _NotYet:
        return False
    return True


def closed(handle: Any) -> None:
    """What is left to do when a handle is closed."""
    _aio.close_waiters(handle)


# --- kinds -----------------------------------------------------------------------------------------


def option_texts(options: dict[str, Any]) -> dict[str, str]:
    """What a token carries of a handle's options."""
    return {"wait": options["wait"]} | ({"debug": "1"} if options.get("debug") else {})


def options_of(texts: dict[str, str]) -> dict[str, Any]:
    """… and back."""
    if not set(texts) <= {"wait", "debug"} or texts.get("wait", "balanced") not in WAITS:
        raise ValueError("no options of a lock")
    return {"wait": texts.get("wait", "balanced")} | ({"debug": True} if texts.get("debug") == "1" else {})


_native.set_policy(sys.modules[__name__])
