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


cdef void copy_piece(char *to, uint64_t begin, uint64_t end, const char *piece, uint64_t at, uint64_t size) noexcept nogil:
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
        self.open = True
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
    """A large message of which some parts have come."""

    cdef bytes memory
    cdef uint64_t received

    @staticmethod
    cdef Assembly begin(uint64_t total):
        cdef Assembly made = Assembly.__new__(Assembly)
        made.memory = PyBytes_FromStringAndSize(NULL, total)
        return made


cdef Series begin_series(PipeSender end, const Outgoing *message, Encoded encoded, object keeper):
    cdef Series series = Series.__new__(Series)
    series.end = end
    series.message = message[0]
    series.encoded = encoded
    series.keeper = keeper
    return series
