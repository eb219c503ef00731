"""Namespaces: where names live, and who may come in.

A namespace is a directory that belongs to one user; each object is one file in it. The default stands
on the memory file system, ``/dev/shm/weft-UID/default``; ``WEFT_NAMESPACE`` names another, by name or by
path. Nothing here trusts a directory because of where it is: owner and mode are checked at each opening.
"""

from __future__ import annotations

import errno
import os
import random
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weft import errors
from weft._core import handle as _native
from weft._kinds import OTHERS, kind_called

if TYPE_CHECKING:
    from weft._core.cell import Cell
    from weft._core.memory import SharedMemory
    from weft._core.queue import MessageQueue, PriorityQueue, Queue
    from weft._core.sync import Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, RWLock, Semaphore
    from weft.memory import ShareableList, SharedArray, mmap

__all__ = ["Namespace"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@:=,-]*\Z")
MAX_NAME = 200
# What objects without a name are called; kept for them.
ANONYMOUS = "anon-"
_OWN_NAME = re.compile(r"anon-[0-9a-f]{16}\Z")
# Doorbells, segments in the making on a file system that can't make files without a name, names of processes.
_HIDDEN = re.compile(r"\.(bell-[0-9a-f]{32}(-[12])?|new-[0-9a-f]{16}|process-.+)\Z")
_MEMORY = Path("/dev/shm")  # noqa: S108 - each directory in it is checked before use


def check_name(name: object, what: str = "name") -> str:
    """Returns ``name`` if it can be one, else raises with what is wrong and what to do."""
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a str, not {type(name).__name__}")
    hint = (
        "use 1 to 200 ASCII letters, digits or any of _ . + @ : = , - and begin with a letter, digit or _, "
        f"without '..' and not with {ANONYMOUS!r} in front"
    )
    if not name:
        raise ValueError(f"{what} must not be empty: {hint}")
    if len(name) > MAX_NAME:
        raise ValueError(f"{what} has {len(name)} characters, {MAX_NAME} are allowed: {hint}")
    if not is_name(name):
        raise ValueError(f"{what} {name!r} is not one: {hint}")
    return name


def is_name(name: object) -> bool:
    """Whether ``check_name`` would let it pass."""
    if not isinstance(name, str) or len(name) > MAX_NAME or ".." in name:
        return False
    return bool((_OWN_NAME if name.startswith(ANONYMOUS) else _NAME).match(name))


