# Semaphore and BoundedSemaphore.


cdef bint acquire_permit(Semaphore self, int64_t deadline) except -1:
    """Goes on with an acquisition that did not succeed at once; whether a permit was had in time."""
    cdef Status status
    cdef Waiter *waiter = NULL
    cdef Attachment attachment
    cdef bint counted = False
    self.check_open()
    attachment = self.attachment
    self.begin()
    try:
        while True:
            status = self.view.try_acquire()
            if status == Status.busy:
                with nogil:
                    status = self.view.acquire_patiently(slice_of(deadline if deadline else kForever))
            if status == Status.ok:
                if self.record is NULL:
                    self.view.release(1, now_ns() + SLICE)
                    policy.fail_closed(self)
                if counted:
                    self.view.count_contended()
                return True
            if self.record is NULL:
                policy.fail_closed(self)
            if status == Status.empty:
                if deadline == 0 or (deadline != kForever and now_ns() >= deadline):
                    if self.view.look_after_dead(now_ns() + SLICE):
                        continue
                    return False
                counted = True
                with nogil:
                    if waiter is NULL:
                        waiter = self.arena.claim_waiter(self.record[0], this_thread())
                    self.view.wait(self.patience, slice_of(deadline), self.waiting)
            elif deadline == 0:
                return False              # at work at the word is a process that does not go on
            PyErr_CheckSignals()
    finally:
        release_waiter(waiter)
        self.end()


cdef class Semaphore(Primitive):
    """Permits between any processes and threads; those of a killed process come back.

    ``Semaphore("gpus", 4)`` in any program is the same semaphore; without a name it is anonymous and travels by
    pickling, or as ``token``. Permits belong to the process that acquired them. When a process dies, what it owned
    comes back, once. A release by a process that owns none is charged to the one that has owned for longest; if
    nobody owns any, it is a surplus, as when a semaphore is used as a signal: acquired permits of a surplus are
    nobody's.

    Example:
        >>> import weft
        >>> with weft.Semaphore("doctest-permits", 2) as permits:
        ...     permits.get_value()
        1

    Args:
        name: The name, as for ``Queue``; None for an anonymous semaphore. An int here is ``value``.
        value: Permits to begin with.
        create: True: must not exist; False: must exist; None: opens or creates.
        lifetime: ``"attached"`` or ``"kept"``, as for ``Lock``.
        mode: Permissions of the file behind it.
        group: Name or id of the group it is given to.
        namespace: A ``Namespace``, or what one is made from; None for the default.
        wait: How this handle waits, as for ``Queue``.

    Raises:
        ValueError: The value is negative, or above 2,147,483,647.
        MismatchError: The name exists as something else, or with another value or lifetime.
        NotFoundError: As for ``Lock``.
        NameInUseError: As for ``Lock``.
        NoSpaceError: As for ``Lock``.
        AccessError: As for ``Lock``.
    """

    def __init__(self, name=None, value=None, *, create=None, lifetime=None, mode=0o600, group=None, namespace=None,
                 wait="balanced"):
        policy.configure_semaphore(self, "Semaphore", name, value, create=create, lifetime=lifetime, mode=mode,
                                   group=group, namespace=namespace, wait=wait)

    def _bind_semaphore(self, ArenaAttachment attachment not None, uint32_t index, int waiting):
        Primitive._bind(self, attachment, index, waiting)
        self.view = SemaphoreView(self.arena[0], self.record[0])

    def acquire(self, block=True, timeout=None, *, blocking=None):
        """Takes a permit, waiting for one if need be.

        Args:
            block: Whether to wait.
            timeout: Seconds to wait at most; None or -1 waits for ever.
            blocking: ``threading``'s word for ``block``.

        Returns:
            Whether a permit was taken.

        Raises:
            ValueError: A negative timeout other than -1, or a timeout without waiting.

        Waits for whoever releases one. Permits of the dead are found by who tries in vain, and within 25 ms by
        who waits.
        """
        if timeout is None and block is True and blocking is None and self.record is not NULL and \
                not self.arena.people().foreign() and self.view.try_acquire() == Status.ok:
            return True
        return acquire_permit(self, deadline_of_lock(block if blocking is None else blocking, timeout))

    def release(self, n=1):
        """Gives back permits, or adds some.

        Args:
            n: How many, at least 1.

        Raises:
            ValueError: ``n`` is less than 1, or there would be more permits than there can be: than the bound of
                a ``BoundedSemaphore``, or 2,147,483,647. Nothing has been released then.

        Any process may release what another acquired.
        """
        cdef Status status
        cdef uint32_t count = 1
        if n is not 1:
            count = policy.check_permits(n)
        if self.record is NULL or self.arena.people().foreign():
            self.check_open()
        status = self.view.release(count, 0)
        while status == Status.busy:
            with nogil:
                status = self.view.release(count, now_ns() + SLICE)
            PyErr_CheckSignals()
            self.check_open()
        if status != Status.ok:
            policy.fail_beyond(self)

    def get_value(self):
        """How many permits can be taken now; those of the dead count."""
        self.check_open()
        self.view.look_after_dead(now_ns() + SLICE)
        return self.view.value_now()

    def locked(self):
        """Whether no permit can be taken now."""
        self.check_open()
        return self.view.value_now() == 0

    def __enter__(self):
        if self.record is NULL or self.arena.people().foreign() or self.view.try_acquire() != Status.ok:
            acquire_permit(self, kForever)
        return self

    def __exit__(self, kind, error, trace):
        self.release()

    def _is_ready(self, int channel):
        self.check_open()
        return self.view.is_worth_a_try()

    def _arm(self, int channel):
        self.check_open()
        self.view.arm_bell()

    async def aacquire(self, timeout=None):
        """``acquire`` for asyncio and trio: waits without a thread.

        Args:
            timeout: Seconds to wait at most; None or -1 waits for ever, 0 not at all.

        Returns:
            Whether a permit was taken.

        Cancelled, it has taken none. Any number of tasks may wait at the same time.
        """
        return await policy.aacquire(self, timeout)

    def _acquire_as(self, uint32_t thread):
        return self.acquire(False)

    async def __aenter__(self):
        await policy.aacquire(self, None)
        return True

    async def __aexit__(self, kind, error, trace):
        self.release()


cdef class BoundedSemaphore(Semaphore):
    """A semaphore that never has more permits than it began with: ``release`` beyond that raises ValueError.

    Args: as for ``Semaphore``.
    """

    def __init__(self, name=None, value=None, *, create=None, lifetime=None, mode=0o600, group=None, namespace=None,
                 wait="balanced"):
        policy.configure_semaphore(self, "BoundedSemaphore", name, value, create=create, lifetime=lifetime, mode=mode,
                                   group=group, namespace=namespace, wait=wait)
