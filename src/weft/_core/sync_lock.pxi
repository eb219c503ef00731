# Lock and RLock.


cdef int acquire_patiently(BaseLock self, uint32_t thread, int64_t deadline, bint recovers) except -1:
    """Goes on with an acquisition that did not succeed at once. 1: it is held; 0: time was up; 2: it is marked."""
    cdef Owner dead = 0
    cdef Status status = Status.busy
    cdef bool mine = False
    cdef Waiter *waiter = NULL
    cdef Attachment attachment
    self.check_open()
    attachment = self.attachment
    if deadline == 0:
        if self.view.try_acquire(thread):
            return 1
        status = self.view.acquire(thread, 0, 1, recovers, dead)
    else:
        if self.waiting != Waiting.power and self.view.glance(thread, GLANCES):
            return 1
        self.begin()
        try:
            with nogil:
                if self.view.spin(self.patience, thread, slice_of(deadline), self.waiting, mine):
                    status = Status.ok if mine else Status.busy
                if status != Status.ok:
                    self.view.note_time()
                    waiter = self.arena.claim_waiter(self.record[0], thread)
            while status != Status.ok and status != Status.marked:
                if self.debug and not recovers:
                    policy.check_deadlock(self, thread)
                with nogil:
                    status = self.view.acquire(thread, slice_of(deadline), SPINS, recovers, dead)
                if status == Status.ok or status == Status.marked:
                    break
                PyErr_CheckSignals()
                if self.record is NULL:
                    policy.fail_closed(self)
                if status != Status.interrupted and deadline != kForever and now_ns() >= deadline:
                    return 0
            if self.record is NULL:
                if status == Status.ok:
                    self.view.release()
                policy.fail_closed(self)
        finally:
            release_waiter(waiter)
            self.end()
    if status == Status.marked:
        return 2
    if status != Status.ok:
        return 0
    if dead and not recovers:
        try:
            policy.warn_inherited(self)
        except BaseException:
            self.view.release()
            raise
    return 1


cdef bint acquire_slowly(BaseLock self, uint32_t thread, int64_t deadline) except -1:
    cdef int got = acquire_patiently(self, thread, deadline, False)
    if got != 2:
        return got
    if self.repair is None:
        policy.fail_owner_died(self)
    # The creator, or whoever opened this handle, has said how to repair.
    if not recover_slowly(self, thread, deadline):
        return False
    if self.view.is_marked():
        try:
            self.repair(policy.dead_owner(self))
        except BaseException:
            self.view.unlock(True)
            raise
        self.view.clear_mark()
    return True


cdef bint recover_slowly(BaseLock self, uint32_t thread, int64_t deadline) except -1:
    if isinstance(self, RLock) and self.view.is_mine(thread):
        raise RuntimeError(f"{self!r} is held by this very thread: there is nothing to recover")
    if self.view.try_acquire(thread):
        return True
    return acquire_patiently(self, thread, deadline, True) == 1


cdef class BaseLock(Primitive):
    """What Lock and RLock have in common."""

    def _bind_lock(self, ArenaAttachment attachment not None, uint32_t index, int waiting, repair, bint debug):
        Primitive._bind(self, attachment, index, waiting)
        self.view = LockView(self.arena[0], self.record[0])
        self.repair = repair
        self.debug = debug

    def locked(self):
        """Whether somebody holds it. A marked lock that nobody repairs at the moment is not held."""
        self.check_open()
        return self.view.is_held()

    def recover(self, timeout=None):
        """Takes the lock after its owner's death, to check and repair what it guards.

        ``with lock.recover() as dead:`` waits for other recoverers, holds the lock in the block, and on leaving
        it normally clears the mark: the lock can be acquired again. If the block raises, or this process dies in
        it, the lock is marked again.

        Args:
            timeout: Seconds to wait at most; None waits for ever, 0 not at all.

        Returns:
            A context manager that gives the dead owner as a ``Participant``, or None if another was faster, or
            nobody had died: then the block holds the lock like any other.

        Raises:
            TimeoutError: On entering: the lock was held all the time.
        """
        return policy.Recovery(self, timeout)

    def _recover_enter(self, timeout):
        """Whether it could be taken in time."""
        self.check_open()
        return recover_slowly(self, this_thread(), deadline_of_lock(True, timeout))

    def _recover_exit(self, bint marked):
        self.view.unlock(marked)

    def _is_marked(self):
        self.check_open()
        return self.view.is_marked()

    def _acquire_as(self, uint32_t thread):
        """One try by a task, or a thread: whether it holds the lock now."""
        self.check_open()
        return self.view.try_acquire(thread) or acquire_slowly(self, thread, 0)

    def _is_ready(self, int channel):
        self.check_open()
        return self.view.is_worth_a_try()

    def _arm(self, int channel):
        self.check_open()
        self.view.arm_bell()

    def _is_owned(self):
        self.check_open()
        return self.view.is_mine(this_thread())

    async def aacquire(self, timeout=None):
        """``acquire`` for asyncio and trio: waits without a thread.

        Args:
            timeout: Seconds to wait at most; None or -1 waits for ever, 0 not at all.

        Returns:
            Whether it was acquired.

        Raises:
            OwnerDied: As for ``acquire``.

        Cancelled, it has acquired nothing. Any number of tasks may wait at the same time.
        """
        return await policy.aacquire(self, timeout)

    async def __aenter__(self):
        await policy.aacquire(self, None)
        return True

    async def __aexit__(self, kind, error, trace):
        self.release()


