# cython: language_level=3, binding=False
"""Looking at segments from outside, and removing those that nobody has open."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t, uint64_t
from libcpp.map cimport map
from libcpp.vector cimport vector

from weft._core.handle cimport describe
from weft._core.native cimport Failure, Lifetime, Owner, Status
from weft._core.native_look cimport (
    CellLook, Holder, MemoryState, Person, PipeGeometry, PipeState, QueueLook, Reach, Removal, Trial, holder_end,
    holder_is_used, holder_owner, identity_of, kHoldersAt, kObjectAt, pipe_geometry_of, remove_segment, try_out,
)


cdef class Look:
    """A file, open to be looked at: it changes nothing, and those who use the segment do not notice.

    Attributes:
        status: How the header is: OK, MISSING, NOT_A_SEGMENT, WRONG_VERSION, CORRUPTED, REFUSED or OS_ERROR.
        why: Details, as everywhere: (errno, step, wanted, available).
    """

    def __init__(self, bytes directory, bytes name):
        cdef Failure why
        self.it.close()
        self.status = <int> self.it.open(directory, name, why)
        self.why = describe(why)

    def close(self):
        """Closes the file. May be repeated."""
        self.it.close()

    def fileno(self):
        """The file's descriptor, or -1; it stays this object's."""
        return self.it.fd()

    def header(self):
        """What the creator wrote, as a dict. Of a segment that is not sound, what stands there."""
        header = &self.it.header()
        length = min(header.config_bytes, sizeof(header.config))
        return {
            "kind": header.kind,
            "layout_version": header.layout_version,
            "lifetime": "kept" if header.lifetime == Lifetime.kept else "attached",
            "file_bytes": header.file_bytes,
            "geometry": [header.geometry[i] for i in range(8)],
            "config": (<bytes> header.config[:length]).decode("utf-8", "replace"),
            "creator_pid": header.creator_pid,
            "creator": (<bytes> header.creator[:127]).split(b"\0")[0].decode("utf-8", "replace"),
            "created_ns": header.created_ns,
            "identity": (<bytes> identity_of(header[0])).decode(),
        }

    def read(self, uint64_t at, uint64_t size):
        """Bytes of the file, or None where there are not so many."""
        cdef bytes data = PyBytes_FromStringAndSize(NULL, size)
        return data if self.it.read(PyBytes_AS_STRING(data), at, size) else None

    def participants(self):
        """One dict for each slot in use, dead or alive; None where the file ends before the table does."""
        cdef vector[Person] people
        if not self.it.people(people):
            return None
        return [{
            "owner": person.owner, "alive": person.alive, "pid": person.pid, "started_ns": person.started_ns,
            "command": (<bytes> person.command[:40]).split(b"\0")[0].decode("utf-8", "replace"),
            "waiting_producers": person.waiting_producers, "waiting_consumers": person.waiting_consumers,
        } for person in people]

    def has_participants(self):
        """Whether the kernel knows of a living participant."""
        return self.it.has_participants()

    def is_attached(self):
        """Whether anybody is attached, by trying for the lock: to be asked where nothing else tells."""
        return self.it.is_attached()

    def on_tmpfs(self):
        """Whether the file stands on a memory file system."""
        return self.it.on_tmpfs()


def queue_counters(Look look):
    """What a queue counts, and who holds what of it; None if the segment is no sane queue.

    Returns:
        (counters, locks, holders): numbers by name, owner by lock, and (leases, held bytes, loaned bytes) by
        owner.
    """
    cdef QueueLook queue
    cdef uint64_t returned_bytes = 0
    if not queue.read(look.it):
        return None
    cdef map[Owner, Holder] holders = queue.holders(returned_bytes)
    state = &queue.state()
    counters = {
        "sent": state.sent, "received": state.received,
        "sent_bytes": state.sent_bytes, "received_bytes": state.received_bytes,
        "returned": state.returned.load(), "leased": state.leased.load(),
        "returned_bytes": returned_bytes, "shut": state.shut.load(), "ended": state.shut.load() == 2,
        "dropped_oldest": state.dropped_oldest.load(), "dropped_newest": state.dropped_newest.load(),
        "redelivered": state.redelivered.load(), "dead_lettered": state.dead_lettered.load(),
        "depth": queue.depth(), "reserved": queue.reserved_units() * 4096,
        "capacity": queue.geometry().units * 4096,
    }
    locks = {
        "producers": state.producers.owner(), "consumers": state.consumers.owner(), "memory": state.pool.lock.owner(),
    }
    return counters, locks, {
        entry.first: (entry.second.leases, entry.second.held_bytes, entry.second.loaned_bytes) for entry in holders
    }


def pipe_state(Look look):
    """Who has a pipe's ends, and what has gone through it; None if the segment is no sane pipe.

    Returns:
        (places, holders, ways): (taken, pid, command) of each end; (owner, end, used) of each who has one; and the
        counters of each direction.
    """
    cdef PipeState state
    cdef PipeGeometry geometry = pipe_geometry_of(look.it.header().geometry)
    cdef uint32_t[1024] words
    cdef QueueLook queue
    cdef uint64_t i
    if not geometry.is_sane() or geometry.file_bytes() != look.it.header().file_bytes or \
            not look.it.read(&state, kObjectAt, sizeof(state)) or not look.it.read(words, kHoldersAt, sizeof(words)):
        return None
    ways = []
    for i in range(geometry.directions):
        if not queue.read_at(look.it, geometry.queue_at(i), geometry.queue):
            return None
        way = &queue.state()
        ways.append({
            "sent": way.sent, "received": way.received, "sent_bytes": way.sent_bytes,
            "received_bytes": way.received_bytes, "depth": queue.depth(), "shut": way.shut.load(),
        })
    places = [
        (bool(state.places.load() >> end & 1), state.taken[end].pid,
         (<bytes> state.taken[end].command[:48]).split(b"\0")[0].decode("utf-8", "replace"))
        for end in range(2)
    ]
    holders = [
        (holder_owner(word), holder_end(word), holder_is_used(word)) for word in words if holder_owner(word)
    ]
    return places, holders, ways


def cell_state(Look look):
    """(version, bytes of the largest value, buffers with memory, values kept by owner); None if it is no sane cell."""
    cdef CellLook cell
    if not cell.read(look.it):
        return None
    cdef map[Owner, uint64_t] holders = cell.holders()
    return cell.version(), cell.geometry().size, cell.buffers(), {entry.first: entry.second for entry in holders}


def memory_state(Look look):
    """(size, resizes) of shared memory; None where the file ends before it."""
    cdef MemoryState state
    if not look.it.read(&state, kObjectAt, sizeof(state)):
        return None
    return state.size.load(), state.resizes.load()


def remove(bytes directory, bytes name, int reach):
    """Removes a segment that nobody has open.

    Args:
        directory: Where it stands.
        name: Of its file.
        reach: 0 what the dead left, 1 kept ones too, 2 damaged ones too.

    Returns:
        (``weft::Segment::Removal``, details)
    """
    cdef Failure why
    cdef Removal how = remove_segment(directory, name, <Reach> reach, why)
    return <int> how, describe(why)


def try_directory(bytes directory):
    """What a directory can do for segments: an errno for each thing tried, 0 where it works."""
    return try_out(directory)
