# The long way of a get: what has to wait, be decoded, or be put aside.


cdef object decode(Channel self, Incoming *message, const char *data):
    if message.unit != kNowhere:
        return decode_block(self, message, make_block(self.attachment, self.q, message.unit, message.total, True))
    if message.kind == RecordKind.raw and self.plain:
        return PyBytes_FromStringAndSize(data, message.size)
    return self.codec.decode(data, message.size, message.size, None, self.views)


cdef object decode_block(Channel self, Incoming *message, Block block):
    cdef const char *data = block.q.pool().data(message.unit)
    cdef object copy
    cdef char *target
    if message.kind == RecordKind.raw and self.plain:
        if self.views:
            return memoryview(block)
        copy = PyBytes_FromStringAndSize(NULL, message.total)
        target = PyBytes_AS_STRING(copy)
        if message.total >= BIG_COPY:
            with nogil:
                memcpy(target, data, message.total)
        else:
            memcpy(target, data, message.total)
        block.read = True
        return copy
    return self.codec.decode(data, message.body_size, message.total, block, self.views)


cdef list take_many(Channel self, Py_ssize_t wanted, object block, object timeout):
    """Up to ``wanted`` messages, waiting for the first alone."""
    cdef char buffer[4 * SCRATCH]
    cdef list result = []
    cdef uint32_t done
    cdef Status status
    cdef CQueue *q = check_open(self)
    cdef Attachment held = self.attachment   # a decoder may close the queue
    while True:
        done = 0
        status = q.take_batch(buffer, sizeof(buffer), <uint32_t> min(BATCH, wanted - len(result)), done, 0)
        if done:
            if not result:
                result = list_for(done)
            decode_batch(self, buffer, done, result)
        else:
            # What there is has a block of its own or was given back, or has yet to come.
            if status != Status.ok and result:
                return result
            try:
                result.append(self.get(False, None) if result else self.get(block, timeout))
            except Exception as error:
                if result:
                    if isinstance(error, (Empty, policy.errors.ShutDown)):
                        return result
                    policy.note(error, "messages", result)
                raise
        if len(result) >= wanted or self.q is NULL or not q.has_items():
            return result


cdef int decode_batch(Channel self, const char *at, uint32_t count, list result) except -1:
    """Appends what take_batch has copied. All of it has been taken, so that one message that can't be decoded
    does not keep the others."""
    cdef object failure = None
    while count:
        try:
            decode_run(self, &at, &count, result)
        except BaseException as error:    # a codec's, or Ctrl-C in its midst
            failure = failure or error
    if failure is not None:
        policy.note(failure, "messages", result)
        raise failure
    return 0


cdef int decode_run(Channel self, const char **at, uint32_t *count, list result) except -1:
    """Appends messages until one can't be decoded; ``at`` and ``count`` have then passed it."""
    cdef Batched message
    cdef bint plain = self.plain
    while count[0]:
        message = Batched(at[0])
        at[0] = message.next()
        count[0] -= 1
        if plain and message.kind == RecordKind.raw:
            append_to(result, self.shelf.make_new(message.data, message.size))
        else:
            result.append(self.codec.decode(message.data, message.size, message.size, None, self.views))
    return 0


cdef bint recover_leased(CQueue *q) noexcept:
    """Whether somebody was dead, while leases are out that a death gives back."""
    cdef bint found = False
    if q.state().leased.load():
        with nogil:
            found = q.recover(False)
    return found


