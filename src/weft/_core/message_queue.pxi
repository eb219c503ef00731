# Message queues with POSIX's interface. Behind each stands a Queue that nobody sees, on a segment of the other kind.


cdef class MessageQueue(Handle):
    """A POSIX message queue without the kernel's limits: the highest priority first, by name, between any processes.

    ``MessageQueue("alerts")`` in any program is the same queue. Messages of one priority come in the order in which
    they were sent. Any of its users may be killed at any instruction: nothing that was sent is lost, doubled or
    reordered. With ``directory=`` it survives a reboot and a power cut as well.

    Example:
        >>> import weft
        >>> with weft.MessageQueue("doctest-alerts") as alerts:
        ...     alerts.send("disk almost full", priority=3)
        ...     alerts.send("disk full", priority=9)
        ...     print(alerts.receive())
        ...     alerts.unlink()
        ('disk full', 9)

    Args:
        name: As for ``Queue``.
        create: True: must not exist (``O_CREX``); False: must exist; None: opens or creates (``O_CREAT``).
        max_messages: Messages that may wait at most: 1 to 61,440, by default 1,024.
        max_message_size: Bytes of one encoded message at most, by default 64 KiB; for ``bytes`` their length.
        lifetime: ``"kept"`` until ``unlink()``, as POSIX has it (the default of those with a name), or ``"attached"``:
            gone with the last process that has it open, messages included.
        mode: Permissions of the file behind it.
        group: Name or id of the group it is given to.
        namespace: A ``Namespace``, or what one is made from; None for the default.
        block: Whether ``send`` and ``receive`` wait; may be changed later by the attribute.
        codec: As for ``Queue``: what was sent is received, type for type; ``"raw"`` passes bytes alone.
        type: As for ``Queue``.
        wait: As for ``Queue``.
        views: As for ``Queue``.
        directory: A directory on a disk in which a journal keeps the messages. None: whatever the queue was made
            with. On the first opening after a reboot what the journal has is put back.
        durable: Whether ``send`` by this handle returns only once the message is on the disk; by default it does in
            a queue with a directory.
        salvage: Whether a journal that is damaged in the middle is read as far as it can be, with a warning, where it
            would be refused.

    Raises:
        MismatchError: The name exists with other settings, another codec or type, or is another kind.
        NotFoundError: ``create=False`` and nothing has that name, or the directory does not exist.
        NameInUseError: ``create=True`` and something has it.
        NoSpaceError: The file system is full.
        AccessError: The directory or the queue is another user's, or lets others in.
        CorruptedError: The file of that name is no segment, or damaged; or the journal is.
    """

    def __init__(
        self, name=None, *, create=None, max_messages=None, max_message_size=None, lifetime=None, mode=0o600,
        group=None, namespace=None, block=True, codec=None, type=None, wait="balanced", views=False, directory=None,
        durable=None, salvage=False,
    ):
        if self.attachment is not None:
            raise RuntimeError("a message queue is opened once; make another MessageQueue object")
        order_policy.configure(
            self, name, create=create, max_messages=max_messages, max_message_size=max_message_size,
            lifetime=lifetime, mode=mode, group=group, namespace=namespace, block=block, codec=codec, type=type,
            wait=wait, views=views, directory=directory, durable=durable, salvage=salvage,
        )

    def _bind(self, Queue queue not None, journal, bint block):
        """Called by ``configure`` once the segment is open."""
        self.attachment = queue.attachment
        self.queue = queue
        self.waits = block
        queue.journal = journal

    cdef Object *check_open(self) except NULL:
        if self.queue is None:
            policy.fail_closed(self)
        return self.queue.check_open()

    def __del__(self):
        if self.attachment is not None and order_policy is not None and not is_finalizing():
            self.close()

    # --- send and receive ----------------------------------------------------------------------

    def send(self, msg, timeout=None, priority=0, *, durable=None):
        """Sends a message.

        When this returns, the message is in shared memory and visible to every receiver. In a queue with a
        directory it is on the disk as well, unless this handle or call has ``durable=False``: then it is in the
        journal, which outlives every process, but a power cut may still take it.

        Args:
            msg: What the queue's codec carries.
            timeout: Seconds to wait for room at most; None waits for ever, 0 not at all. Where ``block`` is False
                there is no waiting.
            priority: From 0 to 32,767; the highest goes first.
            durable: Whether to return only once the message is on the disk; None: as the handle says.

        Raises:
            Full: No room in time.
            ValueError: A priority or timeout that can't be; or ``durable=True`` in a queue without a directory.
            MessageTooLargeError: The message is larger than ``max_message_size``.
            NoSpaceError: The file system cannot back what the message needs.
            TypeError: The codec cannot carry the object.

        Any thread of any process may call this at the same time. If a sender dies in the middle, its message is
        there whole or not at all. An error of the disk is raised although the message has been sent, and says so.
        """
        cdef Queue queue = self.queue
        cdef Outgoing message
        cdef Failure why
        cdef Status status
        cdef int rank = check_priority(priority)
        if queue is None or durable is not None or queue.journal is not None:
            check_open_queue(self)
            order_policy.send_durably(self, (msg,), timeout, rank, durable)
            return
        if queue.q is not NULL and queue.plain and PyBytes_CheckExact(msg) and \
                <uint64_t> PyBytes_GET_SIZE(msg) <= queue.inline_max and not queue.q.people().foreign():
            message.kind = RecordKind.raw
            message.data = PyBytes_AS_STRING(msg)
            message.size = <uint32_t> PyBytes_GET_SIZE(msg)
            message.unit = kNowhere
            message.priority = <uint16_t> rank
            if timeout is not None:
                deadline_of(True, timeout)
            status = queue.q.put(message, 0, why)
            if status == Status.ok:
                return
            put_patiently(queue, &message, status, &why, self.waits, timeout)
            return
        put_encoded(queue, msg, self.waits, timeout, rank)

    def send_many(self, messages, timeout=None, priority=0, *, durable=None):
        """Sends many messages of one priority, paying once per batch for what a single ``send`` pays each time:
        above all for the disk.

        Args:
            messages: An iterable of messages.
            timeout: Seconds for all of them together.
            priority: Of each.
            durable: As for ``send``: all of them are on the disk when this returns.

        Raises:
            Full: As for ``send``.
            ValueError: As for ``send``.
            MessageTooLargeError: As for ``send``.
            NoSpaceError: As for ``send``.
            TypeError: As for ``send``.

        Their order is kept. Those before one that failed may have been sent: the error's ``sent`` tells how many.
        """
        cdef Queue queue = check_open_queue(self)
        cdef int rank = check_priority(priority)
        cdef tuple items = tuple(messages)
        cdef Py_ssize_t at = 0, count = len(items)
        cdef int64_t deadline = deadline_of(self.waits, timeout)
        if durable is not None or queue.journal is not None:
            order_policy.send_durably(self, items, timeout, rank, durable)
            return
        while at < count:
            try:
                at += put_batch(queue, items, at, count, rank)
                if at < count:
                    put_encoded(queue, items[at], deadline != 0, seconds_until(deadline), rank)
                    at += 1
            except Exception as error:
                policy.note(error, "sent", at)
                raise

    def receive(self, timeout=None, *, durable=False):
        """Takes the oldest of the messages with the highest priority.

        Args:
            timeout: Seconds to wait for a message at most; None waits for ever, 0 not at all. Where ``block`` is
                False there is no waiting.
            durable: In a queue with a directory: whether to return only once it is on the disk that the message has
                been received. Otherwise a power cut within the next moments brings it back.

        Returns:
            ``(message, priority)``.

        Raises:
            Empty: Nothing came in time.
            ValueError: A negative timeout.
            CorruptedError: The queue holds what no honest program writes.

        Any thread of any process may call this at the same time; each message goes to one of them. A message is
        gone when this has taken it: use ``lease`` for messages that must not be lost with their receiver.
        """
        cdef Queue queue = self.queue
        cdef CQueue *q
        cdef Incoming message
        cdef char buffer[SCRATCH]
        cdef Status status
        if queue is None:
            check_open_queue(self)
        q = queue.q
        if q is NULL or q.people().foreign():
            q = check_open(queue)
        if timeout is not None:
            deadline_of(True, timeout)
        status = q.take(message, buffer, 0)
        if status != Status.ok or message.expired:
            take_patiently(queue, &message, buffer, status, self.waits, timeout, False)
        if queue.journal is not None:
            return take_noted(queue, queue.journal, &message, buffer, bool(durable))
        if message.unit == kNowhere and message.kind == RecordKind.raw and queue.plain:
            return (queue.shelf.make(buffer, message.size), <long> message.priority)
        return (decode(queue, &message, buffer), <long> message.priority)

    def lease(self, timeout=None):
        """Takes the best message on condition, as ``Queue.lease`` does.

        ``with queue.lease() as message:`` acknowledges on leaving the block. If the block raises, or this process
        dies, the message returns to its place, which its priority and age give it. Where the queue has a directory,
        the acknowledgement is noted there.

        Args:
            timeout: As for ``receive``.

        Returns:
            A ``Lease``: a context manager with ``item``, ``priority``, ``redelivered``, ``ack()`` and ``release()``.

        Raises:
            Empty: As for ``receive``.
            SystemLimitError: More leases are out than there can be: 65,536 less ``max_messages``.
            CorruptedError: As for ``receive``.

        Any thread of any process may call this at the same time.
        """
        return check_open_queue(self).lease(timeout, block=self.waits)

    async def asend(self, msg, timeout=None, priority=0, *, durable=None):
        """``send`` for asyncio and trio: waits for room without a thread.

        Args:
            msg: As for ``send``.
            timeout: As for ``send``.
            priority: As for ``send``.
            durable: As for ``send``. The wait for the disk blocks the loop: some milliseconds, as a rule.

        Raises:
            Full: As for ``send``.
            ValueError: As for ``send``.
            MessageTooLargeError: As for ``send``.
            NoSpaceError: As for ``send``.
            TypeError: As for ``send``.

        Cancelled while it waits, it has sent nothing.
        """
        return await order_policy.asend(self, msg, timeout, priority, durable)

    async def areceive(self, timeout=None):
        """``receive`` for asyncio and trio: waits without a thread.

        Args:
            timeout: As for ``receive``.

        Returns:
            ``(message, priority)``.

        Raises:
            Empty: As for ``receive``.
            CorruptedError: As for ``receive``.

        Cancelled, it has taken nothing.
        """
        return await order_policy.areceive(self, timeout)

    def alease(self, timeout=None):
        """``async with queue.alease() as message:`` is ``lease`` for asyncio and trio.

        Args:
            timeout: As for ``receive``.

        Returns:
            As ``Queue.alease``.

        Raises:
            Empty: As for ``receive``, on entering.

        Cancelled while it waits, it has taken nothing.
        """
        return policy.alease(check_open_queue(self), timeout)

    # --- state ---------------------------------------------------------------------------------

    @property
    def block(self):
        """Whether ``send`` and ``receive`` by this handle wait."""
        return self.waits

    @block.setter
    def block(self, value):
        self.waits = bool(value)

    @property
    def current_messages(self):
        """How many messages wait: exact when nobody else is at work, else a moment's."""
        return check_open(check_open_queue(self)).depth()

    @property
    def max_messages(self):
        """How many messages may wait at most."""
        return check_open(check_open_queue(self)).geometry().limit

    @property
    def max_message_size(self):
        """Bytes of one encoded message at most."""
        return check_open(check_open_queue(self)).geometry().max_message

    def fileno(self):
        """A descriptor that is readable when there may be messages, as ``Queue.fileno``."""
        return check_open_queue(self).fileno()

    def statistics(self):
        """What the queue counts, as a frozen ``MessageQueueStatistics``."""
        return order_policy.statistics(self)

    def unlink(self):
        """Removes the name now, and the journal; those who have the queue open keep what is in memory."""
        return order_policy.unlink(self)

    def close(self):
        """Closes this handle; other handles and processes are not concerned. Never fails; may be repeated.

        Ends its registration for notification. Threads of this process that wait in this handle get ``ClosedError``.
        """
        cdef Queue queue = self.queue
        if self.attachment is None:
            return
        self.attachment = None
        try:
            order_policy.closed(self)
        finally:
            queue.journal = None          # leases of it may go on
            queue.close()

    def __repr__(self):
        return order_policy.describe(self)

    # --- notification --------------------------------------------------------------------------

    def request_notification(self, notification=None):
        """Asks to be told once, when a message comes into the empty queue and nobody waits to receive it.

        As ``mq_notify`` has it: one handle of all processes may be registered; being told ends the registration; and
        a receiver that waits gets the message instead. The registration of a handle ends with it, however that ends.

        Args:
            notification: A function, called without arguments in a thread of its own; ``(function, argument)``; a
                signal to be sent to this process; or None, which takes the registration of this handle back.

        Raises:
            BlockingIOError: Somebody is registered already (``errno.EBUSY``).
            TypeError: None of these.
        """
        order_policy.request_notification(self, notification)

    def notification(self):
        """Registers, and returns a ``Notification`` to wait for: by ``wait(timeout)``, by ``await``, or by its
        descriptor in ``select``.

        Raises:
            BlockingIOError: Somebody is registered already (``errno.EBUSY``).
        """
        return order_policy.notification(self)

    def _register(self):
        return check_open(check_open_queue(self)).register_notice()

    def _cancel(self, uint64_t mark):
        return bool(check_open(check_open_queue(self)).cancel_notice(mark))

    def _is_registered(self, uint64_t mark):
        return bool(check_open(check_open_queue(self)).is_registered(mark))

    def _wait_told(self, uint64_t mark, timeout):
        """Whether the registration ended in time."""
        cdef int64_t deadline = deadline_of(True, timeout)
        cdef CQueue *q = check_open(check_open_queue(self))
        cdef QueueAttachment held = <QueueAttachment> self.queue.attachment
        cdef Status status
        while q.is_registered(mark):
            if deadline != kForever and now_ns() >= deadline:
                return False
            with nogil:
                status = q.wait_notice(mark, deadline)
            PyErr_CheckSignals()
            if self.attachment is None:
                return not held.q.is_registered(mark)
        return True

    def _arm(self, int channel):
        check_open(check_open_queue(self)).arm_notice_bell()

    def _has_registrant(self):
        return check_open(check_open_queue(self)).registrant() != 0

    def _let_go(self):
        """Leaves the attachment to others."""
        self.attachment = None
        self.queue = None

    def _count_consumer(self, int by):
        check_open(check_open_queue(self)).count_consumer(by)

    # --- for the Python side -------------------------------------------------------------------

    @property
    def _queue(self):
        return self.queue

    @property
    def _journal(self):
        return None if self.queue is None else self.queue.journal

    def _put_images(self, list images, int rank, timeout):
        """Puts encoded messages: (kind, data, size of the body) each. Returns their numbers, and what kept the rest
        out, or None."""
        cdef list numbers = []
        try:
            put_images(check_open_queue(self), images, rank, self.waits, timeout, numbers)
        except BaseException as error:
            return numbers, error
        return numbers, None


