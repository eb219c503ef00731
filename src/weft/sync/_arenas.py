"""Where locks stand: the arenas of a namespace, and the records in them.

All locks of a namespace with the same mode, group and lifetime share an arena, a segment with a hidden
name of its own that is computed from these, so that every program finds the same one. A lock's name is a
hard link to the arena's file. A process attaches to an arena once, whatever the number of its handles.
"""

from __future__ import annotations

import hashlib
import os
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from weft import errors
from weft._core.sync import ArenaAttachment
from weft._kinds import kind_name
from weft._opening import Status, fail_opening, no_space, system_limit, to_bytes
from weft.namespace import ANONYMOUS, Namespace

KIND_OF_FILE = 5
SORTS = ("", "Lock", "RLock", "RWLock", "Semaphore", "BoundedSemaphore", "Condition", "Event", "Barrier")

# By device and inode, which an attachment keeps from being given to another file.
_attached: weakref.WeakValueDictionary[tuple[int, int], ArenaAttachment] = weakref.WeakValueDictionary()
_opening = threading.RLock()


def _renew_after_fork() -> None:
    global _opening
    _opening = threading.RLock()


os.register_at_fork(after_in_child=_renew_after_fork)


@dataclass(frozen=True)
class Spec:
    """What a record is made as, and what is asked of one that is there; None: whatever it is."""

    sort: int
    inherits: bool | None = None
    size: int | None = None
    prefers_readers: bool | None = None
    partner: bytes = b""


@dataclass(frozen=True)
class Found:
    """A record that has been opened once for whoever asked."""

    arena: ArenaAttachment
    index: int
    file_name: str
    identity: str
    inherits: bool
    size: int
    prefers_readers: bool


def attached_arenas() -> list[ArenaAttachment]:
    """Those that this process has open."""
    return list(_attached.values())


