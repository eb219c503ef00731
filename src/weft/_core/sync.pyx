# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, binding=False
"""The hot calls of locks, semaphores and their like. What is asked for once (names, settings, errors' words,
waiting in event loops) stands in ``weft.sync``, which is bound in by ``set_policy``.

Each call tries first with the GIL held. Only what has to wait releases it, and looks at signals in between.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy
from libcpp cimport bool

from weft._core.handle cimport Attachment, Handle, describe
from weft._core.native cimport Failure, Object, Owner, Status, Waiting, kForever, now_ns, owner_slot
from weft._core.native_sync cimport (
    BarrierView, CArena, ConditionView, EventView, LockView, Making, OnDeath, Record, RecordSpec, RwView, SemaphoreView,
    Sort, Waiter, enter_reading, fork_count, is_reading, leave_reading, release_waiter, this_thread,
)

import sys

# A C variable, since the module's names are gone when the interpreter ends.
cdef object is_finalizing = sys.is_finalizing
cdef object policy = None          # weft.sync: see set_policy

cdef enum:
    SLICE = 40_000_000             # nanoseconds to sleep at most before looking at signals
    GLANCES = 32                   # looks at a lock with the GIL held
    SPINS = 64                     # … and without, before each sleep


def set_policy(module):
    """Binds in the Python side: ``configure``, ``fail``, ``meet_death``, … of ``weft.sync``."""
    global policy
    policy = module


cdef inline int64_t slice_of(int64_t deadline) noexcept nogil:
    cdef int64_t most = now_ns() + SLICE
    return most if most < deadline else deadline


cdef int64_t deadline_of_lock(object block, object timeout) except -2:
    """The monotonic nanosecond at which to give up; 0 for at once. As ``threading`` has it."""
    if timeout is None:
        return kForever if block else 0
    cdef double seconds = timeout
    if not block:
        if seconds != -1:
            raise ValueError("can't specify a timeout for a non-blocking call")
        return 0
    if seconds == -1:
        return kForever
    if not seconds >= 0:
        raise ValueError(f"timeout must be None, -1 or at least 0, not {timeout!r}")
    if seconds > 9223372036.0:
        raise OverflowError("timeout value is too large")
    return now_ns() + <int64_t> (seconds * 1e9) if seconds else 0


cdef int64_t deadline_of_wait(object timeout) except -2:
    """The same for what has no word for not waiting."""
    return deadline_of_lock(True, timeout)


@cython.final
@cython.no_gc
cdef class ArenaAttachment(Attachment):
    """This process's part in a segment of locks. One for all handles of a process."""

    def __cinit__(self):
        self.arena = new CArena()
        self.object = self.arena

    def open_record(self, bytes name, int making, int sort, bint inherits, uint32_t size, bint prefers_readers,
                    bytes partner):
        """Opens or makes a record: (status, details, index, whether it was made)."""
        cdef RecordSpec spec
        cdef Failure why
        cdef uint32_t index = 0
        cdef bool made = False
        cdef Status status
        cdef const char *text = name
        spec.sort = <Sort> sort
        spec.on_death = OnDeath.inherits if inherits else OnDeath.marks
        spec.size = size
        spec.prefers_readers = prefers_readers
        memcpy(spec.partner, <const char *> partner, min(len(partner), 55))
        with nogil:
            status = self.arena.open_record(text, <Making> making, spec, index, made, why)
        return <int> status, describe(why), index, made

    def close_record(self, uint32_t index):
        """Gives up one opening."""
        with nogil:
            self.arena.close_record(index)

    def ensure_joined(self):
        """Joins anew after a fork: (status, details)."""
        cdef Failure why
        cdef Status status = self.arena.ensure_joined(why)
        return <int> status, describe(why)

    def spec(self, uint32_t index):
        """What a record was made as: (sort, inherits, size, prefers_readers, partner, serial)."""
        cdef Record *it = &self.arena.record(index)
        return (<int> it.sort, it.on_death == OnDeath.inherits, it.size, it.prefers_readers != 0,
                bytes(it.partner[:56]).split(b"\0")[0], it.serial)

    def clean(self):
        """Lets go what only the dead had open."""
        with nogil:
            self.arena.clean()

    def records(self):
        """(index, name, sort) of all that are in use."""
        cdef uint32_t i
        cdef Record *it
        cdef list found = []
        for i in range(self.arena.cells()):
            if self.arena.is_record(i):
                it = &self.arena.record(i)
                found.append((i, bytes(it.name[:min(it.name_bytes, 255)]).decode("utf-8", "replace"), <int> it.sort))
        return found

    def waiters(self, index=None):
        """(index of the record, pid, command, started_ns, thread, since_ns) of living threads that sleep."""
        cdef uint32_t i, wanted = 0 if index is None else index + 1
        cdef Waiter *it
        cdef Owner owner
        cdef list found = []
        for i in range(self.arena.waiter_count()):
            it = &self.arena.waiters()[i]
            owner = it.owner.load()
            if owner and it.record.load() and (wanted == 0 or it.record.load() == wanted) and \
                    self.arena.people().is_alive(owner):
                place = self.place_of(owner)
                found.append((it.record.load() - 1, *place, it.thread.load(), it.since_ns.load()))
        return found

    def place_of(self, uint32_t owner):
        """(pid, command, started_ns) of a living participant."""
        cdef uint32_t slot = owner_slot(owner)
        if slot >= self.arena.people().reserved_slots():
            return 0, "", 0
        at = &self.arena.people().at(slot)
        return at.pid, at.command[:40].split(b"\0")[0].decode("utf-8", "replace"), at.started_ns

    def holder(self, uint32_t index):
        """(pid, command, started_ns, thread, since_ns, depth, marked) of who has the record's lock, or None.

        Since when is known from the first who met it: this look, if nobody has before.
        """
        cdef Record *it = &self.arena.record(index)
        cdef Owner owner = it.lock.owner()
        if not owner or not self.arena.people().is_alive(owner):
            return None
        LockView(self.arena[0], it[0]).note_time()
        return (*self.place_of(owner), it.holding.thread(), it.holding.since_ns.load(), it.holding.depth.load(),
                it.lock.is_marked())

    def dead(self, uint32_t index):
        """(pid, command, started_ns, thread) of the last owner that died."""
        cdef Record *it = &self.arena.record(index)
        return (it.dead.pid.load(), it.dead.command[:40].split(b"\0")[0].decode("utf-8", "replace"),
                it.dead.started_ns.load(), it.dead.thread.load())

    def counters(self, uint32_t index):
        """(acquisitions, contended, owner_deaths, marked)."""
        cdef Record *it = &self.arena.record(index)
        return (it.acquisitions.load() + it.holding.acquisitions.load(),
                it.contended.load() + it.holding.contended.load(), it.owner_deaths.load(), it.lock.is_marked())

    def shares(self, uint32_t index):
        """(pid, command, started_ns, count) of living participants that own some of the record."""
        cdef Record *it = &self.arena.record(index)
        cdef list found = []
        cdef uint32_t slot
        cdef uint64_t word
        cdef Owner owner
        for slot in range(self.arena.people().reserved_slots()):
            word = self.arena.share(it[0], slot).load()
            if word & 0xffff and self.arena.people().lives(slot):
                owner = (slot + 1) | (<uint32_t> (word >> 16) & 0xffff) << 12
                if self.arena.people().is_alive(owner):
                    found.append((*self.place_of(owner), <int> (word & 0xffff)))
        return found


