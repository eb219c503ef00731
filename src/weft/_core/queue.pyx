# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, binding=False
"""The queue's hot calls. What is asked for once (names, settings, errors' words, waiting in event
loops) stands in ``weft.queue``, which is bound in by ``set_policy``.

Each call tries first with the GIL held. Only what has to wait, or to copy much, releases it.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_ND, PyBUF_SIMPLE, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.pythread cimport (
    PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock, PyThread_type_lock,
)
from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.unistd cimport usleep

from weft._core.codec cimport ALIGNMENT, Codec, Encoded
from weft._core.handle cimport Attachment, Handle, describe
from weft._core.native cimport Failure, Object, Owner, Status, Waiting, close_fd, kForever, now_ns, ring_fd
from weft._core.native_pipe cimport CPipe, PartHead
from weft._core.native_queue cimport (
    Batched, CQueue, Incoming, JournalRecord, OrderState, Outgoing, QueueObject, RecordKind, kContinued, kMaxPriority,
    kMore, kNowhere, kQueueKind, kSeries,
)
from weft._core.shelf cimport Shelf, append_to, list_for
from weft._core.timing cimport LOCK_PATIENCE, RECOVERY, STUCK, deadline_of, is_stuck

import sys
from queue import Empty

# A C variable, since the module's names are gone when the interpreter ends.
cdef object is_finalizing = sys.is_finalizing
cdef object policy = None          # weft.queue: see set_policy

DEF BIG_COPY = 65536               # bytes from which a copy is made without the GIL
DEF SCRATCH = 8192                 # bytes of the largest inline record
DEF BATCH = 256                    # messages per lock in put_many and get_many


def set_policy(module):
    """Binds in the Python side: ``configure``, ``fail``, ``leave``, ``lease``, … of ``weft.queue``."""
    global policy
    policy = module


include "queue_memory.pxi"
include "queue_put.pxi"
include "queue_take.pxi"
include "queue_lease.pxi"
include "queue_loan.pxi"


cdef class Channel(Handle):
    """What sends and receives messages."""

    def __cinit__(self, *args, **kwargs):
        self.q = self.out = NULL
        self.listener = -1

    cdef void bind_channel(self, Attachment attachment, Codec codec, object policy, int waiting, bint views):
        """Where messages go and come from is the kind's to say."""
        self.attachment = attachment
        self.codec = codec
        self.policy = policy
        self.scratch = Encoded()
        self.plain = codec.name == "default" or codec.name == "raw"
        self.waiting = <Waiting> waiting
        self.views = views

    cdef Object *check_open(self) except NULL:
        if self.attachment is None:
            (self.policy or policy).fail_closed(self)
        if self.attachment.object.people().foreign():
            # This is a forked child: what the handle had, it has still, but as somebody else.
            self.stop_listening()
            self.scratch = Encoded()
            Handle.check_open(self)
        return self.attachment.object

    cdef void stop_listening(self) noexcept:
        if self.listener >= 0:
            close_fd(self.listener)
            self.listener = -1

    def __dealloc__(self):
        self.stop_listening()

    cdef bint has_changed(self) noexcept:
        """Before a take is given up: whether there may be something after all, once more than it was tried."""
        return False

    cdef int rank_of(self, object obj) except -1:
        """The priority with which a message is put."""
        return 0

    cdef int put_aside(self, Incoming *message, char *data) except -1:
        return 0

    cdef int put_large(self, Outgoing *message, Encoded encoded, object block, object timeout) except -1:
        """Puts what is larger than a block may be, or raises."""
        self.policy.too_large(self, message.total, self.max_message)

    @property
    def _codec(self):
        return self.codec


include "pipe_series.pxi"
include "pipe_send.pxi"
include "pipe_end.pxi"


