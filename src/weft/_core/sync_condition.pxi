# Condition.


cdef uint32_t release_fully(BaseLock lock) except? 0:
    """Lets go of a lock that is held; how deep it was held."""
    cdef uint32_t depth
    if isinstance(lock, RLock):
        depth = lock.view.depth()
        lock.view.unlock(lock.view.is_marked())
        return depth
    if lock.view.release() != Status.ok:
        policy.fail_not_held(lock)
    return 1


cdef int acquire_again(BaseLock lock, uint32_t thread, uint32_t depth) except -1:
    """Takes the lock back, whatever signals say meanwhile; what they raised is raised then."""
    cdef object pending = None
    while True:
        try:
            if lock.view.try_acquire(thread) or acquire_slowly(lock, thread, kForever):
                break
        except (KeyboardInterrupt, SystemExit) as error:
            pending = error
    lock.view.set_depth(depth)
    if pending is not None:
        raise pending
    return 0


cdef class Condition(Primitive):
    """Threads of any processes that wait for others to change something. As ``threading.Condition``.

    Goes with a lock, which is held to look at what it is about, to wait and to notify. Threads that have died
    are not notified: ``notify(n)`` wakes n of the living, ``notify_all`` waits for nobody, and a notification taken
    along by a process that died before its ``wait`` returned goes to another. If the lock's owner dies, the lock is
    marked: ``acquire``, ``with`` and a ``wait`` that would go on raise ``OwnerDied`` without holding it, until
    somebody has repaired in ``with condition.recover() as dead:``.

    Args:
        name: The name, as for ``Lock``. Anything else here is ``lock``.
        lock: A ``Lock`` or ``RLock``, for several conditions with one lock; None for an ``RLock`` of its own. All
            who open the condition by its name give the same lock.
        create: As for ``Lock``, like all that follows.
        lifetime: As for ``Lock``.
        mode: As for ``Lock``.
        group: As for ``Lock``.
        namespace: As for ``Lock``.
        on_owner_death: As for ``Lock``, for a lock of its own.
        wait: As for ``Lock``.
        debug: As for ``Lock``, for a lock of its own.
    """

    def __init__(self, name=None, lock=None, *, create=None, lifetime=None, mode=0o600, group=None, namespace=None,
                 on_owner_death=None, wait="balanced", debug=False):
        policy.configure_condition(self, name, lock, create=create, lifetime=lifetime, mode=mode, group=group,
                                   namespace=namespace, on_owner_death=on_owner_death, wait=wait, debug=debug)

    def _bind_condition(self, ArenaAttachment attachment not None, uint32_t index, int waiting, BaseLock lock,
                        repair, bint debug):
        cdef RLock own
        Primitive._bind(self, attachment, index, waiting)
        self.view = ConditionView(self.arena[0], self.record[0])
        if lock is None:
            own = RLock.__new__(RLock)
            own._bind_lock(attachment, index, waiting, repair, debug)
            own.borrowed = True
            lock = own
        self.lock = lock

    def close(self):
        """Closes this handle, as other handles are closed. A lock that was given stays open."""
        cdef BaseLock lock = self.lock
        Primitive.close(self)
        if lock is not None and lock.borrowed:
            lock.close()

    @property
    def _lock(self):
        return self.lock

    def acquire(self, block=True, timeout=None, *, blocking=None):
        """Acquires the lock: see ``Lock.acquire``."""
        return self.lock.acquire(block if blocking is None else blocking, timeout)

    def release(self):
        """Releases the lock: see ``Lock.release``."""
        self.lock.release()

    def locked(self):
        """Whether somebody holds the lock."""
        return self.lock.locked()

    def recover(self, timeout=None):
        """Takes the lock after its owner's death: see ``Lock.recover``."""
        return self.lock.recover(timeout)

    def __enter__(self):
        self.lock.acquire()
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None and isinstance(error, policy.errors.OwnerDied) and not self._is_owned():
            return          # a wait has found the lock's owner dead, and does not hold it
        self.lock.release()

    def _is_owned(self):
        """Whether this thread holds the lock, as far as a Lock knows threads."""
        self.lock.check_open()
        if isinstance(self.lock, RLock):
            return self.lock.view.is_mine(this_thread())
        return self.lock.view.is_process_own()

    def wait(self, timeout=None):
        """Lets go of the lock, waits until it is notified, and takes the lock again.

        Args:
            timeout: Seconds to wait for a notification at most; None waits for ever. To take the lock again may
                take longer.

        Returns:
            Whether it was notified.

        Raises:
            RuntimeError: This thread does not hold the lock.
            OwnerDied: The lock's owner died meanwhile: the lock is not held.
            SystemLimitError: 4,096 threads wait in this segment of locks, as many as can.
        """
        cdef int64_t deadline
        cdef uint32_t depth, thread = this_thread()
        cdef Waiter *mine
        cdef Status status = Status.ok
        cdef Attachment attachment
        cdef bool notified
        cdef object pending = None
        self.check_open()
        deadline = kForever if timeout is None else deadline_of_lock(True, max(0.0, timeout))
        if not self._is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        attachment = self.attachment
        mine = self.view.announce(thread)
        if mine is NULL:
            policy.fail_crowded(self)
        self.begin()
        try:
            depth = release_fully(self.lock)
            try:
                while not self.view.is_notified(mine[0]):
                    with nogil:
                        status = self.view.sleep(mine[0], slice_of(deadline))
                    PyErr_CheckSignals()
                    if self.record is NULL:
                        policy.fail_closed(self)
                    if deadline != kForever and now_ns() >= deadline:
                        break
            except BaseException as error:
                pending = error
            notified = self.view.leave(mine[0])
            acquire_again(self.lock, thread, depth)
            if pending is not None:
                if notified:
                    self.view.notify(1)      # this one does nothing about it
                raise pending
            return notified
        finally:
            self.end()

    def wait_for(self, predicate, timeout=None):
        """Waits until ``predicate()`` is true.

        Args:
            predicate: Called with the lock held.
            timeout: Seconds to wait at most; None waits for ever.

        Returns:
            What the predicate returned last.
        """
        cdef int64_t deadline = kForever if timeout is None else deadline_of_lock(True, max(0.0, timeout))
        result = predicate()
        while not result:
            if deadline == kForever:
                self.wait()
            else:
                left = (deadline - now_ns()) / 1e9
                if deadline == 0 or left <= 0:
                    break
                self.wait(left)
            result = predicate()
        return result

    def notify(self, n=1):
        """Wakes up to ``n`` of the living threads that wait, those that have waited for longest.

        Args:
            n: How many at most.

        Raises:
            RuntimeError: This thread does not hold the lock.
        """
        self.check_open()
        if not self._is_owned():
            raise RuntimeError("cannot notify on un-acquired lock")
        if n > 0:
            self.view.notify(<uint32_t> min(n, 0x7fffffff))

    def notify_all(self):
        """Wakes all that wait: see ``notify``."""
        self.notify(0x7fffffff)

    async def aacquire(self, timeout=None):
        """``acquire`` for asyncio and trio: see ``Lock.aacquire``."""
        return await self.lock.aacquire(timeout)

    async def __aenter__(self):
        await self.lock.aacquire()
        return self

    async def __aexit__(self, kind, error, trace):
        if kind is not None and isinstance(error, policy.errors.OwnerDied) and not self._holds(policy.task_number(self)):
            return
        self.lock.release()

    async def async_wait(self, timeout=None):
        """``wait`` for asyncio and trio, in a task that has acquired with ``aacquire`` or ``async with``.

        Args:
            timeout: Seconds to wait for a notification at most; None waits for ever.

        Returns:
            Whether it was notified.

        Raises:
            RuntimeError: This task does not hold the lock.
            OwnerDied: As for ``wait``.

        Cancelled, it takes the lock again before it ends; a notification it had goes to another.
        """
        return await policy.wait_condition(self, timeout)

    async def async_wait_for(self, predicate, timeout=None):
        """``wait_for`` for asyncio and trio."""
        return await policy.wait_condition_for(self, predicate, timeout)

    # --- for tasks

    def _holds(self, uint32_t number):
        return self.lock.view.is_mine(number)

    def _announce(self, uint32_t number):
        """Lets go of the lock; what to look at, and how deep it was held."""
        cdef Waiter *mine
        self.check_open()
        mine = self.view.announce(number)
        if mine is NULL:
            policy.fail_crowded(self)
        return <size_t> mine, release_fully(self.lock)

    def _is_notified(self, size_t entry):
        self.check_open()
        return self.view.is_notified((<Waiter *> entry)[0])

    def _leave(self, size_t entry):
        return self.view.leave((<Waiter *> entry)[0])

    def _pass_on(self):
        self.view.notify(1)

    def _deepen(self, uint32_t depth):
        self.lock.view.set_depth(depth)

    def _is_ready(self, int channel):
        return False

    def _arm(self, int channel):
        self.check_open()
        self.view.arm_bell()

    def _waiting(self):
        self.check_open()
        return self.view.waiting()
