"""What this machine allows weft to do: the limits, looked at before a long job starts.

Each check is a function that yields what it has found. None of them changes anything, but for a trial file
without a name in the namespace's directory.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import resource
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weft import errors
from weft._core import look as _native
from weft.memory import _logind
from weft.memory._look import FOREIGN, SOUND, namespaces, segments
from weft.namespace import Namespace, place_of

__all__ = ["Check", "doctor"]

OK, WARNING, PROBLEM = "ok", "warning", "problem"
MIB = 1 << 20
# What a queue maps unless its capacity is chosen, and what it reserves to begin with.
_DEFAULT_MAPPING = 260 * MIB
_SMALLEST = MIB
_PROC = Path("/proc")


@dataclass(frozen=True)
class Check:
    """What one check has found.

    Attributes:
        name: What was looked at.
        status: ``"ok"``, ``"warning"`` or ``"problem"``.
        finding: What was found, as a sentence.
        advice: What to do about it, if anything.
        data: The numbers of the finding.
    """

    name: str
    status: str
    finding: str
    advice: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


def doctor(namespace: Namespace | str | os.PathLike[str] | None = None) -> list[Check]:
    """Looks at what weft needs of this machine and may lack.

    Args:
        namespace: The one that is to be used: a ``Namespace``, its name or path, or None for the default.

    Returns:
        One or more results for each check, in a fixed order.
    """
    try:
        place = place_of(namespace)
    except (ValueError, errors.WeftError) as error:
        return [Check("namespace", PROBLEM, str(error), "choose another with WEFT_NAMESPACE")]
    found: list[Check] = []
    for check in _CHECKS:
        try:
            found += check(place)
        except OSError as error:
            found.append(Check(check.__name__.strip("_"), WARNING, f"could not be looked at: {error}"))
    return found


def size_text(count: float) -> str:
    """Bytes as a person would say it."""
    unit, *larger = "B", "KiB", "MiB", "GiB", "TiB"
    while count >= 1024 and larger:
        count, unit = count / 1024, larger.pop(0)
    return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}".replace(".0 ", " ")


# --- the machine -----------------------------------------------------------------------------------


def _system(place: Namespace) -> Iterator[Check]:
    machine, kernel = platform.machine(), platform.release()
    python = f"CPython {platform.python_version()}"
    data = {"machine": machine, "kernel": kernel, "python": platform.python_version()}
    if machine != "x86_64":
        yield Check("system", WARNING, f"{python} on {machine}", "weft is tested on x86-64 only", data)
    else:
        yield Check("system", OK, f"{python}, Linux {kernel} on {machine}", None, data)
    if not (_PROC / "self/fd").exists():
        yield Check("proc", PROBLEM, "/proc is not mounted", "mount it: weft gives files their names by way of /proc")


def _memory(place: Namespace) -> Iterator[Check]:
    directory = _existing(place.path)
    mount = _mount_of(directory)
    room = os.statvfs(directory)
    size, free = room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize
    data = {"directory": str(directory), "type": mount[1], "options": mount[2], "size": size, "free": free}
    text = f"{directory} is on {mount[1]}, {size_text(size)} large, {size_text(free)} free"
    larger = f"enlarge it: mount -o remount,size=8G {mount[0]}; in a container: --shm-size=8g"
    if "ro" in mount[2].split(","):
        yield Check("memory", PROBLEM, f"{text}, and mounted read-only", "mount it for writing", data)
    elif free < _SMALLEST:
        yield Check("memory", PROBLEM, text, f"{larger}; or free some: weft ls --all, weft clean", data)
    elif mount[1] not in ("tmpfs", "ramfs"):
        advice = "messages may be written to a disk: set WEFT_NAMESPACE to a directory on a tmpfs, best in /dev/shm"
        yield Check("memory", WARNING, text, advice, data)
    elif min(size, free) <= 64 * MIB:
        yield Check("memory", WARNING, f"{text}: little for arrays and large queues", larger, data)
    else:
        yield Check("memory", OK, text, None, data)
    if room.f_files and room.f_favail < 100:
        yield Check("files", PROBLEM, f"{directory} has room for {room.f_favail} more files", larger, data)
    limit = _cgroup_limit()
    if limit is not None:
        data = {"limit": limit[0], "used": limit[1]}
        text = f"this control group may use {size_text(limit[0])}, and uses {size_text(limit[1])}; queues count in it"
        short = limit[0] - limit[1] < 64 * MIB
        what = "raise memory.max: beyond it processes are killed" if short else None
        yield Check("cgroup", WARNING if short else OK, text, what, data)


def _existing(path: Path) -> Path:
    """The directory, or the nearest above it that is there."""
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def _mount_of(directory: Path) -> tuple[str, str, str]:
    """Mount point, type and options of the file system that holds the directory."""
    device = os.stat(directory).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    best = ("/", "unknown", "")
    for line in (_PROC / "self/mountinfo").read_text(errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        point = re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), fields[4])  # blanks and the like
        if fields[2] == wanted and directory.is_relative_to(point):
            best = (point, after.split()[0], fields[5])
    return best


def _cgroup_limit() -> tuple[int, int] | None:
    """The least memory.max among this process's control group and those above it, and its use."""
    try:
        lines = (_PROC / "self/cgroup").read_text().splitlines()
        own = next(line[3:] for line in lines if line.startswith("0::"))
    except (OSError, StopIteration):
        return None
    found = []
    group = Path("/sys/fs/cgroup") / own.lstrip("/")
    while group.is_relative_to("/sys/fs/cgroup"):
        try:
            limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
            if limit != "max":
                found.append((int(limit), int(used)))
        except OSError:
            pass
        group = group.parent
    return min(found, default=None)


