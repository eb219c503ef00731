# Barrier.


cdef int enter_barrier(Barrier self, int64_t deadline) except -1:
    """Takes the barrier's lock, which is held while an action runs; whether it could in time."""
    cdef Status status = self.view.enter(0)
    while status != Status.ok:
        with nogil:
            status = self.view.enter(slice_of(deadline))
        if status == Status.ok:
            break
        PyErr_CheckSignals()
        if self.record is NULL:
            policy.fail_closed(self)
        if deadline != kForever and now_ns() >= deadline:
            return 0
    return 1


cdef class Barrier(Primitive):
    """So many parties, threads of any processes, that wait for one another. As ``threading.Barrier``.

    A process is a party from its first use of the barrier on, until it closes it or ends in order. If it dies
    otherwise, killed or by ``os._exit``, the barrier breaks for the others: ``wait`` raises
    ``threading.BrokenBarrierError``, which names the pid, until somebody calls ``reset``.

    Args:
        name: The name, as for ``Lock``. An int here is ``parties``.
        parties: How many must wait for the barrier to open.
        action: Called by one of the threads before they are let go; each process gives its own.
        timeout: Seconds that ``wait`` waits at most where it is not told otherwise.
        create: As for ``Lock``, like all that follows.
        lifetime: As for ``Lock``.
        mode: As for ``Lock``.
        group: As for ``Lock``.
        namespace: As for ``Lock``.
        wait: As for ``Lock``.
    """

    def __init__(self, name=None, parties=None, action=None, timeout=None, *, create=None, lifetime=None, mode=0o600,
                 group=None, namespace=None, wait="balanced"):
        policy.configure_barrier(self, name, parties, action, timeout, create=create, lifetime=lifetime, mode=mode,
                                 group=group, namespace=namespace, wait=wait)

    def _bind_barrier(self, ArenaAttachment attachment not None, uint32_t index, int waiting, uint32_t size, action,
                      timeout):
        Primitive._bind(self, attachment, index, waiting)
        self.view = BarrierView(self.arena[0], self.record[0])
        self.size = size
        self.action = action
        self.patience_seconds = timeout
        enter_barrier(self, kForever)
        self.view.leave()

    def wait(self, timeout=None):
        """Waits until all parties do.

        Args:
            timeout: Seconds to wait at most; None waits as long as the constructor was told. A wait in vain
                breaks the barrier.

        Returns:
            The number of this arrival, from 0 to ``parties - 1``: different for each.

        Raises:
            threading.BrokenBarrierError: The barrier is broken, or breaks while this waits: by a timeout, by
                ``abort`` or ``reset``, by an error in the action, or by the death of a party.
        """
        cdef int64_t deadline
        cdef uint64_t turn = 0
        cdef Waiter *waiter = NULL
        cdef Status status
        cdef Attachment attachment
        cdef int number
        self.check_open()
        if timeout is None:
            timeout = self.patience_seconds
        deadline = kForever if timeout is None else deadline_of_lock(True, max(0.0, timeout))
        policy.leave_at_exit(self)
        attachment = self.attachment
        self.begin()
        try:
            number, turn = self._arrive(deadline)
            if number < 0:
                return -1 - number
            try:
                while not self.view.is_over(turn):
                    with nogil:
                        if waiter is NULL:
                            waiter = self.arena.claim_waiter(self.record[0], this_thread())
                        status = self.view.wait(self.patience, turn, slice_of(deadline), self.waiting)
                    if status == Status.marked:
                        self._check_dead()
                    PyErr_CheckSignals()
                    if self.record is NULL:
                        policy.fail_closed(self)
                    if deadline != kForever and now_ns() >= deadline and not self.view.is_over(turn):
                        self.abort()
            except BaseException:
                if not self.view.is_over(turn):
                    enter_barrier(self, kForever)
                    self.view.break_now(0)
                    self.view.leave()
                raise
            finally:
                self._depart()
            if not self.view.has_passed(turn):
                policy.fail_broken(self)
            return number
        finally:
            release_waiter(waiter)
            self.end()

    cpdef tuple _arrive(self, int64_t deadline):
        """The number of this arrival, or -1 less it if it was the last and has opened the barrier; and the turn."""
        cdef uint64_t turn = 0
        cdef uint32_t number
        if not enter_barrier(self, deadline):
            policy.fail_broken(self)
        try:
            self.view.check_dead()
            if self.view.is_broken():
                policy.fail_broken(self)
            number = self.view.arrive(turn)
            if number + 1 < self.size:
                return number, turn
            self.view.depart()
            if self.action is not None:
                try:
                    self.action()
                except BaseException:
                    self.view.break_now(0)
                    raise
            self.view.end_turn(True)
            return -1 - <int> number, turn
        finally:
            self.view.leave()

    cpdef _depart(self):
        if self.record is not NULL and enter_barrier(self, kForever):
            self.view.depart()
            self.view.leave()

    cpdef _check_dead(self):
        enter_barrier(self, kForever)
        self.view.check_dead()
        self.view.leave()

    def _arrive_now(self):
        self.check_open()
        policy.leave_at_exit(self)
        return self._arrive(kForever)

    @property
    def _timeout(self):
        return self.patience_seconds

    def _fail_broken(self):
        policy.fail_broken(self)

    def _is_over(self, uint64_t turn):
        self.check_open()
        return self.view.is_over(turn)

    def _has_passed(self, uint64_t turn):
        return self.view.has_passed(turn)

    def abort(self):
        """Breaks the barrier: who waits and who will wait gets ``BrokenBarrierError``, until ``reset``."""
        self.check_open()
        enter_barrier(self, kForever)
        self.view.break_now(0)
        self.view.leave()

    def reset(self):
        """Makes the barrier new; threads that wait get ``BrokenBarrierError``. The dead are parties no more."""
        self.check_open()
        enter_barrier(self, kForever)
        self.view.reset()
        self.view.leave()

    @property
    def parties(self):
        """How many must wait for the barrier to open."""
        return self.size

    @property
    def n_waiting(self):
        """How many wait now."""
        self.check_open()
        return self.view.arrived()

    @property
    def broken(self):
        """Whether it is broken."""
        self.check_open()
        return self.view.is_broken()

    def _broken_by(self):
        return self.view.broken_by()

    def _withdraw(self):
        """This process ends in order."""
        if self.record is not NULL and not self.arena.people().foreign():
            self.view.withdraw()

    async def async_wait(self, timeout=None):
        """``wait`` for asyncio and trio: a task is a party.

        Args:
            timeout: As for ``wait``.

        Returns:
            As from ``wait``.

        Raises:
            threading.BrokenBarrierError: As for ``wait``.

        Cancelled, it breaks the barrier.
        """
        return await policy.wait_barrier(self, timeout)

    def _is_ready(self, int channel):
        return False

    def _arm(self, int channel):
        self.check_open()
        self.view.arm_bell()
