# cython: language_level=3
"""Native memory, as the binding sees it."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp cimport bool

from weft._core.native cimport Failure, Object, Status


cdef extern from "weft/memory.hpp" namespace "weft" nogil:
    const uint32_t kMemoryKind

    cdef cppclass Memory(Object):
        Memory(uint32_t, bool) except +
        Status look(Failure &)
        bool is_current()
        uint64_t size()
        char *data()
        bool is_mapped()
        bool read_only()
        uint64_t resizes()
        Status resize(uint64_t, bool, int64_t, Failure &)
        void trim()
        int map_over(void *, uint64_t, uint64_t, bool, bool)
        bool is_whole()

    const uint64_t kMaxBytes "weft::Memory::kMaxBytes"
