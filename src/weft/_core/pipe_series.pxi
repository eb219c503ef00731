# Messages larger than a block may be: they go in parts, each in a block behind this head.

cdef extern from *:
    """
    // What stands before the bytes of each part; a copy of it is checked.
    struct PartHead {
        uint64_t total;      // bytes of the whole message
        uint64_t body_size;  // of which its encoded body
        uint64_t offset;     // of this part
        uint64_t reserved[5];
    };
    static_assert(sizeof(PartHead) == 64);
    """
    cdef struct PartHead:
        uint64_t total
        uint64_t body_size
        uint64_t offset

cdef enum:
    PART = 1 << 22                # bytes of a part at most


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
    cdef uint64_t at
    cdef bint open

    def step(self, block, timeout):
        """Puts the next part; whether there are more."""
        cdef PipeSender end = self.end
        cdef CQueue *out = check_out(end)
        cdef Attachment held = end.attachment
        cdef uint64_t size = min(<uint64_t> PART, end.max_message - sizeof(PartHead), self.message.total - self.at)
        cdef uint32_t unit = kNowhere
        cdef Outgoing part
        cdef PartHead *head
        cdef char *data
        if not self.open:
            # Before there is memory for it, lest those who wait have all that the one on its way needs.
            claim(end, block, timeout)
            self.open = True
        take_block(end, sizeof(PartHead) + size, &unit, block, timeout)
        data = out.pool().data(unit)
        memset(data, 0, sizeof(PartHead))
        head = <PartHead *> data
        head.total = self.message.total
        head.body_size = self.message.body_size
        head.offset = self.at
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


@cython.final
cdef class Assembly:
    """A large message of which some parts have come. What they say is checked against the first, and each byte of
    the message comes once: nothing is handed out that no part has brought."""

    cdef bytes memory
    cdef uint64_t total, body_size
    cdef uint64_t end             # all before it has been admitted
    cdef uint64_t copied
    cdef bint raw
    cdef uint8_t marks
    cdef dict ahead               # of parts taken before those before them: where each ends, by where it begins

    cdef bint admit(self, const Incoming *message, const PartHead *head, uint64_t size):
        """Whether a part belongs here."""
        cdef uint64_t begin = head.offset
        if head.total != self.total or head.body_size != self.body_size or \
                message.marks & ~kSeries != self.marks or (message.kind == RecordKind.raw) != self.raw or \
                begin < self.end or begin > self.total or size > self.total - begin:
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


cdef Assembly begin_assembly(const Incoming *message, const PartHead *head):
    """For the first part of a message; None for what can't be one. The memory is the system's until it is written
    to, whatever the size that is claimed."""
    if head.body_size > head.total or head.total >> 46 or head.offset:
        return None
    cdef Assembly made = Assembly.__new__(Assembly)
    made.memory = PyBytes_FromStringAndSize(NULL, head.total)
    made.total = head.total
    made.body_size = head.body_size
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