cdef class Lock(BaseLock):
    """A lock between any processes and threads, which outlives a killed owner.

    ``Lock("db")`` in any program is the same lock; without a name it is anonymous and travels by pickling, or as
    ``token``. It belongs to the process that acquired it: a forked child of the owner does not have it. As with
    ``threading.Lock``, any thread may release it, and so may any process.

    If the owner is killed, or closes its last handle while it holds the lock, the lock is *marked*: ``acquire``
    and ``with`` raise ``OwnerDied`` without holding it, for everybody, until somebody has repaired what it guards
    in ``with lock.recover() as dead:``.

    Example:
        >>> import weft
        >>> with weft.Lock("doctest-lock") as lock:
        ...     lock.locked()
        True

    Args:
        name: The name, as for ``Queue``; None for an anonymous lock.
        create: True: must not exist; False: must exist; None: opens or creates.
        lifetime: ``"attached"`` (default): gone with the last process that has it open; ``"kept"``: until
            ``unlink()``.
        mode: Permissions of the file behind it.
        group: Name or id of the group it is given to.
        namespace: A ``Namespace``, or what one is made from; None for the default.
        on_owner_death: ``"raise"`` (default): as above. ``"warn"``: the next acquirer gets the lock, with an
            ``OwnerDiedWarning``. A function ``repair(dead)``: the next acquirer runs it under the lock, with the
            dead ``Participant``; if it raises, so does ``acquire``, and the lock stays marked. What the creator
            chose holds for all; each process gives its own function.
        wait: How this handle waits: ``"balanced"``, ``"latency"`` or ``"power"``, as for ``Queue``.
        debug: Whether ``acquire`` raises ``DeadlockError`` instead of waiting in a circle, a thread for itself
            included.

    Raises:
        MismatchError: The name exists as something else, or with another ``on_owner_death`` or lifetime.
        NotFoundError: ``create=False`` and nothing has that name.
        NameInUseError: ``create=True`` and something has it.
        NoSpaceError: The file system is full.
        AccessError: The directory or the lock is another user's, or lets others in.
    """

    def __init__(self, name=None, *, create=None, lifetime=None, mode=0o600, group=None, namespace=None,
                 on_owner_death=None, wait="balanced", debug=False):
        policy.configure_lock(self, "Lock", name, create=create, lifetime=lifetime, mode=mode, group=group,
                              namespace=namespace, on_owner_death=on_owner_death, wait=wait, debug=debug)

    def acquire(self, block=True, timeout=None, *, blocking=None):
        """Acquires the lock, waiting for it if need be.

        Args:
            block: Whether to wait.
            timeout: Seconds to wait at most; None or -1 waits for ever.
            blocking: ``threading``'s word for ``block``.

        Returns:
            Whether it was acquired.

        Raises:
            OwnerDied: The owner died, and nobody has repaired yet: the lock is not held.
            DeadlockError: With ``debug=True``: to wait would be for ever.
            ValueError: A negative timeout other than -1, or a timeout without waiting.

        Waits for the thread that holds it, in whatever process; one that is stopped keeps it. A death is found at
        once by who tries, and within 20 ms by who waits.
        """
        if timeout is None and block is True and blocking is None and self.record is not NULL and \
                not self.arena.people().foreign() and self.view.try_acquire(this_thread()):
            return True
        return acquire_slowly(self, this_thread(), deadline_of_lock(block if blocking is None else blocking, timeout))

    def release(self):
        """Releases the lock, whoever holds it.

        Raises:
            NotHeldError: Nobody holds it; this is a ``RuntimeError`` and a ``ValueError``.
        """
        if self.record is NULL or self.arena.people().foreign():
            self.check_open()
        if self.view.release() != Status.ok:
            policy.fail_not_held(self)

    def __enter__(self):
        if self.record is NULL or self.arena.people().foreign() or not self.view.try_acquire(this_thread()):
            acquire_slowly(self, this_thread(), kForever)
        return self

    def __exit__(self, kind, error, trace):
        if self.record is NULL or self.arena.people().foreign():
            self.check_open()
        if self.view.release() != Status.ok:
            policy.fail_not_held(self)