def _filesystem(place: Namespace) -> Iterator[Check]:
    directory = _existing(place.path)
    tried = _native.try_directory(os.fsencode(directory))
    words = {name: "works" if not code else os.strerror(code) for name, code in tried.items()}
    if tried["making"]:
        advice = f"no file can be made in {directory}: choose a directory of your own with WEFT_NAMESPACE"
        yield Check("filesystem", PROBLEM, f"making a file in {directory}: {words['making']}", advice, words)
        return
    needed = {
        "reserving": "reserving memory (fallocate)",
        "mapping": "mapping a file",
        "attaching": "flock",
        "byte_locks": "open-file-description locks (F_OFD_SETLK)",
        "linking": "giving a file its name (linkat)",
        "doorbells": "FIFOs",
    }
    broken = [f"{what}: {words[name]}" for name, what in needed.items() if tried[name]]
    advice = "choose a directory on a local file system, best a tmpfs, with WEFT_NAMESPACE"
    if tried["reserving"] == errno.ENOSPC:
        advice = "free some memory, or enlarge the file system"
    if broken:
        yield Check(
            "filesystem", PROBLEM, f"{directory} can't do all that is needed: {'; '.join(broken)}", advice, words
        )
    elif tried["unnamed_files"]:
        text = f"{directory} can't make files without a name (O_TMPFILE: {words['unnamed_files']})"
        yield Check(
            "filesystem", WARNING, text, "a kill at creation may leave a hidden file, which weft clean removes", words
        )
    else:
        yield Check(
            "filesystem", OK, f"O_TMPFILE, fallocate, flock, OFD locks and FIFOs work in {directory}", None, words
        )


# --- this process and its user ---------------------------------------------------------------------


def _limits(place: Namespace) -> Iterator[Check]:
    unlimited = resource.RLIM_INFINITY
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    data: dict[str, Any] = {"soft": soft, "hard": hard}
    text = f"RLIMIT_NOFILE: {_limit_text(soft)} files open at a time (may be raised to {_limit_text(hard)})"
    few = soft != unlimited and soft < 256
    advice = "each open object takes a descriptor or two: ulimit -n 4096, LimitNOFILE= of a service" if few else None
    yield Check("open files", (PROBLEM if soft < 32 else WARNING) if few else OK, text, advice, data)
    for name, limit, what in (
        ("address space", resource.RLIMIT_AS, "RLIMIT_AS"),
        ("file size", resource.RLIMIT_FSIZE, "RLIMIT_FSIZE"),
    ):
        soft, hard = resource.getrlimit(limit)
        data = {"soft": None if soft == unlimited else soft, "hard": None if hard == unlimited else hard}
        if soft != unlimited and soft < 4 * _DEFAULT_MAPPING:
            flag = "-v" if limit == resource.RLIMIT_AS else "-f"
            advice = f"ulimit {flag} unlimited, or give queues a small capacity= (the default maps 256 MiB)"
            status = PROBLEM if soft < _DEFAULT_MAPPING else WARNING
            yield Check(name, status, f"{what}: {size_text(soft)}", advice, data)
        else:
            yield Check(name, OK, f"{what}: {'unlimited' if soft == unlimited else size_text(soft)}", None, data)
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    text = "unlimited" if soft == unlimited else size_text(soft)
    data = {"soft": None if soft == unlimited else soft}
    yield Check("locked memory", OK, f"RLIMIT_MEMLOCK: {text}; weft locks no memory, so any value does", None, data)
    count = int((_PROC / "sys/vm/max_map_count").read_text())
    text = f"vm.max_map_count: {count} mappings for each process"
    advice = "each open object takes a mapping: sysctl vm.max_map_count=65530" if count < 10_000 else None
    yield Check("mappings", WARNING if advice else OK, text, advice, {"max_map_count": count})


