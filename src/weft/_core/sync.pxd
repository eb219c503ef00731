# cython: language_level=3
"""The native classes of locks and their like."""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp cimport bool

from weft._core.handle cimport Attachment, Handle
from weft._core.native cimport Patience, Waiting
from weft._core.native_sync cimport (
    BarrierView, CArena, ConditionView, EventView, LockView, Record, RwView, SemaphoreView, Waiter,
)


@cython.final
@cython.no_gc
cdef class ArenaAttachment(Attachment):
    cdef CArena *arena
    cdef object __weakref__


cdef class Primitive(Handle):
    cdef CArena *arena
    cdef Record *record            # NULL once closed
    cdef uint32_t index
    cdef bint borrowed             # the record is another handle's to close
    cdef int inside                # threads at work in this handle without the GIL
    cdef uint64_t forks            # … as counted in this process
    cdef Waiting waiting
    cdef Patience patience

    cdef int begin(self) except -1
    cdef void end(self) noexcept
    cdef void attachment_gone(self) noexcept


cdef class BaseLock(Primitive):
    cdef LockView view
    cdef object repair             # what to do about a dead owner, or None
    cdef bint debug


cdef class Semaphore(Primitive):
    cdef SemaphoreView view


cdef class Event(Primitive):
    cdef EventView view


cdef class RWLock(BaseLock):
    cdef RwView rw

    cdef LockView *view_lock(self) noexcept


cdef class Condition(Primitive):
    cdef ConditionView view
    cdef BaseLock lock             # the user's, or one of its own in the same record


cdef class Barrier(Primitive):
    cdef BarrierView view
    cdef uint32_t size
    cdef object action
    cdef object patience_seconds   # the constructor's timeout

    cpdef tuple _arrive(self, int64_t deadline)
    cpdef _depart(self)
    cpdef _check_dead(self)