cdef class Queue(Channel):
    """Messages between any two processes: first in, first out, by name, at memory speed.

    ``Queue("jobs")`` in any program is the same queue; it is made by whoever comes first. Without a name
    it is anonymous and travels by pickling, or as ``token``. Any number of threads and processes may put
    and get at the same time; the order of each producer's messages is kept, and each message goes to one
    consumer. Any of them may be killed at any instruction: the others go on, nothing that had been put is
    lost, and a lease of the dead returns to the front.

    Example:
        >>> import weft
        >>> with weft.Queue("doctest-jobs", maxsize=10) as queue:
        ...     queue.put({"id": 1, "tags": ("a", "b")})
        ...     queue.get()
        {'id': 1, 'tags': ('a', 'b')}

    Args:
        name: 1 to 200 ASCII letters, digits or ``_ . + @ : = , -``, of which the first is a letter, a digit or
            ``_``; no ``..``, and nothing that begins with ``anon-``. An int here is ``maxsize``, as in the
            standard library.
        maxsize: Messages that may wait at most; 0 or less: bounded by ``capacity`` alone.
        create: True: must not exist; False: must exist; None: opens or creates.
        lifetime: ``"attached"`` (default): gone with the last process that has it open, however that ends,
            messages included; ``"kept"``: until ``unlink()``.
        mode: Permissions of the file behind it.
        group: Name or id of the group it is given to.
        namespace: A ``Namespace``, or what one is made from; None for the default.
        capacity: Bytes of memory it may use at most (default 256 MiB), reserved in steps as it grows.
        max_message: Bytes of one encoded message at most; by default and at most a quarter of ``capacity``.
        codec: ``"default"``, ``"raw"``, ``"json"``, ``"msgspec"``, ``"pickle"``, or an object with ``encode``
            and ``decode``. ``"pickle"`` runs what a message tells it to: only among programs you trust.
        type: What the messages are, for a channel checked at opening and decoded to that type by msgspec.
        on_full: ``"block"``, ``"fail"``, ``"drop-newest"`` or ``"drop-oldest"``, for puts by this handle.
        wait: How this handle waits: ``"balanced"`` spins for as long as that has paid lately, then sleeps;
            ``"latency"`` spins for 2 ms; ``"power"`` never spins.
        views: Whether large ``bytes`` come as read-only memoryviews into shared memory.
        max_deliveries: How often a leased message is handed out at most: each delivery by a lease counts,
            whether the lease was given back or its holder died. After that the message is set aside when a
            consumer would meet it next.
        dead_letter: Name of the queue to which a message goes after that; without one it is dropped. Where
            that queue can't take it (full, shut down, too small), the message is lost with a RuntimeWarning
            and counted in ``statistics().dropped``; this queue goes on.

    Raises:
        MismatchError: The name exists with other settings, another codec or type, or is another kind.
        NotFoundError: ``create=False`` and nothing has that name.
        NameInUseError: ``create=True`` and something has it.
        NoSpaceError: The file system is full.
        AccessError: The directory or the queue is another user's, or lets others in.
        CorruptedError: The file of that name is no segment, or damaged.
    """

    def __init__(
        self, name=None, maxsize=0, *, create=None, lifetime=None, mode=0o600, group=None, namespace=None,
        capacity=None, max_message=None, codec=None, type=None, on_full="block", wait="balanced", views=False,
        max_deliveries=None, dead_letter=None,
    ):
        if self.attachment is not None:
            raise RuntimeError("a queue is opened once; make another Queue object")
        policy.configure(
            self, name, maxsize, create=create, lifetime=lifetime, mode=mode, group=group, namespace=namespace,
            capacity=capacity, max_message=max_message, codec=codec, type=type, on_full=on_full, wait=wait,
            views=views, max_deliveries=max_deliveries, dead_letter=dead_letter,
        )

    def _bind(self, QueueAttachment attachment not None, Codec codec not None, int on_full, int waiting, bint views):
        """Called by ``configure`` once the segment is open."""
        self.bind_channel(attachment, codec, policy, waiting, views)
        self.on_full = on_full
        self.max_message = attachment.q.geometry().max_message
        self.inline_max = min(attachment.q.geometry().inline_max, self.max_message)
        self.q = self.out = attachment.q

    cdef bint has_changed(self) noexcept:
        return recover_leased(self.q)

    cdef int put_aside(self, Incoming *message, char *data) except -1:
        return put_dead_letter(self, message, data)

    def __del__(self):
        # At the interpreter's end the Python side has gone already; the kernel does what is left.
        if self.q is not NULL and policy is not None and not is_finalizing():
            self.close()

    # --- put -----------------------------------------------------------------------------------

    def put(self, obj, block=True, timeout=None):
        """Puts a message at the end of the queue.

        When this returns, the message is in shared memory and visible to every consumer; no thread
        carries it. What cannot be encoded raises here and changes nothing.

        Args:
            obj: What the queue's codec carries.
            block: Whether to wait for room in a queue whose policy is ``on_full="block"``.
            timeout: Seconds to wait at most; None waits for ever, 0 not at all.

        Raises:
            Full: No room in time, or at once with ``on_full="fail"``.
            ShutDown: The queue has been shut down.
            MessageTooLargeError: The message is larger than ``max_message``.
            NoSpaceError: The file system cannot back what the message needs.
            TypeError: The codec cannot carry the object.

        Any thread of any process may call this at the same time. If a producer dies in the middle,
        its message is not there and the others go on.
        """
        cdef CQueue *q = self.q
        cdef Outgoing message
        cdef Failure why
        cdef Status status
        if q is not NULL and self.plain and PyBytes_CheckExact(obj) and \
                <uint64_t> PyBytes_GET_SIZE(obj) <= self.inline_max and not q.people().foreign():
            message.kind = RecordKind.raw
            message.data = PyBytes_AS_STRING(obj)
            message.size = <uint32_t> PyBytes_GET_SIZE(obj)
            message.unit = kNowhere
            if timeout is not None:
                deadline_of(block, timeout)
            status = q.put(message, 0, why)
            if status == Status.ok:
                return
            put_patiently(self, &message, status, &why, block, timeout)
            return
        put_encoded(self, obj, block, timeout)

    def put_nowait(self, obj):
        """``put(obj, block=False)``."""
        self.put(obj, False)

    def put_many(self, items, block=True, timeout=None):
        """Puts many messages, paying once per batch for what a single ``put`` pays each time.

        Their order is kept; messages of other producers may come between batches.

        Args:
            items: An iterable of messages.
            block: As for ``put``.
            timeout: Seconds for all of them together.

        Raises:
            Full: As for ``put``; its ``sent`` tells how many have been put.
            ShutDown: As for ``put``.
            MessageTooLargeError: As for ``put``.
            NoSpaceError: As for ``put``.
            TypeError: As for ``put``.

        Items before the one that failed may have been put: the error's ``sent`` tells how many. Any thread of
        any process may call this at the same time; if the caller dies, what it had put is there.
        """
        cdef tuple all_items = tuple(items)
        cdef Py_ssize_t at = 0, count = len(all_items)
        if timeout is not None and block:
            block = deadline_of(True, timeout) != 0
        cdef int64_t deadline = deadline_of(block, timeout)
        while at < count:
            try:
                at += put_batch(self, all_items, at, count)
                if at < count:
                    left = None if deadline == kForever else max(0.0, (deadline - now_ns()) / 1e9)
                    self.put(all_items[at], deadline != 0, left)
                    at += 1
            except Exception as error:
                policy.note(error, "sent", at)
                raise

    # --- get -----------------------------------------------------------------------------------

    def get(self, block=True, timeout=None):
        """Takes the message at the front of the queue.

        Args:
            block: Whether to wait for a message.
            timeout: Seconds to wait at most; None waits for ever, 0 not at all.

        Returns:
            What was put. Arrays and buffers of 8 KiB and more come as read-only views into shared
            memory that keep their memory for as long as they live.

        Raises:
            Empty: Nothing came in time.
            ShutDown: The queue has been shut down and is drained.
            CorruptedError: The queue holds what no honest program writes.

        Any thread of any process may call this at the same time; each message goes to one of them.
        A message is gone when this has taken it: a consumer killed inside or after the call takes it
        along. Use ``lease`` for messages that must not be lost with their consumer.
        """
        cdef CQueue *q = self.q
        cdef Incoming message
        cdef char buffer[SCRATCH]
        cdef Status status
        if q is NULL or q.people().foreign():
            q = check_open(self)
        if timeout is not None:
            deadline_of(block, timeout)
        status = q.take(message, buffer, 0)
        if status != Status.ok or message.expired:
            take_patiently(self, &message, buffer, status, block, timeout, False)
        if message.unit == kNowhere and message.kind == RecordKind.raw and self.plain:
            return self.shelf.make(buffer, message.size)
        return decode(self, &message, buffer)

    def get_nowait(self):
        """``get(block=False)``."""
        return self.get(False)

    def get_many(self, max_messages=BATCH, block=True, timeout=None):
        """Takes up to ``max_messages`` that are there, waiting only for the first.

        Args:
            max_messages: At least 1.
            block: Whether to wait for a first message.
            timeout: Seconds to wait for it at most.

        Returns:
            A list of one message or more, in order. If one of them can't be decoded, the error that says
            so has those that can in its attribute ``messages``.

        Raises:
            Empty: As for ``get``.
            ShutDown: As for ``get``.
            CorruptedError: As for ``get``.

        Any thread of any process may call this at the same time. A consumer killed inside or after the call
        takes along what it had taken.
        """
        cdef Py_ssize_t wanted = max_messages
        if wanted < 1:
            raise ValueError(f"max_messages must be at least 1, not {max_messages!r}")
        deadline_of(block, timeout)
        return take_many(self, wanted, block, timeout)

    # --- leases --------------------------------------------------------------------------------

    def lease(self, timeout=None, *, block=True):
        """Takes the message at the front on condition.

        ``with queue.lease() as item:`` acknowledges on leaving the block. If the block raises, or this
        process dies, the message returns to the front of the queue and another consumer gets it. Deaths are
        learnt from the kernel, not by a time limit on the work: consumers that wait ask every 25 ms while
        leases are out (one that fell asleep before the lease was taken, after 250 ms at most), and who calls
        ``get`` or ``lease`` asks too, every 5 ms at most. A stopped process is alive and keeps its leases.

        Args:
            timeout: Seconds to wait at most; None waits for ever, 0 not at all.
            block: Whether to wait.

        Returns:
            A ``Lease``: a context manager with ``item``, ``redelivered``, ``ack()`` and ``release()``.

        Raises:
            Empty: As for ``get``.
            ShutDown: The queue has been shut down and is drained, and nobody else holds a lease on a message
                that could come back.
            SystemLimitError: 65,536 leases are out, as many as there can be.
            CorruptedError: As for ``get``.

        Any thread of any process may call this at the same time.
        """
        cdef Incoming message
        cdef char buffer[SCRATCH]
        cdef CQueue *q = check_open(self)
        cdef Status status
        cdef Lease lease
        cdef Block block_of = None
        deadline_of(block, timeout)
        status = q.take_lease(message, buffer, 0)
        if status != Status.ok or message.expired:
            take_patiently(self, &message, buffer, status, block, timeout, True)
        lease = Lease.__new__(Lease)
        lease.attachment = <QueueAttachment> self.attachment
        lease.message = message
        lease.owner = q.people().self()
        lease.journal = self.journal
        lease.lowest_first = self.lowest_first
        lease.open = True
        try:
            if message.unit != kNowhere:
                block_of = make_block(lease.attachment, lease.attachment.q, message.unit, message.total, False)
                lease.block = block_of
                lease.item = decode_block(self, &message, block_of)
            else:
                lease.item = decode(self, &message, buffer)
        except MemoryError:
            lease.give_back_soon()
            raise
        except Exception:
            lease.ack()               # what can't be decoded now can't be decoded later
            raise
        except BaseException:
            lease.give_back_soon()
            raise
        return lease

    def lease_many(self, max_messages=BATCH, timeout=None, *, block=True):
        """Leases up to ``max_messages`` that are there, waiting only for the first.

        Args:
            max_messages: At least 1.
            timeout: Seconds to wait for the first at most; None waits for ever, 0 not at all.
            block: Whether to wait for a first message.

        Returns:
            A ``LeaseMany``: a context manager that gives the list of items, acknowledges all on leaving
            and gives all back if the block raises; ``leases`` holds them one by one.
        """
        return policy.lease_many(self, max_messages, timeout, block)

    # --- state ---------------------------------------------------------------------------------

    def qsize(self):
        """How many messages can be taken now: exact when nobody else is at work, else a moment's."""
        return check_open(self).depth()

    def empty(self):
        """Whether ``qsize()`` is 0."""
        return check_open(self).depth() == 0

    def full(self):
        """Whether ``maxsize`` messages are waiting; False for a queue bounded by capacity alone."""
        cdef CQueue *q = check_open(self)
        return q.geometry().limit != 0 and q.depth() >= q.geometry().limit

    def shutdown(self, immediate=False):
        """Ends the stream for everybody: ``put`` raises ``ShutDown`` from now on, and so does ``get`` when
        the queue is drained, or at once with ``immediate``. As ``queue.Queue.shutdown`` of Python 3.13."""
        cdef CQueue *q = check_open(self)
        cdef QueueAttachment held = <QueueAttachment> self.attachment
        cdef bint at_once = bool(immediate)
        with nogil:
            q.shut_down(at_once)

    def close(self):
        """Closes this handle; other handles and processes are not concerned. Never fails; may be repeated.

        Views of messages stay valid. Threads of this process that wait in this handle get ``ClosedError``.
        The last handle of all takes an ``"attached"`` queue along; if messages are left in it, a
        ``ResourceWarning`` says so.
        """
        cdef bytes name
        cdef list closing
        if self.q is NULL:
            return
        self.q.wake_all()
        self.q = self.out = NULL
        self.stop_listening()
        name = self.attachment.name
        closing = (<QueueAttachment> self.attachment).closing = [0]
        self.attachment = None            # gone now, unless views, leases or other threads hold on to it
        lost = closing.pop()
        try:
            policy.closed(self)
        finally:
            if lost:
                policy.warn_lost(name, lost)      # raises where warnings are errors

    def _counters(self):
        cdef CQueue *q = check_open(self)
        state = &q.state()
        return {
            "sent": state.sent, "received": state.received,
            "sent_bytes": state.sent_bytes, "received_bytes": state.received_bytes,
            "returned": state.returned.load(), "leased": state.leased.load(),
            "returned_bytes": q.returned_bytes(), "ended": q.shut() == 2,
            "dropped_oldest": state.dropped_oldest.load(), "dropped_newest": state.dropped_newest.load(),
            "redelivered": state.redelivered.load(), "dead_lettered": state.dead_lettered.load(),
            "depth": q.depth(), "reserved": q.pool().reserved_bytes(), "capacity": q.pool().capacity_bytes(),
        }

    def _pages(self):
        """How many pages of the pool are used for what."""
        cdef uint64_t pages[6]
        if not check_open(self).pool().count_pages(pages):
            policy.fail(self, <int> Status.corrupted, None)
        return {"free": pages[1] + pages[2], "loaned": pages[3], "held": pages[4], "ring": pages[5]}

    def _recover(self):
        """Looks for the dead now, and waits for the locks that it takes; whether there were any."""
        cdef CQueue *q = check_open(self)
        cdef bint found
        cdef QueueAttachment held = <QueueAttachment> self.attachment
        with nogil:
            found = q.recover(True, RECOVERY)
        return found

    def _leased(self):
        return check_open(self).state().leased.load() != 0

    def _is_ready(self, bint for_room):
        """Whether there is something to take, or the end; of room only a try can tell."""
        return bool(not for_room and (check_open(self).has_items() or self.q.has_ended()))

    # --- the doorbell --------------------------------------------------------------------------

    def _arm(self, bint for_room):
        check_open(self).arm_bell(for_room)

    def fileno(self):
        """A descriptor that is readable when there may be messages: for ``select`` and event loops.

        It stays readable until a ``get`` finds the queue empty. Belongs to the queue: do not read from
        or close it. None of its users needs a thread.
        """
        cdef CQueue *q = check_open(self)
        if self.listener < 0:
            self.listener = self._listen()
            q.arm_bell(False)
            if q.has_items() or q.shut():
                ring_fd(bell_fd(self))
        return self.listener

    # --- the rest is Python --------------------------------------------------------------------

    def __repr__(self):
        return policy.describe(self)

    def statistics(self):
        """What the queue counts, as a frozen ``QueueStatistics``."""
        return policy.statistics(self)

    def loan(self, nbytes, block=True, timeout=None):
        """Lends shared memory to write a message of bytes into.

        ``with queue.loan(nbytes) as view:`` sends it on leaving the block, without a copy, and drops it if
        the block raises. The consumer gets ``bytes``, or a view with ``views=True``. Nothing may write into
        the memory after the block.

        Args:
            nbytes: Size of the message in bytes, at least 1.
            block: Whether to wait for memory, and on leaving for room.
            timeout: Seconds to wait at most, each time; None waits for ever, 0 not at all.

        Returns:
            A context manager that gives a writable ``memoryview`` of ``nbytes`` bytes.

        Raises:
            Full: No memory in time; or, on leaving, no room: the message is dropped.
            ShutDown: The queue has been shut down.
            MessageTooLargeError: ``nbytes`` is larger than ``max_message``.
            NoSpaceError: The file system cannot back it.
            TypeError: The codec is not ``"default"`` or ``"raw"``.

        Any number of loans may be open at the same time, in any thread. If the process dies in the block, the
        memory returns to the queue.
        """
        return make_loan(self, policy.plan_loan(self, nbytes), block, timeout)

    def loan_array(self, shape, dtype="u1", block=True, timeout=None):
        """Lends shared memory to write a NumPy array into.

        ``with queue.loan_array(shape, dtype) as array:`` sends the array on leaving the block and drops it if
        the block raises. The consumer gets a read-only array over the same memory; here too it is read-only
        from then on. An array below the size that has a block of its own (some 8 KiB) is copied.

        Args:
            shape: An int or a sequence of ints, as for ``numpy.empty``.
            dtype: What ``numpy.dtype`` takes, without Python objects.
            block: Whether to wait for memory, and on leaving for room.
            timeout: Seconds to wait at most, each time; None waits for ever, 0 not at all.

        Returns:
            A context manager that gives a writable C-ordered ``numpy.ndarray``. Its content is what was in the
            memory before.

        Raises:
            Full: As for ``loan``.
            ShutDown: As for ``loan``.
            MessageTooLargeError: As for ``loan``.
            NoSpaceError: As for ``loan``.
            TypeError: The codec is not ``"default"``, or the dtype holds Python objects.
            ValueError: A negative extent.

        Any number of loans may be open at the same time, in any thread. If the process dies in the block, the
        memory returns to the queue.
        """
        cdef LoanPlan plan = known_plan(self, shape, dtype)
        return make_loan(self, policy.plan_array(self, shape, dtype) if plan is None else plan, block, timeout)

    async def aput(self, obj, timeout=None):
        """``put`` for asyncio and trio: waits without a thread.

        Args:
            obj: What the queue's codec carries.
            timeout: Seconds to wait at most; None waits for ever, 0 not at all.

        Raises:
            Full: No room in time, or at once with ``on_full="fail"``.
            ShutDown: As for ``put``.
            MessageTooLargeError: As for ``put``.
            NoSpaceError: As for ``put``.
            TypeError: As for ``put``.

        Cancelled while it waits, it has put nothing. Any number of tasks may wait at the same time.
        """
        return await policy.aput(self, obj, timeout)

    async def aget(self, timeout=None):
        """``get`` for asyncio and trio: waits without a thread.

        Args:
            timeout: Seconds to wait at most; None waits for ever, 0 not at all.

        Returns:
            What was put, as from ``get``.

        Raises:
            Empty: As for ``get``.
            ShutDown: As for ``get``.
            CorruptedError: As for ``get``.

        Cancelled, it has taken nothing. Any number of tasks may wait at the same time.
        """
        return await policy.aget(self, timeout)

    def alease(self, timeout=None):
        """``async with queue.alease() as item:`` is ``lease`` for asyncio and trio.

        Args:
            timeout: Seconds to wait at most; None waits for ever, 0 not at all.

        Returns:
            An asynchronous context manager that gives the message; acknowledged on leaving, given back if the
            block raises or is cancelled, or the process dies.

        Raises:
            Empty: As for ``lease``, on entering.
            ShutDown: As for ``lease``, on entering.
            CorruptedError: As for ``lease``, on entering.

        Cancelled while it waits, it has taken nothing.
        """
        return policy.alease(self, timeout)

    def __iter__(self):
        return self

    def __next__(self):
        return policy.next_item(self)

    def __aiter__(self):
        return self

    async def __anext__(self):
        return await policy.next_item_async(self)


include "queue_priority.pxi"
include "message_queue.pxi"
include "message_journal.pxi"
