# The long way of a put: what is not bytes, is large, or has to wait.


cdef inline CQueue *check_open(Channel self) except NULL:
    """Where messages are taken."""
    if self.q is NULL or self.q.people().foreign():
        self.check_open()
    return self.q


cdef inline CQueue *check_out(Channel self) except NULL:
    """Where messages are put."""
    if self.out is NULL or self.out.people().foreign():
        self.check_open()
    return self.out


cdef int bell_fd(Channel self) except -1:
    self.check_open()
    cdef int bell = self.attachment.object.items_bell()
    if bell < 0:
        self.policy.fail_os(self, "opening the doorbell", errno)
    return bell


cdef int put_encoded(Channel self, object obj, object block, object timeout, int rank=-1) except -1:
    check_out(self)
    if timeout is not None:
        deadline_of(block, timeout)
    cdef Encoded encoded = self.scratch
    cdef Outgoing message
    if encoded.busy:              # a codec that runs Python code may come back here
        encoded = Encoded()
    encoded.busy = True
    try:
        message.unit = kNowhere
        message.priority = <uint16_t> (self.rank_of(obj) if rank < 0 else rank)
        if self.plain and PyBytes_CheckExact(obj):
            message.kind = RecordKind.raw
            message.data = PyBytes_AS_STRING(obj)
            message.total = PyBytes_GET_SIZE(obj)
            message.body_size = 0
        else:
            self.codec.encode(obj, encoded)
            message.kind = RecordKind.body
            message.data = encoded.body
            message.total = encoded.total
            message.body_size = encoded.body_size
        put_message(self, &message, encoded, block, timeout)
    finally:
        encoded.clear()
        encoded.busy = False
    return 0


cdef int put_message(Channel self, Outgoing *message, Encoded encoded, object block, object timeout) except -1:
    """Puts what is raw, or encoded, wherever in the segment it belongs."""
    cdef CQueue *q = check_out(self)
    cdef Attachment held = self.attachment   # a close in another thread must not pull q away
    cdef Failure why
    cdef uint32_t unit = kNowhere
    if message.total > self.max_message:
        return self.put_large(message, encoded, block, timeout)
    if message.total <= self.inline_max and (message.kind == RecordKind.raw or encoded.buffer_count == 0):
        message.size = <uint32_t> message.total
        put_patiently(self, message, q.put(message[0], 0, why), &why, block, timeout)
        return 0
    if take_block(self, message.total, &unit, block, timeout) == 0:
        return 0              # dropped: the queue was full
    if message.total >= BIG_COPY:
        with nogil:
            fill_block(q, unit, message, encoded)
    else:
        fill_block(q, unit, message, encoded)
    message.unit = unit
    put_block(self, held, q, message, block, timeout)
    return 0


cdef void fill_block(CQueue *q, uint32_t unit, Outgoing *message, Encoded encoded) noexcept nogil:
    if message.kind == RecordKind.raw:
        memcpy(q.pool().data(unit), message.data, message.total)
    else:
        encoded.write_to(q.pool().data(unit))


cdef int put_block(Channel self, Attachment held, CQueue *out, Outgoing *message, object block, object timeout,
                   uint64_t *sequence=NULL) except -1:
    """Commits a filled block, or gives it back if it can't be. Whether it was put. ``held`` keeps ``out``."""
    cdef Failure why
    cdef bint put = False
    cdef Status status
    try:
        status = check_out(self).put(message[0], 0, why, sequence)
        put = put_patiently(self, message, status, &why, block, timeout, sequence)
    finally:
        if not put:
            out.give_block(message.unit)
    return put


cdef int put_patiently(Channel self, Outgoing *message, Status status, Failure *why, object block, object timeout,
                       uint64_t *sequence=NULL) except -1:
    """Goes on with a put that did not succeed at once. Whether the message was put."""
    cdef int64_t deadline = -1
    cdef uint32_t announced = 0
    cdef int64_t stuck_since = 0
    cdef Attachment held = self.attachment
    cdef CQueue *q
    while status != Status.ok:
        if deadline < 0:
            deadline = deadline_of(block, timeout)
            check_out(self).begin_wait()
        if make_room(self, status, why, deadline, &announced, &stuck_since) == 0:
            return 0
        q = check_out(self)
        status = q.put(message[0], 0, why[0], sequence)
        if status == Status.busy:
            with nogil:
                status = q.put(message[0], now_ns() + LOCK_PATIENCE, why[0], sequence)
    return 1