cdef class Primitive(Handle):
    """What all that stands in an arena has in common."""

    def __cinit__(self, *args, **kwargs):
        self.record = NULL

    def _bind(self, ArenaAttachment attachment not None, uint32_t index, int waiting):
        """Called by ``configure`` once the record is open."""
        self.attachment = attachment
        self.arena = attachment.arena
        self.index = index
        self.waiting = <Waiting> waiting
        self.inside = 0
        self.forks = fork_count()
        self.record = &attachment.arena.record(index)

    cdef Object *check_open(self) except NULL:
        if self.record is NULL:
            policy.fail_closed(self)
        if self.arena.people().foreign():
            return Handle.check_open(self)
        return self.arena

    cdef int begin(self) except -1:
        """Before the GIL is released: the record stays this handle's until ``end``."""
        if self.forks != fork_count():
            self.forks = fork_count()
            self.inside = 0          # the parent's threads
        self.inside += 1
        return 0

    cdef void end(self) noexcept:
        self.inside -= 1
        if self.inside == 0 and self.record is NULL:
            self.attachment_gone()

    cdef void attachment_gone(self) noexcept:
        if self.attachment is not None:
            if not self.borrowed:
                with nogil:
                    self.arena.close_record(self.index)
            self.attachment = None

    @property
    def closed(self):
        """Whether ``close`` has been called on this handle."""
        return self.record is NULL

    def close(self):
        """Closes this handle; other handles and processes are not concerned. Never fails; may be repeated.

        Threads of this process that wait in this handle get ``ClosedError``. With this process's last handle
        goes what it holds, as if the process had died: a lock is marked, permits and readers' shares come back.
        """
        if self.record is NULL:
            return
        self.record = NULL
        if self.forks != fork_count():
            self.inside = 0
        if self.inside == 0:
            self.attachment_gone()
        policy.closed(self)

    def __del__(self):
        if self.record is not NULL and not self.borrowed and policy is not None and not is_finalizing():
            self.close()

    def __repr__(self):
        return policy.show(self)

    def _sort(self):
        return <int> self.record.sort

    def _size(self):
        return self.record.size

    def _unlink(self):
        return self.arena.unlink_record(self.index)

    def _opened(self):
        return self.attachment is not None

    @property
    def _index(self):
        return self.index

    def statistics(self):
        """What the object counts, as frozen data."""
        self.check_open()
        return policy.statistics(self)


include "sync_lock.pxi"
include "sync_semaphore.pxi"
include "sync_event.pxi"
include "sync_rwlock.pxi"
include "sync_condition.pxi"
include "sync_barrier.pxi"
