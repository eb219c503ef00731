"""Opening an object: the part that is the same for every kind.

An object is opened or made, compared with what was asked for, and what goes wrong is told in the words of
``weft.errors``.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from weft import errors
from weft._kinds import Kind, kind_name
from weft.namespace import ANONYMOUS, Namespace

PAGE = 4096
LIFETIMES = ("attached", "kept")
WAITS = ("latency", "balanced", "power")


class Status(enum.IntEnum):
    """``weft::Status`` of native/weft/status.hpp, in its order."""

    OK = 0
    EMPTY = 1
    FULL = 2
    BUSY = 3
    TIMED_OUT = 4
    INTERRUPTED = 5
    SHUT_DOWN = 6
    NO_SPACE = 7
    OUT_OF_SLOTS = 8
    CORRUPTED = 9
    TOO_LARGE = 10
    EXISTS = 11
    MISSING = 12
    NOT_A_SEGMENT = 13
    WRONG_VERSION = 14
    REFUSED = 15
    OS_ERROR = 16
    IN_USE = 17
    MARKED = 18
    NOT_HELD = 19
    BEYOND = 20
    BROKEN = 21
    ORPHAN = 22


def to_bytes(value: str | dict[str, Any]) -> bytes:
    """A path, or an object's settings as they stand in its header."""
    if isinstance(value, str):
        return value.encode(errors="surrogateescape")
    data = json.dumps(value, sort_keys=True).encode()
    if len(data) > 2048:
        raise ValueError(f"the texts of {', '.join(value)} are too long together: {len(data)} bytes, 2048 are allowed")
    return data


def header_config(header: dict[str, Any], where: str) -> dict[str, str]:
    """The settings in the header of the file ``where``: text under names; what they mean the kind must check."""
    try:
        config = json.loads(header["config"])
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict) or not all(isinstance(v, str) for v in config.values()):
        raise bad_settings(where)
    return config


def bad_settings(where: str) -> errors.CorruptedError:
    """The error for settings that can't be."""
    return errors.CorruptedError(f"{where} holds settings that weft does not write: remove it, or use another name")


def attach_or_create(
    make: Callable[[], Any],
    kind: Kind,
    place: Namespace,
    name: str | None,
    create: bool | None,
    geometry: tuple[int, ...],
    config: dict[str, Any],
    found: Callable[[dict[str, Any], str], dict[str, Any]],
    asked: dict[str, Any],
    *,
    exact: dict[str, Any] | None = None,
    mode: int,
    group: int,
    kept: bool,
) -> tuple[Any, str]:
    """Opens the object of that name, or makes it; racing programs get the same one.

    Args:
        make: Builds a native attachment, with ``attach``, ``create`` and ``header``.
        kind: The kind of object.
        place: Where the name stands.
        name: The name, or None for an object without one.
        create: True: must not exist; False: must exist; None: either.
        geometry: The sizes of an object made here.
        config: The settings of an object made here.
        found: Tells what the creator of an object found chose, under the names of arguments, given its header
            and its path.
        asked: What this caller asks for, under the same names; None: whatever there is.
        exact: The same for what both ends must agree on, None included.
        mode: Permissions of a file made here.
        group: Its group, or -1.
        kept: Its lifetime.

    Returns:
        The attachment, and the name of its file.
    """
    directory = to_bytes(place.ensure(make=create is not False))
    if name is None:
        place.sweep()
    while True:
        file_name = name if name is not None else ANONYMOUS + secrets.token_hex(8)
        attachment = make()
        if create is not True and name is not None:
            status, why = attachment.attach(directory, file_name.encode())
            if status == Status.OK:
                _check_same(attachment.header(), kind, place, file_name, found, asked, exact or {})
                return attachment, file_name
            if status != Status.MISSING:
                fail_opening(place, file_name, status, why)
            if create is False:
                raise errors.NotFoundError(
                    f"there is no {kind.name} {name!r} in {place.path}: its creator has not started or is gone, "
                    "or it uses another namespace"
                )
            attachment = make()
        status, why = attachment.create(directory, file_name.encode(), geometry, to_bytes(config), mode, group, kept)
        if status == Status.OK:
            return attachment, file_name
        if status != Status.EXISTS:
            fail_opening(place, file_name, status, why)
        if create is True and not place.reclaim(file_name):
            raise errors.NameInUseError(
                f"{file_name!r} exists in {place.path}: open it with create=None or False, or unlink it first"
            )


