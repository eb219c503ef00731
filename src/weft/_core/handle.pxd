# cython: language_level=3
"""What every kind of object is built on: this process's attachment to a segment, and handles of it."""

from libc.stdint cimport uint32_t

from weft._core.native cimport Failure, Object


cdef class Attachment:
    cdef Object *object            # made by the kind's own module
    cdef bytes name                # of its file

    cdef bint attach_own(self, bytes directory, bytes name, uint32_t kind) except -1


cdef class Handle:
    cdef Attachment attachment     # None until it is opened, and once it is closed
    cdef object __weakref__
    cdef dict __dict__

    cdef Object *check_open(self) except NULL


cdef tuple describe(const Failure &why)