cdef int take_block(Channel self, uint64_t size, uint32_t *unit, object block, object timeout) except -1:
    """A block of the pool to write into; 0 if the policy says to drop the message."""
    cdef Failure why
    cdef int64_t deadline = deadline_of(block, timeout)
    cdef uint32_t announced = 0
    cdef int64_t stuck_since = 0
    cdef Attachment held = self.attachment
    cdef CQueue *q
    cdef Status status
    cdef bint found
    check_out(self).begin_wait()
    while True:
        q = check_out(self)
        if q.shut():
            self.policy.fail_put(self, <int> Status.shut_down, None)
        status = q.take_block(size, unit[0], 0, why)
        if status == Status.busy:
            with nogil:
                status = q.take_block(size, unit[0], now_ns() + LOCK_PATIENCE, why)
        if status == Status.ok:
            return 1
        if status == Status.full:
            with nogil:
                found = q.recover(False)
            if found:
                continue          # the dead had it
        if make_room(self, status, &why, deadline, &announced, &stuck_since) == 0:
            return 0


cdef int make_room(Channel self, Status status, Failure *why, int64_t deadline, uint32_t *announced,
                   int64_t *stuck_since) except -1:
    """What to do about a put that failed: 1 try again, 0 drop the message, or raise."""
    cdef CQueue *q = check_out(self)
    cdef Attachment held = self.attachment
    if status == Status.interrupted:
        PyErr_CheckSignals()
        return 1
    if status == Status.busy or status == Status.timed_out:
        if is_stuck(deadline, stuck_since):
            self.policy.fail_put(self, <int> Status.full, None)
        return 1
    stuck_since[0] = 0
    if status != Status.full:
        self.policy.fail_put(self, <int> status, describe(why[0]))
    if self.on_full == 2:
        q.count_dropped_newest()
        return 0
    if self.on_full == 3:
        with nogil:
            status = q.drop_oldest(now_ns() + LOCK_PATIENCE)
        if status == Status.ok or status == Status.busy or status == Status.timed_out:
            return 1
        if status == Status.empty:  # all memory is in the hands of consumers
            q.count_dropped_newest()
            return 0
        if status == Status.interrupted:
            PyErr_CheckSignals()
            return 1
        self.policy.fail_put(self, <int> status, None)
    if self.on_full == 1 or deadline == 0 or (deadline != kForever and now_ns() >= deadline):
        self.policy.fail_put(self, <int> Status.full, None)
    with nogil:
        status = q.wait_room(announced[0], deadline, self.waiting)
    PyErr_CheckSignals()              # also what came while it spun, or just before it slept
    return 1


cdef Py_ssize_t put_batch(Channel self, tuple items, Py_ssize_t at, Py_ssize_t count, int rank=-1) except -1:
    """Puts a run of small messages under one lock; returns how many."""
    cdef CQueue *q = check_out(self)
    cdef Attachment held = self.attachment
    cdef Outgoing messages[BATCH]
    cdef Py_ssize_t offsets[BATCH]
    cdef uint32_t n = 0, done = 0
    cdef Encoded encoded = Encoded() if self.scratch.busy else self.scratch
    cdef Arena arena = Arena()
    cdef Failure why
    cdef Status status
    encoded.busy = True
    try:
        while n < BATCH and at + n < count:
            obj = items[at + n]
            messages[n].unit = kNowhere
            messages[n].priority = <uint16_t> (self.rank_of(obj) if rank < 0 else rank)
            offsets[n] = -1
            if self.plain and PyBytes_CheckExact(obj):
                if <uint64_t> PyBytes_GET_SIZE(obj) > self.inline_max:
                    break
                messages[n].kind = RecordKind.raw
                messages[n].data = PyBytes_AS_STRING(obj)
                messages[n].size = <uint32_t> PyBytes_GET_SIZE(obj)
            else:
                self.codec.encode(obj, encoded)
                if encoded.buffer_count or <uint64_t> encoded.total > self.inline_max:
                    break
                messages[n].kind = RecordKind.body
                messages[n].size = <uint32_t> encoded.body_size
                offsets[n] = arena.append(encoded.body, encoded.body_size)
            n += 1
    except Exception:
        if n == 0:
            raise                 # else: put what came before it; the next batch raises
    finally:
        encoded.clear()
        encoded.busy = False
    if n == 0:
        return 0
    for i in range(<Py_ssize_t> n):
        if offsets[i] >= 0:
            messages[i].data = arena.data + offsets[i]
    q = check_out(self)
    status = q.put_batch(messages, n, done, 0, why)
    if status == Status.busy:
        with nogil:
            status = q.put_batch(messages, n, done, now_ns() + LOCK_PATIENCE, why)
    return done
