# cython: language_level=3
"""The native classes of the cell."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

from weft._core.codec cimport Codec, Encoded
from weft._core.handle cimport Attachment, Handle
from weft._core.native cimport Owner, Waiting
from weft._core.native_cell cimport CCell


@cython.final
@cython.no_gc
cdef class CellAttachment(Attachment):
    cdef CCell *c


@cython.final
cdef class HeldValue:
    cdef CellAttachment attachment
    cdef uint32_t hold
    cdef Owner owner               # as whom this process holds it: a forked child holds nothing
    cdef char *data
    cdef Py_ssize_t size


cdef class Cell(Handle):
    cdef CCell *c                  # NULL once closed
    cdef Codec codec               # None for arrays
    cdef Encoded scratch
    cdef bint plain                # bytes travel as they are
    cdef Waiting waiting
    cdef uint64_t size             # bytes of the largest value
    cdef uint64_t got              # version of the value that this handle has got last
    cdef int listener
    cdef object ndarray, shape, dtype   # of an array; None without
