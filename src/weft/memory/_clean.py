"""Removing what nobody has open, and nothing else."""

from __future__ import annotations

import contextlib
import enum
import os
from collections.abc import Iterable
from dataclasses import dataclass

from weft._core import look as _native
from weft.memory._look import DAMAGED, FOREIGN, OTHER_VERSION, SOUND, SegmentInfo, entries, look_at
from weft.memory._processes import Surroundings
from weft.namespace import Namespace, place_of

__all__ = ["CleanResult", "clean"]


class _Reach(enum.IntEnum):
    """``weft::Segment::Reach`` of native/weft/segment.hpp."""

    LEFT = 0
    KEPT = 1
    DAMAGED = 2


class _Removal(enum.IntEnum):
    """``weft::Segment::Removal`` of native/weft/segment.hpp."""

    REMOVED = 0
    IN_USE = 1
    KEPT = 2
    DAMAGED = 3
    OTHER_VERSION = 4
    FOREIGN = 5
    MISSING = 6
    FAILED = 7


@dataclass(frozen=True)
class CleanResult:
    """What became of one object.

    Attributes:
        name: Of the object.
        namespace: The directory.
        outcome: ``"removed"`` or, in a dry run, ``"removable"``; ``"in use"``; ``"kept"``; ``"damaged"``;
            ``"other version"``; ``"foreign"``: no segment of weft; ``"missing"``; ``"failed"``.
        reserved: Bytes of memory behind it, which are free now if it was removed.
        pids: Who has it open, as far as that is known.
        problem: Why it failed.
    """

    name: str
    namespace: str
    outcome: str
    reserved: int = 0
    pids: tuple[int, ...] = ()
    problem: str | None = None


def clean(
    names: Iterable[str] | None = None,
    *,
    namespace: Namespace | str | os.PathLike[str] | None = None,
    kept: bool = False,
    dry_run: bool = False,
) -> list[CleanResult]:
    """Removes objects that nobody has open.

    Safe at any time, also while programs open and close the very objects: an object is removed under a lock that
    nobody gets while anybody has it open, and a name only while it leads to that object.

    Args:
        names: Those to remove, also if they were to be kept, are damaged, or were made by another version of weft.
            None: what dead processes left.
        namespace: A ``Namespace``, its name or path, or None for the default.
        kept: Without names: also those of lifetime ``"kept"`` that nobody has open.
        dry_run: Remove nothing; tell what would be.

    Returns:
        One result for each name, or for each object of the namespace.

    Raises:
        AccessError: The directory may not be read.
    """
    place = place_of(namespace)
    around = Surroundings()
    if names is None:
        reach = _Reach.KEPT if kept else _Reach.LEFT
        found = [_clean_one(place, name, reach, dry_run, around) for name in entries(place)]
        if not dry_run:
            with contextlib.suppress(OSError):
                place.sweep_hidden()
        return [result for result in found if result.outcome != "missing"]  # somebody else was faster
    return [_clean_one(place, name, _Reach.DAMAGED, dry_run, around) for name in names]


def _clean_one(place: Namespace, name: str, reach: _Reach, dry_run: bool, around: Surroundings) -> CleanResult:
    seen = None if "/" in name or name.startswith(".") else look_at(place, name, around)
    if seen is None:
        return CleanResult(name, str(place.path), "missing")
    problem = None
    if dry_run:
        outcome = _foresee(seen, reach)
    else:
        removal, (code, step, *_) = _native.remove(os.fsencode(place.path), os.fsencode(name), reach)
        outcome = _Removal(removal).name.lower().replace("_", " ")
        if outcome == "failed":
            problem = f"{step}: {os.strerror(code) if code else 'another remover was stopped half-way'}"
    users = seen.pids if outcome == "in use" else []
    if outcome == "in use" and not users and (now := look_at(place, name)) is not None:  # opened since
        users = now.pids
    return CleanResult(name, str(place.path), outcome, seen.reserved, tuple(users), problem)


def _foresee(seen: SegmentInfo, reach: _Reach) -> str:
    """What would become of it."""
    if seen.condition == FOREIGN:
        return "foreign"
    if seen.condition not in (SOUND, DAMAGED, OTHER_VERSION):
        return "failed"
    if seen.condition != SOUND and reach < _Reach.DAMAGED and seen.lifetime is None:
        return seen.condition
    if seen.lifetime == "kept" and reach < _Reach.KEPT:
        return "kept"
    return "in use" if seen.attached else "removable"