cdef Queue check_open_queue(MessageQueue self):
    if self.queue is None:
        policy.fail_closed(self)
    return self.queue


cdef object take_noted(Queue queue, object journal, Incoming *message, const char *buffer, bint durable):
    """What has been taken, which the journal is to know whatever it is."""
    try:
        return (decode(queue, message, buffer), <long> message.priority)
    finally:
        journal.note_taken(message.sequence, durable)


cdef object seconds_until(int64_t deadline):
    return None if deadline == kForever else max(0.0, (deadline - now_ns()) / 1e9)


cdef int put_images(Queue queue, list images, int rank, object block, object timeout, list numbers) except -1:
    cdef Outgoing messages[BATCH]
    cdef Py_ssize_t at = 0, count = len(images)
    cdef uint32_t n, done
    cdef uint64_t first = 0, i
    cdef int64_t deadline = deadline_of(block, timeout)
    cdef CQueue *q
    cdef QueueAttachment held
    cdef Failure why
    cdef Status status
    cdef tuple image
    while at < count:
        q = check_open(queue)
        held = <QueueAttachment> queue.attachment
        n = done = 0
        while n < BATCH and at + n < count and fill_outgoing(queue, &messages[n], <tuple> images[at + n], rank):
            n += 1
        if n:
            status = q.put_batch(messages, n, done, 0, why, &first)
            if status == Status.busy:
                with nogil:
                    status = q.put_batch(messages, n, done, now_ns() + LOCK_PATIENCE, why, &first)
            for i in range(done):
                numbers.append(first + i)
            at += done
        if done < n or n == 0:
            put_image(queue, <tuple> images[at], rank, deadline != 0, seconds_until(deadline), &first)
            numbers.append(first)
            at += 1
    return 0


