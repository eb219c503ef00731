# What a pipe's end is, and how it sends. What is asked for seldom stands in ``weft.pipe``, which is bound in by
# ``set_pipe_policy``.

cdef object pipe_policy = None

cdef enum:
    SENT_BYTES = 0x10             # a message's mark: sent by send_bytes
    SENT_HANDLE = 0x20            # … a descriptor goes with it


def set_pipe_policy(module):
    """Binds in the Python side of pipes: ``weft.pipe``."""
    global pipe_policy
    pipe_policy = module


@cython.final
@cython.no_gc
cdef class PipeAttachment(Attachment):
    """This process's part in a pipe's segment."""

    cdef CPipe *pipe

    def __cinit__(self):
        self.pipe = new CPipe()
        self.object = self.pipe

    def come(self, int end):
        """Takes an end: 0 or 1, or -1 for the one that is free. Returns (status, details)."""
        cdef Failure why
        cdef Status status
        with nogil:
            status = self.pipe.come(end, why)
        return <int> status, describe(why)

    @property
    def end(self):
        """Which end this process has: 0 or 1."""
        return self.pipe.end()

    @property
    def conversation(self):
        """Its number: 0, or more where the pipe was kept and used again."""
        return self.pipe.state().places.load() >> 8

    def places(self):
        """(taken, held, pid, command, since_ns) of each end."""
        cdef int end
        cdef list found = []
        state = &self.pipe.state()
        for end in range(2):
            taken = &state.taken[end]
            found.append((
                bool(state.places.load() >> end & 1), bool(self.pipe.is_held(end)), taken.pid,
                (<bytes> taken.command[:48]).split(b"\0")[0].decode("utf-8", "replace"), taken.since_ns,
            ))
        return found


@cython.final
cdef class Arrived:
    """A message that has been taken, and not been handed out yet."""

    cdef uint8_t marks
    cdef bint raw
    cdef object memory            # bytes, or a Block
    cdef const char *data
    cdef uint64_t total, body_size

    cdef bytes to_bytes(self):
        """All of it."""
        cdef bytes copy
        cdef char *target
        if type(self.memory) is bytes:
            return <bytes> self.memory
        copy = PyBytes_FromStringAndSize(NULL, self.total)
        target = PyBytes_AS_STRING(copy)
        with nogil:
            memcpy(target, self.data, self.total)
        (<Block> self.memory).read = True
        return copy


cdef Arrived arrived_in(Incoming *message, object memory, const char *data, uint64_t total, uint64_t body_size):
    cdef Arrived arrived = Arrived.__new__(Arrived)
    arrived.marks = message.marks
    arrived.raw = message.kind == RecordKind.raw
    arrived.memory = memory
    arrived.data = data
    arrived.total = total
    arrived.body_size = total if arrived.raw else body_size
    return arrived


