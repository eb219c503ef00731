# cython: language_level=3
"""The native cell, as the binding sees it."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from weft._core.native cimport Failure, Object, Status, Waiting


cdef extern from "weft/cell.hpp" namespace "weft" nogil:
    cdef enum class ValueKind(uint64_t):
        raw
        body

    cdef cppclass CellValue:
        uint64_t version
        ValueKind kind
        uint64_t total
        uint64_t body_size

    cdef cppclass CellGeometry:
        uint64_t size
        uint64_t stride
        uint32_t buffers

    cdef cppclass CCell "weft::Cell"(Object):
        Status claim(uint32_t &, Failure &)
        void fill(uint32_t, uint64_t, const char *, uint64_t)
        uint64_t publish(uint32_t, const CellValue &)
        Status read(CellValue &, char *, uint64_t)
        Status hold(CellValue &, uint32_t &, uint32_t &)
        void give_up(uint32_t)
        char *data(uint32_t)
        uint64_t version()
        void begin_wait()
        Status wait_newer(uint64_t, int64_t, Waiting)
        void arm_bell()
        void wake_all()
        uint32_t reserved()
        const CellGeometry &geometry()
