# cython: language_level=3
"""The native classes of locks and their like."""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp cimport bool

from weft._core.handle cimport Attachment, Handle
from weft._core.native cimport Patience, Waiting
from weft._core.native_sync cimport CArena, LockView, Record, SemaphoreView


@cython.final
@cython.no_gc
cdef class ArenaAttachment(Attachment):
    cdef CArena *arena
    cdef object __weakref__


cdef class Primitive(Handle):
    cdef CArena *arena
    cdef Record *record            # NULL once closed
    cdef uint32_t index
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
