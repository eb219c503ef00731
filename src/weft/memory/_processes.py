"""Processes, as /proc shows them. For display: nothing is decided by what stands here."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

__all__ = ["Surroundings", "flocked_files", "process_state"]

# A file, whatever its names: device and inode.
File = tuple[int, int]

_PROC = Path("/proc")
# Of the namespace in which every process of the machine is seen.
_FIRST_PID_NAMESPACE = "pid:[4026531836]"
_STATES = {
    "R": "running",
    "S": "sleeping",
    "I": "sleeping",
    "D": "waiting for a device",
    "T": "stopped",
    "t": "stopped",
    "Z": "dead",
    "X": "dead",
}


def process_state(pid: int) -> str | None:
    """What the process does now, or None if there is none of that pid here."""
    try:
        # The command stands in parentheses, and may have some of its own.
        fields = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return _STATES.get(fields[0].decode(errors="replace"), "running") if fields else None


class Surroundings:
    """Who is attached to which file, as far as one may know, asked once for all that are looked at together.

    Attached is who has the file open and an flock on it; who only looks at it has none.
    """

    def __init__(self) -> None:
        self._files: dict[int, dict[File, list[Path]] | None] = {}
        self._everybody: list[int] | None = None
        self._flocked: set[File] | None = set()
        self._asked = float("-inf")

    def is_attached(self, pid: int, file: File) -> bool | None:
        """Whether the process is attached; None if it is another user's, so that one can't know."""
        if pid not in self._files:
            self._files[pid] = _files_of(pid)
        files = self._files[pid]
        return None if files is None else any(map(_is_flocked, files.get(file, ())))

    def attached_to(self, file: File) -> list[int]:
        """The pids of all processes here that are attached."""
        if self._everybody is None:
            self._everybody = sorted(int(entry) for entry in os.listdir(_PROC) if entry.isdigit())
        return [pid for pid in self._everybody if self.is_attached(pid, file)]

    def is_flocked(self, file: File, changed: float) -> bool | None:
        """Whether anybody has an flock on the file; None where that can't be told.

        Args:
            file: On a tmpfs.
            changed: Its ctime. That nobody had a lock when the kernel was asked counts for files that were there.
        """
        if self._flocked is not None and file not in self._flocked and changed > self._asked - 1:
            self._asked = time.time()
            lists = [flocked_files() for _ in range(3)]  # one that changes while it is read may lack a lock
            self._flocked = None if None in lists else set().union(*filter(None, lists))
        return None if self._flocked is None else file in self._flocked


def _files_of(pid: int) -> dict[File, list[Path]] | None:
    """All that a process has open, and what tells more of each descriptor."""
    folder = _PROC / str(pid)
    found: dict[File, list[Path]] = {}
    try:
        descriptors = os.listdir(folder / "fd")
    except PermissionError:
        return None
    except OSError:
        return found
    for descriptor in descriptors:
        with contextlib.suppress(OSError):  # closed meanwhile
            file = os.stat(folder / "fd" / descriptor)
            found.setdefault((file.st_dev, file.st_ino), []).append(folder / "fdinfo" / descriptor)
    return found


def _is_flocked(information: Path) -> bool:
    try:
        return "FLOCK" in information.read_text()
    except OSError:
        return False


def flocked_files() -> set[File] | None:
    """All files on which anybody has an flock; None where that can't be told.

    Only the first pid namespace sees the locks of all processes, and of the dead from whom children have
    inherited one.
    """
    try:
        if os.readlink(_PROC / "self/ns/pid") != _FIRST_PID_NAMESPACE:
            return None
        lines = (_PROC / "locks").read_text().splitlines()
    except OSError:
        return None
    found = set()
    for line in lines:
        words = line.split()
        if "FLOCK" in words and "->" not in words:
            major, minor, inode = words[5].split(":")
            found.add((os.makedev(int(major, 16), int(minor, 16)), int(inode)))
    return found
