# RWLock.


cdef int read_patiently(RWLock self, int64_t deadline, bint nested, Status status) except -1:
    """Goes on with a reader that was not let in at once; whether it was in time."""
    cdef Waiter *waiter = NULL
    cdef Attachment attachment
    self.check_open()
    attachment = self.attachment
    if not nested and self.view_lock().is_mine(this_thread()):
        raise RuntimeError(f"this thread is {self!r}'s writer: it reads already, and can't be a reader too")
    self.begin()
    try:
        while status == Status.busy:
            status = self.rw.check_writer()
            if status == Status.marked:
                meet_dead_writer(self, deadline)
            elif status == Status.beyond:
                inherit_for_readers(self)
            elif deadline == 0 or (deadline != kForever and now_ns() >= deadline):
                return 0
            else:
                with nogil:
                    if waiter is NULL:
                        waiter = self.arena.claim_waiter(self.record[0], this_thread())
                    self.rw.wait_read(self.patience, slice_of(deadline), self.waiting)
                PyErr_CheckSignals()
            if self.record is NULL:
                policy.fail_closed(self)
            status = self.rw.try_read(nested)
            if self.record is NULL:
                self.rw.end_read()
                policy.fail_closed(self)
        if status != Status.ok:
            raise OverflowError(f"{self!r} has as many readers in this process as there can be (65,534)")
        return 1
    finally:
        release_waiter(waiter)
        self.end()


cdef int meet_dead_writer(RWLock self, int64_t deadline) except -1:
    """A reader finds a marked lock: it raises, or repairs as the writer that it is for so long."""
    if self.repair is None:
        policy.fail_owner_died(self)
    write_patiently(self, this_thread(), deadline, False)
    end_write(self, False)
    return 0


cdef int inherit_for_readers(RWLock self) except -1:
    """Where a death is told by a warning, a reader that finds it opens the way again."""
    if write_patiently(self, this_thread(), 0, False):
        end_write(self, False)
    return 0


cdef int write_patiently(RWLock self, uint32_t thread, int64_t deadline, bint recovers) except -1:
    """Takes the writers' lock, and waits until no reader is inside; whether it was in time."""
    cdef Status status = Status.busy
    cdef Attachment attachment
    cdef Waiter *waiter = NULL
    cdef int got
    self.check_open()
    if is_reading(self.record[0]):
        raise RuntimeError(f"this thread reads {self!r}: a reader can't become its writer, since two that tried would "
                           "wait for each other. Leave read() first, and look again at what you have read")
    if self.view.is_mine(thread):
        raise RuntimeError(f"this thread is the writer of {self!r} already")
    if recovers:
        if not recover_slowly(self, thread, deadline):
            return 0
    elif not self.view.try_acquire(thread):
        got = acquire_patiently(self, thread, deadline, False)
        if got == 0:
            return 0
        if got == 2:
            if self.repair is None:
                policy.fail_owner_died(self)
            if not recover_slowly(self, thread, deadline):
                return 0
    attachment = self.attachment
    self.begin()
    try:
        while True:
            with nogil:
                status = self.rw.close_gate(self.patience, slice_of(deadline) if deadline else 1, self.waiting)
            if status == Status.ok:
                break
            PyErr_CheckSignals()
            if self.record is NULL:
                policy.fail_closed(self)
            if deadline == 0 or (deadline != kForever and now_ns() >= deadline):
                end_write(self, self.view.is_marked())
                return 0
            if waiter is NULL:
                waiter = self.arena.claim_waiter(self.record[0], thread)
        if not recovers and self.view.is_marked():
            self.repair(policy.dead_owner(self))
            self.view.clear_mark()
        return 1
    except BaseException:
        end_write(self, self.view.is_marked())
        raise
    finally:
        release_waiter(waiter)
        self.end()


cdef void end_write(RWLock self, bint marked) noexcept:
    """Lets readers in again, unless the lock is to stay marked."""
    if not marked:
        self.rw.open_gate()
    self.view.unlock(marked)


@cython.final
@cython.freelist(8)
cdef class Reading:
    """``with lock.read():``"""
    cdef RWLock lock
    cdef object timeout

    def __enter__(self):
        cdef RWLock lock = self.lock
        cdef bint nested
        cdef Status status
        if lock.record is NULL or lock.arena.people().foreign():
            lock.check_open()
        nested = is_reading(lock.record[0])
        status = lock.rw.try_read(nested)
        if status != Status.ok and not read_patiently(lock, deadline_of_lock(True, self.timeout), nested, status):
            raise TimeoutError(f"{lock!r} was in a writer's hands for {self.timeout} s")
        enter_reading(lock.record[0])

    def __exit__(self, kind, error, trace):
        cdef RWLock lock = self.lock
        if lock.record is NULL or lock.arena.people().foreign():
            lock.check_open()
        leave_reading(lock.record[0])
        if not lock.rw.end_read():
            policy.fail_not_held(lock)


