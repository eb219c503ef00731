# cython: language_level=3
"""The native pipe, as the binding sees it."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp cimport bool

from weft._core.native cimport Failure, Object, Status, atomic_u32
from weft._core.native_queue cimport CQueue


cdef extern from "weft/pipe.hpp" namespace "weft" nogil:
    cdef cppclass PartHead:
        uint64_t total
        uint64_t body_size
        uint64_t offset
        uint64_t number

    cdef cppclass PlaceTaken:
        uint32_t pid
        int64_t since_ns
        char command[48]

    cdef cppclass PipeState:
        atomic_u32 places
        PlaceTaken taken[2]

    cdef cppclass CPipe "weft::Pipe"(Object):
        Status come(int, Failure &)
        void leave()
        int end()
        CQueue *sends()
        CQueue *receives()
        bool is_used()
        Status use(Failure &)
        bool is_over()
        bool is_due()
        bool is_met()
        bool is_held(int)
        Status wait_met(int64_t)
        void arm_met_bell()
        int send_off()
        int listen_for_items(int)
        void watch(int)
        void wake_own()
        PipeState &state()