cdef class PipeSender(Channel):
    """One end of a pipe, as far as it sends."""

    cdef CPipe *pipe
    cdef Arrived pending          # taken, and left for another call
    cdef Assembly assembly
    cdef uint64_t count           # of messages that it has sent in parts

    def __init__(self):
        raise TypeError("an end comes from weft.Pipe()")

    def _bind(self, PipeAttachment attachment not None, Codec codec not None, int waiting, bint views):
        """Called by ``weft.pipe`` once it has an end."""
        cdef CQueue *any_queue
        self.bind_channel(attachment, codec, pipe_policy, waiting, views)
        self.pipe = attachment.pipe
        self.out = self.pipe.sends()
        self.q = self.pipe.receives()
        any_queue = self.out if self.out is not NULL else self.q
        self.max_message = any_queue.geometry().max_message
        self.inline_max = min(any_queue.geometry().inline_max, self.max_message)

    cdef int begin(self, bint sends) except -1:
        """The long way into a call: the first one of a process, or one that can't be."""
        cdef Failure why
        cdef Status status
        if self.attachment is None:
            (self.policy or pipe_policy).fail_closed(self)
        if (self.out if sends else self.q) is NULL:
            self.policy.fail_direction(self, sends)
        if not self.pipe.is_used():
            # In a forked child it is somebody else's; what the parent was about to receive is the parent's.
            self.stop_listening()
            self.scratch = Encoded()
            self.pending = None
            self.assembly = None
            status = self.pipe.use(why)
            if status != Status.ok:
                self.policy.fail(self, <int> status, describe(why))
        if sends and self.pipe.is_due():
            self.pipe.is_over()
        return 0

    cdef bint has_changed(self) noexcept:
        return self.pipe.is_over() and (self.q.has_items() or self.q.has_ended())

    cdef int put_large(self, Outgoing *message, Encoded encoded, object block, object timeout) except -1:
        cdef int64_t deadline = deadline_of(block, timeout)
        cdef Series series = begin_series(self, message, encoded, None)
        try:
            while series.step(block, seconds_until(deadline)):
                pass
        finally:
            series.close()
        return 0

    # --- sending -------------------------------------------------------------------------------

    def send(self, obj, timeout=None):
        """Sends an object, encoded by the codec; large arrays and buffers are placed in shared memory.

        When this returns, the message is in shared memory: it is received even if this process dies. One that is
        larger than a quarter of what a direction may have goes in parts, and waits for the other end to receive
        them.

        Args:
            obj: What the codec carries.
            timeout: Seconds to wait for room at most; None waits for ever, 0 not at all.

        Raises:
            TypeError: The codec does not carry it. Nothing has been sent.
            TimeoutError: There was no room in time. Nothing of the message will be received.
            BrokenPipeError: The other end is closed, or its process has died.
            NoSpaceError: The file system cannot back what the message needs.
            ConnectionClosedError: This end has been closed.
            OSError: This end only receives.
        """
        cdef Outgoing message
        cdef Failure why
        cdef Status status
        if self.out is NULL or not self.pipe.is_used() or self.pipe.is_due():
            self.begin(True)
        if self.plain and PyBytes_CheckExact(obj) and <uint64_t> PyBytes_GET_SIZE(obj) <= self.inline_max:
            message.kind = RecordKind.raw
            message.data = PyBytes_AS_STRING(obj)
            message.size = <uint32_t> PyBytes_GET_SIZE(obj)
            if timeout is not None:
                deadline_of(True, timeout)
            status = self.out.put(message, 0, why)
            if status != Status.ok:
                put_patiently(self, &message, status, &why, True, timeout)
            return
        put_encoded(self, obj, True, timeout)

    def send_bytes(self, buf, Py_ssize_t offset=0, size=None, timeout=None):
        """Sends bytes, for ``recv_bytes`` at the other end.

        Args:
            buf: A bytes-like object.
            offset: Where in it to begin, in bytes.
            size: How many bytes; None for all to its end.
            timeout: As for ``send``, which see for the errors too.

        Raises:
            ValueError: Offset or size are negative or beyond the end.
        """
        cdef Outgoing message
        cdef Failure why
        cdef Status status
        cdef Py_buffer view
        cdef Py_ssize_t length
        if self.out is NULL or not self.pipe.is_used() or self.pipe.is_due():
            self.begin(True)
        message.marks = SENT_BYTES
        message.kind = RecordKind.raw
        if timeout is not None:
            deadline_of(True, timeout)
        if size is None and offset == 0 and PyBytes_CheckExact(buf) and \
                <uint64_t> PyBytes_GET_SIZE(buf) <= self.inline_max:
            message.data = PyBytes_AS_STRING(buf)
            message.size = <uint32_t> PyBytes_GET_SIZE(buf)
            status = self.out.put(message, 0, why)
            if status != Status.ok:
                put_patiently(self, &message, status, &why, True, timeout)
            return
        PyObject_GetBuffer(buf, &view, PyBUF_SIMPLE)
        try:
            if offset < 0:
                raise ValueError("offset is negative")
            if offset > view.len:
                raise ValueError("buffer length < offset")
            length = view.len - offset
            if size is not None:
                if size < 0:
                    raise ValueError("size is negative")
                if size > length:
                    raise ValueError("buffer length < offset + size")
                length = size
            message.data = <const char *> view.buf + offset
            message.total = length
            put_message(self, &message, None, True, timeout)
        finally:
            PyBuffer_Release(&view)

    def _send_handle(self, bytes number not None, timeout):
        """Puts a descriptor's message, once the descriptor is on its way."""
        cdef Outgoing message
        self.begin(True)
        message.marks = SENT_HANDLE
        message.kind = RecordKind.raw
        message.data = PyBytes_AS_STRING(number)
        message.total = PyBytes_GET_SIZE(number)
        put_message(self, &message, None, True, timeout)

    def _series(self, obj):
        """For a message that would go in parts, what sends it part by part; None for others."""
        cdef Encoded encoded
        cdef Outgoing message
        self.begin(True)
        if self.plain and PyBytes_CheckExact(obj):
            if <uint64_t> PyBytes_GET_SIZE(obj) <= self.max_message:
                return None
            message.kind = RecordKind.raw
            message.data = PyBytes_AS_STRING(obj)
            message.total = PyBytes_GET_SIZE(obj)
            return begin_series(self, &message, None, obj)
        encoded = Encoded()
        self.codec.encode(obj, encoded)
        if <uint64_t> encoded.total <= self.max_message:
            return None
        message.kind = RecordKind.body
        message.body_size = encoded.body_size
        message.total = encoded.total
        return begin_series(self, &message, encoded, obj)

    def _series_of_bytes(self, bytes data not None):
        """The same for ``send_bytes``."""
        cdef Series series
        self.begin(True)
        if <uint64_t> PyBytes_GET_SIZE(data) <= self.max_message:
            return None
        cdef Outgoing message
        message.kind = RecordKind.raw
        message.marks = SENT_BYTES
        message.data = PyBytes_AS_STRING(data)
        message.total = PyBytes_GET_SIZE(data)
        return begin_series(self, &message, None, data)


cdef dict counters_of(CQueue *q):
    if q is NULL:
        return None
    state = &q.state()
    return {
        "sent": state.sent, "received": state.received,
        "sent_bytes": state.sent_bytes, "received_bytes": state.received_bytes,
        "depth": q.depth(), "reserved": q.pool().reserved_bytes(), "capacity": q.pool().capacity_bytes(),
    }