@cython.final
@cython.freelist(8)
cdef class Writing:
    """``with lock.write():``"""
    cdef RWLock lock
    cdef object timeout

    def __enter__(self):
        if not write_patiently(self.lock, this_thread(), deadline_of_lock(True, self.timeout), False):
            raise TimeoutError(f"{self.lock!r} was in others' hands for {self.timeout} s")

    def __exit__(self, kind, error, trace):
        self.lock.check_open()
        if not self.lock.view.is_process_own():
            policy.fail_not_held(self.lock)
        end_write(self.lock, self.lock.view.is_marked())


cdef class RWLock(BaseLock):
    """Many readers at a time, or one writer, of any processes and threads.

    ``with lock.read():`` and ``with lock.write():``. Readers of different processes don't meet in memory: they cost
    each other nothing. A killed reader's share comes back by itself; a killed writer marks the lock for readers and
    writers, as a killed owner does a ``Lock``, until somebody has repaired in ``with lock.recover() as dead:``,
    which holds the lock as a writer.

    A thread may read again what it reads already. A reader can't become a writer, nor a writer a reader: either
    raises RuntimeError.

    Args:
        name: As for ``Lock``, like all that is not told here.
        prefer: ``"writer"`` (default): as soon as one waits, no new reader gets in. ``"reader"``: readers get in
            whenever no writer is inside; a stream of readers can keep writers out. The creator's choice holds.
    """

    def __init__(self, name=None, *, prefer=None, create=None, lifetime=None, mode=0o600, group=None, namespace=None,
                 on_owner_death=None, wait="balanced", debug=False):
        policy.configure_rwlock(self, name, prefer, create=create, lifetime=lifetime, mode=mode, group=group,
                                namespace=namespace, on_owner_death=on_owner_death, wait=wait, debug=debug)

    def _bind_rwlock(self, ArenaAttachment attachment not None, uint32_t index, int waiting, repair, bint debug):
        BaseLock._bind_lock(self, attachment, index, waiting, repair, debug)
        self.rw = RwView(self.arena[0], self.record[0])

    cdef LockView *view_lock(self) noexcept:
        return &self.view

    def read(self, timeout=None):
        """``with lock.read(timeout):`` shares the lock with other readers.

        Args:
            timeout: Seconds to wait for a writer at most; None or -1 waits for ever, 0 not at all.

        Returns:
            A context manager.

        Raises:
            TimeoutError: On entering: a writer had it all the time.
            OwnerDied: On entering: a writer died, and nobody has repaired.
            RuntimeError: On entering: this thread is the writer.
        """
        cdef Reading reading
        if timeout is not None:
            deadline_of_lock(True, timeout)
        reading = Reading.__new__(Reading)
        reading.lock = self
        reading.timeout = timeout
        return reading

    def write(self, timeout=None):
        """``with lock.write(timeout):`` has the lock alone.

        Args:
            timeout: Seconds to wait at most; None or -1 waits for ever, 0 not at all.

        Returns:
            A context manager.

        Raises:
            TimeoutError: On entering: others had it all the time.
            OwnerDied: On entering: a writer died, and nobody has repaired.
            RuntimeError: On entering: this thread reads or writes already.
        """
        cdef Writing writing
        if timeout is not None:
            deadline_of_lock(True, timeout)
        writing = Writing.__new__(Writing)
        writing.lock = self
        writing.timeout = timeout
        return writing

    def aread(self, timeout=None):
        """``async with lock.aread(timeout):`` is ``read`` for asyncio and trio."""
        return policy.Sharing(self, timeout)

    def awrite(self, timeout=None):
        """``async with lock.awrite(timeout):`` is ``write`` for asyncio and trio."""
        return policy.Exclusive(self, timeout)

    def locked(self):
        """Whether a writer has it."""
        self.check_open()
        return self.view.is_held() and not self.rw.is_open()

    def _try_read(self):
        cdef Status status
        self.check_open()
        status = self.rw.try_read(False)
        return status == Status.ok or read_patiently(self, 0, False, status) == 1

    def _end_read(self):
        self.check_open()
        self.rw.end_read()

    def _try_write(self, uint32_t thread):
        return write_patiently(self, thread, 0, False) == 1

    def _end_write(self):
        self.check_open()
        end_write(self, self.view.is_marked())

    def _recover_enter(self, timeout):
        return write_patiently(self, this_thread(), deadline_of_lock(True, timeout), True) == 1

    def _recover_exit(self, bint marked):
        end_write(self, marked)

    def _is_ready(self, int channel):
        self.check_open()
        if channel == 1:
            return self.rw.is_open() or self.rw.check_writer() != Status.ok
        return self.view.is_worth_a_try() and not self.rw.has_readers()

    def _arm(self, int channel):
        self.check_open()
        self.rw.arm_bell()
