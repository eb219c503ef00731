# cython: language_level=3
"""The native headers, as the binding sees them."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libcpp cimport bool
from libcpp.string cimport string


cdef extern from "weft/queue.hpp" namespace "weft" nogil:
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

    cdef enum class Lifetime(uint32_t):
        attached
        kept

    cdef enum class RecordKind(uint8_t):
        raw
        body

    cdef enum class Waiting(int):
        latency
        balanced
        power

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
        uint32_t kind
        Lifetime lifetime
        uint64_t geometry[8]
        uint32_t creator_pid
        uint32_t config_bytes
        int64_t created_ns
        char config[2048]
        char creator[128]

    cdef cppclass Segment:
        string identity()
        int unlink()
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

    cdef cppclass Pool:
        char *data(uint32_t)
        bool count_pages(uint64_t *)
        uint64_t reserved_bytes()
        uint64_t capacity_bytes()

    uint64_t units_for "weft::Pool::units_for"(uint64_t)
    const uint32_t kNowhere "weft::Pool::kNowhere"
    const uint32_t kMaxSlots

    cdef cppclass QueueGeometry:
        uint64_t units
        uint64_t inline_max
        uint64_t limit
        uint64_t max_message

    cdef cppclass QueueState:
        uint64_t sent
        uint64_t received
        uint64_t sent_bytes
        uint64_t received_bytes
        atomic_u32 returned
        atomic_u32 leased
        atomic_u64 dropped_oldest
        atomic_u64 dropped_newest
        atomic_u64 redelivered
        atomic_u64 dead_lettered

    cdef cppclass Outgoing:
        RecordKind kind
        const char *data
        uint32_t size
        uint32_t unit
        uint64_t total
        uint64_t body_size

    cdef cppclass Incoming:
        RecordKind kind
        uint32_t size
        uint32_t unit
        uint64_t total
        uint64_t body_size
        uint64_t sequence
        uint32_t lease
        uint32_t deliveries
        bool expired
        void clear()

    cdef cppclass Batched:
        RecordKind kind
        uint32_t size
        const char *data
        Batched()
        Batched(const char *)
        const char *next()

    const int64_t kForever "weft::Queue::kForever"
    int64_t now_ns "weft::os::now_ns"()
    int listen_bell "weft::os::listen_bell"(int)
    void hush "weft::os::hush"(int)
    void ring_fd "weft::os::ring"(int)

    cdef cppclass CQueue "weft::Queue":
        Status create(const char *, const char *, const SegmentSpec &, Failure &) except +
        Status open(const char *, const char *, Failure &) except +
        uint64_t close()
        Status ensure_joined(Failure &)
        Status put(const Outgoing &, int64_t, Failure &)
        Status put_batch(const Outgoing *, uint32_t, uint32_t &, int64_t, Failure &)
        Status take_block(uint64_t, uint32_t &, int64_t, Failure &)
        void give_block(uint32_t)
        Status drop_oldest(int64_t)
        void count_dropped_newest()
        Status take(Incoming &, char *, int64_t)
        Status take_batch(char *, uint64_t, uint32_t, uint32_t &, int64_t)
        Status take_lease(Incoming &, char *, int64_t)
        void acknowledge(const Incoming &)
        Status give_back(const Incoming &, uint32_t, int64_t)
        void count_dead_lettered()
        Status wait_items(int64_t, Waiting)
        bool glance_items(Waiting)
        Status wait_room(uint32_t &, int64_t, Waiting)
        bool has_items()
        bool has_ended()
        bool has_room()
        uint64_t depth()
        uint64_t returned_bytes()
        void arm_bell(bool)
        int bell(bool)
        void wake_all()
        void shut_down(bool)
        uint32_t shut()
        bool recover(bool)
        Segment &segment()
        Participants &people()
        Pool &pool()
        QueueState &state()
        const QueueGeometry &geometry()

cdef extern from "unistd.h" nogil:
    int close_fd "close"(int)
