"""SharedMemory: opening, settings and errors' words. The class itself is native."""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from weft import _handle, errors
from weft._core import look as _look
from weft._core import memory as _native
from weft._core.memory import MemoryAttachment, SharedMemory
from weft._kinds import Kind, register
from weft._opening import LIFETIMES, Status, attach_or_create, check_create, check_one_of, no_space
from weft.namespace import Namespace, check_mode, check_name, group_id, is_name, place_of
from weft.statistics import AttachedProcess, MemoryStatistics

if TYPE_CHECKING:
    from weft._core.look import Look

MAX_SIZE = 1 << 46
is_known_name = functools.lru_cache(1024)(is_name)


# --- opening ---------------------------------------------------------------------------------------


def configure(
    memory: SharedMemory,
    name: Any,
    create: bool | None,
    size: int,
    lifetime: str | None,
    mode: int,
    group: str | int | None,
    readonly: bool,
    namespace: Any,
) -> None:
    """Opens or makes the segment behind ``memory``: ``SharedMemory.__init__``, where its short way did not do."""
    if create is None and not size:
        create = False
    if name is None and not create:
        raise ValueError("'name' can only be None if create=True: without one there is nothing to look for")
    if create is False and not size:
        size = 1
    open_at(memory, name, create, check_size(size, "size"), lifetime, mode, group, readonly, namespace)
    if create is None and (found := memory.size) < size:
        memory.close()
        raise errors.MismatchError(
            f"SharedMemory {name!r} in {memory._place.path} has {found} bytes, {size} were asked for: open it with "
            "create=False and resize() it, or use another name",
            size,
            found,
        )


def open_at(
    memory: SharedMemory,
    name: Any,
    create: bool | None,
    size: int,
    lifetime: str | None,
    mode: int,
    group: str | int | None,
    readonly: bool,
    namespace: Any,
) -> None:
    """Opens what is there, whatever its size, or makes it."""
    if name is not None:
        check_name(name)
    check_create(create, name)
    if lifetime is not None:
        check_one_of(lifetime, "lifetime", LIFETIMES)
    place, group = place_of(namespace), group_id(group)
    if size > MAX_SIZE and create is not False:
        fail_no_space(place, size)
    attachment, file_name = attach_or_create(
        lambda: MemoryAttachment(KIND.number, bool(readonly)),
        KIND,
        place,
        name,
        create,
        (size,),
        {},
        lambda header, where: {"lifetime": header["lifetime"]},
        {"lifetime": lifetime},
        mode=check_mode(mode),
        group=-1 if group is None else group,
        kept=lifetime == "kept",
    )
    attachment.share((place.directory, file_name, bool(readonly)))
    memory._bind(attachment, place, file_name)


def check_size(value: Any, what: str) -> int:
    """Returns ``value`` as a number of bytes, or raises."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} must be an int, a number of bytes, not {type(value).__name__}")
    size = int(value.__index__())
    if size <= 0:
        raise ValueError(f"{what} must be a positive number of bytes, not {size}")
    if size > sys.maxsize:
        raise OverflowError(f"{what} {size} is more than this system can address")
    return size


def _to_text(options: dict[str, Any]) -> dict[str, str]:
    return {"readonly": "1"} if options["readonly"] else {}


def _from_text(text: dict[str, str]) -> dict[str, Any]:
    if not set(text) <= {"readonly"}:
        raise ValueError("options of another version")
    return {"readonly": text.get("readonly") == "1"}


def inspect(look: Look, people: Mapping[int, AttachedProcess]) -> dict[str, Any]:
    """What shared memory tells to who looks from outside."""
    found = _look.memory_state(look)
    if found is None:
        raise errors.CorruptedError("it holds what is no shared memory")
    size, resizes = found
    return {"size": size, "resizes": resizes}


KIND = register(Kind(2, "SharedMemory", SharedMemory, _to_text, _from_text, inspect))


def unlink(memory: SharedMemory) -> None:
    """Removes the name, also through a handle that has been closed."""
    if not memory.closed or not hasattr(memory, "_attachment_name"):
        _handle.unlink(memory)
        return
    identity, kept = memory._closed_identity()
    probe = MemoryAttachment(KIND.number)
    status, _ = probe.attach(memory._place.directory, memory._attachment_name.encode())
    if status == Status.OK and probe.identity() == identity:
        probe.unlink()
    elif kept:
        raise errors.NotFoundError(f"the name of SharedMemory {memory._name!r} is gone already")


# --- errors ----------------------------------------------------------------------------------------


def fail(memory: Any, status: int, why: tuple[int, str, int, int]) -> NoReturn:
    """Raises what the status of an operation means."""
    if Status(status) == Status.CORRUPTED:
        fail_cut(memory)
    _handle.fail(memory, status, why)


def fail_cut(memory: Any) -> NoReturn:
    """Raises for a file that is shorter than what stands in it says."""
    raise errors.CorruptedError(
        f"{_handle.path(memory)} is shorter than its size says: something other than weft has cut it off. Close it, "
        "remove the file and make it anew"
    )


def fail_closed(memory: Any) -> NoReturn:
    """Raises for an operation on a closed handle."""
    name = getattr(memory, "_name", None)
    raise errors.ClosedError(f"mmap closed or invalid: this handle of SharedMemory {name!r} is closed: open another")


def fail_os(memory: Any, code: int, step: str) -> NoReturn:
    """Raises for a call of the system that failed."""
    raise OSError(code, f"{step} ({os.strerror(code)})", str(_handle.path(memory)))


def fail_no_space(place: Namespace, wanted: int) -> NoReturn:
    """Raises for more than any file system has."""
    room = os.statvfs(place.ensure())
    raise no_space(wanted, room.f_bavail * room.f_frsize, str(place.path))


def fail_resize(memory: Any, status: int, why: tuple[int, str, int, int], before: int, size: int) -> NoReturn:
    """Raises for a resize that has not been done."""
    match Status(status):
        case Status.IN_USE:
            raise errors.InUseError(
                errno.EBUSY,
                f"{memory!r} can't shrink to {size} bytes while others use it: let them close it first, or say "
                "force=True, which leaves them the memory that they have",
            )
        case Status.TOO_LARGE:
            fail_no_space(memory._place, size - before)
    fail(memory, status, why)


# --- looking ---------------------------------------------------------------------------------------


def name(memory: SharedMemory) -> str | None:
    """The name by which others can open it."""
    return _handle.name(memory)


def describe(memory: SharedMemory) -> str:
    """``repr(memory)``."""
    try:
        state = "" if memory.closed else f"size={memory.size}"
    except (errors.WeftError, OSError):
        state = "damaged"
    return _handle.describe(memory, state)


def statistics(memory: SharedMemory) -> MemoryStatistics:
    """What there is to know about ``memory`` at this moment."""
    counters = memory._counters()
    return MemoryStatistics(
        size=memory.size,
        reserved=counters["reserved"],
        resizes=counters["resizes"],
        attached=len(memory._attachment.participants()),
    )


_native.set_policy(sys.modules[__name__])