def _known(path: str) -> ArenaAttachment | None:
    """The attachment to the file of that path, if this process has one."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return _attached.get((found.st_dev, found.st_ino))


def _remember(attachment: ArenaAttachment, path: str) -> ArenaAttachment | None:
    try:
        found = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:  # removed at once: look again
        return None
    return _attached.setdefault((found.st_dev, found.st_ino), attachment)


def attach(place: Namespace, file_name: str) -> ArenaAttachment | None:
    """The arena that a name leads to; None if it leads nowhere.

    Raises:
        MismatchError: It leads to an object of another kind.
    """
    path = str(place.path / file_name)
    attachment = _known(path)
    if attachment is None:
        made = ArenaAttachment()
        status, why = made.attach(to_bytes(str(place.path)), file_name.encode())
        if status == Status.MISSING:
            return None
        if status != Status.OK:
            fail_opening(place, file_name, status, why)
        kind = made.header()["kind"]
        if kind != KIND_OF_FILE:
            raise errors.MismatchError(f"{file_name!r} in {place.path} is a {kind_name(kind)}", "Lock", kind_name(kind))
        attachment = _remember(made, path)
        if attachment is None:
            return attach(place, file_name)
    status, why = attachment.ensure_joined()
    if status != Status.OK:
        fail_opening(place, file_name, status, why)
    return attachment


def _shared(place: Namespace, mode: int, group: int, kept: bool, turn: int) -> ArenaAttachment | None:
    """The ``turn``-th arena for locks of that mode, group and lifetime; None: look again, or try the next."""
    what = f"{mode:o}:{group}:{kept}:{turn}".encode()
    number = int.from_bytes(hashlib.blake2b(what, digest_size=8).digest(), "little")
    file_name = f"{ANONYMOUS}{number:016x}"
    found = attach(place, file_name)
    if found is not None:
        header = found.header()
        fits = header["geometry"][0] == number and header["lifetime"] == ("kept" if kept else "attached")
        return found if fits else None
    made = ArenaAttachment()
    status, why = made.create(to_bytes(str(place.path)), file_name.encode(), (number,), b"{}", mode, group, kept)
    if status == Status.EXISTS:
        return attach(place, file_name)
    if status != Status.OK:
        fail_opening(place, file_name, status, why)
    return _remember(made, str(place.path / file_name))


def open_record(
    place: Namespace, name: str, create: bool | None, spec: Spec, *, mode: int, group: int, lifetime: str | None
) -> Found:
    """Opens the object of that name, or makes it; racing programs get the same one."""
    place.ensure(make=create is not False)
    turn = 0
    with _opening:
        while True:
            arena = attach(place, name)
            if arena is None:
                if create is False:
                    _fail_missing(place, name, spec)
                arena = _shared(place, mode, group, lifetime == "kept", turn)
                if arena is None:
                    turn += 1
                    continue
            making = 1 if create is None else 2 if create else 0
            status, why, index, made = arena.open_record(
                name.encode(), making, spec.sort, bool(spec.inherits), spec.size or 0, bool(spec.prefers_readers),
                spec.partner,
            )  # fmt: skip
            match Status(status):
                case Status.OK:
                    return _checked(arena, index, made, place, name, spec, lifetime)
                case Status.FULL:
                    turn += 1
                case Status.EXISTS if create is True and os.path.lexists(place.path / name):
                    raise errors.NameInUseError(
                        f"{name!r} exists in {place.path}: open it with create=None or False, or unlink it first"
                    )
                case Status.MISSING if create is False:
                    _fail_missing(place, name, spec)
                case Status.MISSING | Status.EXISTS:
                    continue
                case Status.NO_SPACE:
                    raise no_space(why[2], why[3], str(place.path))
                case Status.TIMED_OUT:
                    raise errors.SystemLimitError(f"{place.path / name}: {why[1]}; end or continue that process")
                case _:
                    raise system_limit(why[0], why[1], str(place.path / name))


def _fail_missing(place: Namespace, name: str, spec: Spec) -> NoReturn:
    raise errors.NotFoundError(
        f"there is no {SORTS[spec.sort]} {name!r} in {place.path}: its creator has not started or is gone, "
        "or it uses another namespace"
    )


def _checked(
    arena: ArenaAttachment, index: int, made: bool, place: Namespace, name: str, spec: Spec, lifetime: str | None
) -> Found:
    """What is there must be what was asked for; the error shows both sides."""
    sort, inherits, size, prefers_readers, partner, serial = arena.spec(index)
    kept = arena.header()["lifetime"]
    differences: dict[str, tuple[Any, Any]] = {}
    if sort != spec.sort:
        there = SORTS[sort] if sort < len(SORTS) else f"sort {sort}"
        arena.close_record(index)
        raise errors.MismatchError(
            f"{name!r} in {place.path} is a {there}, not a {SORTS[spec.sort]}", SORTS[spec.sort], there
        )
    if not made:
        words, sides = ("raise", "warn"), ("writer", "reader")
        asked: list[tuple[str, Any, Any]] = [
            ("value" if spec.sort in (4, 5) else "parties", spec.size, size),
            ("on_owner_death", None if spec.inherits is None else words[spec.inherits], words[inherits]),
            (
                "prefer",
                sides[spec.prefers_readers] if spec.prefers_readers is not None else None,
                sides[prefers_readers],
            ),
            ("lock", spec.partner or None, partner or None),
            ("lifetime", lifetime, kept),
        ]
        differences = {what: (a, b) for what, a, b in asked if a is not None and a != b}
        if partner and not spec.partner:
            differences["lock"] = (None, partner)
    if differences:
        arena.close_record(index)
        text = ", ".join(f"{k} {a!r} was asked for and is {b!r}" for k, (a, b) in differences.items())
        raise errors.MismatchError(
            f"{SORTS[spec.sort]} {name!r} in {place.path} exists, but is another: {text}",
            {k: a for k, (a, _) in differences.items()},
            {k: b for k, (_, b) in differences.items()},
        )
    return Found(arena, index, name, f"{arena.identity()}{serial:x}", inherits, size, prefers_readers)


def each_arena(place: Namespace) -> Iterator[ArenaAttachment]:
    """The arenas of a namespace, attached to for as long as the caller looks."""
    seen = set()
    try:
        entries = sorted(os.listdir(place.path))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.startswith("."):
            continue
        try:
            arena = attach(place, entry)
        except (errors.WeftError, OSError):
            continue
        if arena is not None and arena.identity() not in seen:
            seen.add(arena.identity())
            yield arena
