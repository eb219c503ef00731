"""Looking at segments from outside: what there is, who has it open, what is left of the dead.

A file is opened for reading, read, and closed. Those who use the segment do not notice, and programs that
hang, are stopped or are dead can be looked at like any other. Nothing that stands in a file is believed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weft import errors
from weft._core.look import Look
from weft._kinds import KINDS, kind_name
from weft._opening import Status
from weft.memory import _processes
from weft.namespace import Namespace, place_of
from weft.statistics import AttachedProcess

__all__ = ["SegmentInfo", "inspect", "namespaces", "segments"]

# What `condition` can be.
SOUND, DAMAGED, OTHER_VERSION, FOREIGN, UNREADABLE = "sound", "damaged", "other version", "foreign", "unreadable"
_CONDITIONS = {
    Status.OK: SOUND,
    Status.CORRUPTED: DAMAGED,
    Status.WRONG_VERSION: OTHER_VERSION,
    Status.NOT_A_SEGMENT: FOREIGN,
}


@dataclass(frozen=True)
class SegmentInfo:
    """A file of a namespace, as it was at one moment.

    Attributes:
        name: Of the object; begins with ``anon-`` for one without.
        namespace: The directory.
        condition: ``"sound"``; ``"damaged"``; ``"other version"``: made by a weft with another layout;
            ``"foreign"``: no segment of weft; ``"unreadable"``: another user's, or it can't be read.
        problem: What is wrong if it is not sound, or with what its kind keeps in it.
        kind: Of object, like ``"Queue"``; None if unknown, as all that comes from the header of one not sound.
        size: Bytes that its user asked for, or bytes of the file.
        reserved: Bytes of memory behind it.
        lifetime: ``"attached"`` or ``"kept"``.
        attached: Whether anybody has it open; None if that can't be told.
        participants: Who takes part, living or killed and not missed yet: one for each handle.
        others: Pids of processes that have the file open without taking part: forked children that have not used
            their handle, or shared memory that has not been touched yet. Another user's can't be seen.
        created: When it was made, in seconds since the epoch.
        creator: Command line of the program that made it.
        creator_pid: Its pid, as its own pid namespace had it.
        owner: User id of the file.
        group: Group id.
        mode: Permissions.
        layout_version: Of the layout in it.
        identity: Tells it from all others that ever had its name.
        details: What its kind has to tell.
    """

    name: str
    namespace: str
    condition: str = SOUND
    problem: str | None = None
    kind: str | None = None
    size: int = 0
    reserved: int = 0
    lifetime: str | None = None
    attached: bool | None = None
    participants: tuple[AttachedProcess, ...] = ()
    others: tuple[int, ...] = ()
    created: float | None = None
    creator: str | None = None
    creator_pid: int | None = None
    owner: int = -1
    group: int = -1
    mode: int = 0
    layout_version: int | None = None
    identity: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.namespace) / self.name

    @property
    def leftover(self) -> bool:
        """Whether the dead left it: it was to go with the last who has it open, and nobody has."""
        return self.condition == SOUND and self.lifetime == "attached" and self.attached is False

    @property
    def pids(self) -> list[int]:
        """The processes that have it open, as far as they are known, each once."""
        return sorted({person.pid for person in self.participants if person.alive} | set(self.others))


def namespaces() -> list[Namespace]:
    """The user's own namespaces on the memory file system, and the one of ``WEFT_NAMESPACE``."""
    default = Namespace()
    base = Namespace("default").path.parent
    found = {default.path: default} if default.path.is_dir() else {}
    with contextlib.suppress(FileNotFoundError):
        for entry in sorted(os.scandir(base), key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                found.setdefault(base / entry.name, Namespace(base / entry.name))
    return sorted(found.values(), key=lambda place: place.path)


def segments(namespace: Namespace | str | os.PathLike[str] | None = None) -> list[SegmentInfo]:
    """All objects of a namespace, sorted by name; those without a name of their own are among them.

    Nothing is opened, made or removed. Any process may look at any time.

    Args:
        namespace: A ``Namespace``, its name or path, or None for the default.

    Raises:
        AccessError: The directory may not be read.
    """
    place = place_of(namespace)
    around = _processes.Surroundings()
    found = (look_at(place, name, around) for name in entries(place))
    return [segment for segment in found if segment is not None]


def inspect(name: str, namespace: Namespace | str | os.PathLike[str] | None = None) -> SegmentInfo:
    """One object, with all that can be told of it.

    Args:
        name: Of the object, or the path of its file.
        namespace: Where it stands, unless ``name`` is a path.

    Raises:
        NotFoundError: There is no such file.
    """
    path = Path(name)
    place = Namespace(path.parent.absolute()) if path.parent != Path() else place_of(namespace)
    found = look_at(place, path.name) if path.name not in ("", "..") else None
    if found is None:
        raise errors.NotFoundError(f"there is no object {path.name!r} in {place.path}")
    return found


def entries(place: Namespace) -> list[str]:
    """The names of the files in a namespace that stand for objects, sorted."""
    try:
        return sorted(entry for entry in os.listdir(place.path) if not entry.startswith("."))
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise errors.NotFoundError(f"{place.path} is not a directory: a namespace is one") from None
    except PermissionError as error:
        raise errors.AccessError(f"{place.path} may not be read{_whose(place.path)}: {error.strerror}") from None


def _whose(path: Path) -> str:
    with contextlib.suppress(OSError):
        found = os.lstat(path)
        return f" (it belongs to user {found.st_uid}, mode {stat.S_IMODE(found.st_mode):#o})"
    return ""


def look_at(place: Namespace, name: str, around: _processes.Surroundings | None = None) -> SegmentInfo | None:
    """What stands under that name; None if nothing does, any more."""
    around = around or _processes.Surroundings()
    look = Look(os.fsencode(place.path), os.fsencode(name))
    try:
        status = Status(look.status)
        if look.fileno() >= 0:
            found = os.fstat(look.fileno())
        elif status == Status.MISSING:
            return None
        else:
            found = os.lstat(place.path / name)
        facts: dict[str, Any] = {
            "name": name,
            "namespace": str(place.path),
            "condition": _CONDITIONS.get(status, UNREADABLE),
            "problem": _problem(status, look.why),
            "size": found.st_size,
            "reserved": found.st_blocks * 512,
            "owner": found.st_uid,
            "group": found.st_gid,
            "mode": stat.S_IMODE(found.st_mode),
        }
        if status in (Status.OK, Status.CORRUPTED, Status.WRONG_VERSION):
            facts["attached"] = _is_attached(look, found, around)
            if not facts["attached"] and os.fstat(look.fileno()).st_nlink == 0:
                return None  # removed while we looked
        if status == Status.WRONG_VERSION:
            facts["layout_version"] = look.why[3]
        if status == Status.OK:
            facts |= _tell(look, (found.st_dev, found.st_ino), around)
        if facts.get("attached"):
            taking_part = {person.pid for person in facts.get("participants", ()) if person.alive}
            opened = around.attached_to((found.st_dev, found.st_ino))
            facts["others"] = tuple(pid for pid in opened if pid not in taking_part)
        return SegmentInfo(**facts)
    except FileNotFoundError:
        return None
    finally:
        look.close()


def _problem(status: Status, why: tuple[int, str, int, int]) -> str | None:
    code, step, wanted, found = why
    match status:
        case Status.OK:
            return None
        case Status.CORRUPTED:
            return f"it is damaged: {step if step != 'reading the header' else 'its header is not what was written'}"
        case Status.WRONG_VERSION:
            return f"it was made with layout version {found}, this weft has {wanted}"
        case Status.NOT_A_SEGMENT:
            return "it is no segment of weft"
    return f"{step}: {os.strerror(code)}"


def _tell(look: Look, file: _processes.File, around: _processes.Surroundings) -> dict[str, Any]:
    """What stands in a segment that is sound."""
    header = look.header()
    kind = KINDS.get(header["kind"])
    people = _people(look, file, around, kind.waits if kind is not None else ("room", "messages"))
    facts: dict[str, Any] = {
        "kind": kind_name(header["kind"]),
        "lifetime": header["lifetime"],
        "layout_version": header["layout_version"],
        "participants": tuple(people.values()),
        "created": header["created_ns"] / 1e9,
        "creator": header["creator"],
        "creator_pid": header["creator_pid"],
        "identity": header["identity"],
    }
    if kind is not None and kind.inspect is not None:
        try:
            details = kind.inspect(look, people)
        except errors.CorruptedError as error:
            facts |= {"condition": DAMAGED, "problem": f"it is damaged: {error}"}
        else:
            facts["size"] = details.pop("size", header["file_bytes"])
            facts["details"] = details
    return facts


def _people(
    look: Look, file: _processes.File, around: _processes.Surroundings, waits: tuple[str, str]
) -> dict[int, AttachedProcess]:
    """Who takes part, by owner word."""
    people = {}
    states: dict[int, str | None] = {}
    for person in look.participants() or []:
        pid, alive = person["pid"], person["alive"]
        if alive and pid not in states:  # the pid of another container may be somebody else's here
            states[pid] = _processes.process_state(pid) if around.is_attached(pid, file) is not False else None
        waiting = dict(zip(waits, (person["waiting_producers"], person["waiting_consumers"]), strict=True))
        people[person["owner"]] = AttachedProcess(
            pid=pid,
            command=person["command"],
            started=person["started_ns"] / 1e9,
            alive=alive,
            state=states[pid] if alive else "dead",
            waiting={what: count for what, count in waiting.items() if count},
        )
    return people


def _is_attached(look: Look, found: os.stat_result, around: _processes.Surroundings) -> bool:
    """Whether anybody has the segment open, without disturbing who is about to, where that can be."""
    if look.has_participants():
        return True
    flocked = around.is_flocked((found.st_dev, found.st_ino), found.st_ctime) if look.on_tmpfs() else None
    return look.is_attached() if flocked is None else flocked