cdef int take_patiently(Channel self, Incoming *message, char *buffer, Status status, object block, object timeout,
                        bint lease) except -1:
    """Goes on with a take that brought nothing at once."""
    cdef int64_t deadline = deadline_of(block, timeout), stuck_since = 0
    cdef Attachment held = self.attachment
    cdef CQueue *q = check_open(self)
    q.begin_wait()
    while True:
        if status == Status.ok:
            if not message.expired:
                return 0
            self.put_aside(message, buffer)
        elif status == Status.empty:
            if self.listener >= 0:
                # Quiet until the next ring; what came before the bell was armed is seen below.
                self.attachment.object.hush(self.listener)
                q.arm_bell(False)
                if q.has_items():
                    ring_fd(bell_fd(self))
            if deadline == 0 or (deadline != kForever and now_ns() >= deadline):
                if not q.has_items() and not self.has_changed():
                    self.policy.fail_take(self, <int> Status.empty, None)
            elif not q.glance_items(self.waiting):
                with nogil:
                    status = q.wait_items(deadline, self.waiting)
                PyErr_CheckSignals()      # also what came while it spun, or just before it slept
        elif status == Status.interrupted:
            PyErr_CheckSignals()
        elif status == Status.busy or status == Status.timed_out:
            if is_stuck(deadline, &stuck_since):
                self.policy.fail_take(self, <int> Status.empty, None)
        else:
            self.policy.fail_take(self, <int> status, None)
        q = check_open(self)
        message.clear()
        if lease:
            status = q.take_lease(message[0], buffer, 0)
        else:
            status = q.take(message[0], buffer, 0)
        if status == Status.busy:
            with nogil:
                if lease:
                    status = q.take_lease(message[0], buffer, now_ns() + LOCK_PATIENCE)
                else:
                    status = q.take(message[0], buffer, now_ns() + LOCK_PATIENCE)


cdef int put_dead_letter(Queue self, Incoming *message, const char *data) except -1:
    """An expired message goes to the dead-letter queue. Where there is none, or where it does not take the
    message, the message is dropped: this queue's stream goes on whatever has become of the other one."""
    cdef CQueue *q = (<QueueAttachment> self.attachment).q    # the caller holds on to it
    cdef Queue other = policy.dead_letter_queue(self)
    cdef object refusal = None
    cdef Status status = Status.busy
    try:
        if other is not None:
            try:
                put_copy(other, q, message, data)
            except policy.errors.WeftError as error:
                check_open(self)          # closed by another thread, and the other one with it
                refusal = error
    except BaseException:
        while status == Status.busy or status == Status.timed_out or status == Status.interrupted:
            with nogil:
                status = q.give_back(message[0], kNowhere, now_ns() + LOCK_PATIENCE)
            PyErr_CheckSignals()
        raise
    q.acknowledge(message[0])
    if message.unit != kNowhere:
        q.give_block(message.unit)
    if self.journal is not None:
        self.journal.note_taken(message.sequence)
    if refusal is None:
        q.count_dead_lettered()
        return 0
    q.state().dropped_oldest.fetch_add(1)
    policy.warn_refused(self, refusal)    # raises where warnings are errors
    return 0


cdef int put_copy(Queue other, CQueue *q, Incoming *message, const char *data) except -1:
    """Puts a copy of what has been taken from ``q`` into ``other``, whose sizes may differ; does not wait."""
    cdef Attachment there = other.attachment
    cdef CQueue *out = check_out(other)
    cdef bint in_block = message.unit != kNowhere
    cdef uint32_t unit = kNowhere
    cdef Outgoing copy
    cdef Failure why
    copy.kind = message.kind
    copy.unit = kNowhere
    copy.data = data
    if in_block:
        copy.data = q.pool().data(message.unit)
    copy.total = message.total if in_block else message.size
    copy.body_size = message.body_size if in_block or message.kind == RecordKind.raw else message.size
    if copy.total > other.max_message:
        policy.too_large(other, copy.total, other.max_message)
    if not in_block and copy.total <= other.inline_max:
        copy.size = message.size
        return put_patiently(other, &copy, out.put(copy, 0, why), &why, False, None)
    take_block(other, copy.total, &unit, False, None)
    with nogil:
        memcpy(out.pool().data(unit), copy.data, copy.total)
    copy.unit = unit
    return put_block(other, there, out, &copy, False, None)
