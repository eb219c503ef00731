# cython: language_level=3
"""The native queue, as the binding sees it."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libcpp cimport bool

from weft._core.native cimport Failure, Object, Owner, Participants, Status, Waiting, atomic_u32, atomic_u64


cdef extern from "weft/queue_home.hpp" namespace "weft" nogil:
    cdef enum class RecordKind(uint8_t):
        raw
        body

    cdef cppclass Pool:
        char *data(uint32_t)
        bool count_pages(uint64_t *)
        uint64_t reserved_bytes()
        uint64_t capacity_bytes()

    uint64_t units_for "weft::Pool::units_for"(uint64_t)
    const uint32_t kQueueKind "weft::kQueueKind"
    const uint32_t kMessageQueueKind "weft::kMessageQueueKind"
    const uint16_t kMaxPriority "weft::kMaxPriority"
    const uint8_t kMore
    const uint8_t kContinued
    const uint8_t kSeries
    const uint32_t kNowhere "weft::Pool::kNowhere"

    cdef cppclass QueueGeometry:
        uint64_t units
        uint64_t inline_max
        uint64_t limit
        uint64_t max_message

    cdef cppclass RobustLock:
        Owner owner()

    cdef cppclass PoolState:
        RobustLock lock

    cdef cppclass JournalNumber "std::atomic<uint64_t>":
        uint64_t load()
        void store(uint64_t)

    cdef cppclass JournalWord "std::atomic<uint32_t>":
        uint32_t load()
        void store(uint32_t)

    cdef cppclass JournalRecord:
        uint64_t size
        uint64_t number
        uint64_t synced
        uint64_t body_size
        uint8_t what
        uint16_t priority
        char *write_to(char *, const char *)
        bool read_from(const char *, uint64_t)
        bool is_known(uint16_t)

    cdef cppclass OrderState:
        JournalWord journal_state
        JournalNumber journal_end
        JournalNumber journal_synced
        JournalNumber journal_generation
        JournalNumber journal_torn

    cdef cppclass QueueState:
        OrderState order
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
        atomic_u32 shut
        RobustLock producers
        RobustLock consumers
        PoolState pool

    cdef cppclass Outgoing:
        RecordKind kind
        const char *data
        uint32_t size
        uint32_t unit
        uint64_t total
        uint64_t body_size
        uint16_t priority
        uint8_t marks

    cdef cppclass Incoming:
        RecordKind kind
        uint32_t size
        uint32_t unit
        uint64_t total
        uint64_t body_size
        uint64_t sequence
        uint32_t lease
        uint32_t deliveries
        uint16_t priority
        bool expired
        uint8_t marks
        void clear()

    cdef cppclass Batched:
        RecordKind kind
        uint32_t size
        const char *data
        Batched()
        Batched(const char *)
        const char *next()

    cdef cppclass CQueue "weft::Queue":
        Participants &people()
        Status put(const Outgoing &, int64_t, Failure &)
        Status put(const Outgoing &, int64_t, Failure &, uint64_t *)
        Status put_batch(const Outgoing *, uint32_t, uint32_t &, int64_t, Failure &)
        Status put_batch(const Outgoing *, uint32_t, uint32_t &, int64_t, Failure &, uint64_t *)
        uint64_t register_notice()
        bool cancel_notice(uint64_t)
        bool is_registered(uint64_t)
        Status wait_notice(uint64_t, int64_t)
        Owner registrant()
        void count_consumer(int)
        void arm_notice_bell()
        Status append(int, uint64_t, const char *, uint64_t, int64_t, uint64_t &, Failure &)
        Status sync(int, uint64_t, uint64_t, int64_t, Failure &)
        Status lock_journal(int64_t)
        void unlock_journal()
        Status take_block(uint64_t, uint32_t &, int64_t, Failure &)
        void give_block(uint32_t)
        void give_block(uint32_t, bool)
        Status drop_oldest(int64_t)
        Status claim_series()
        void end_series()
        void abandon_series()
        void count_dropped_newest()
        Status take(Incoming &, char *, int64_t)
        Status take_batch(char *, uint64_t, uint32_t, uint32_t &, int64_t)
        Status take_lease(Incoming &, char *, int64_t)
        void acknowledge(const Incoming &)
        Status give_back(const Incoming &, uint32_t, int64_t)
        void count_dead_lettered()
        void begin_wait()
        Status wait_items(int64_t, Waiting)
        bool glance_items(Waiting)
        Status wait_room(uint32_t &, int64_t, Waiting)
        bool has_items()
        bool has_ended()
        bool has_room()
        uint64_t depth()
        uint64_t returned_bytes()
        void arm_bell(bool)
        void wake_all()
        void shut_down(bool)
        uint32_t shut()
        bool recover(bool)
        bool recover(bool, int64_t)
        Pool &pool()
        QueueState &state()
        const QueueGeometry &geometry()

    cdef cppclass QueueObject(Object):
        QueueObject(uint32_t)
