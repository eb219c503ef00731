# cython: language_level=3
"""Native locks and their arena, as the binding sees them."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp cimport bool

from weft._core.native cimport (
    Failure, Object, Owner, Participants, Patience, Status, Waiting, atomic_i64, atomic_u32, atomic_u64,
)


cdef extern from "weft/sync.hpp" namespace "weft" nogil:
    cdef enum class Sort(uint32_t):
        none
        lock
        rlock
        rwlock
        semaphore
        bounded
        condition
        event
        barrier

    cdef enum class OnDeath(uint32_t):
        marks
        inherits

    cdef cppclass Holding:
        uint32_t thread()
        atomic_u32 depth
        atomic_u32 pid
        atomic_i64 since_ns
        bool is_stamped()
        atomic_u64 acquisitions
        atomic_u64 contended

    cdef cppclass Dead "weft::Record::Dead":
        atomic_u32 pid
        atomic_u32 thread
        atomic_i64 started_ns
        char command[40]

    cdef cppclass RobustLock:
        Owner owner()
        bool is_marked()

    cdef cppclass Record:
        RobustLock lock
        Holding holding
        atomic_u64 owner_deaths
        atomic_u64 acquisitions
        atomic_u64 contended
        Sort sort
        OnDeath on_death
        uint32_t size
        uint32_t prefers_readers
        uint32_t name_bytes
        uint64_t serial
        char partner[56]
        Dead dead
        char name[256]

    cdef cppclass RecordSpec:
        Sort sort
        OnDeath on_death
        uint32_t size
        uint32_t prefers_readers
        char partner[56]

    cdef enum class Making "weft::Arena::Making"(int):
        never
        maybe
        always

    cdef cppclass Waiter:
        atomic_u32 owner
        atomic_u32 thread
        atomic_u32 record
        atomic_u32 state
        atomic_i64 since_ns

    cdef cppclass CArena "weft::Arena"(Object):
        Status open_record(const char *, Making, const RecordSpec &, uint32_t &, bool &, Failure &) except +
        void close_record(uint32_t)
        int unlink_record(uint32_t)
        uint32_t clean()
        Record &record(uint32_t)
        Waiter *claim_waiter(const Record &, uint32_t)
        bool has_opener(const Record &)
        uint64_t number()
        uint32_t cells()
        bool is_record(uint32_t)
        uint32_t waiter_count()
        Waiter *waiters()
        atomic_u64 &share(const Record &, uint32_t)

    uint64_t fork_count "weft::Segment::fork_count"()
    uint32_t this_thread "weft::Arena::this_thread"()
    void release_waiter "weft::Arena::release_waiter"(Waiter *)
    cdef cppclass LockView:
        LockView()
        LockView(CArena &, Record &)
        bool try_acquire(uint32_t)
        bool glance(uint32_t, int)
        bool spin(Patience &, uint32_t, int64_t, Waiting, bool &)
        Status acquire(uint32_t, int64_t, int, bool, Owner &)
        Status release()
        void unlock(bool)
        void clear_mark()
        void note_time()
        bool is_mine(uint32_t)
        bool is_process_own()
        bool is_held()
        bool is_marked()
        bool is_worth_a_try()
        bool arm_bell()
        uint32_t depth()
        void set_depth(uint32_t)

    cdef cppclass SemaphoreView:
        SemaphoreView()
        SemaphoreView(CArena &, Record &)
        Status try_acquire()
        Status acquire_patiently(int64_t)
        Status release(uint32_t, int64_t)
        uint32_t value_now()
        bool is_worth_a_try()
        bool look_after_dead(int64_t)
        void arm_bell()
        void count_contended()
        Status wait(Patience &, int64_t, Waiting)

    cdef cppclass EventView:
        EventView()
        EventView(CArena &, Record &)
        bool is_set()
        uint64_t count()
        bool is_over(uint64_t)
        void set()
        void clear()
        Status wait(Patience &, uint64_t, int64_t, Waiting)
        void arm_bell()

    cdef cppclass RwView:
        RwView()
        RwView(CArena &, Record &)
        Status try_read(bool)
        bool end_read()
        Status wait_read(Patience &, int64_t, Waiting)
        Status check_writer()
        Status close_gate(Patience &, int64_t, Waiting)
        void open_gate()
        bool has_readers()
        bool is_open()
        void arm_bell()

    bool is_reading "weft::Readings::has"(const Record &)
    void enter_reading "weft::Readings::enter"(const Record &)
    void leave_reading "weft::Readings::leave"(const Record &)

    cdef cppclass ConditionView:
        ConditionView()
        ConditionView(CArena &, Record &)
        Waiter *announce(uint32_t)
        Status sleep(Waiter &, int64_t)
        bool is_notified(const Waiter &)
        bool leave(Waiter &)
        uint32_t notify(uint32_t)
        uint32_t waiting()
        void arm_bell()

    cdef cppclass BarrierView:
        BarrierView()
        BarrierView(CArena &, Record &)
        Status enter(int64_t)
        void leave()
        uint32_t arrive(uint64_t &)
        void depart()
        void end_turn(bool)
        void break_now(uint32_t)
        void reset()
        void check_dead()
        void withdraw()
        bool is_broken()
        bool is_over(uint64_t)
        bool has_passed(uint64_t)
        uint32_t arrived()
        uint32_t broken_by()
        Status wait(Patience &, uint64_t, int64_t, Waiting)
        void arm_bell()