cdef inline int release_once(RLock self, uint32_t thread) except -1:
    cdef uint32_t depth
    if not self.view.is_mine(thread) and not self.view.is_mine(policy.task_number(self)):
        policy.fail_not_held(self)
    depth = self.view.depth()
    if depth > 1:
        self.view.set_depth(depth - 1)
    else:
        self.view.unlock(self.view.is_marked())
    return 0


cdef class RLock(BaseLock):
    """A lock that its owner, one thread of one process, may acquire again.

    As ``Lock``, with the rules of ``threading.RLock``: each ``acquire`` needs its ``release``, and only the thread
    that holds it may release it. In asyncio and trio the owner is the task that called ``aacquire``.

    Args: as for ``Lock``.
    """

    def __init__(self, name=None, *, create=None, lifetime=None, mode=0o600, group=None, namespace=None,
                 on_owner_death=None, wait="balanced", debug=False):
        policy.configure_lock(self, "RLock", name, create=create, lifetime=lifetime, mode=mode, group=group,
                              namespace=namespace, on_owner_death=on_owner_death, wait=wait, debug=debug)

    def acquire(self, block=True, timeout=None, *, blocking=None):
        """Acquires the lock, or once more if this thread holds it.

        Args:
            block: As for ``Lock.acquire``, like all that follows.
            timeout: Seconds to wait at most; None or -1 waits for ever.
            blocking: ``threading``'s word for ``block``.

        Returns:
            Whether it was acquired.

        Raises:
            OwnerDied: As for ``Lock.acquire``.
            DeadlockError: As for ``Lock.acquire``.
            ValueError: As for ``Lock.acquire``.
        """
        cdef uint32_t thread = this_thread()
        if self.record is NULL or self.arena.people().foreign():
            self.check_open()
        if timeout is not None or block is not True or blocking is not None:
            deadline_of_lock(block if blocking is None else blocking, timeout)
        if self.view.try_acquire(thread):
            return True
        if self.view.is_mine(thread):
            self.view.set_depth(self.view.depth() + 1)
            return True
        return acquire_slowly(self, thread, deadline_of_lock(block if blocking is None else blocking, timeout))

    def release(self):
        """Undoes one ``acquire``; the last one releases the lock.

        Raises:
            NotHeldError: This thread does not hold it; this is a ``RuntimeError`` and a ``ValueError``.
        """
        cdef uint32_t thread = this_thread()
        if self.record is NULL or self.arena.people().foreign():
            self.check_open()
        release_once(self, thread)

    def _acquire_as(self, uint32_t thread):
        self.check_open()
        if self.view.is_mine(thread):
            self.view.set_depth(self.view.depth() + 1)
            return True
        return self.view.try_acquire(thread) or acquire_slowly(self, thread, 0)

    def __enter__(self):
        self.acquire()
        return self

    def __exit__(self, kind, error, trace):
        if self.record is NULL or self.arena.people().foreign():
            self.check_open()
        release_once(self, this_thread())

    def _recursion_count(self):
        self.check_open()
        return self.view.depth() if self.view.is_mine(this_thread()) else 0

    def _release_save(self):
        cdef uint32_t depth
        self.check_open()
        if not self.view.is_mine(this_thread()):
            policy.fail_not_held(self)
        depth = self.view.depth()
        self.view.unlock(False)
        return depth

    def _acquire_restore(self, uint32_t depth):
        self.acquire()
        self.view.set_depth(depth)