def _check_same(
    header: dict[str, Any],
    kind: Kind,
    place: Namespace,
    name: str,
    found: Callable[[dict[str, Any], str], dict[str, Any]],
    asked: dict[str, Any],
    exact: dict[str, Any],
) -> None:
    """What is there must be what was asked for; the error shows both sides."""
    if header["kind"] != kind.number:
        there = kind_name(header["kind"])
        raise errors.MismatchError(f"{name!r} in {place.path} is a {there}, not a {kind.name}", kind.name, there)
    chosen = found(header, str(place.path / name))
    differences = {k: (v, chosen[k]) for k, v in asked.items() if v is not None and v != chosen[k]}
    differences |= {k: (v, chosen[k]) for k, v in exact.items() if v != chosen[k]}
    if differences:
        text = ", ".join(f"{k} {a!r} was asked for and is {b!r}" for k, (a, b) in differences.items())
        raise errors.MismatchError(
            f"{kind.name} {name!r} in {place.path} exists, but is another: {text} "
            f"(made by pid {header['creator_pid']}: {header['creator']!r}); ask for the same, or use another name",
            {k: a for k, (a, _) in differences.items()},
            {k: b for k, (_, b) in differences.items()},
        )


def fail_opening(place: Namespace, name: str, status: int, why: tuple[int, str, int, int]) -> None:
    """Raises what a set-up call's status means."""
    code, step, wanted, free = why
    path = place.path / name
    match Status(status):
        case Status.NO_SPACE:
            raise no_space(wanted, free, str(place.path))
        case Status.REFUSED:
            raise _refused(path, code, step)
        case Status.NOT_A_SEGMENT:
            raise errors.CorruptedError(f"{path} is not a segment of weft: remove it, or use another name")
        case Status.WRONG_VERSION:
            raise errors.MismatchError(
                f"{path} was made with layout version {free}, this weft has {wanted}: "
                "use one version of weft for all, or remove the file",
                wanted,
                free,
            )
        case Status.CORRUPTED:
            raise errors.CorruptedError(f"{path} is damaged ({step}): remove it, or use another name")
        case Status.OUT_OF_SLOTS:
            raise errors.SystemLimitError(f"{path} has as many participants as it can have (1024): close some handles")
        case Status.TIMED_OUT:
            raise errors.SystemLimitError(f"{path}: {step}; end or continue that process, or remove the file")
    raise system_limit(code, step, str(path))


def _refused(path: Path, code: int, step: str) -> errors.AccessError:
    if code == errno.EROFS:
        return errors.AccessError(f"{path}: its file system is read-only ({step}): choose another with WEFT_NAMESPACE")
    owner = ""
    with contextlib.suppress(OSError):
        owner = f" (it belongs to user {path.stat().st_uid})"
    return errors.AccessError(f"{path}: no permission while {step}{owner}: ask its owner for mode= and group=")


def system_limit(code: int, step: str, where: str) -> errors.SystemLimitError:
    """The error for a system call that failed, as a rule for want of something that is counted."""
    hint = {
        errno.EMFILE: "this process has too many open files (ulimit -n, RLIMIT_NOFILE): close some or raise the limit",
        errno.ENFILE: "this machine has too many open files (fs.file-max): close some or raise the limit",
        errno.ENOMEM: "address space or mappings are used up (RLIMIT_AS, vm.max_map_count): choose a smaller capacity",
        errno.ENOENT: "the directory is gone, or takes no files: choose another with WEFT_NAMESPACE",
    }.get(code)
    text = f"{step}: {os.strerror(code)}"
    return errors.SystemLimitError(code, f"{text}; {hint}" if hint else text, where)


def no_space(wanted: int, free: int, place: str) -> errors.NoSpaceError:
    """The error for memory that can't be reserved."""
    return errors.NoSpaceError(
        f"{wanted} bytes of shared memory can't be reserved: {free} are free in {place}. Free some (weft can remove "
        "what dead processes left: weft.Namespace().clean()), enlarge the file system (mount -o remount,size=…, in a "
        "container --shm-size), or set WEFT_NAMESPACE to a directory with more room",
        wanted,
        free,
        place,
    )


def check_count(value: Any, what: str, most: int, least: float = 0) -> int:
    """Returns ``value`` as an int between ``least`` and ``most``, or raises."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} must be an int, not {type(value).__name__}")
    number = int(value.__index__())
    if not least <= number <= most:
        raise ValueError(f"{what} must be from {least} to {most}, not {number}")
    return number


def check_create(create: Any, name: str | None) -> None:
    """Raises if ``create`` is none of True, False and None, or can't be with that name."""
    if create is not None and not isinstance(create, bool):
        raise TypeError(f"create must be True, False or None, not {create!r}")
    if name is None and create is False:
        raise ValueError("create=False needs a name to look for")


def check_one_of(value: Any, what: str, allowed: tuple[str, ...]) -> None:
    """Raises if ``value`` is none of those allowed."""
    if value not in allowed:
        raise ValueError(f"{what} must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def is_anonymous(name: Any) -> bool:
    """Whether the name is one that weft gave to an object without a name."""
    return isinstance(name, str) and name.startswith(ANONYMOUS)
