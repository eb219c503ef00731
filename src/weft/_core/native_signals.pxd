# cython: language_level=3
"""Signals, as the binding sees them."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libcpp cimport bool


cdef extern from "<time.h>" nogil:
    ctypedef void *timer_t


cdef extern from "weft/platform/platform.hpp" namespace "weft::os" nogil:
    cdef cppclass SignalRecord:
        int32_t number
        int32_t code
        int32_t pid
        uint32_t uid
        int64_t value
        int32_t overrun

    cdef cppclass SignalRing:
        const SignalRecord *front()
        void pop()
        uint32_t take_missed()

    cdef cppclass Flag "std::atomic<bool>":
        bool load()
        void store(bool)

    cdef cppclass Count "std::atomic<uint32_t>":
        uint32_t load()

    cdef cppclass Catch:
        SignalRing *ring
        Flag throttled
        bool caught

    cdef cppclass SignalState:
        Catch catches[65]
        SignalRing *thread_ring
        Count thread_turn
        Flag thread_lives
        uint32_t forks

    SignalState signals

    void signals_begin(uint64_t)
    int catch_prepare(int)
    int catch_begin(int, bool, bool, bool)
    void catch_end(int, bool)
    bool is_caught(int)
    void nudge_begin()
    void nudge_end()
    void relieve(int, bool)
    void act_by_default(int)
    void wait_thread(uint32_t, int64_t)
    void wake_thread()

    uint64_t block(uint64_t)
    void set_mask(uint64_t)
    bool keeps_blocked(uint64_t)

    cdef cppclass Mask:
        uint64_t bits
        void begin()
        void end()

    int take_signal(uint64_t, int64_t, SignalRecord &)
    int open_signalfd(uint64_t)
    int read_signalfd(int, SignalRecord &)

    cdef enum class Ticks(int):
        real
        virtual_time
        profiling

    int make_timer(Ticks, int, int64_t, int, timer_t &)
    int start_timer(timer_t, int64_t, int64_t)
    int64_t timer_left(timer_t)
    void end_timer(timer_t)

    int open_process(int)
    bool has_ended(int)
    int signal_process(int, int, bool, int)
    bool c_adopt_orphans "weft::os::adopt_orphans"(bool)

    int create_unlinked(int, unsigned int, char *, size_t)
    int link_file(int, int, const char *, const char *)
    void remove_hidden(int, const char *)
    bool attach_shared(int)

    cdef cppclass Directory:
        Directory(const char *)
        int fd()
