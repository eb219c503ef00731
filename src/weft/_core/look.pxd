# cython: language_level=3
"""Looking at segments from outside, for kinds that have something to add."""

from weft._core.native_look cimport CLook


cdef class Look:
    cdef CLook it
    cdef readonly int status
    cdef readonly tuple why
