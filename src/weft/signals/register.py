"""Names of processes: a program that has registered is found by its name, and the name goes with the process.

A name is a hidden file in the namespace's directory, ``.process-NAME``, which its process keeps locked: the kernel
lets go of the lock when the process dies, whatever the way. It holds the pid, and when and where that was given, which
whoever sends compares once it holds the process by a descriptor. Made without a name, locked, filled in and then
linked, it is never seen half-made; what the dead left is removed by whoever comes next, or by ``Namespace.clean``.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import json
import os
import sys
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from weft import errors
from weft._core import handle as _handle
from weft._core import signals as _native
from weft.namespace import Namespace, check_name
from weft.signals.sending import Process, status_of

__all__ = ["Registered", "Registration", "register", "registered"]

PREFIX = ".process-"
_MOST = 4096  # bytes of such a file
_PATIENCE = 1.0  # seconds for which somebody else's look at a dead one's file may be in the way
_ours: dict[tuple[str, str], Registration] = {}
_lock = threading.RLock()  # held from the making of a file until it is listed, and over forks


class Registration:
    """What ``register`` returns: a name of this process, until ``close``, the end of a ``with`` block, or its death.

    Attributes:
        name: The name.
        namespace: Where it stands.
    """

    def __init__(self, name: str, namespace: Namespace) -> None:
        self.name, self.namespace = name, namespace
        self._key = str(namespace.path), name
        with _lock:
            self._descriptor = _publish(namespace, name)
            _ours[self._key] = self

    @property
    def closed(self) -> bool:
        """Whether the name has been given back. A forked child does not have it."""
        return self._descriptor < 0

    def close(self) -> None:
        """Gives the name back. Can be repeated."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            if _ours.get(self._key) is self:
                del _ours[self._key]
            with contextlib.suppress(OSError):
                if os.fstat(descriptor).st_ino == os.stat(_path(self.namespace, self.name)).st_ino:
                    os.unlink(_path(self.namespace, self.name))
            os.close(descriptor)

    def _let_go(self) -> None:
        """In a forked child: the name is its parent's, and the lock must not outlive that."""
        os.close(self._descriptor)
        self._descriptor = -1

    def __enter__(self) -> Registration:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<process {os.getpid()} as {self.name!r}{', closed' if self.closed else ''}>"


@dataclass(frozen=True)
class Registered:
    """A process that has registered.

    Attributes:
        name: Its name.
        pid: Its pid.
        command: Its command line, cut to fit.
        since: When it registered, in seconds since the epoch.
    """

    name: str
    pid: int
    command: str
    since: float


def register(name: str, *, namespace: Namespace | str | None = None) -> Registration:
    """Makes this process reachable by a name: ``signals.send("worker-3", "SIGUSR1")``, ``weft signal worker-3 USR1``.

    The name goes with the process, SIGKILL included. It is this process's alone: a forked child has to register
    itself. One process may have several names. Objects such as queues have names of their own, which do not get in
    the way.

    Args:
        name: 1 to 200 ASCII letters, digits or ``_ . + @ : = , -``, as of any object.
        namespace: Where the name stands; None for the default.

    Returns:
        The registration, which can be closed.

    Raises:
        NameInUseError: A living process has that name.
        ValueError: It can't be a name.
        AccessError: The namespace is another user's.
    """
    return Registration(check_name(name), _place(namespace))


def registered(namespace: Namespace | str | None = None) -> list[Registered]:
    """The living processes that have registered in a namespace, by name."""
    place = _place(namespace)
    found = []
    try:
        entries = sorted(os.listdir(place.path))
    except FileNotFoundError:
        return []
    for entry in entries:
        if entry.startswith(PREFIX):
            with contextlib.suppress(ProcessLookupError, errors.CorruptedError, errors.AccessError):
                name = entry.removeprefix(PREFIX)
                facts = _read(place, name)
                found.append(Registered(name, facts["pid"], facts["command"], facts["since"]))
    return found