def _limit_text(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else f"{limit:,}"


def _logout(place: Namespace) -> Iterator[Check]:
    status, text, advice, data = _logind.judge(os.geteuid(), place.path)
    yield Check("logout", status, text, advice, data)


def _containers(place: Namespace) -> Iterator[Check]:
    found = []
    if Path("/.dockerenv").exists():
        found.append("Docker")
    if Path("/run/.containerenv").exists():
        found.append("Podman")
    if kind := os.environ.get("container"):  # noqa: SIM112 - so it is spelt
        found.append(kind)
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        found.append("Kubernetes")
    spaces = {}
    for name in ("pid", "ipc", "mnt", "user"):
        try:
            spaces[name] = os.readlink(_PROC / "self/ns" / name)
        except OSError:
            continue
    # The kernel's numbers of those it starts with; the one of mounts has none.
    first = {"pid": 4026531836, "ipc": 4026531839, "user": 4026531837}
    own = [name for name, number in first.items() if name in spaces and spaces[name] != f"{name}:[{number}]"]
    data = {"containers": found, "namespaces": spaces}
    if not found and not own:
        yield Check("containers", OK, "no container, and the machine's own pid and ipc namespaces", None, data)
        return
    what = f"in a container ({', '.join(found)})" if found else "no container is known of"
    whose = f"with a namespace of its own for {', '.join(own)}" if own else "with the machine's pid and ipc namespaces"
    text = f"{what}, {whose}"
    advice = "to share with other containers, mount one directory into all and name it by WEFT_NAMESPACE"
    if "pid" in own:
        advice += "; pids of processes in other containers mean nothing here, and weft goes without"
    yield Check("containers", OK, text, advice, data)


# --- namespaces ------------------------------------------------------------------------------------


def _directories(place: Namespace) -> Iterator[Check]:
    base = Namespace("default").path.parent
    for path in dict.fromkeys((base, place.path)):
        name = "namespace" if path == place.path else "own directory"
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            yield Check(
                name, OK, f"{path} is not there yet: it is made when it is first used", None, {"path": str(path)}
            )
            continue
        mode = stat.S_IMODE(found.st_mode)
        data = {"path": str(path), "owner": found.st_uid, "mode": f"{mode:04o}"}
        text = f"{path} belongs to user {found.st_uid}, mode {mode:04o}"
        if not stat.S_ISDIR(found.st_mode):
            advice = "remove it, or set WEFT_NAMESPACE to a directory of your own"
            yield Check(name, PROBLEM, f"{path} is not a directory", advice, data)
        elif found.st_uid != os.geteuid():
            advice = "whoever owns it can read and change what is in it: set WEFT_NAMESPACE to a directory of your own"
            yield Check(name, WARNING if mode & 0o020 else PROBLEM, text, advice, data)
        elif mode & 0o077:
            advice = f"it lets others in: chmod 700 {path}, or say so with weft.Namespace(…, mode={mode:#o})"
            yield Check(name, PROBLEM if path == base else WARNING, text, advice, data)
        else:
            yield Check(name, OK, text, None, data)


def _leftovers(place: Namespace) -> Iterator[Check]:
    places = {other.path: other for other in (*namespaces(), place)}
    for path, other in sorted(places.items()):
        try:
            found = segments(other)
        except errors.AccessError as error:
            yield Check("objects", WARNING, str(error), None, {"namespace": str(path)})
            continue
        if not found:
            continue
        left = [segment for segment in found if segment.leftover]
        unsound = [segment for segment in found if segment.condition not in (SOUND, FOREIGN)]
        reserved = sum(segment.reserved for segment in found)
        data = {"namespace": str(path), "objects": len(found), "reserved": reserved,
                "leftovers": [segment.name for segment in left],
                "unsound": {segment.name: segment.condition for segment in unsound}}  # fmt: skip
        text = f"{path} has {len(found)} object{'s' * (len(found) != 1)}, {size_text(reserved)}"
        advice = []
        if left:
            size = size_text(sum(segment.reserved for segment in left))
            text += f"; {len(left)} of them, {size}, left by dead processes"
            advice.append(f"weft clean --namespace {path}")
        if unsound:
            text += f"; not sound: {', '.join(f'{segment.name!r} ({segment.condition})' for segment in unsound)}"
            advice.append(f"weft inspect --namespace {path} {unsound[0].name}")
        yield Check("objects", WARNING if advice else OK, text, "; ".join(advice) or None, data)


_CHECKS: tuple[Callable[[Namespace], Iterator[Check]], ...] = (
    _system, _memory, _filesystem, _limits, _logout, _containers, _directories, _leftovers,
)  # fmt: skip