class Namespace:
    """A place in which names are looked up, kept apart from all others.

    Args:
        name: A name within the user's own directory on the memory file system, an absolute path to a
            directory, or None for the default (``WEFT_NAMESPACE``, else ``"default"``).
        mode: The directory's permissions. ``0o700`` keeps everybody else out; ``0o770`` with ``group``
            lets a group in, whose members say the same.
        group: Name or id of the group that a directory made here is given to.

    Raises:
        ValueError: The name can't be one.
        AccessError: The directory is another user's, or more open than ``mode``.
    """

    def __init__(
        self, name: str | os.PathLike[str] | None = None, *, mode: int = 0o700, group: str | int | None = None
    ) -> None:
        if name is None:
            name = os.environ.get("WEFT_NAMESPACE") or "default"
        text = os.fspath(name)
        if "://" in text:
            raise ValueError(f"{text!r}: namespaces beyond this machine are not supported by this version")
        if "\0" in text:
            raise ValueError("a namespace can't have a NUL character in its name")
        self.mode = check_mode(mode)
        self.group = group_id(group)
        self.path = Path(text) if text.startswith("/") else self._own_base() / check_name(text, "namespace")
        self._name = text
        self.directory = os.fsencode(self.path)

    def __repr__(self) -> str:
        return f"weft.Namespace({self._name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Namespace) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (str(self.path), self.mode, self.group))

    def _own_base(self) -> Path:
        if not _MEMORY.is_dir():
            raise errors.NotFoundError(
                f"there is no {_MEMORY} here: set WEFT_NAMESPACE to the absolute path of a directory, "
                "best one on a memory file system"
            )
        return _MEMORY / f"weft-{os.geteuid()}"

    def ensure(self, make: bool = True) -> str:
        """Makes the directory if need be, checks who may enter it, and returns its path.

        Args:
            make: Whether a missing directory is made; else it is an error.

        Raises:
            NotFoundError: It is missing and not to be made, or can't be for want of the one above it.
            AccessError: It is another user's, or more open than ``mode``, or can't be made.
        """
        if self.is_private():
            return str(self.path)
        try:
            if self.path.parent == _MEMORY / f"weft-{os.geteuid()}":
                _make_directory(self.path.parent, 0o700, None, make)
                self._check(self.path.parent, 0o700)
            _make_directory(self.path, self.mode, self.group, make)
            self._check(self.path, self.mode)
        except errors.WeftError:
            raise
        except OSError as error:
            text = f"{self.path} can't be made or entered: {error.strerror}"
            advice = "choose a directory of your own with WEFT_NAMESPACE"
            match error.errno:
                case errno.ENOSPC | errno.EDQUOT:
                    raise errors.NoSpaceError(f"{text}; free some, or {advice}", place=str(self.path)) from error
                case errno.EACCES | errno.EPERM | errno.EROFS:
                    raise errors.AccessError(f"{text}; {advice}") from error
            raise errors.SystemLimitError(error.errno, f"{text}; {advice}", str(self.path)) from error
        return str(self.path)

    def is_private(self) -> bool:
        """Whether it is there, this user's, and closed to all others: what it nearly always is."""
        above, _, _ = self.directory.rpartition(b"/")
        return _native.is_private_directory(self.directory) and (
            above != b"%s/weft-%d" % (os.fsencode(_MEMORY), os.geteuid()) or _native.is_private_directory(above)
        )

    def _check(self, path: Path, mode: int) -> None:
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode):
            raise errors.AccessError(f"{path} is not a directory: remove it, or choose another with WEFT_NAMESPACE")
        open_to_others = stat.S_IMODE(found.st_mode) & 0o077
        if found.st_uid != os.geteuid() and not (mode & 0o070 and found.st_mode & 0o020):
            raise errors.AccessError(
                f"{path} belongs to user {found.st_uid}, not to you ({os.geteuid()}): whoever owns it can read "
                "and change what you share; choose a directory of your own with WEFT_NAMESPACE"
            )
        if open_to_others & ~mode:
            raise errors.AccessError(
                f"{path} has mode {stat.S_IMODE(found.st_mode):#o}, which lets others in: "
                f"chmod {mode:#o} it, or say so with Namespace(..., mode={stat.S_IMODE(found.st_mode):#o})"
            )

    def names(self) -> list[str]:
        """The names of all objects in it, sorted; those without a name of their own are left out."""
        try:
            entries = os.listdir(self.path)
        except FileNotFoundError:
            return []
        return sorted(n for n in entries if not n.startswith((".", ANONYMOUS)))

    def clean(self) -> list[str]:
        """Removes what dead processes left: ``"attached"`` objects that nobody has open.

        Safe at any time: what somebody uses stays. ``"kept"`` objects stay until ``unlink()``. Hidden files
        that belong to objects go too when nobody has them open.

        Returns:
            The names that were removed.
        """
        try:
            entries = os.listdir(self.path)
        except FileNotFoundError:
            return []
        self.sweep_hidden()
        return sorted(entry for entry in entries if not entry.startswith(".") and self.reclaim(entry))

    def reclaim(self, name: str) -> bool:
        """Removes the object if the dead left it; whether it did."""
        return bool(_native.reclaim(os.fsencode(self.path), os.fsencode(name)))

    def sweep_hidden(self) -> int:
        """Removes hidden files that belong to no living process; how many."""
        hidden = filter(_HIDDEN.match, os.listdir(self.path))
        return sum(_native.sweep(os.fsencode(self.path), os.fsencode(entry)) for entry in hidden)

    def sweep(self, count: int = 16) -> None:
        """Looks at a few entries and removes what the dead left, so that nameless leftovers never pile up."""
        try:
            entries = os.listdir(self.path)
        except OSError:  # no descriptor left: what is to be made will say so
            return
        for entry in random.sample(entries, min(count, len(entries))):
            if entry.startswith(ANONYMOUS):
                self.reclaim(entry)

    def Queue(self, name: Any = None, maxsize: int = 0, **options: Any) -> Queue:  # noqa: N802 - the class's name
        """``weft.Queue`` in this namespace."""
        queue: Queue = self._open("Queue", name, maxsize, **options)
        return queue

    def MessageQueue(self, name: Any = None, **options: Any) -> MessageQueue:  # noqa: N802 - the class's name
        """``weft.MessageQueue`` in this namespace."""
        queue: MessageQueue = OTHERS["MessageQueue"](name, namespace=self, **options)
        return queue

    def PriorityQueue(self, name: Any = None, maxsize: int = 0, **options: Any) -> PriorityQueue:  # noqa: N802
        """``weft.PriorityQueue`` in this namespace."""
        queue: PriorityQueue = OTHERS["PriorityQueue"](name, maxsize, namespace=self, **options)
        return queue

    def SharedMemory(  # noqa: N802 - the class's name
        self, name: Any = None, create: bool | None = False, size: int = 0, **options: Any
    ) -> SharedMemory:
        """``weft.SharedMemory`` in this namespace."""
        memory: SharedMemory = self._open("SharedMemory", name, create, size, **options)
        return memory

    def SharedArray(  # noqa: N802 - the class's name
        self, name: Any = None, shape: Any = None, dtype: Any = None, **options: Any
    ) -> SharedArray:
        """``weft.SharedArray`` in this namespace."""
        array: SharedArray = self._open("SharedArray", name, shape, dtype, **options)
        return array

    def ShareableList(self, sequence: Any = None, *, name: str | None = None, **options: Any) -> ShareableList:  # noqa: N802
        """``weft.ShareableList`` in this namespace."""
        made: ShareableList = OTHERS["ShareableList"](sequence, name=name, namespace=self, **options)
        return made

    def mmap(self, tagname: str, length: int = 0, **options: Any) -> mmap:
        """``weft.mmap`` of memory that has that name in this namespace."""
        mapped: mmap = OTHERS["mmap"](-1, length, tagname, namespace=self, **options)
        return mapped

    def Pipe(self, name: Any = None, duplex: bool = True, **options: Any) -> Any:  # noqa: N802 - as multiprocessing's
        """``weft.Pipe`` in this namespace."""
        return self._open("Pipe", name, duplex=duplex, **options)

    def Cell(self, name: Any = None, **options: Any) -> Cell:  # noqa: N802 - the class's name
        """``weft.Cell`` in this namespace."""
        cell: Cell = self._open("Cell", name, **options)
        return cell

    def Lock(self, name: Any = None, **options: Any) -> Lock:  # noqa: N802 - the class's name
        """``weft.Lock`` in this namespace."""
        lock: Lock = self._open("Lock", name, **options)
        return lock

    def RLock(self, name: Any = None, **options: Any) -> RLock:  # noqa: N802 - the class's name
        """``weft.RLock`` in this namespace."""
        lock: RLock = self._open("RLock", name, **options)
        return lock

    def Semaphore(self, name: Any = None, value: Any = None, **options: Any) -> Semaphore:  # noqa: N802
        """``weft.Semaphore`` in this namespace."""
        semaphore: Semaphore = self._open("Semaphore", name, value, **options)
        return semaphore

    def BoundedSemaphore(self, name: Any = None, value: Any = None, **options: Any) -> BoundedSemaphore:  # noqa: N802
        """``weft.BoundedSemaphore`` in this namespace."""
        semaphore: BoundedSemaphore = self._open("BoundedSemaphore", name, value, **options)
        return semaphore

    def RWLock(self, name: Any = None, **options: Any) -> RWLock:  # noqa: N802 - the class's name
        """``weft.RWLock`` in this namespace."""
        opened: RWLock = self._open("RWLock", name, **options)
        return opened

    def Condition(self, name: Any = None, lock: Any = None, **options: Any) -> Condition:  # noqa: N802 - the class's name
        """``weft.Condition`` in this namespace."""
        opened: Condition = self._open("Condition", name, lock, **options)
        return opened

    def Event(self, name: Any = None, **options: Any) -> Event:  # noqa: N802 - the class's name
        """``weft.Event`` in this namespace."""
        opened: Event = self._open("Event", name, **options)
        return opened

    def Barrier(self, name: Any = None, parties: Any = None, **options: Any) -> Barrier:  # noqa: N802 - the class's name
        """``weft.Barrier`` in this namespace."""
        opened: Barrier = self._open("Barrier", name, parties, **options)
        return opened

    def _open(self, kind_name: str, *arguments: Any, **options: Any) -> Any:
        kind = kind_called(kind_name)
        assert kind is not None, f"the module of {kind_name} has not been imported"
        return kind.open(*arguments, namespace=self, **options)