def look_up(process: Process, name: str, namespace: Namespace | str | None) -> None:
    """Has ``process`` hold the one that is registered by that name."""
    place = _place(namespace)
    facts = _read(place, check_name(name))
    if facts["system"] != _system():
        raise ProcessLookupError(
            3, f"process {name!r} lives in another container, where its pid is {facts['pid']}: send from there"
        )
    process.hold(facts["pid"])
    # It had the lock, and its pid with it, after it was held: or it is another.
    if status_of(process.pid).get("started") != facts["started"] or process.ended or _read(place, name) != facts:
        process.close()
        raise ProcessLookupError(3, f"process {name!r} has ended")


def _place(namespace: Namespace | str | None) -> Namespace:
    return namespace if isinstance(namespace, Namespace) else Namespace(namespace)


def _path(namespace: Namespace, name: str) -> str:
    return os.path.join(namespace.path, PREFIX + name)


def _publish(namespace: Namespace, name: str) -> int:
    directory, file_name = os.fsencode(namespace.ensure()), os.fsencode(PREFIX + name)
    facts = {
        "pid": os.getpid(),
        "started": status_of(os.getpid())["started"],
        "system": _system(),
        "command": " ".join(sys.orig_argv)[:200],
        "since": time.time(),
    }
    end = time.monotonic() + _PATIENCE
    while True:
        descriptor = int(_native.publish(directory, file_name, json.dumps(facts).encode(), namespace.mode & 0o666))
        if descriptor >= 0:
            return descriptor
        if descriptor == -errno.ENOSPC:
            raise errors.NoSpaceError(f"{namespace.path} is full: no name can be registered", place=str(namespace.path))
        if descriptor != -errno.EEXIST:
            raise OSError(-descriptor, f"registering {name!r}: {os.strerror(-descriptor)}", str(namespace.path))
        if _handle.sweep(directory, file_name):
            continue
        if time.monotonic() >= end:
            with contextlib.suppress(ProcessLookupError, errors.CorruptedError):
                other = _read(namespace, name)
                raise errors.NameInUseError(
                    f"{name!r} is the name of process {other['pid']} ({other['command']}): choose another"
                )
            raise errors.NameInUseError(f"{name!r} is another process's name in {namespace.path}")
        with contextlib.suppress(ProcessLookupError, errors.CorruptedError):
            if status_of(_read(namespace, name)["pid"]):  # it lives: no need for patience
                end = 0.0
        time.sleep(0.001)


def _read(namespace: Namespace, name: str) -> dict[str, Any]:
    """What the process of that name wrote, if it lives."""
    path = _path(namespace, name)
    try:
        namespace.ensure(make=False)
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise ProcessLookupError(3, f"no process has registered as {name!r} in {namespace.path}") from None
    except PermissionError as error:
        raise errors.AccessError(f"{path}: {error.strerror}") from None
    try:
        text = os.read(descriptor, _MOST)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _checked(text, path)
    finally:
        os.close(descriptor)
    _handle.sweep(os.fsencode(namespace.path), os.fsencode(PREFIX + name))
    raise ProcessLookupError(3, f"process {name!r} has ended")


def _checked(text: bytes, path: str) -> dict[str, Any]:
    kinds = {"pid": int, "started": int, "system": str, "command": str, "since": float}
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        facts = None
    if (
        not isinstance(facts, dict)
        or not all(type(facts.get(key)) is kind for key, kind in kinds.items())
        or not 0 < facts["pid"] < 1 << 30
    ):
        raise errors.CorruptedError(f"{path} holds what weft does not write: remove it, or use another name")
    return facts


def _system() -> str:
    """Where a pid means what it means: this start of the machine, and this container."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"


def _let_go_of_all() -> None:
    _lock.release()
    for registration in list(_ours.values()):
        registration._let_go()
    _ours.clear()


os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_let_go_of_all)


@atexit.register
def _close_all() -> None:
    for registration in list(_ours.values()):
        registration.close()
