# Event.


cdef class Event(Primitive):
    """A flag that threads of any processes wait for. As ``threading.Event``.

    Any process may set and clear it, and may die at any moment: it is set or it is not, and nobody waits for the
    dead.

    Args: as for ``Lock``, without ``on_owner_death`` and ``debug``.
    """

    def __init__(self, name=None, *, create=None, lifetime=None, mode=0o600, group=None, namespace=None,
                 wait="balanced"):
        policy.configure_event(self, name, create=create, lifetime=lifetime, mode=mode, group=group,
                               namespace=namespace, wait=wait)

    def _bind_event(self, ArenaAttachment attachment not None, uint32_t index, int waiting):
        Primitive._bind(self, attachment, index, waiting)
        self.view = EventView(self.arena[0], self.record[0])

    def is_set(self):
        """Whether the flag is set."""
        self.check_open()
        return self.view.is_set()

    def set(self):
        """Sets the flag and wakes all who wait. A waiter that has died is not waited for."""
        self.check_open()
        self.view.set()

    def clear(self):
        """Clears the flag. Who was waiting when it was set last goes on all the same."""
        self.check_open()
        self.view.clear()

    def wait(self, timeout=None):
        """Waits until the flag is set.

        Args:
            timeout: Seconds to wait at most; None or -1 waits for ever, 0 not at all.

        Returns:
            Whether it was set, before or meanwhile.
        """
        cdef int64_t deadline
        cdef uint64_t since
        cdef Waiter *waiter = NULL
        cdef Attachment attachment
        self.check_open()
        deadline = deadline_of_wait(timeout)
        if self.view.is_set():
            return True
        since = self.view.count()
        attachment = self.attachment
        self.begin()
        try:
            while not self.view.is_over(since):
                if deadline != kForever and now_ns() >= deadline:
                    return False
                with nogil:
                    if waiter is NULL:
                        waiter = self.arena.claim_waiter(self.record[0], this_thread())
                    self.view.wait(self.patience, since, slice_of(deadline), self.waiting)
                PyErr_CheckSignals()
                if self.record is NULL:
                    policy.fail_closed(self)
            return True
        finally:
            release_waiter(waiter)
            self.end()

    async def async_wait(self, timeout=None):
        """``wait`` for asyncio and trio.

        Args:
            timeout: Seconds to wait at most; None waits for ever, 0 not at all.

        Returns:
            Whether it was set, before or meanwhile.
        """
        return await policy.wait_event(self, timeout)

    def _count(self):
        self.check_open()
        return self.view.count()

    def _is_over(self, uint64_t since):
        self.check_open()
        return self.view.is_over(since)

    def _is_ready(self, int channel):
        self.check_open()
        return self.view.is_set()

    def _arm(self, int channel):
        self.check_open()
        self.view.arm_bell()
