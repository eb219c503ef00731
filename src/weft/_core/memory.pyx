# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, binding=False
"""Shared memory: bytes, position and buffers. Names, sizes and errors' words stand in ``weft.memory``,
which is bound in by ``set_policy``.

What touches the memory holds the GIL from its look at the size until it is done, so that no other thread of
this process gives memory back under it.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_ND, PyBUF_SIMPLE, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.number cimport PyIndex_Check, PyNumber_AsSsize_t
from cpython.slice cimport PySlice_Check
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memmove

from weft._core.handle cimport Attachment, Handle, describe
from weft._core.native cimport Failure, Lifetime, Object, Status, now_ns
from weft._core.native_memory cimport Memory, kMemoryKind

cdef extern from "Python.h":
    int PySlice_Unpack(object, Py_ssize_t *, Py_ssize_t *, Py_ssize_t *) except -1
    Py_ssize_t PySlice_AdjustIndices(Py_ssize_t, Py_ssize_t *, Py_ssize_t *, Py_ssize_t)

cdef extern from "weft/platform/platform.hpp" namespace "weft::os" nogil:
    int flush_mapping(void *, uint64_t)
    int advise_mapping(void *, uint64_t, int)
    const char *find_bytes(const char *, size_t, const char *, size_t)
    uint64_t reserved_bytes(int)
    const char *find_last_bytes(const char *, size_t, const char *, size_t)

DEF LOCK_STEP = 100_000_000        # ns between two looks at signals, while another resizes

cdef object policy = None          # weft.memory: see set_policy


def set_policy(module):
    """Binds in the Python side: ``configure``, ``fail``, … of ``weft.memory``."""
    global policy
    policy = module


include "memory_attachment.pxi"
include "memory_bytes.pxi"


cdef class SharedMemory(Handle):
    """Memory that any two processes share by name, with the standard's interface and that of ``mmap``.

    ``SharedMemory("frames", create=True, size=1 << 20)`` makes it, ``SharedMemory("frames")`` opens it in any
    other program. It goes with the last process that has it open, however that ends; no helper process tracks
    it. Its size is what was asked for, to the byte. Memory is reserved when it is made or grows, so that
    touching it never fails.

    It behaves as a string of bytes (``shm[5]``, ``shm[2:9] = b"changed"``), as a file with a position
    (``read``, ``write``, ``seek``, …), and as a buffer (``shm.buf``, ``memoryview(shm)``, NumPy). Threads and
    processes may use it at the same time; nothing orders what they do to the same bytes but your locks.

    Example:
        >>> import weft
        >>> with weft.SharedMemory("doctest-frames", create=True, size=10) as shm:
        ...     shm[:5] = b"howdy"
        ...     other = weft.SharedMemory("doctest-frames")
        ...     bytes(other.buf[:5]), other.size
        (b'howdy', 10)

    Args:
        name: As that of every object. None makes one without a name of yours; ``name`` then tells the one it
            was given.
        create: True: must not exist; False (the standard's default): must exist; None: opens or creates.
        size: Bytes, when it is made: at least 1. Opening something that exists ignores it, but for
            ``create=None``, which wants at least as much.
        track: Accepted for the standard's sake; nothing needs tracking here.
        lifetime: ``"attached"`` (default): gone with the last process that has it open, however that ends;
            ``"kept"``: until ``unlink()``.
        mode: Permissions of the file behind it.
        group: Name or id of the group it is given to.
        readonly: This handle can't change it, nor can what its views are given to.
        namespace: A ``Namespace``, or what one is made from; None for the default.

    Raises:
        FileNotFoundError: ``create=False`` and nothing has that name (``NotFoundError``).
        FileExistsError: ``create=True`` and something has it (``NameInUseError``).
        ValueError: ``size`` is not positive, or there is no name to look for.
        MismatchError: The name is another kind of object, has another lifetime, or is smaller than
            ``create=None`` wants.
        NoSpaceError: The file system is full: nothing has been made.
        AccessError: The directory or the memory is another user's, or lets others in.
        CorruptedError: The file of that name is no segment, or damaged.
    """

    def __init__(
        self, name=None, create=False, size=0, *, track=True, lifetime=None, mode=0o600, group=None, readonly=False,
        namespace=None,
    ):
        if self.attachment is not None:
            raise RuntimeError("memory is opened once; make another SharedMemory object")
        if create is False and lifetime is None and type(name) is str and type(size) is int and size >= 0 \
                and self.open_own(<str> name, bool(readonly), namespace):
            return
        policy.configure(self, name, create, size, lifetime, mode, group, readonly, namespace)

    cdef bint open_own(self, str name, bint readonly, namespace) except -1:
        """Opens what is there, if it is nobody else's; whether it did.

        What programs do all the time, without what is needed only for making, comparing and complaining. A file in
        the default place that only this user can have written is what it says, whoever may enter there.
        """
        if not policy.is_known_name(name):
            return False
        place = policy.place_of(namespace)
        cdef tuple key = (place.directory, name, readonly)
        cdef MemoryAttachment attachment = find_shared(key)
        if attachment is None:
            if namespace is not None and not place.is_private():
                return False
            attachment = MemoryAttachment.__new__(MemoryAttachment, kMemoryKind, readonly)
            if not attachment.attach_own(place.directory, name.encode(), kMemoryKind):
                return False
            attachment.share(key)
        self._bind(attachment, place, name)
        return True

    cpdef _bind(self, MemoryAttachment attachment, place, str name):
        """Called once the segment is open."""
        cdef object handle = self
        handle._place, handle._attachment_name = place, name
        self.attachment = attachment
        self.m = attachment.m
        attachment.handles += 1
        self.readonly = self.m.read_only()

    # What ``weft._handle`` looks at, and opening need not write down.

    @property
    def _kind(self):
        return policy.KIND

    @property
    def _options(self):
        return {"readonly": bool(self.readonly)}

    @property
    def _name(self):
        # Always one by which others can open it, as in the standard.
        return self._attachment_name

    cdef Py_ssize_t touch(self) except -1:
        """The size of now; so much may be touched until the GIL is released."""
        if self.m is not NULL and self.m.is_current():
            return <Py_ssize_t> self.m.size()
        return self.touch_anew()

    cdef Py_ssize_t touch_anew(self) except -1:
        cdef Failure why
        cdef Status status
        if self.m is NULL:
            policy.fail_closed(self)
        Handle.check_open(self)
        status = self.m.look(why)
        if status != Status.ok:
            policy.fail(self, <int> status, describe(why))
        return <Py_ssize_t> self.m.size()

    cdef Py_ssize_t touch_to_write(self) except -1:
        if self.readonly and self.m is not NULL:
            raise TypeError(f"mmap can't modify a readonly memory map: {self!r} was opened with readonly=True")
        return self.touch()

    # --- the standard's shared memory ----------------------------------------------------------

    @property
    def name(self):
        """The name by which others can open it: the one it was given, or one that weft chose."""
        return policy.name(self)

    @property
    def size(self):
        """Bytes, as asked for when it was made or resized last."""
        return self.touch()

    @property
    def buf(self):
        """A memoryview of all of it, as large as it is now.

        It keeps the memory: it stays valid after ``close``, and after others have resized or unlinked it.
        """
        cdef Py_ssize_t size = self.touch()
        if self.memory is None or len(self.memory) != size:
            self.memory = memoryview((<MemoryAttachment> self.attachment).view(0, size, self.readonly))
        return self.memory

    def close(self):
        """Closes this handle. Never fails; may be repeated.

        Views stay valid, and the memory stays attached to this process as long as there is one. What nobody
        has open any more goes, unless it is ``"kept"``.
        """
        self.let_go()
        self.memory = None
        self.attachment = None            # gone now, unless views, or other handles here, hold on to it

    cdef int let_go(self) except -1:
        if self.m is not NULL and self.attachment is not None:
            self.id[0] = self.m.segment().header().id[0]
            self.id[1] = self.m.segment().header().id[1]
            self.kept = self.m.segment().header().lifetime == Lifetime.kept
            (<MemoryAttachment> self.attachment).handles -= 1
            (<MemoryAttachment> self.attachment).exports -= self.pins
        self.m = NULL
        self.pins = 0
        return 0

    def unlink(self):
        """Removes the name now, whatever the lifetime; those who have the memory open keep it.

        As in the standard, a closed handle does it too. That the memory has gone with its last user meanwhile is
        no error then.

        Raises:
            FileNotFoundError: The name is gone already.
        """
        policy.unlink(self)

    def _closed_identity(self):
        return "%016x%016x" % (self.id[0], self.id[1]), self.kept

    def __dealloc__(self):
        self.let_go()

    def __enter__(self):
        if self.m is NULL:
            policy.fail_closed(self)
        return self                       # without touching it

    # --- size ----------------------------------------------------------------------------------

    def __len__(self):
        return self.touch()

    def refresh(self):
        """Looks at the size, and at whether the file behind the memory is whole; returns the size.

        Others' ``resize`` is seen at the next use of this object in any case. What this adds is the look at the
        file: somebody who may write to it may cut it off, and touching what is missing then ends the process
        with SIGBUS.

        Raises:
            CorruptedError: The file has been cut off.
        """
        cdef Py_ssize_t size
        if self.m is not NULL and self.m.is_mapped() and not self.m.is_whole():
            policy.fail_cut(self)          # before anything is touched
        size = self.touch()
        if not self.m.is_whole():
            policy.fail_cut(self)
        return size

    def resize(self, newsize, *, force=False):
        """Changes the size, for all who have it open; what is added is zeros.

        Others see it at their next use of their object, or by ``refresh()``. Views that exist keep their length
        and stay valid; ``buf`` gives new ones.

        Args:
            newsize: Bytes, at least 1.
            force: Makes it smaller even if others use it. Their views stay valid: no memory is taken from under
                anybody, and what was cut off is given back when nobody else has it mapped.

        Raises:
            BufferError: It would be smaller, and others use it: ``force`` was not given.
            NoSpaceError: The file system can't back the new size; nothing has changed.
            TypeError: This handle is read-only.
            ValueError: ``newsize`` is not positive.

        Waits while another process resizes. One that dies there has done it, or not; nobody waits for it.
        """
        cdef Py_ssize_t before = self.touch_to_write()
        cdef uint64_t wanted = policy.check_size(newsize, "newsize")
        cdef bint forced = force
        cdef Failure why
        cdef Status status = Status.interrupted
        Handle.check_open(self)
        cdef MemoryAttachment attachment = self.attachment
        cdef Memory *m = attachment.m
        while status == Status.interrupted or status == Status.timed_out or status == Status.busy:
            if not forced and <Py_ssize_t> wanted < before and attachment.handles > 1:
                status = Status.in_use         # by this process, through another handle
                break
            with nogil:
                status = m.resize(wanted, forced, now_ns() + LOCK_STEP, why)
            PyErr_CheckSignals()
        if status != Status.ok:
            policy.fail_resize(self, <int> status, describe(why), before, newsize)
        self.touch()
        if <Py_ssize_t> wanted < before:
            self.memory = None
            if attachment.exports == self.pins:
                m.trim()

    # --- as bytes ------------------------------------------------------------------------------

    def __getitem__(self, index):
        return get_slice(self, index) if PySlice_Check(index) else get_byte(self, index)

    def __setitem__(self, index, value):
        if PySlice_Check(index):
            set_slice(self, index, value)
        else:
            set_byte(self, index, value)

    def __delitem__(self, index):
        raise TypeError("mmap object doesn't support item deletion")

    def __iter__(self):
        cdef Py_ssize_t at = 0
        while at < self.touch():
            yield self.m.data()[at:at + 1]
            at += 1

    def __getbuffer__(self, Py_buffer *view, int flags):
        cdef Py_ssize_t size = self.touch()
        PyObject_GetBuffer((<MemoryAttachment> self.attachment).view(0, size, self.readonly), view, flags)

    def __releasebuffer__(self, Py_buffer *view):
        pass                              # never called: the view's is. NumPy lets go of what has none

    def find(self, sub, start=None, end=None, /):
        """The lowest index at which the bytes ``sub`` stand within ``start`` and ``end``, or -1.

        ``start`` is the position if it is not given.
        """
        return search(self, sub, start, end, False)

    def rfind(self, sub, start=None, end=None, /):
        """The highest index at which the bytes ``sub`` stand within ``start`` and ``end``, or -1."""
        return search(self, sub, start, end, True)

    def move(self, dest, src, count, /):
        """Copies ``count`` bytes from ``src`` to ``dest``; they may overlap."""
        cdef Py_ssize_t to = PyNumber_AsSsize_t(dest, OverflowError)
        cdef Py_ssize_t start = PyNumber_AsSsize_t(src, OverflowError)
        cdef Py_ssize_t length = PyNumber_AsSsize_t(count, OverflowError)
        cdef Py_ssize_t size = self.touch_to_write()
        if to < 0 or start < 0 or length < 0 or size - to < length or size - start < length:
            raise ValueError("source, destination, or count out of range")
        memmove(self.m.data() + to, self.m.data() + start, length)

    # --- as a file -----------------------------------------------------------------------------

    def read(self, n=None, /):
        """Up to ``n`` bytes from the position on, which they move; all that is left if None or negative."""
        cdef Py_ssize_t count = -1 if n is None else PyNumber_AsSsize_t(n, OverflowError)
        cdef Py_ssize_t left = self.left()
        if count < 0 or count > left:
            count = left
        result = PyBytes_FromStringAndSize(self.m.data() + self.at, count)
        self.at += count
        return result

    def read_byte(self):
        """The byte at the position, as an int."""
        if self.left() < 1:
            raise ValueError("read byte out of range")
        self.at += 1
        return <int> <unsigned char> self.m.data()[self.at - 1]

    def readline(self):
        """The bytes from the position to the end of the line, its newline included."""
        cdef Py_ssize_t left = self.left()
        cdef char *start = self.m.data() + self.at
        cdef char *end = <char *> memchr(start, 10, left) if left else NULL
        cdef Py_ssize_t count = end - start + 1 if end is not NULL else left
        result = PyBytes_FromStringAndSize(start, count)
        self.at += count
        return result

    def write(self, data, /):
        """Writes at the position, which it moves, and returns how many bytes that were.

        Raises:
            ValueError: They would not all fit; none has been written.
            TypeError: This handle is read-only.
        """
        cdef Py_buffer source
        cdef Py_ssize_t size
        PyObject_GetBuffer(data, &source, PyBUF_SIMPLE)
        try:
            size = self.touch_to_write()
            if self.at > size or size - self.at < source.len:
                raise ValueError(
                    f"data out of range: {source.len} bytes at position {self.at} of {size}; resize() makes room"
                )
            memmove(self.m.data() + self.at, source.buf, source.len)
            self.at += source.len
            return source.len
        finally:
            PyBuffer_Release(&source)

    def write_byte(self, byte, /):
        """Writes the int ``byte`` at the position, which it moves."""
        value = byte_of(byte)
        if self.touch_to_write() <= self.at:
            raise ValueError("write byte out of range")
        self.m.data()[self.at] = <char> <int> value
        self.at += 1

    def seek(self, pos, whence=0, /):
        """Moves the position and returns it: ``whence`` 0 from the beginning, 1 from here, 2 from the end."""
        cdef Py_ssize_t to = PyNumber_AsSsize_t(pos, OverflowError)
        cdef int how = whence
        cdef Py_ssize_t size = self.touch()
        cdef Py_ssize_t start = 0 if how == 0 else self.at if how == 1 else size
        if not 0 <= how <= 2:
            raise ValueError("unknown seek type")
        if to < -start or to > size - start:
            raise ValueError("seek out of range")
        self.at = start + to
        return self.at

    def seekable(self):
        """True."""
        return True

    def tell(self):
        """The position."""
        self.touch()
        return self.at

    cdef Py_ssize_t left(self) except -1:
        """Bytes from the position to the end."""
        cdef Py_ssize_t size = self.touch()
        return size - self.at if self.at < size else 0

    def flush(self, offset=0, size=None, /):
        """Writes the data to the disk, where the namespace stands on one; others see it without.

        Raises:
            OSError: ``offset`` is no multiple of the page size.
        """
        cdef Py_ssize_t whole = self.touch()
        cdef Py_ssize_t start = PyNumber_AsSsize_t(offset, OverflowError)
        cdef Py_ssize_t count = whole - start if size is None else PyNumber_AsSsize_t(size, OverflowError)
        if start < 0 or count < 0 or whole - start < count:
            raise ValueError("flush values out of range")
        cdef int error = 0 if self.readonly else flush_mapping(self.m.data() + start, count)
        if error:
            policy.fail_os(self, error, "flushing memory: is the offset a multiple of the page size?")

    def madvise(self, option, start=0, length=None, /):
        """Tells the kernel how the memory will be used: ``mmap.MADV_…``."""
        cdef int advice = option
        cdef Py_ssize_t size = self.touch()
        cdef Py_ssize_t begin = PyNumber_AsSsize_t(start, OverflowError)
        cdef Py_ssize_t count = size if length is None else PyNumber_AsSsize_t(length, OverflowError)
        if not 0 <= begin < size:
            raise ValueError("madvise start out of bounds")
        if count < 0:
            raise ValueError("madvise length invalid")
        if begin > (<Py_ssize_t> ((<size_t> -1) >> 1)) - count:
            raise OverflowError("madvise length too large")
        cdef int error = advise_mapping(self.m.data() + begin, min(count, size - begin), advice)
        if error:
            policy.fail_os(self, error, "advising the kernel about memory")

    # --- for weft.memory -----------------------------------------------------------------------

    def _map_over(self, place, uint64_t offset, bint copy):
        """Maps data over the memory of ``place``, a buffer that begins at a page, from ``offset`` on."""
        cdef Py_buffer target
        self.touch()
        PyObject_GetBuffer(place, &target, PyBUF_SIMPLE)
        try:
            error = self.m.map_over(target.buf, target.len, offset, not target.readonly, copy)
        finally:
            PyBuffer_Release(&target)
        if not error:
            self.pins += 1                     # until this handle is closed
            (<MemoryAttachment> self.attachment).exports += 1
        return error

    def statistics(self):
        """Size, reserved bytes, resizes and attached participants: a ``MemoryStatistics``."""
        return policy.statistics(self)

    def __repr__(self):
        return policy.describe(self)

    def _counters(self):
        self.touch()
        return {"resizes": self.m.resizes(), "reserved": reserved_bytes(self.m.segment().fd())}
