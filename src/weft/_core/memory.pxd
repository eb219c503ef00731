# cython: language_level=3
"""Shared memory for the kinds of objects that are built on it."""

from libc.stdint cimport uint64_t

from weft._core.handle cimport Attachment, Handle
from weft._core.native_memory cimport Memory


cdef class MemoryAttachment(Attachment):
    cdef Memory *m
    cdef object key                # in `attachments`
    cdef Py_ssize_t handles        # that share it
    cdef Py_ssize_t exports        # buffers, and mappings made by map_over, that refer to the memory

    cpdef share(self, tuple key)
    cpdef object view(self, uint64_t offset, uint64_t size, bint readonly)


cdef class SharedMemory(Handle):
    cdef Memory *m                 # NULL: not open
    cdef Py_ssize_t at             # the position
    cdef Py_ssize_t pins           # exports that are this handle's own mappings
    cdef bint readonly
    cdef uint64_t id[2]            # of what it had open, once it is closed
    cdef bint kept
    cdef object memory             # what `buf` gave last: a memoryview

    cdef bint open_own(self, str name, bint readonly, namespace) except -1
    cpdef _bind(self, MemoryAttachment attachment, place, str name)
    cdef Py_ssize_t touch(self) except -1
    cdef Py_ssize_t touch_anew(self) except -1
    cdef Py_ssize_t touch_to_write(self) except -1
    cdef Py_ssize_t left(self) except -1
    cdef int let_go(self) except -1
