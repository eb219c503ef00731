# cython: language_level=3
"""Looking from outside, as the binding sees it."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp cimport bool
from libcpp.map cimport map
from libcpp.string cimport string
from libcpp.vector cimport vector

from weft._core.native cimport Failure, Owner, SegmentHeader, Status, atomic_u32, atomic_u64
from weft._core.native_cell cimport CellGeometry
from weft._core.native_queue cimport QueueGeometry, QueueState


cdef extern from "weft/look.hpp" namespace "weft" nogil:
    cdef cppclass Person "weft::Look::Person":
        uint32_t slot
        Owner owner
        bool alive
        uint32_t pid
        int64_t started_ns
        uint32_t waiting_producers
        uint32_t waiting_consumers
        char command[40]

    cdef cppclass CLook "weft::Look":
        Status open(const char *, const char *, Failure &)
        void close()
        int fd()
        const SegmentHeader &header()
        bool on_tmpfs()
        bool read(void *, uint64_t, uint64_t)
        bool has_participants()
        bool people(vector[Person] &) except +
        bool is_attached() except +

    cdef enum class Reach "weft::Segment::Reach"(int):
        left
        kept
        damaged

    cdef enum class Removal "weft::Segment::Removal"(int):
        removed

    Removal remove_segment "weft::Segment::remove"(const char *, const char *, Reach, Failure &) except +
    string identity_of "weft::Segment::identity_of"(const SegmentHeader &)

    cdef struct Trial "weft::os::Trial":
        int unnamed_files
        int making
        int reserving
        int mapping
        int attaching
        int byte_locks
        int linking
        int doorbells
    Trial try_out "weft::os::try_out"(const char *)


cdef extern from "weft/memory.hpp" namespace "weft" nogil:
    const uint64_t kObjectAt

    cdef cppclass MemoryState:
        atomic_u64 size
        atomic_u64 resizes


cdef extern from "weft/pipe_layout.hpp" namespace "weft" nogil:
    cdef cppclass PlaceTaken:
        uint32_t pid
        char command[48]

    cdef cppclass PipeState:
        atomic_u32 places
        PlaceTaken taken[2]

    cdef cppclass PipeGeometry:
        QueueGeometry queue
        uint64_t directions
        uint64_t queue_at(uint64_t)
        uint64_t file_bytes()
        bool is_sane()

    PipeGeometry pipe_geometry_of "weft::PipeGeometry::of"(const uint64_t *)
    const uint64_t kHoldersAt "weft::PipeGeometry::kHoldersAt"
    Owner holder_owner "weft::Holder::owner"(uint32_t)
    int holder_end "weft::Holder::end"(uint32_t)
    bool holder_is_used "weft::Holder::is_used"(uint32_t)


cdef extern from "weft/cell_look.hpp" namespace "weft" nogil:
    cdef cppclass CellLook:
        bool read(const CLook &)
        const CellGeometry &geometry()
        uint64_t version()
        uint32_t buffers()
        map[Owner, uint64_t] holders() except +


cdef extern from "weft/queue_look.hpp" namespace "weft" nogil:
    cdef cppclass Holder "weft::QueueLook::Holder":
        uint64_t leases
        uint64_t held_bytes
        uint64_t loaned_bytes

    cdef cppclass QueueLook:
        bool read(const CLook &)
        bool read_at(const CLook &, uint64_t, const QueueGeometry &)
        const QueueState &state()
        const QueueGeometry &geometry()
        uint64_t reserved_units()
        uint64_t depth()
        map[Owner, Holder] holders(uint64_t &) except +
