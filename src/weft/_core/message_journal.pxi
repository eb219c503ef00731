# What the processes that write one journal share, and the records that they write.


def journal_records(list images, list numbers, uint64_t synced, int priority):
    """The records of messages, (what, data, size of the body) each, that have been put under those numbers."""
    cdef Py_ssize_t i, count = min(len(images), len(numbers)), size = 0
    cdef JournalRecord record
    cdef bytes data, result
    cdef char *place
    for i in range(count):
        size += sizeof(JournalRecord) + PyBytes_GET_SIZE(<bytes> (<tuple> images[i])[1])
    result = PyBytes_FromStringAndSize(NULL, size)
    place = PyBytes_AS_STRING(result)
    for i in range(count):
        what, data, body = <tuple> images[i]
        record.what = what
        record.size = PyBytes_GET_SIZE(data)
        record.number = numbers[i]
        record.synced = synced
        record.body_size = body
        record.priority = <uint16_t> priority
        place = record.write_to(place, PyBytes_AS_STRING(data))
    return result


def scan_records(bytes data, Py_ssize_t at):
    """Reads sound records from there on, until one that is none, or of a kind that is not known.

    Returns where it stopped, the numbers and places of messages, and the numbers of those taken.
    """
    cdef const char *start = PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef list numbers = [], places = [], taken = []
    cdef JournalRecord record
    while at < size and record.read_from(start + at, size - at) and record.is_known(kMaxPriority):
        if record.what == 3:
            taken.append(record.number)
        else:
            numbers.append(record.number)
            places.append(at)
        at += sizeof(JournalRecord) + record.size
    return at, numbers, places, taken


@cython.final
cdef class SharedJournal:
    """The part of a journal that stands in the queue's segment: how far it reaches, and whose turn it is.

    Each call returns a status of ``weft._opening.Status``, and what belongs to it.
    """

    cdef QueueAttachment attachment

    def __init__(self, QueueAttachment attachment not None):
        self.attachment = attachment

    def append(self, int fd, uint64_t generation, bytes data):
        """(status, where the journal ends then, errno)."""
        cdef const char *start = PyBytes_AS_STRING(data)
        cdef uint64_t size = PyBytes_GET_SIZE(data), end = 0
        cdef Status status = Status.busy
        cdef Failure why
        self.join()
        while is_in_turn(status):
            with nogil:
                status = self.attachment.q.append(fd, generation, start, size, now_ns() + LOCK_PATIENCE, end, why)
            PyErr_CheckSignals()
        return <int> status, end, why.os_errno

    def sync(self, int fd, uint64_t generation, uint64_t end):
        """(status, errno): returns once what is before ``end`` is on the disk."""
        cdef Status status = Status.busy
        cdef Failure why
        self.join()
        while is_in_turn(status):
            with nogil:
                status = self.attachment.q.sync(fd, generation, end, now_ns() + LOCK_PATIENCE, why)
            PyErr_CheckSignals()
        return <int> status, why.os_errno

    def locked(self, call):
        """What ``call()`` returns, during which nobody appends or syncs."""
        cdef Status status = Status.busy
        self.join()
        while is_in_turn(status):
            with nogil:
                status = self.attachment.q.lock_journal(now_ns() + LOCK_PATIENCE)
            if status != Status.ok:
                PyErr_CheckSignals()
        try:
            return call()
        finally:
            self.attachment.q.unlock_journal()

    def get(self):
        """(state, end, synced, generation, torn)."""
        cdef OrderState *order = &self.attachment.q.state().order
        return (order.journal_state.load(), order.journal_end.load(), order.journal_synced.load(),
                order.journal_generation.load(), order.journal_torn.load())

    def set(self, uint64_t end, uint64_t generation):
        """Another file is the journal now, all of it on the disk. Within ``locked``, or alone."""
        cdef OrderState *order = &self.attachment.q.state().order
        order.journal_end.store(end)
        order.journal_synced.store(end)
        order.journal_generation.store(generation)

    def set_torn(self, uint64_t torn):
        """How many bytes were dropped when it was read."""
        self.attachment.q.state().order.journal_torn.store(torn)

    def set_ready(self, bint ready=True):
        """Whether its messages are in the queue."""
        self.attachment.q.state().order.journal_state.store(ready)

    def sent(self):
        """How many messages have been put into the queue."""
        return self.attachment.q.state().sent

    cdef int join(self) except -1:
        """A forked child is somebody else."""
        cdef Failure why
        if self.attachment.object.ensure_joined(why) != Status.ok:
            raise OSError(why.os_errno, (<bytes> why.step).decode())
        return 0


cdef bint is_in_turn(Status status) noexcept:
    """Whether to go on waiting for the locks: their owners are at work for some milliseconds at most."""
    return status == Status.busy or status == Status.timed_out or status == Status.interrupted
