# The end of a pipe: receiving, waiting, closing.


cdef class PipeEnd(PipeSender):
    """One end of a pipe, with the interface of ``multiprocessing.connection.Connection``; made by ``weft.Pipe``.

    Messages arrive whole and in order, or not at all. Threads may use an end at the same time, each call sending or
    receiving one message; tasks of an event loop use the awaitable twins. ``fileno()`` is for ``select`` and
    ``multiprocessing.connection.wait``.

    When the other end is closed, or its process dies, what it had sent can still be received; then ``recv`` raises
    ``EOFError``, and ``send`` raises ``BrokenPipeError`` at once. A stopped process is alive.

    It travels to other processes by pickling and by fork, and may be in several hands: it is over when the last of
    them has closed it, or when a process that used it has died and no other uses it. Forked children that have
    inherited an end and never used it hide no death, nor that who used it has closed it.
    """

    # --- receiving -----------------------------------------------------------------------------

    cdef Arrived take(self, object timeout):
        """The next whole message, as it came."""
        cdef Incoming message
        cdef char buffer[SCRATCH]
        cdef Arrived arrived = self.pending
        if arrived is not None:
            self.pending = None
            return arrived
        return self.arrive(&message, buffer, self.q.take(message, buffer, 0), deadline_of(True, timeout))

    cdef Arrived arrive(self, Incoming *message, char *buffer, Status status, int64_t deadline):
        """Goes on with a take."""
        cdef Attachment held = self.attachment
        cdef CQueue *q = self.q
        cdef Arrived arrived
        cdef Block block
        cdef bytes copy
        while True:
            if status != Status.ok:
                take_patiently(self, message, buffer, status, deadline != 0, seconds_until(deadline), False)
            if message.unit == kNowhere:
                copy = PyBytes_FromStringAndSize(buffer, message.size)
                return arrived_in(message, copy, PyBytes_AS_STRING(copy), message.size, message.size)
            block = make_block(held, q, message.unit, message.total, True)
            if not message.marks & kSeries:
                return arrived_in(message, block, q.pool().data(message.unit), message.total, message.body_size)
            arrived = self.add_part(message, block)
            if arrived is not None:
                return arrived
            block = None                  # not kept while it waits: the sender may need the memory for the next part
            message.clear()
            status = q.take(message[0], buffer, 0)

    cdef Arrived add_part(self, Incoming *message, Block block):
        """The whole message, if this completes it. What came before it and never ended is dropped.

        Of two threads that receive, each may have some of the parts, and copy at the same time."""
        cdef PartHead head
        cdef Assembly assembly = None
        cdef const char *data = block.q.pool().data(block.unit)
        cdef uint64_t size = block.size - sizeof(PartHead)
        if block.size >= sizeof(PartHead):
            memcpy(&head, data, sizeof(PartHead))
            if not message.marks & kContinued:
                self.assembly = None
                assembly = self.assembly = begin_assembly(message, &head)
            else:
                assembly = self.find_assembly(head.number)
        try:
            if assembly is None or not assembly.admit(message, &head, size):
                self.policy.fail(self, <int> Status.corrupted, None)
            assembly.copy(head.offset, data + sizeof(PartHead), size)
        except:
            block.q.abandon_series()
            if self.assembly is assembly:
                self.assembly = None
            raise
        block.read = True
        if assembly.copied < assembly.total:
            return None
        if self.assembly is assembly:
            self.assembly = None
        whole = assembly.release()
        return arrived_in(message, whole, PyBytes_AS_STRING(whole), head.total, head.body_size)

    cdef Assembly find_assembly(self, uint64_t number):
        """Of the message with that number. Its first part may be in the hands of another thread, which has taken it
        and has not come to say so."""
        cdef int64_t until = 0
        while self.assembly is None or self.assembly.number != number:
            if until == 0:
                until = now_ns() + STUCK
            elif now_ns() > until:
                return None
            with nogil:
                usleep(100)
            check_open(self)
        return self.assembly

    def recv(self, timeout=None):
        """Receives an object. Waits for it.

        Arrays and buffers of 8 KiB or more come as read-only views into shared memory that keep their memory for as
        long as they live.

        Args:
            timeout: Seconds to wait at most; None waits for ever, 0 not at all.

        Returns:
            What was sent.

        Raises:
            EOFError: The other end is closed or its process dead, and all it had sent is received.
            TimeoutError: No whole message was there in time. What has come of it is kept for the next call.
            CorruptedError: The pipe holds what no honest program writes, or a message can't be decoded.
            MismatchError: A descriptor comes next: use ``recv_handle``.
            ConnectionClosedError: This end has been closed.
            OSError: This end only sends.
        """
        cdef Incoming message
        cdef char buffer[SCRATCH]
        cdef Status status
        if self.q is NULL or not self.pipe.is_used():
            self.begin(False)
        if timeout is not None:
            deadline_of(True, timeout)
        if self.pending is not None:
            return self.decode_arrived(self.take(timeout))
        status = self.q.take(message, buffer, 0)
        if status == Status.ok and message.unit == kNowhere and message.marks == 0:
            if self.plain and message.kind == RecordKind.raw:
                return self.shelf.make(buffer, message.size)
            return self.codec.decode(buffer, message.size, message.size, None, self.views)
        return self.decode_arrived(self.arrive(&message, buffer, status, deadline_of(True, timeout)))

    cdef object decode_arrived(self, Arrived arrived):
        if arrived.marks & SENT_HANDLE:
            self.set_aside(arrived)
            self.policy.fail_handle(self, True)
        if arrived.marks & SENT_BYTES and self.codec.name != "raw":
            return self.policy.decode_sent_bytes(self, arrived.to_bytes())
        if arrived.raw and self.plain:
            if self.views and type(arrived.memory) is Block:
                return memoryview(arrived.memory)
            return arrived.to_bytes()
        if type(arrived.memory) is Block or arrived.total >= BIG_COPY:
            return self.codec.decode(arrived.data, arrived.body_size, arrived.total, arrived.memory, self.views)
        return self.codec.decode(arrived.data, arrived.body_size, arrived.total, None, self.views)

    cdef int set_aside(self, Arrived arrived) except -1:
        """It stays, for the next call."""
        self.pending = arrived
        if self.listener >= 0:
            ring_fd(bell_fd(self))
        return 0

    cdef object encoding_of(self, Arrived arrived):
        """What stands for the message as bytes."""
        if arrived.marks & SENT_HANDLE:
            self.set_aside(arrived)
            self.policy.fail_handle(self, True)
        if arrived.marks & SENT_BYTES or self.codec.name == "raw":
            return arrived.to_bytes()
        return self.policy.encoding_of(self, arrived.raw, arrived.to_bytes(), arrived.body_size)

    def recv_bytes(self, maxlength=None, timeout=None):
        """Receives what the other end has sent by ``send_bytes``.

        Of an object that was sent by ``send`` it takes the encoding: ``send_bytes`` passes it on, and ``recv`` at the
        end of that pipe brings the object back, if both have the same codec.

        Args:
            maxlength: Bytes that it may have.
            timeout: As for ``recv``, which see for the errors too.

        Returns:
            The bytes.

        Raises:
            OSError: It is longer than ``maxlength`` (``MessageTooLargeError`` too). It stays, for another call.
            ValueError: ``maxlength`` is negative.
        """
        cdef Incoming message
        cdef char buffer[SCRATCH]
        cdef Status status
        cdef Arrived arrived
        if self.q is NULL or not self.pipe.is_used():
            self.begin(False)
        if timeout is not None:
            deadline_of(True, timeout)
        if maxlength is not None and maxlength < 0:
            raise ValueError("negative maxlength")
        if self.pending is None:
            status = self.q.take(message, buffer, 0)
            if status == Status.ok and message.unit == kNowhere and message.marks == SENT_BYTES and \
                    (maxlength is None or message.size <= maxlength):
                return self.shelf.make(buffer, message.size)
            arrived = self.arrive(&message, buffer, status, deadline_of(True, timeout))
        else:
            arrived = self.take(timeout)
        data = self.encoding_of(arrived)
        if maxlength is not None and len(data) > maxlength:
            self.set_aside(arrived)
            self.policy.fail_length(self, len(data), maxlength)
        return data

    def recv_bytes_into(self, buf, Py_ssize_t offset=0, timeout=None):
        """Receives what the other end has sent by ``send_bytes`` into memory, from shared memory without a detour.

        Args:
            buf: A writable bytes-like object.
            offset: Where in it to begin, in bytes.
            timeout: As for ``recv``, which see for the errors too.

        Returns:
            How many bytes.

        Raises:
            multiprocessing.BufferTooShort: It did not fit; the message is the exception's first argument.
            ValueError: The offset is negative or beyond the end.
        """
        cdef Py_buffer view
        cdef Arrived arrived
        cdef object data
        cdef char *target
        if self.q is NULL or not self.pipe.is_used():
            self.begin(False)
        PyObject_GetBuffer(buf, &view, PyBUF_WRITABLE)
        try:
            if offset < 0:
                raise ValueError("negative offset")
            if offset > view.len:
                raise ValueError("offset too large")
            arrived = self.take(timeout)
            if not arrived.marks & SENT_BYTES:
                data = self.encoding_of(arrived)
                arrived.memory = data
                arrived.data = PyBytes_AS_STRING(data)
                arrived.total = PyBytes_GET_SIZE(data)
            if <uint64_t> (view.len - offset) < arrived.total:
                self.policy.fail_short(arrived.to_bytes())
            target = <char *> view.buf + offset
            with nogil:
                memcpy(target, arrived.data, arrived.total)
            if type(arrived.memory) is Block:
                (<Block> arrived.memory).read = True
            return arrived.total
        finally:
            PyBuffer_Release(&view)

    def _recv_handle(self, timeout):
        """The number of the descriptor whose message comes next."""
        self.begin(False)
        cdef Arrived arrived = self.take(timeout)
        if not arrived.marks & SENT_HANDLE:
            self.set_aside(arrived)
            self.policy.fail_handle(self, False)
        return arrived.to_bytes()

    def poll(self, timeout=0.0):
        """Waits for something to receive, a message or the end.

        Args:
            timeout: Seconds to wait at most; 0 and less do not wait, None waits for ever.

        Returns:
            Whether there is something. Of a message that comes in parts, the first is enough.
        """
        cdef CQueue *q
        cdef Attachment held
        cdef int64_t deadline
        cdef Status status
        if self.q is NULL or not self.pipe.is_used():
            self.begin(False)
        if self.pending is not None or self.q.has_items():
            return True
        deadline = kForever if timeout is None else deadline_of(True, max(timeout, 0))
        held = self.attachment
        q = check_open(self)
        q.begin_wait()
        while True:
            if q.has_items() or (self.pipe.is_over() and q.has_ended()):
                return True
            if deadline == 0 or (deadline != kForever and now_ns() >= deadline):
                return False
            with nogil:
                status = q.wait_items(deadline, self.waiting)
            PyErr_CheckSignals()
            check_open(self)

    # --- state ---------------------------------------------------------------------------------

    @property
    def readable(self):
        """Whether this end receives."""
        return bool(self.attachment is not None and self.q is not NULL)

    @property
    def writable(self):
        """Whether this end sends."""
        return bool(self.attachment is not None and self.out is not NULL)

    @property
    def connected(self):
        """Whether somebody has come to the other end, ever."""
        self.check_open()
        return bool(self.pipe.is_met())

    def wait_connected(self, timeout=None):
        """Waits until somebody has come to the other end of a pipe by name. Others always have both.

        Args:
            timeout: Seconds to wait at most; None waits for ever, 0 not at all.

        Raises:
            TimeoutError: Nobody has come in time.
        """
        cdef int64_t deadline = deadline_of(True, timeout)
        cdef Attachment held
        cdef Status status = Status.ok
        cdef CPipe *pipe
        self.check_open()
        held = self.attachment
        pipe = self.pipe
        while not pipe.is_met():
            if status == Status.timed_out or deadline == 0:
                self.policy.fail_unconnected(self)
            with nogil:
                status = pipe.wait_met(deadline)
            PyErr_CheckSignals()
            self.check_open()

    def fileno(self):
        """A descriptor that is readable when there is something to receive, or the end: for ``select``, event loops
        and ``multiprocessing.connection.wait``.

        It stays readable until a ``recv`` has found nothing. Belongs to the end: do not read from or close it. An end
        that only sends has one that becomes readable when the other is over.
        """
        if self.pipe is NULL or not self.pipe.is_used():
            self.begin(self.q is NULL)
        if self.listener < 0:
            self.listener = self.pipe.listen_for_items(self.policy.link_of(self))
            if self.listener < 0:
                self.policy.fail_os(self, "listening to the doorbell", errno)
            self._arm(0)
            if self._is_ready(0):
                ring_fd(bell_fd(self))
        else:
            self.pipe.watch(self.listener)
        return self.listener

    def close(self):
        """Closes this end for this process. May be repeated; never fails.

        What has been sent is received by the other end. Views of messages stay valid. Threads of this process that
        wait in it get ``ConnectionClosedError``.
        """
        cdef CPipe *pipe = self.pipe
        cdef PipeAttachment attachment = <PipeAttachment> self.attachment
        if attachment is None:
            return
        unread = 0
        if self.out is not NULL and not pipe.is_met():
            unread = self.out.depth()
        pipe.wake_own()
        self.q = self.out = NULL
        self.pipe = NULL
        self.stop_listening()
        self.pending = None
        self.assembly = None
        self.attachment = None
        with nogil:
            pipe.leave()
        attachment = None                 # gone now, unless views or other threads hold on to it
        self.policy.closed(self, unread)

    def __del__(self):
        if self.pipe is not NULL and pipe_policy is not None and not is_finalizing():
            self.close()

    def _send_off(self):
        """An opening of the file for a process that is to have this end too; it stays this one's."""
        self.check_open()
        cdef int descriptor = self.pipe.send_off()
        if descriptor < 0:
            self.policy.fail_os(self, "preparing to send an end to another process", errno)
        return descriptor

    @property
    def _end(self):
        return self.pipe.end() if self.pipe is not NULL else None

    def _begin_send(self):
        self.begin(True)

    def _is_over(self):
        self.check_open()
        return bool(self.pipe.is_over())

    def _counters(self):
        """Of what this end sends, and of what it receives; None for a direction that it has not."""
        self.check_open()
        return counters_of(self.out), counters_of(self.q)

    # --- waiting in event loops ----------------------------------------------------------------

    def _arm(self, int channel):
        self.check_open()
        self.pipe.arm_met_bell()
        if channel == 0 and self.q is not NULL:
            self.q.arm_bell(False)
        elif channel == 1 and self.out is not NULL:
            self.out.arm_bell(True)

    def _is_ready(self, int channel):
        self.check_open()
        if channel == 2:
            return bool(self.pipe.is_met())
        if channel == 0 and self.q is not NULL and (self.pending is not None or self.q.has_items()):
            return True
        return bool(self.pipe.is_over())

    # --- the rest is Python --------------------------------------------------------------------

    def __reduce__(self):
        return self.policy.reduce(self) if self.policy is not None else pipe_policy.fail_closed(self)

    def __repr__(self):
        return pipe_policy.describe(self)

    def statistics(self):
        """What the pipe counts, seen from this end, as a frozen ``PipeStatistics``."""
        return pipe_policy.statistics(self)

    def loan(self, nbytes, timeout=None):
        """Lends shared memory to write a message of bytes into.

        ``with end.loan(nbytes) as view:`` sends it on leaving the block, without a copy, and drops it if the block
        raises. The other end receives it by ``recv``, as ``bytes``, or as a view if it has ``views=True``. Nothing
        may write into the memory after the block.

        Args:
            nbytes: Size of the message in bytes, at least 1.
            timeout: Seconds to wait at most, each time; None waits for ever, 0 not at all.

        Returns:
            A context manager that gives a writable ``memoryview`` of ``nbytes`` bytes.

        Raises:
            TimeoutError: No memory in time, or, on leaving, no room.
            BrokenPipeError: As for ``send``.
            MessageTooLargeError: It is more than a quarter of what a direction may have: too much for one place.
            NoSpaceError: The file system cannot back it.
            TypeError: The codec is not ``"default"`` or ``"raw"``.
        """
        self.begin(True)
        return make_loan(self, pipe_policy.plan_loan(self, nbytes), True, timeout)

    def loan_array(self, shape, dtype="u1", timeout=None):
        """Lends shared memory to write a NumPy array into, and sends it on leaving the block.

        The other end receives a read-only array over the same memory; here too it is read-only from then on. An array
        below the size that has a block of its own (some 8 KiB) is copied.

        Args:
            shape: An int or a sequence of ints, as for ``numpy.empty``.
            dtype: What ``numpy.dtype`` takes, without Python objects.
            timeout: As for ``loan``, which see for the errors too.

        Returns:
            A context manager that gives a writable C-ordered ``numpy.ndarray`` with whatever was in the memory.
        """
        cdef LoanPlan plan
        self.begin(True)
        plan = known_plan(self, shape, dtype)
        return make_loan(self, pipe_policy.plan_array(self, shape, dtype) if plan is None else plan, True, timeout)

    def send_handle(self, handle, destination_pid=None, *, timeout=None):
        """Sends a descriptor, for ``recv_handle`` at the other end, in order with the messages.

        Args:
            handle: A descriptor, or an object with ``fileno()``. The other end gets one of its own.
            destination_pid: Not needed, and not looked at; ``multiprocessing.reduction.send_handle`` has it.
            timeout: Seconds to wait at most, for the other end to be there and for room.

        Raises:
            TimeoutError: No room in time, or nobody has come to the other end.
            BrokenPipeError: As for ``send``.
            OSError: There is no such descriptor, or this process does not have what passes them: see ``Pipe``.
        """
        return pipe_policy.send_handle(self, handle, timeout)

    def recv_handle(self, timeout=None):
        """Receives a descriptor that the other end has sent by ``send_handle``; the caller closes it.

        Args:
            timeout: As for ``recv``, which see for the errors too.

        Raises:
            MismatchError: Another message comes next. It stays, for the right call.
            OSError: The descriptor could not be had.
        """
        return pipe_policy.recv_handle(self, timeout)

    async def asend(self, obj, timeout=None):
        """``send`` for event loops. Cancelled while it waits, nothing of the message is received."""
        return await pipe_policy.asend(self, obj, timeout)

    async def asend_bytes(self, buf, offset=0, size=None, timeout=None):
        """``send_bytes`` for event loops, cancelled as ``asend``."""
        return await pipe_policy.asend_bytes(self, buf, offset, size, timeout)

    async def arecv(self, timeout=None):
        """``recv`` for event loops. A cancelled one has taken nothing."""
        return await pipe_policy.receive(self, lambda: self.recv(0), timeout)

    async def arecv_bytes(self, maxlength=None, timeout=None):
        """``recv_bytes`` for event loops. A cancelled one has taken nothing."""
        return await pipe_policy.receive(self, lambda: self.recv_bytes(maxlength, 0), timeout)

    async def arecv_handle(self, timeout=None):
        """``recv_handle`` for event loops. A cancelled one has taken nothing."""
        return await pipe_policy.receive(self, lambda: self.recv_handle(0), timeout)

    async def asend_handle(self, handle, *, timeout=None):
        """``send_handle`` for event loops."""
        return await pipe_policy.asend_handle(self, handle, timeout)

    async def await_connected(self, timeout=None):
        """``wait_connected`` for event loops."""
        return await pipe_policy.await_connected(self, timeout)

    async def __aenter__(self):
        self.check_open()
        return self

    async def __aexit__(self, kind, error, trace):
        self.close()

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return self.recv()
        except EOFError:
            raise StopIteration from None

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            return await self.arecv()
        except EOFError:
            raise StopAsyncIteration from None
