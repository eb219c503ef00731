"""What the native locks ask for once or seldom: settings, errors' words, repair, waiting in event loops."""

from __future__ import annotations

import atexit
import os
import secrets
import sys
import threading
import weakref
from types import TracebackType
from typing import Any, NoReturn

from weft import _aio, _handle, errors
from weft._core import sync as _native
from weft._kinds import KINDS, Kind
from weft._opening import LIFETIMES, WAITS, check_create, check_one_of
from weft.namespace import ANONYMOUS, Namespace, check_mode, check_name, group_id
from weft.statistics import Participant
from weft.sync._arenas import KIND_OF_FILE, SORTS, Found, Spec, open_record
from weft.sync._async import (
    Exclusive,
    Sharing,
    aacquire,
    task_number,
    wait_barrier,
    wait_condition,
    wait_condition_for,
    wait_event,
)
from weft.sync._deadlock import check_deadlock
from weft.sync._people import describe, participant
from weft.sync._statistics import statistics

__all__ = [
    "Exclusive", "Recovery", "Sharing", "aacquire", "check_deadlock", "check_permits", "closed", "configure_barrier",
    "configure_condition", "configure_event", "configure_lock", "configure_rwlock", "configure_semaphore",
    "dead_owner", "errors", "fail", "fail_beyond", "fail_broken", "fail_closed", "fail_crowded", "fail_not_held",
    "fail_owner_died", "leave_at_exit", "show", "statistics", "task_number", "wait_barrier", "wait_condition",
    "wait_condition_for", "wait_event", "warn_inherited",
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


def configure_event(event: Any, name: Any, **where: Any) -> None:
    """The body of ``Event.__init__``."""
    found = open_object(event, name, Spec(SORTS.index("Event")), {}, **where)
    event._bind_event(found.arena, found.index, WAITS.index(where["wait"]))


def configure_rwlock(lock: Any, name: Any, prefer: Any, *, on_owner_death: Any, debug: bool, **where: Any) -> None:
    """The body of ``RWLock.__init__``."""
    inherits, repair = death_policy(on_owner_death)
    if prefer is not None:
        check_one_of(prefer, "prefer", ("writer", "reader"))
    spec = Spec(SORTS.index("RWLock"), inherits, prefers_readers=None if prefer is None else prefer == "reader")
    options = {"prefer": prefer, "on_owner_death": on_owner_death, "debug": bool(debug)}
    found = open_object(lock, name, spec, options, **where)
    lock._bind_rwlock(found.arena, found.index, WAITS.index(where["wait"]), repair, bool(debug))


def configure_condition(
    condition: Any, name: Any, lock: Any, *, on_owner_death: Any, debug: bool, **where: Any
) -> None:
    """The body of ``Condition.__init__``."""
    if name is not None and not isinstance(name, str):  # Condition(lock), as in the standard library
        if lock is not None:
            raise TypeError("Condition takes one lock")
        name, lock = None, name
    if lock is not None and type(lock) not in (_native.Lock, _native.RLock):
        raise TypeError(f"lock must be a weft.Lock or a weft.RLock, not {type(lock).__name__}")
    if lock is not None and (on_owner_death is not None or debug):
        raise ValueError("on_owner_death and debug belong to the lock that was given")
    inherits, repair = death_policy(on_owner_death)
    partner = b"" if lock is None else lock._identity.encode()
    options = {"lock": lock, "on_owner_death": on_owner_death, "debug": bool(debug)}
    found = open_object(condition, name, Spec(SORTS.index("Condition"), inherits, partner=partner), options, **where)
    condition._bind_condition(found.arena, found.index, WAITS.index(where["wait"]), lock, repair, bool(debug))
    if lock is None:
        place = condition._place
        _handle.bind(condition._lock, condition._kind, place, found.file_name, found.identity, condition._options)
        condition._lock._waiters = {}


def configure_barrier(barrier: Any, name: Any, parties: Any, action: Any, timeout: Any, **where: Any) -> None:
    """The body of ``Barrier.__init__``."""
    if name is not None and not isinstance(name, str):  # Barrier(3, action), as in the standard library
        if parties is not None and not callable(parties):
            raise TypeError("Barrier takes one number of parties")
        if parties is not None and action is not None:
            timeout = action if timeout is None else timeout
        name, parties, action = None, name, parties if parties is not None else action
    if parties is not None:
        parties = check_number(parties, "parties", 1)
    elif name is None or where["create"] is True:
        raise TypeError("parties must be given: how many wait for one another")
    if action is not None and not callable(action):
        raise TypeError(f"action must be callable, not {type(action).__name__}")
    create = False if parties is None else where["create"]
    options = {"action": action, "timeout": timeout}
    found = open_object(
        barrier, name, Spec(SORTS.index("Barrier"), size=parties), options, **where | {"create": create}
    )
    barrier._bind_barrier(found.arena, found.index, WAITS.index(where["wait"]), found.size, action, timeout)
    leave_at_exit(barrier)


_parties: weakref.WeakSet[Any] = weakref.WeakSet()
_leaving_in = 0


def leave_at_exit(barrier: Any) -> None:
    """Has this process, when it ends in order, leave the barrier: it has not died then."""
    global _leaving_in
    _parties.add(barrier)
    if _leaving_in == os.getpid():
        return
    _leaving_in = os.getpid()
    util = sys.modules.get("multiprocessing.util")
    if util is not None:  # its children end without running what atexit knows
        util.Finalize(None, _leave_all, exitpriority=1)
    atexit.register(_leave_all)


def _leave_all() -> None:
    for barrier in list(_parties):
        barrier._withdraw()


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


# --- words -----------------------------------------------------------------------------------------


def show(handle: Any) -> str:
    """``repr(handle)``, in the form that ``threading`` has for its kind."""
    kind = type(handle).__name__
    if not hasattr(handle, "_attachment_name") or handle.closed:
        return _handle.describe(handle)
    name = repr(handle.name or "anonymous")
    match SORTS[handle._sort()]:
        case "Lock" | "RLock":
            return f"<{'locked' if handle.locked() else 'unlocked'} weft.{kind} object at {name}>"
        case "RWLock" | "Condition":
            return f"<weft.{kind} at {name}: {'locked' if handle.locked() else 'unlocked'}>"
        case "Semaphore":
            return f"<weft.{kind} at {name}: value={handle.get_value()}>"
        case "BoundedSemaphore":
            return f"<weft.{kind} at {name}: value={handle.get_value()}/{handle._size()}>"
        case "Event":
            return f"<weft.{kind} at {name}: {'set' if handle.is_set() else 'unset'}>"
    state = "broken" if handle.broken else f"waiters={handle.n_waiting}/{handle.parties}"
    return f"<weft.{kind} at {name}: {state}>"


# --- errors ----------------------------------------------------------------------------------------


def fail_not_held(handle: Any) -> NoReturn:
    """Raises for a release of what is not held."""
    raise errors.NotHeldError(f"{handle!r} is released, but not held{_by_this(handle)}")


def _by_this(handle: Any) -> str:
    return "" if isinstance(handle, _native.Lock) else " by this thread"


def fail_beyond(handle: Any) -> NoReturn:
    """Raises for a release of more than there can be."""
    raise ValueError(f"{handle!r} is released too many times: no more permits than that can be out")


def fail_crowded(handle: Any) -> NoReturn:
    """Raises where there is no place to wait."""
    raise errors.SystemLimitError(f"{handle!r}: 4096 threads wait in its segment, as many as can")


def fail_broken(handle: Any) -> NoReturn:
    """Raises for a barrier that does not open."""
    pid = handle._broken_by()
    if not pid:
        raise threading.BrokenBarrierError(f"{handle!r} is broken, or has been reset")
    who = f"pid {pid}" if pid != 0xFFFFFFFF else "a process"
    raise threading.BrokenBarrierError(
        f"{handle!r} is broken: {who}, one of its parties, has died; reset() makes it new"
    )


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


def closed(handle: Any) -> None:
    """What is left to do when a handle is closed."""
    _aio.close_waiters(handle)


# --- kinds -----------------------------------------------------------------------------------------


def option_texts(options: dict[str, Any]) -> dict[str, str]:
    """What a token carries of a handle's options."""
    lock = options.get("lock")
    more = {"debug": "1"} if options.get("debug") else {}
    return {"wait": options["wait"]} | more | ({"lock": lock.token} if lock is not None else {})


def options_of(texts: dict[str, str]) -> dict[str, Any]:
    """… and back."""
    if not set(texts) <= {"wait", "debug", "lock"} or texts.get("wait", "balanced") not in WAITS:
        raise ValueError("no options of a lock")
    options: dict[str, Any] = {"wait": texts.get("wait", "balanced")}
    if texts.get("debug") == "1":
        options["debug"] = True
    if "lock" in texts:
        options["lock"] = _handle.open_token(texts["lock"])
    return options


_native.set_policy(sys.modules[__name__])
