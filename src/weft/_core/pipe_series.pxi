# Messages larger than a block may be: they go in parts, each in a block behind this head.

cdef extern from "Python.h":
    int _PyBytes_Resize(PyObject **, Py_ssize_t) except -1
    char *bytes_at "PyBytes_AS_STRING"(PyObject *) noexcept nogil
    void Py_CLEAR(PyObject *)

cdef enum:
    PART = 1 << 22                # bytes of a part at most
    FIRST_MEMORY = 1 << 26        # bytes that are had for a message before any of them have come, at most
    MOST_AHEAD = 1 << 30          # bytes between what has come in whole and any part


cdef void copy_piece(char *to, uint64_t begin, uint64_t end, const char *piece, uint64_t at,
                     uint64_t size) noexcept nogil:
    """Copies what of a piece, which stands at ``at`` in the message, falls between ``begin`` and ``end``."""
    cdef uint64_t first = max(begin, at), last = min(end, at + size)
    if first < last:
        memcpy(to + (first - begin), piece + (first - at), last - first)


cdef void copy_part(char *to, uint64_t begin, uint64_t size, const Outgoing *message, Encoded encoded) noexcept nogil:
    """Copies bytes ``begin`` to ``begin + size`` of a message, as ``write_to`` would lay it out."""
    cdef uint64_t at = message.body_size
    cdef Py_ssize_t i
    if message.kind == RecordKind.raw:
        memcpy(to, message.data + begin, size)
        return
    memset(to, 0, size)           # between the buffers
    copy_piece(to, begin, begin + size, encoded.body, 0, at)
    for i in range(encoded.buffer_count):
        at = (at + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
        copy_piece(to, begin, begin + size, <const char *> encoded.buffers[i].buf, at, encoded.buffers[i].len)
        at += encoded.buffers[i].len


cdef int claim(PipeSender end, object block, object timeout) except -1:
    """Waits for its turn to send in parts."""
    cdef Failure why
    cdef int64_t deadline = deadline_of(block, timeout)
    cdef uint32_t announced = 0
    cdef int64_t stuck_since = 0
    cdef Attachment held = end.attachment
    cdef CQueue *out = check_out(end)
    out.begin_wait()
    while True:
        out = check_out(end)
        if out.shut():
            end.policy.fail_put(end, <int> Status.shut_down, None)
        if out.claim_series() == Status.ok:
            return 0
        make_room(end, Status.full, &why, deadline, &announced, &stuck_since)


@cython.final
cdef class Series:
    """A large message on its way out. Ended before its last part, nobody gets any of it."""

    cdef PipeSender end
    cdef Outgoing message
    cdef Encoded encoded
    cdef object keeper            # of what the message points to
    cdef uint64_t at, number
    cdef bint open

    def step(self, block, timeout):
        """Puts the next part; whether there are more."""
        cdef PipeSender end = self.end
        cdef CQueue *out = check_out(end)
        cdef Attachment held = end.attachment
        # Half of what fits in one place, so that it is found where extents and what is being read divide the memory.
        cdef uint64_t most = end.max_message // 2 - sizeof(PartHead)
        cdef uint64_t size = min(<uint64_t> PART, most, self.message.total - self.at)
        cdef uint32_t unit = kNowhere
        cdef Outgoing part
        cdef PartHead *head
        cdef char *data
        if not self.open:
            # Before there is memory for it, lest those who wait have all that the one on its way needs.
            claim(end, block, timeout)
            self.open = True
            self.number = next_number(end)
        take_block(end, sizeof(PartHead) + size, &unit, block, timeout)
        data = out.pool().data(unit)
        memset(data, 0, sizeof(PartHead))
        head = <PartHead *> data
        head.total = self.message.total
        head.body_size = self.message.body_size
        head.offset = self.at
        head.number = self.number
        with nogil:
            copy_part(data + sizeof(PartHead), self.at, size, &self.message, self.encoded)
        part.kind = self.message.kind
        part.marks = self.message.marks
        if self.at + size < self.message.total:
            part.marks |= kMore
        if self.at:
            part.marks |= kContinued
        part.unit = unit
        part.total = sizeof(PartHead) + size
        put_block(end, held, out, &part, block, timeout)
        self.at += size
        self.open = self.at < self.message.total
        return self.open

    def close(self):
        """Gives up what has not been sent in whole."""
        if self.open and self.end.out is not NULL:
            self.end.out.end_series()
        self.open = False
        self.encoded = None
        self.keeper = None


cdef uint64_t next_number(PipeSender end) noexcept:
    """Of a message: no other that goes in parts through the pipe has it."""
    end.count += 1
    return (<uint64_t> end.attachment.object.people().self()) << 32 | (end.count & 0xffffffffu)


@cython.final
cdef class Assembly:
    """A large message of which some parts have come. What they say is checked against the first, and each byte of
    the message comes once: nothing is handed out that no part has brought. Memory grows as they come, whatever the
    size that is claimed."""

    cdef PyObject *memory         # bytes, of which nobody knows yet
    cdef PyThread_type_lock lock  # held while they are written to, or moved
    cdef uint64_t total, body_size, number
    cdef uint64_t end             # all before it has been admitted
    cdef uint64_t copied
    cdef bint raw
    cdef uint8_t marks
    cdef dict ahead               # of parts taken before those before them: where each ends, by where it begins

    def __dealloc__(self):
        Py_XDECREF(self.memory)
        if self.lock is not NULL:
            PyThread_free_lock(self.lock)

    cdef bint admit(self, const Incoming *message, const PartHead *head, uint64_t size):
        """Whether a part belongs here."""
        cdef uint64_t begin = head.offset
        if head.total != self.total or head.body_size != self.body_size or \
                message.marks & ~kSeries != self.marks or (message.kind == RecordKind.raw) != self.raw or \
                begin < self.end or begin > self.total or size > self.total - begin or \
                begin - self.end > MOST_AHEAD or len(self.ahead) > 1000:
            return False
        for other, other_end in self.ahead.items():
            if begin < other_end and other < begin + size:
                return False
        self.ahead[begin] = begin + size
        while self.end in self.ahead:
            if self.ahead[self.end] == self.end:
                del self.ahead[self.end]
                break
            self.end = self.ahead.pop(self.end)
        return True

    cdef int copy(self, uint64_t begin, const char *data, uint64_t size) except -1:
        """Copies a part that has been admitted to its place. Two threads do so one after the other."""
        cdef uint64_t memory
        with nogil:
            PyThread_acquire_lock(self.lock, 1)
        try:
            memory = PyBytes_GET_SIZE(<object> self.memory)
            if begin + size > memory:
                memory = min(max(begin + size, 2 * memory), self.total)
                _PyBytes_Resize(&self.memory, memory)
            with nogil:
                memcpy(bytes_at(self.memory) + begin, data, size)
        finally:
            PyThread_release_lock(self.lock)
        self.copied += size
        return 0

    cdef bytes release(self):
        """The message, once it is whole."""
        cdef bytes whole = <bytes> self.memory
        Py_CLEAR(self.memory)
        return whole


cdef Assembly begin_assembly(const Incoming *message, const PartHead *head):
    """For the first part of a message; None for what can't be one."""
    if head.body_size > head.total or head.total >> 46 or head.offset:
        return None
    cdef Assembly made = Assembly.__new__(Assembly)
    cdef object memory = PyBytes_FromStringAndSize(NULL, min(head.total, <uint64_t> FIRST_MEMORY))
    Py_INCREF(memory)
    made.memory = <PyObject *> memory
    made.lock = PyThread_allocate_lock()
    if made.lock is NULL:
        raise MemoryError
    made.total = head.total
    made.body_size = head.body_size
    made.number = head.number
    made.raw = message.kind == RecordKind.raw
    made.marks = message.marks & ~kSeries
    made.ahead = {}
    return made


cdef Series begin_series(PipeSender end, const Outgoing *message, Encoded encoded, object keeper):
    cdef Series series = Series.__new__(Series)
    series.end = end
    series.message = message[0]
    series.encoded = encoded
    series.keeper = keeper
    return series
