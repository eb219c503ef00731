# A message queue with Queue's interface, and the standard library's order.


cdef object order_policy = None    # weft.message_queue: see set_order_policy


def set_order_policy(module):
    """Binds in the Python side: ``configure``, ``fail_priority``, … of ``weft.message_queue``."""
    global order_policy
    order_policy = module


cdef class PriorityQueue(Queue):
    """A queue that gives the least first: ``queue.PriorityQueue`` between any two processes.

    An entry is a tuple that begins with its priority, as the standard library's documentation writes it:
    ``put((priority, item))``; ``get()`` returns the tuple. Or it is an object with an attribute ``priority``, such as
    a dataclass with ``type=``. Priorities are ints from 0 to 32,767, the least goes first; entries of one priority go
    in the order in which they were put, and nothing but the priority is ever compared. Anything else raises
    ``TypeError``: there is no priority that it could have been meant to have.

    All else is as in ``Queue``, leases and their return included: an entry that comes back takes its old place.

    Example:
        >>> import weft
        >>> with weft.PriorityQueue("doctest-jobs") as queue:
        ...     queue.put((5, "tidy up"))
        ...     queue.put((1, "put out the fire"))
        ...     queue.get()
        (1, 'put out the fire')

    Args:
        name: As for ``Queue``. An int here is ``maxsize``.
        maxsize: Entries that may wait at most, up to 61,440; 0 or less: that many.
        create: As for ``Queue``.
        lifetime: As for ``Queue``.
        mode: As for ``Queue``.
        group: As for ``Queue``.
        namespace: As for ``Queue``.
        capacity: As for ``Queue``.
        max_message: As for ``Queue``.
        codec: As for ``Queue``, but for ``"raw"``: bytes have no priority.
        type: As for ``Queue``: of the entries.
        on_full: ``"block"``, ``"fail"`` or ``"drop-newest"``.
        wait: As for ``Queue``.
        views: As for ``Queue``.
        max_deliveries: As for ``Queue``.
        dead_letter: As for ``Queue``: the name of a ``Queue``.

    Raises:
        MismatchError: As for ``Queue``.
        NotFoundError: As for ``Queue``.
        NameInUseError: As for ``Queue``.
        NoSpaceError: As for ``Queue``.
        AccessError: As for ``Queue``.
        CorruptedError: As for ``Queue``.
    """

    def __init__(
        self, name=None, maxsize=0, *, create=None, lifetime=None, mode=0o600, group=None, namespace=None,
        capacity=None, max_message=None, codec=None, type=None, on_full="block", wait="balanced", views=False,
        max_deliveries=None, dead_letter=None,
    ):
        if self.attachment is not None:
            raise RuntimeError("a queue is opened once; make another PriorityQueue object")
        order_policy.configure_priority(
            self, name, maxsize, create=create, lifetime=lifetime, mode=mode, group=group, namespace=namespace,
            capacity=capacity, max_message=max_message, codec=codec, type=type, on_full=on_full, wait=wait,
            views=views, max_deliveries=max_deliveries, dead_letter=dead_letter,
        )
        self.lowest_first = True

    cdef int rank_of(self, object obj) except -1:
        cdef object number = obj[0] if isinstance(obj, tuple) and len(<tuple> obj) > 1 else getattr(obj, "priority", None)
        return kMaxPriority - check_priority(number, (obj,))

    def put(self, obj, block=True, timeout=None):
        """Puts an entry in its place.

        Args:
            obj: ``(priority, item)``, or an object with an int attribute ``priority``.
            block: As for ``Queue.put``.
            timeout: As for ``Queue.put``.

        Raises:
            TypeError: No such entry, or the codec cannot carry it.
            ValueError: A priority that is not from 0 to 32,767.
            Full: As for ``Queue.put``.
            ShutDown: As for ``Queue.put``.
            MessageTooLargeError: As for ``Queue.put``.
            NoSpaceError: As for ``Queue.put``.
        """
        put_encoded(self, obj, block, timeout)

    def loan(self, nbytes, block=True, timeout=None):
        """Not for priority queues: raises ``TypeError``, since bytes have no priority."""
        raise TypeError("what is lent has no priority: use a Queue, or put((priority, item))")

    def loan_array(self, shape, dtype="u1", block=True, timeout=None):
        """Not for priority queues: raises ``TypeError``, since an array has no priority."""
        raise TypeError("what is lent has no priority: use a Queue, or put((priority, array))")


cdef object ZERO = 0


cdef int check_priority(object number, object entry=None) except -1:
    """A priority as a C int; what is none raises. ``entry`` has what it was found in."""
    cdef long long value
    if number is ZERO:
        return 0
    if not isinstance(number, int) or isinstance(number, bool):
        order_policy.fail_priority(number, entry)
    try:
        value = number
    except OverflowError:
        value = -1
    if value < 0 or value > kMaxPriority:
        order_policy.fail_priority(number, entry)
    return <int> value
