# cython: language_level=3
"""The native headers that every kind of object uses, as the binding sees them."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp cimport bool
from libcpp.string cimport string


cdef extern from "weft/waiting.hpp" namespace "weft" nogil:
    cdef enum class Status(int):
        ok
        empty
        full
        busy
        timed_out
        interrupted
        shut_down
        no_space
        out_of_slots
        corrupted
        too_large
        exists
        missing
        not_a_segment
        wrong_version
        refused
        os_error
        in_use
        marked
        not_held
        beyond
        broken

    cdef enum class Lifetime(uint32_t):
        attached
        kept

    cdef enum class Waiting(int):
        latency
        balanced
        power

    const int64_t kForever

    ctypedef uint32_t Owner
    uint32_t owner_slot(Owner)

    cdef cppclass Failure:
        int os_errno
        const char *step
        uint64_t wanted
        uint64_t available

    cdef cppclass SegmentSpec:
        Lifetime lifetime
        uint64_t geometry[8]
        string config
        unsigned int mode
        int64_t group

    cdef cppclass SegmentHeader:
        uint32_t layout_version
        uint32_t kind
        Lifetime lifetime
        uint64_t file_bytes
        uint64_t id[2]
        uint64_t geometry[8]
        uint32_t creator_pid
        uint32_t config_bytes
        int64_t created_ns
        char config[2048]
        char creator[128]

    cdef cppclass Segment:
        string identity()
        int unlink()
        bool attached()
        bool is_private(uint32_t)
        bool is_linked()
        int fd()
        const SegmentHeader &header()

    bool reclaim_segment "weft::Segment::reclaim"(const char *, const char *) except +

    bool sweep_hidden "weft::Segment::sweep"(const char *, const char *) except +
    const char *list_fault_points "weft::fault::list"()

    cdef cppclass atomic_u32 "std::atomic<uint32_t>":
        uint32_t load()

    cdef cppclass atomic_u64 "std::atomic<uint64_t>":
        uint64_t load()
        uint64_t fetch_add(uint64_t)

    cdef cppclass Participant:
        uint32_t pid
        int64_t started_ns
        char command[40]
        atomic_u32 waiting_producers
        atomic_u32 waiting_consumers

    cdef cppclass Participants:
        bool foreign()
        Owner self()
        bool is_alive(Owner)
        bool lives(uint32_t)
        uint32_t reserved_slots()
        Participant &at(uint32_t)

    cdef cppclass Patience:
        pass

    cdef cppclass atomic_i64 "std::atomic<int64_t>":
        int64_t load()

    const uint32_t kMaxSlots
    int64_t now_ns "weft::os::now_ns"()
    int listen_bell "weft::os::listen_bell"(int)
    void hush "weft::os::hush"(int)
    bool is_private_place "weft::os::is_private_directory"(const char *)
    uint32_t effective_user "weft::os::effective_user"()
    void ring_fd "weft::os::ring"(int)

cdef extern from "weft/object.hpp" namespace "weft" nogil:
    cdef cppclass Object:
        Status create(const char *, const char *, const SegmentSpec &, Failure &) except +
        Status open(const char *, const char *, Failure &) except +
        uint64_t close()
        Status ensure_joined(Failure &)
        Segment &segment()
        Participants &people()
        int bell(bool)
        int items_bell()
        int listen()
        void hush(int)

cdef extern from "unistd.h" nogil:
    int close_fd "close"(int)