cdef bint fill_outgoing(Queue queue, Outgoing *message, tuple image, int rank) except -1:
    """Whether the message is small enough for the ring."""
    cdef bytes data = <bytes> image[1]
    message.kind = RecordKind.raw if image[0] == 1 else RecordKind.body
    message.data = PyBytes_AS_STRING(data)
    message.total = <uint64_t> PyBytes_GET_SIZE(data)
    message.size = <uint32_t> message.total
    message.unit = kNowhere
    message.body_size = image[2]
    message.priority = <uint16_t> rank
    return message.total <= queue.inline_max and (message.kind == RecordKind.raw or message.body_size == message.total)


cdef int put_image(Queue queue, tuple image, int rank, object block, object timeout, uint64_t *number) except -1:
    cdef QueueAttachment held = <QueueAttachment> queue.attachment
    cdef Outgoing message
    cdef Failure why
    cdef uint32_t unit = kNowhere
    cdef bint is_small = fill_outgoing(queue, &message, image, rank)
    cdef Status status
    if message.total > queue.max_message:
        policy.too_large(queue, message.total, queue.max_message)
    if is_small:
        status = check_open(queue).put(message, 0, why, number)
        return put_patiently(queue, &message, status, &why, block, timeout, number)
    take_block(queue, message.total, &unit, block, timeout)
    with nogil:
        memcpy(held.q.pool().data(unit), message.data, message.total)
    message.unit = unit
    return put_block(queue, held, held.q, &message, block, timeout, number)
