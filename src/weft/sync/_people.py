"""Who holds and who waits, as far as can be told."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

from weft.statistics import Participant

TASK = 1 << 31  # in the number of a holder: a task of an event loop, not a thread


def thread_name(pid: int, thread: int) -> str | None:
    """The name of a thread, by the kernel's number for it; that number where nothing better is known."""
    if not thread:
        return None
    if thread & TASK:
        return "task"
    if pid == os.getpid():
        for one in threading.enumerate():
            if one.native_id == thread:
                return one.name
    with contextlib.suppress(OSError):
        own = Path(f"/proc/{pid}/task/{thread}/comm").read_text().strip()
        if own != Path(f"/proc/{pid}/comm").read_text().strip():
            return own
    return "MainThread" if thread == pid else str(thread)


def participant(pid: int, command: str, started_ns: int, thread: int = 0) -> Participant:
    """A process, and its thread if one is known."""
    return Participant(pid, command, started_ns / 1e9, thread_name(pid, thread))


def describe(person: Participant) -> str:
    """A process in an error's words."""
    thread = f", thread {person.thread}" if person.thread else ""
    return f"pid {person.pid}{thread} ({person.command or 'command unknown'})"


def seconds_since(monotonic_ns: int) -> float:
    """How long ago that was."""
    return max(0.0, (time.monotonic_ns() - monotonic_ns) / 1e9)
