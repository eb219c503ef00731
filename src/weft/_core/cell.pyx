# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, binding=False
"""The cell's hot calls. What is asked for once stands in ``weft.cell``, which is bound in by ``set_policy``.

Each call works with the GIL held. Only what has to wait, or to copy much, releases it.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from weft._core.codec cimport ALIGNMENT, Codec, Encoded
from weft._core.handle cimport Attachment, Handle, describe
from weft._core.native cimport Failure, Object, Owner, Status, Waiting, close_fd, hush, kForever, now_ns, ring_fd
from weft._core.native_cell cimport CCell, CellValue, ValueKind
from weft._core.timing cimport deadline_of

import sys

# A C variable, since the module's names are gone when the interpreter ends.
cdef object is_finalizing = sys.is_finalizing
cdef object policy = None          # weft.cell: see set_policy

DEF BIG_COPY = 65536               # bytes from which a copy is made without the GIL
DEF SCRATCH = 4096                 # CellGeometry::kCopied
DEF HOLD_TRIES = 1000              # a millisecond each


def set_policy(module):
    """Binds in the Python side: ``configure``, ``fail``, … of ``weft.cell``."""
    global policy
    policy = module


@cython.final
@cython.no_gc
cdef class CellAttachment(Attachment):
    """This process's part in a cell's segment."""

    def __cinit__(self):
        self.c = new CCell()
        self.object = self.c


cdef inline CCell *check_open(Cell self) except NULL:
    if self.c is NULL or self.c.people().foreign():
        self.check_open()
    return self.c


cdef inline int fail(Cell self, Status status, Failure *why) except -1:
    policy.fail(self, <int> status, describe(why[0]) if why is not NULL else None)
    return 0


include "cell_set.pxi"
include "cell_get.pxi"


cdef int quiet(Cell self) except -1:
    """The descriptor is silent until the next value: what comes from now on rings."""
    hush(self.listener)
    self.c.arm_bell()
    return 0


cdef int await_newer(Cell self, uint64_t version, int64_t deadline) except -1:
    cdef CCell *c = check_open(self)
    cdef CellAttachment held = <CellAttachment> self.attachment   # a close in another thread must not pull c away
    cdef Status status
    c.begin_wait()
    while c.version() <= version:
        if deadline == 0 or (deadline != kForever and now_ns() >= deadline):
            policy.fail_newer(self, version)
        with nogil:
            status = c.wait_newer(version, deadline, self.waiting)
        PyErr_CheckSignals()              # also what came while it spun, or just before it slept
        c = check_open(self)
    return 0


cdef uint64_t after(Cell self, object version) except? 0xffffffffffffffff:
    if version is None:
        return self.got
    if isinstance(version, bool) or not isinstance(version, int):
        raise TypeError(f"version must be an int or None, not {type(version).__name__}")
    if version < 0:
        raise ValueError(f"version must be at least 0, not {version}")
    return min(version, 0xfffffffffffff)


cdef class Cell(Handle):
    """The latest value only: any process sets it, every process gets the newest, and nobody waits for anybody.

    ``Cell("pose")`` in any program is the same cell; it is made by whoever comes first. Any number of threads
    and processes may set and get at the same time. Writers never wait, neither for readers nor for other
    writers; readers never see half a value. A writer killed at any instruction leaves the value before, or its
    own as a whole. Values that nobody has got are replaced by later ones: for every value to arrive use
    ``weft.Queue``.

    Example:
        >>> import weft
        >>> with weft.Cell("doctest-pose") as pose:
        ...     pose.set({"x": 1.0, "y": 2.0})
        ...     pose.get()
        1
        {'x': 1.0, 'y': 2.0}

    Args:
        name: 1 to 200 ASCII letters, digits or ``_ . + @ : = , -``, of which the first is a letter, a digit or
            ``_``; no ``..``, and nothing that begins with ``anon-``. None makes an anonymous cell.
        type: What the values are, for a cell checked at opening and decoded to that type by msgspec.
        shape: Of a NumPy array: an int or a sequence of ints. Every value then is such an array.
        dtype: Of that array: what ``numpy.dtype`` takes, without Python objects; ``"f8"`` if only ``shape`` is
            given. With ``dtype`` alone the values are scalars.
        size: Bytes of the largest value, encoded; 4096 by default. An array has the size that it has.
        codec: ``"default"``, ``"raw"``, ``"json"``, ``"msgspec"``, ``"pickle"``, or an object with ``encode``
            and ``decode``. ``"pickle"`` runs what a value tells it to: only among programs you trust.
        create: True: must not exist; False: must exist; None: opens or creates.
        lifetime: ``"attached"`` (default): gone with the last process that has it open, however that ends,
            value included; ``"kept"``: until ``unlink()``.
        mode: Permissions of the file behind it.
        group: Name or id of the group it is given to.
        namespace: A ``Namespace``, or what one is made from; None for the default.
        wait: How this handle waits: ``"balanced"`` spins for as long as that has paid lately, then sleeps;
            ``"latency"`` spins for 2 ms; ``"power"`` never spins.

    A cell that exists is opened with what its creator chose: array or not, shape, dtype and size need not be
    told, and must be the same if they are.

    Raises:
        MismatchError: The name exists with other settings, another codec or type, or is another kind.
        NotFoundError: ``create=False`` and nothing has that name.
        NameInUseError: ``create=True`` and something has it.
        NoSpaceError: The file system is full.
        AccessError: The directory or the cell is another user's, or lets others in.
        CorruptedError: The file of that name is no segment, or damaged.
    """

    def __cinit__(self, *args, **kwargs):
        self.c = NULL
        self.listener = -1

    def __init__(
        self, name=None, *, type=None, shape=None, dtype=None, size=None, codec=None, create=None, lifetime=None,
        mode=0o600, group=None, namespace=None, wait="balanced",
    ):
        if self.attachment is not None:
            raise RuntimeError("a cell is opened once; make another Cell object")
        policy.configure(
            self, name, type=type, shape=shape, dtype=dtype, size=size, codec=codec, create=create,
            lifetime=lifetime, mode=mode, group=group, namespace=namespace, wait=wait,
        )

    def _bind(self, CellAttachment attachment not None, Codec codec, ndarray, shape, dtype, int waiting):
        """Called by ``configure`` once the segment is open: with a codec, or with what makes an array."""
        self.attachment = attachment
        self.codec = codec
        self.scratch = Encoded()
        self.plain = codec is not None and (codec.name == "default" or codec.name == "raw")
        self.ndarray, self.shape, self.dtype = ndarray, shape, dtype
        self.waiting = <Waiting> waiting
        self.size = attachment.c.geometry().size
        self.c = attachment.c

    cdef Object *check_open(self) except NULL:
        if self.c is NULL:
            policy.fail_closed(self)
        if self.c.people().foreign():
            # This is a forked child: what the handle had, it has still, but as somebody else.
            if self.listener >= 0:
                close_fd(self.listener)
                self.listener = -1
            self.scratch = Encoded()
            Handle.check_open(self)
        return self.c

    def __dealloc__(self):
        if self.listener >= 0:
            close_fd(self.listener)

    def __del__(self):
        # At the interpreter's end the Python side has gone already; the kernel does what is left.
        if self.c is not NULL and policy is not None and not is_finalizing():
            self.close()

    # --- the value -----------------------------------------------------------------------------

    def set(self, value):
        """Makes this the value, and wakes those who wait for a newer one.

        When this returns, every ``get`` that begins later returns this value or a newer one. What cannot be
        encoded raises here and changes nothing.

        Args:
            value: What the codec carries; for a cell of arrays what ``numpy.asarray`` makes an array of the
                cell's shape, and of its dtype without loss of kind.

        Returns:
            The version of the value: 1 for the first that was ever set in this cell, and then one more each time.

        Raises:
            MessageTooLargeError: The encoded value is larger than ``size``.
            TypeError: The codec or the dtype cannot carry the value.
            ValueError: The array has another shape.
            NoSpaceError: More writers and views than ever before are at work, and the file system cannot back
                memory for one more value.
            SystemLimitError: There are as many writers and views at work as there can be: 2047, or fewer (31 at
                least) where values are larger than 2 MiB.
            CorruptedError: The cell holds what no honest program writes.

        Any thread of any process may call this at the same time; it never waits. A writer that is stopped or
        killed in the middle hinders nobody, and leaves the value as it was.
        """
        cdef CCell *c = self.c
        if c is not NULL and self.plain and PyBytes_CheckExact(value) and not c.people().foreign():
            return set_bytes(self, c, ValueKind.raw, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value),
                             PyBytes_GET_SIZE(value))
        if self.shape is not None:
            return set_array(self, value)
        return set_encoded(self, value)

    def get(self):
        """Returns the latest value, without waiting.

        Returns:
            What was set: a new object each time, type for type; an array is the caller's to change.

        Raises:
            LookupError: Nothing has been set yet.
            CorruptedError: The cell holds what no honest program writes.
            SystemLimitError: 512 views are alive, so that a large value can't be held while it is copied.

        Any thread of any process may call this at the same time, while others set. What it returns is at least
        as new as what any call that ended before returned.
        """
        cdef char buffer[SCRATCH]
        cdef CellValue value
        cdef CCell *c = self.c
        cdef Status status
        if c is NULL or c.people().foreign():
            c = check_open(self)
        if self.listener >= 0:
            quiet(self)
        if self.codec is None:
            return get_array(self, c)
        status = c.read(value, buffer, SCRATCH)
        if status != Status.ok:
            return get_held(self, status)
        if value.kind == ValueKind.raw and self.plain:
            result = PyBytes_FromStringAndSize(buffer, value.total)
        else:
            result = self.codec.decode(buffer, value.body_size, value.total, None, False)
        self.got = value.version
        return result

    def view(self):
        """Returns the latest value where it stands in shared memory, without a copy.

        For cells of arrays, of ``codec="raw"``, and of bytes. The memory is not written to as long as a view of
        it lives: writers then use other memory, one value more for each view. A view shows its value for ever,
        however many newer ones there are, and outlives ``close()``.

        Returns:
            A read-only ``numpy.ndarray`` (of no dimensions for a scalar), or a read-only ``memoryview`` of bytes.

        Raises:
            LookupError: Nothing has been set yet.
            TypeError: The value is not an array or bytes.
            SystemLimitError: 512 views are alive, as many as there can be.
            CorruptedError: The cell holds what no honest program writes.

        Any thread of any process may call this at the same time. A killed process holds nothing. A forked child
        does not hold its parent's views: it must not use them.
        """
        cdef CCell *c = check_open(self)
        cdef HeldValue held = HeldValue.__new__(HeldValue)
        cdef CellAttachment attachment = <CellAttachment> self.attachment
        cdef CellValue value
        if self.listener >= 0:
            quiet(self)
        held.data = take_hold(self, attachment, Status.busy, &value, &held.hold)
        held.owner = c.people().self()
        held.attachment = attachment
        held.size = value.total
        if self.codec is None:
            if value.total != self.size:
                fail(self, Status.corrupted, NULL)
            result = self.ndarray(self.shape, self.dtype, held)
        elif self.codec.name == "raw" or (self.plain and value.kind == ValueKind.raw):
            result = memoryview(held)
        else:
            raise TypeError("a view shows an array or bytes, and this value is encoded: use get()")
        self.got = value.version
        return result

    @property
    def version(self):
        """How many values have been set: the version of the latest, 0 before the first."""
        return check_open(self).version()

    @property
    def seen(self):
        """The version of the value that this handle has got last, by any of its methods; 0 before the first."""
        return self.got

    # --- waiting -------------------------------------------------------------------------------

    def wait_newer(self, version=None, timeout=None):
        """Waits until there is a value newer than ``version``, and returns the latest.

        Args:
            version: A version; None: the one that this handle has got last, so that a loop around this call
                sees every change it is fast enough for, and nothing twice.
            timeout: Seconds to wait at most; None waits for ever, 0 not at all.

        Returns:
            The latest value, as from ``get``. Values set meanwhile that were replaced at once are not seen.

        Raises:
            TimeoutError: No newer value came in time.
            ClosedError: The handle was closed meanwhile, by another thread.
            CorruptedError: As for ``get``.
            SystemLimitError: As for ``get``.

        Any thread of any process may call this at the same time; a value wakes all who wait. With None, threads
        that share a handle share what it has got: give each its own version, or its own handle. If a writer is
        killed after it has set a value and before it has woken anybody, the value is seen after 250 ms.
        """
        cdef int64_t deadline = deadline_of(True, timeout)
        cdef uint64_t than = after(self, version)
        if check_open(self).version() <= than:
            await_newer(self, than, deadline)
        return self.get()

    async def aget_newer(self, version=None, timeout=None):
        """``wait_newer`` for asyncio and trio: waits without a thread.

        Args:
            version: As for ``wait_newer``, at the moment of the call.
            timeout: Seconds to wait at most; None waits for ever, 0 not at all.

        Returns:
            The latest value, as from ``get``.

        Raises:
            TimeoutError: As for ``wait_newer``.
            ClosedError: As for ``wait_newer``.
            CorruptedError: As for ``get``.
            SystemLimitError: As for ``get``.

        Cancelled, it has got nothing. Any number of tasks may wait at the same time; a value wakes all.
        """
        return await policy.aget_newer(self, after(self, version), timeout)

    def fileno(self):
        """A descriptor that is readable when there may be a newer value: for ``select`` and event loops.

        It stays readable until the next ``get``. Belongs to the cell: do not read from or close it. None of its
        users needs a thread.
        """
        cdef CCell *c = check_open(self)
        cdef int bell
        if self.listener < 0:
            self.listener = self._listen()
            c.arm_bell()
            if c.version() > self.got:
                bell = c.bell(True)
                if bell < 0:
                    policy.fail_os(self, "opening the doorbell")
                ring_fd(bell)
        return self.listener

    def _is_ready(self, version):
        return check_open(self).version() > <uint64_t> version

    def _arm(self, version):
        check_open(self).arm_bell()

    # --- the rest ------------------------------------------------------------------------------

    def close(self):
        """Closes this handle; other handles and processes are not concerned. Never fails; may be repeated.

        Views stay valid. Threads of this process that wait in this handle get ``ClosedError``. The last handle
        of all takes an ``"attached"`` cell along.
        """
        if self.c is NULL:
            return
        self.c.wake_all()
        self.c = NULL
        if self.listener >= 0:
            close_fd(self.listener)
            self.listener = -1
        self.attachment = None            # gone now, unless views or other threads hold on to it
        policy.closed(self)

    def __repr__(self):
        return policy.describe(self)

    def statistics(self):
        """What the cell counts, as a frozen ``CellStatistics``."""
        return policy.statistics(self)

    def _counters(self):
        cdef CCell *c = check_open(self)
        geometry = &c.geometry()
        return {"version": c.version(), "size": geometry.size, "buffers": c.reserved(), "stride": geometry.stride}
