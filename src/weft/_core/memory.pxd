# cython: language_level=3
"""Shared memory for the kinds of objects that are built on it."""

from libc.stdint cimport uint64_t

from weft._core.handle cimport Attachment, Handle
from weft._core.native_memory cimport Memory


cdef class MemoryAttachment(Attachment):
    cdef Memory *m
    cdef Py_ssize_t exports        # buffers that others hold

    cpdef object view(self, uint64_t offset, uint64_t size, bint readonly)


cdef class SharedMemory(Handle):
    cdef Memory *m                 # NULL: not open
    cdef Py_ssize_t at             # the position
    cdef bint readonly
    cdef object memory             # what `buf` gave last: a memoryview

    cdef Py_ssize_t touch(self) except -1
    cdef Py_ssize_t touch_anew(self) except -1
    cdef Py_ssize_t touch_to_write(self) except -1
    cdef Py_ssize_t left(self) except -1
