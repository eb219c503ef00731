"""mmap: the standard's class, and a name for the memory on every system."""

from __future__ import annotations

import errno
import fcntl
import mmap as _std
import os
import stat
import sys
from typing import Any

from weft import errors
from weft._core.memory import SharedMemory
from weft._kinds import OTHERS
from weft._opening import no_space
from weft.memory import _shared_memory

__all__ = ["mmap"]

_POSITIONAL = ("flags", "prot", "access", "offset")
_POSITIONAL_WITH_NAME = ("tagname", "access", "offset")
_ACCESS = {
    _std.ACCESS_DEFAULT: "ACCESS_DEFAULT",
    _std.ACCESS_READ: "ACCESS_READ",
    _std.ACCESS_WRITE: "ACCESS_WRITE",
    _std.ACCESS_COPY: "ACCESS_COPY",
}


class mmap(_std.mmap):  # noqa: N801 - the standard's name
    """Memory that is shared by name, that of a file, or anonymous: ``mmap.mmap`` with what Linux lacked.

    It is an ``mmap.mmap``, so whatever takes one takes it, and all that is not told here is as there. Both
    constructions work on every system::

        mmap(fileno, length, tagname=None, access=ACCESS_DEFAULT, offset=0)
        mmap(fileno, length, flags=MAP_SHARED, prot=PROT_WRITE | PROT_READ, access=ACCESS_DEFAULT, offset=0)

    - ``mmap(-1, 4096, tagname="frames")`` is the same memory in every process that says so. Whoever comes
      first makes it; it goes with the last one.
    - ``mmap(-1, 4096)`` is anonymous, shared with children that are forked.
    - ``mmap(file.fileno(), length)`` is the file's memory. A file that is shorter grows first, and the disk
      space is reserved, so that no later write can fail.

    Example:
        >>> import weft
        >>> with weft.mmap(-1, 4096, tagname="doctest-share") as mine, weft.mmap(-1, 0, "doctest-share") as other:
        ...     mine[:5] = b"howdy"
        ...     other[:5], len(other)
        (b'howdy', 4096)

    Args:
        fileno: A descriptor of a file opened for reading and, if it is to be changed, writing; -1 for none.
        length: Bytes. 0: to the end of the file, or of the memory of that name. More than there is makes it grow
            if it may be written, and is an error that tells both sizes if not. A file that has something in it
            grows if its being written was asked for (``access=ACCESS_WRITE``, or ``flags`` or ``prot``) or to
            whole pages: other lengths are taken for a mistake, as in the standard.
        tagname: A name, as that of every object of weft; the third positional argument if that is a str. With a
            file it is accepted and means nothing, as the file is what is shared.
        access: ``ACCESS_READ``, ``ACCESS_WRITE`` or ``ACCESS_COPY``; not together with ``flags`` or ``prot``.
        flags: ``MAP_SHARED`` or ``MAP_PRIVATE``, as in the standard.
        prot: ``PROT_READ`` and ``PROT_WRITE``, as in the standard.
        offset: Where the memory begins: a multiple of ``ALLOCATIONGRANULARITY``.
        lifetime: Of memory with a name that is made here: ``"attached"`` (default) or ``"kept"``.
        mode: Permissions of the file behind a name that is made here.
        namespace: Where the name stands: a ``Namespace``, or what one is made from.
        trackfd: As in the standard, from Python 3.13 on.

    Raises:
        ValueError: Sizes, offsets or arguments that can't be, or not together.
        TypeError: ``tagname`` is not a str.
        OSError: The descriptor is closed, or of something that can't be mapped.
        FileNotFoundError: ``length=0``, and nothing has that name (``NotFoundError``).
        NoSpaceError: The file system can't back the length.
        MismatchError: The name is another kind of object, or has another lifetime.
    """

    _memory: SharedMemory | None = None  # what keeps the named memory attached
    _file: _Descriptor | None = None  # the file that may grow
    _offset = 0
    _access = _std.ACCESS_DEFAULT
    _copy = False

    def __new__(cls, fileno: int, length: int, *positional: Any, **options: Any) -> mmap:
        """Maps."""
        named = bool(positional) and (positional[0] is None or isinstance(positional[0], str))
        order = _POSITIONAL_WITH_NAME if named else _POSITIONAL
        if len(positional) > len(order):
            raise TypeError(f"mmap() takes at most {len(order) + 2} positional arguments ({len(positional) + 2} given)")
        for key, value in zip(order, positional, strict=False):
            if key in options:
                raise TypeError(f"mmap() got multiple values for argument {key!r}")
            options[key] = value
        tagname = options.pop("tagname", None)
        if tagname is not None and not isinstance(tagname, str):
            raise TypeError(f"tagname must be a str, not {type(tagname).__name__}")
        ours: dict[str, Any] = {key: options.pop(key) for key in ("lifetime", "mode", "namespace") if key in options}
        if tagname is not None and fileno == -1:
            return cls._map_name(tagname, length, ours, **options)
        if ours:
            raise TypeError(f"mmap() takes {', '.join(ours)} only with fileno=-1 and a tagname")
        if fileno == -1:
            return super().__new__(cls, fileno, length, **options)
        return cls._map_file(fileno, length, **options)

    # --- by name -------------------------------------------------------------------------------

    @classmethod
    def _map_name(
        cls,
        tagname: str,
        length: int,
        ours: dict[str, Any],
        *,
        flags: int = _std.MAP_SHARED,
        prot: int = _std.PROT_READ | _std.PROT_WRITE,
        access: int = _std.ACCESS_DEFAULT,
        offset: int = 0,
        trackfd: bool = True,
    ) -> mmap:
        if access != _std.ACCESS_DEFAULT and (flags, prot) != (_std.MAP_SHARED, _std.PROT_READ | _std.PROT_WRITE):
            raise ValueError("mmap can't specify both access and flags, prot.")
        if access not in _ACCESS:
            raise ValueError("mmap invalid access parameter.")
        if prot & ~(_std.PROT_READ | _std.PROT_WRITE):
            raise ValueError("memory with a tagname is to read and write: prot is of PROT_READ and PROT_WRITE")
        copy = access == _std.ACCESS_COPY or bool(flags & _std.MAP_PRIVATE)
        readonly = access == _std.ACCESS_READ or not prot & _std.PROT_WRITE
        length, offset = _check_range(length, offset)
        memory = _open_memory(tagname, offset + length if length else 0, copy or readonly, ours)
        try:
            return cls._map_memory(memory, length, offset, access, copy, readonly)
        except BaseException:
            memory.close()
            raise

    @classmethod
    def _map_memory(
        cls, memory: SharedMemory, length: int, offset: int, access: int, copy: bool, readonly: bool
    ) -> mmap:
        size = memory.size
        if offset >= size or length > size - offset:
            if readonly or copy or not length:
                raise ValueError(
                    f"mmap length is greater than the memory: {length or 1} bytes from offset {offset} on were asked "
                    f"for, {memory.name!r} has {size}: map it to write and it will grow"
                )
            memory.resize(offset + length)
        length = length or size - offset
        # The standard's object is made of anonymous memory, and the shared memory mapped in its place: so it has
        # no descriptor by which it could cut off the file, and which forked children would keep open.
        if readonly:
            made = super().__new__(cls, -1, length, access=_std.ACCESS_READ)
        elif access == _std.ACCESS_COPY:
            made = super().__new__(cls, -1, length, access=access)
        else:
            made = super().__new__(cls, -1, length, flags=_std.MAP_PRIVATE | _std.MAP_ANONYMOUS)
        code = memory._map_over(made, offset, copy)
        if code:
            _std.mmap.close(made)
            raise errors.SystemLimitError(code, f"mapping the memory: {os.strerror(code)}", str(memory.path))
        made._memory, made._offset, made._copy = memory, offset, copy
        made._access = _std.ACCESS_READ if readonly else access
        return made

    @property
    def tagname(self) -> str | None:
        """The name of the memory, or None."""
        return None if self._memory is None else self._memory.name

    # --- of a file -----------------------------------------------------------------------------

    @classmethod
    def _map_file(cls, fileno: int, length: int, **options: Any) -> mmap:
        offset = options.get("offset", 0)
        grows = False
        try:
            found = os.fstat(fileno) if isinstance(fileno, int) else None
            if (
                found is not None
                and stat.S_ISREG(found.st_mode)
                and isinstance(length, int)
                and isinstance(offset, int)
            ):
                writes = _writes(fileno, options)
                if length > 0 and offset >= 0 and found.st_size < length + offset <= sys.maxsize:
                    grows = _may_grow(found.st_size, length, offset, writes, options)
                    reserve(fileno, found.st_size, offset + length)
                elif length == 0 and offset >= found.st_size:
                    raise ValueError(
                        f"mmap offset is greater than file size: {offset} of {found.st_size}"
                        if found.st_size
                        else "cannot mmap an empty file: give a length, and it will grow if it is opened for writing"
                    )
            made = super().__new__(cls, fileno, length, **options)
        except OSError as error:
            raise _explained(error, fileno, length, offset) from None
        made._offset = offset
        made._access = options.get("access", _std.ACCESS_DEFAULT)
        if found is not None and stat.S_ISREG(found.st_mode) and options.get("trackfd", True) and (grows or writes):
            made._file = _Descriptor(os.dup(fileno))
        return made

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        size: int = 0,
        *,
        mode: int = 0o600,
        access: int = _std.ACCESS_DEFAULT,
        offset: int = 0,
    ) -> mmap:
        """Maps the file of that path; makes it, and makes it larger, if need be.

        Args:
            path: The file.
            size: Bytes from ``offset`` on; 0: all there are. A shorter file grows, and its space is reserved.
            mode: Permissions of a file that is made.
            access: With ``ACCESS_READ`` and ``ACCESS_COPY`` the file is opened for reading, never made, and does
                not grow.
            offset: Where the memory begins: a multiple of ``ALLOCATIONGRANULARITY``.

        Raises:
            FileNotFoundError: There is no such file, and ``size`` was not given, or it is not to be written.
            NoSpaceError: The disk can't back the size. A file that was to be made is not there.
            ValueError: It is shorter and not to be written; the error tells both sizes.
        """
        writes = access in (_std.ACCESS_DEFAULT, _std.ACCESS_WRITE)
        made = False
        flags = (os.O_RDWR if writes else os.O_RDONLY) | os.O_CLOEXEC
        try:
            fileno = os.open(path, flags)
        except FileNotFoundError as error:
            if not writes or not size:
                hint = "give a size to make it" if writes else "only a file that may be written is made"
                raise FileNotFoundError(error.errno, f"{error.strerror}: {hint}", os.fspath(path)) from None
            fileno = os.open(path, flags | os.O_CREAT, mode)
            made = True
        try:
            return cls(fileno, size, access=_std.ACCESS_WRITE if writes else access, offset=offset)
        except BaseException:
            if made and os.fstat(fileno).st_size == 0:
                os.unlink(path)
            raise
        finally:
            os.close(fileno)

    # --- size ----------------------------------------------------------------------------------

    def size(self) -> int:
        """Bytes of the file, or of the memory of that name, which may be more than ``len``."""
        return super().size() if self._memory is None or self.closed else self._memory.size

    def resize(self, newsize: int, /) -> None:
        """Changes the length, and that of the file or the named memory with it.

        Growing reserves what is added before anything else is done. Others who have mapped a name see its new
        ``size()``, and use what was added when they have called ``resize`` too.

        Args:
            newsize: Bytes.

        Raises:
            BufferError: There are buffers of it, such as a memoryview.
            InUseError: The named memory would be smaller, and others use it.
            NoSpaceError: There is no room; nothing has changed.
            TypeError: It is read-only or a copy.
            ValueError: It is closed, or ``newsize`` is not positive.
        """
        if self._memory is not None and not self.closed:
            self._resize_memory(newsize)
            return
        if self._file is not None and isinstance(newsize, int) and newsize > len(self):
            super().resize(len(self))  # whether it may be resized at all, before the file grows
            end = self._offset + newsize
            if end > (now := os.fstat(self._file.number).st_size):
                reserve(self._file.number, now, end)
        super().resize(newsize)

    def _resize_memory(self, newsize: int) -> None:
        assert self._memory is not None
        before = len(self)
        super().resize(before)  # may it be resized at all?
        if self._copy:
            raise TypeError("mmap can't resize a readonly or copy-on-write memory map.")
        newsize = _shared_memory.check_size(newsize, "newsize")
        end = self._offset + newsize
        if newsize < before:
            super().resize(newsize)  # first, since the memory behind it may go
            try:
                self._memory.resize(end)
            except BaseException:
                super().resize(before)
                raise
        else:
            if end > self._memory.size:
                self._memory.resize(end)
            super().resize(newsize)

    # --- the rest ------------------------------------------------------------------------------

    def close(self) -> None:
        """Unmaps the memory; the last one who has a name takes it along. May be repeated.

        Raises:
            BufferError: There are buffers of it, such as a memoryview; it stays open.
        """
        super().close()
        if self._memory is not None:
            self._memory.close()
        self._file = None

    if sys.version_info < (3, 13):  # there the standard has them

        def seek(self, pos: int, whence: int = 0, /) -> int:  # type: ignore[override]
            """Moves the position and returns it."""
            super().seek(pos, whence)  # type: ignore[arg-type]
            return self.tell()

        def seekable(self) -> bool:
            """True."""
            return True

    def __enter__(self) -> mmap:
        super().__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return "<weft.mmap closed=True>"
        name = "" if self._memory is None else f"tagname={self.tagname!r}, "
        return (
            f"<weft.mmap {name}closed=False, access={_ACCESS[self._access]}, length={len(self)}, pos={self.tell()}, "
            f"offset={self._offset}>"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        if self._memory is None:
            raise TypeError("cannot pickle 'weft.mmap' object: only memory with a tagname can be found elsewhere")
        readonly = self._access == _std.ACCESS_READ
        state = (self._memory, len(self), self._offset, self._access, self._copy, readonly)
        return (type(self)._map_memory, state)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()


OTHERS["mmap"] = mmap


class _Descriptor:
    """A descriptor that is closed when nothing refers to it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self, close: Any = os.close) -> None:
        close(self.number)


# --- sizes -----------------------------------------------------------------------------------------


def _check_range(length: Any, offset: Any) -> tuple[int, int]:
    for value, what in ((length, "length"), (offset, "offset")):
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError(f"{what} must be an int, a number of bytes, not {type(value).__name__}")
        if value.__index__() < 0:
            raise OverflowError(f"memory mapped {what} must be positive, not {value}")
        if value.__index__() > sys.maxsize:
            raise OverflowError(f"memory mapped {what} {value} is more than this system can address")
    length, offset = length.__index__(), offset.__index__()
    if offset % _std.ALLOCATIONGRANULARITY:
        raise ValueError(
            f"offset must be a multiple of ALLOCATIONGRANULARITY, {_std.ALLOCATIONGRANULARITY}, not {offset}"
        )
    return length, offset


def _open_memory(tagname: str, size: int, reads: bool, ours: dict[str, Any]) -> SharedMemory:
    """The memory of that name: what there is, else made with that size."""
    arguments = {"lifetime": None, "mode": 0o600, "group": None, "namespace": None} | ours
    if reads or not size:
        memory = SharedMemory.__new__(SharedMemory)
        try:
            _shared_memory.open_at(memory, tagname, False, 1, readonly=reads, **arguments)
            return memory
        except errors.NotFoundError as error:
            if not size:
                raise errors.NotFoundError(f"{error}; give a length to make it") from None
    memory = SharedMemory.__new__(SharedMemory)
    _shared_memory.open_at(memory, tagname, None, size, readonly=False, **arguments)
    return memory


def _writes(fileno: int, options: dict[str, Any]) -> bool:
    """Whether what is written to the mapping would go to the file."""
    access = options.get("access", _std.ACCESS_DEFAULT)
    if access == _std.ACCESS_DEFAULT:
        shared = options.get("flags", _std.MAP_SHARED) & _std.MAP_SHARED
        wanted = shared and options.get("prot", _std.PROT_WRITE) & _std.PROT_WRITE
    else:
        wanted = access == _std.ACCESS_WRITE
    return bool(wanted) and fcntl.fcntl(fileno, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR


def _may_grow(size: int, length: int, offset: int, writes: bool, options: dict[str, Any]) -> bool:
    """True, or an error that shows both sizes."""
    wanted = f"{length} bytes from offset {offset} on were asked for, the file has {size}"
    text = f"mmap length is greater than file size: {wanted}"
    if not writes:
        raise ValueError(f"{text}: open it for writing, and map it so, and it will grow")
    asked = options.keys() & {"access", "flags", "prot"}
    if size and not asked and (offset + length) % _std.PAGESIZE:
        raise ValueError(f"{text}: say access=ACCESS_WRITE to make it grow")
    return True


def reserve(fileno: int, size: int, end: int) -> None:
    """Makes a file grow from ``size`` to ``end``, the disk space included."""
    try:
        os.posix_fallocate(fileno, size, end - size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        os.ftruncate(fileno, size)  # what it had got before there was no more
        room = os.fstatvfs(fileno)
        raise no_space(end - size, room.f_bavail * room.f_frsize, f"/proc/self/fd/{fileno}") from None


def _explained(error: OSError, fileno: Any, length: Any, offset: Any) -> OSError:
    """The same error, with what to do."""
    if isinstance(error, errors.WeftError):
        return error
    hint = ""
    try:
        found = os.fstat(fileno).st_mode if isinstance(fileno, int) else 0
        if found and not stat.S_ISREG(found):
            kind = "a directory" if stat.S_ISDIR(found) else "a pipe" if stat.S_ISFIFO(found) else "not a file"
            hint = f"descriptor {fileno} is {kind}: map a file, or give fileno=-1 for memory without one"
    except OSError:
        hint = f"descriptor {fileno} is not open: map before the file is closed"
    if not hint and error.errno == errno.EACCES:
        hint = "open the file for reading and writing ('r+b'), or map it with access=ACCESS_READ"
    if not hint and error.errno == errno.EINVAL and isinstance(offset, int) and offset % _std.ALLOCATIONGRANULARITY:
        hint = f"offset must be a multiple of ALLOCATIONGRANULARITY, {_std.ALLOCATIONGRANULARITY}, not {offset}"
    return OSError(error.errno, f"{error.strerror}: {hint}") if hint else error
