# Leases.


@cython.final
cdef class Lease:
    """A message on condition: acknowledged, or given back.

    Attributes:
        item: The message.
    """

    cdef QueueAttachment attachment
    cdef Incoming message
    cdef Owner owner
    cdef Block block
    cdef readonly object item
    cdef object journal           # of a durable message queue
    cdef bint open, lowest_first
    cdef object __weakref__

    def __init__(self):
        raise TypeError("a lease comes from queue.lease()")

    @property
    def priority(self):
        """The priority with which the message was sent; 0 in a queue without priorities."""
        return kMaxPriority - self.message.priority if self.lowest_first else self.message.priority

    @property
    def redelivered(self):
        """How often the message had been handed out before: 0 the first time."""
        return self.message.deliveries - 1

    @property
    def settled(self):
        """Whether the message has been acknowledged or given back."""
        return not self.open

    def ack(self):
        """The message has been dealt with: nobody will get it again. May be repeated."""
        if not self.open or self.is_foreign():
            return
        self.open = False
        self.attachment.q.acknowledge(self.message)
        if self.block is not None:
            self.block.owned = True   # freed with the last view
        self.let_go()
        if self.journal is not None:
            self.journal.note_taken(self.message.sequence)

    def release(self):
        """Gives the message back to the front of the queue. May be repeated.

        Raises:
            BufferError: Views of the message are in use, and there is no memory for the copy that the
                next consumer would get. The lease stands; delete the views and release again.
        """
        if not self.give_back():
            raise BufferError(
                "views of this message are in use and there is no memory for a copy to give back: "
                "delete the views and release again"
            )

    cdef bint give_back(self) except -1:
        cdef CQueue *q
        cdef uint32_t copy = kNowhere
        cdef Failure why
        cdef Status status = Status.busy
        if not self.open or self.is_foreign():
            return True
        q = self.attachment.q
        self.item = None
        # NumPy may keep the block without keeping an export of it: references tell.
        if self.block is not None and (<PyObject *> self.block).ob_refcnt > 1:
            # What the next consumer frees may be overwritten: it gets a copy, the views keep the original.
            with nogil:
                status = q.take_block(self.message.total, copy, now_ns() + STUCK, why)
            if status != Status.ok:
                return False
            memcpy(q.pool().data(copy), q.pool().data(self.message.unit), self.message.total)
        self.open = False
        status = Status.busy
        while status == Status.busy or status == Status.timed_out or status == Status.interrupted:
            with nogil:
                status = q.give_back(self.message, copy, now_ns() + LOCK_PATIENCE)
            if status == Status.interrupted:
                PyErr_CheckSignals()
        if copy != kNowhere:
            self.block.owned = True
        self.let_go()
        return True

    cdef int give_back_soon(self) except -1:
        """Gives back now, or with the last view."""
        if not self.give_back():
            self.block.message = self.message
            self.block.to_give_back = True
            self.open = False
            self.let_go()
        return 0

    cdef void let_go(self):
        """A settled lease keeps nothing but its item: views of a block hold on to it themselves."""
        self.block = None
        self.attachment = None

    cdef bint is_foreign(self):
        """A forked child does not own its parent's leases."""
        return not is_own(self.attachment, self.owner)

    def __enter__(self):
        return self.item

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.ack()
        else:
            self.give_back_soon()

    def __del__(self):
        if self.open and self.attachment is not None:
            self.give_back_soon()