# By what they depend on; beside each the memory file system that it was made for.
_defaults: dict[tuple[bytes | None, int], tuple[Path, Namespace]] = {}


def place_of(namespace: Any) -> Namespace:
    """The ``Namespace`` that an argument of that name stands for."""
    if isinstance(namespace, Namespace):
        return namespace
    if namespace is not None:
        return Namespace(namespace)
    key = _native.surroundings()
    found = _defaults.get(key)
    if found is None or found[0] is not _MEMORY:
        if len(_defaults) > 100:
            _defaults.clear()
        found = _defaults[key] = _MEMORY, Namespace()
    return found[1]


def _rebuild(path: str, mode: int, group: int | None) -> Namespace:
    return Namespace(path, mode=mode, group=group)


def _make_directory(path: Path, mode: int, group: int | None, make: bool) -> None:
    if not make:
        if not os.path.lexists(path):
            raise errors.NotFoundError(f"there is no namespace {path}: nothing has been made in it")
        return
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        raise errors.NotFoundError(f"{path.parent} does not exist: make it, or choose another namespace") from None
    if group is not None:
        os.chown(path, -1, group)
    if mode != 0o700:
        os.chmod(path, mode)


def check_mode(mode: object) -> int:
    """Returns ``mode`` if it is a sensible permission, else raises."""
    if not isinstance(mode, int) or isinstance(mode, bool):
        raise TypeError(f"mode must be an int like 0o600, not {type(mode).__name__}")
    if mode & ~0o777 or not mode & 0o600 == 0o600:
        raise ValueError(f"mode {mode:#o} is not one: give at least read and write to the owner, like 0o600")
    return mode


def group_id(group: str | int | None) -> int | None:
    """The id of a group given by name or id."""
    if group is None:
        return None
    if isinstance(group, int) and not isinstance(group, bool):
        if not 0 <= group < (1 << 32) - 1:
            raise ValueError(f"group {group} can't be one: ids are from 0 to {(1 << 32) - 2}")
        return group
    if not isinstance(group, str):
        raise TypeError(f"group must be a name or an id, not {type(group).__name__}")
    import grp

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ValueError(f"there is no group {group!r} on this system") from None
