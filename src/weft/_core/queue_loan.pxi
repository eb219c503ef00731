# Memory of the pool that a program writes a message into, and sends without a copy.


@cython.final
cdef class LoanedMemory:
    """Memory of the pool to write a message into, before it is sent."""

    cdef Attachment attachment
    cdef CQueue *q                # whose memory; the attachment keeps it
    cdef uint32_t unit
    cdef Owner owner
    cdef uint64_t size
    cdef bint owned

    def __getbuffer__(self, Py_buffer *view, int flags):
        fill_view(view, self, self.q.pool().data(self.unit), self.size, False, flags)

    def __releasebuffer__(self, Py_buffer *view):
        pass

    def __dealloc__(self):
        if self.owned and is_own(self.attachment, self.owner):
            self.q.give_block(self.unit)


@cython.final
cdef class LoanPlan:
    """What a loan is for: bytes, or an array of one shape and dtype, whose plan serves again and again."""

    cdef uint64_t size            # bytes of payload
    cdef uint64_t begin           # where in the memory the payload starts
    cdef bytes head               # the encoded body before it; empty for raw bytes
    cdef object make_array        # numpy.ndarray; None for bytes
    cdef tuple shape
    cdef object dtype

    def __init__(self, size, head=b"", make_array=None, shape=None, dtype=None):
        self.size = size
        self.head = head
        self.begin = (<uint64_t> len(head) + 63) // 64 * 64
        self.make_array = make_array
        self.shape = shape
        self.dtype = dtype


cdef dict plans = {}              # (shape, dtype) as they were given -> LoanPlan
cdef enum:
    PLANS_KEPT = 256


def keep_plan(tuple shape, dtype, LoanPlan plan not None):
    """Remembers a plan for arrays."""
    if len(plans) >= PLANS_KEPT:
        plans.clear()
    plans[shape, dtype] = plan


cdef LoanPlan known_plan(Channel queue, object shape, object dtype):
    # A tuple of floats would be found under the tuple of ints that equals it.
    if type(shape) is not tuple or queue.codec.name != "default":
        return None
    for extent in <tuple> shape:
        if type(extent) is not int:
            return None
    try:
        return plans.get((shape, dtype))
    except TypeError:
        return None


cdef Loan make_loan(Channel queue, LoanPlan plan, object block, object timeout):
    cdef Loan loan = Loan.__new__(Loan)
    loan.queue = queue
    loan.plan = plan
    loan.block = block
    loan.timeout = timeout
    return loan


@cython.final
cdef class Loan:
    """The context manager of ``loan`` and ``loan_array``."""

    cdef Channel queue
    cdef LoanPlan plan
    cdef object block, timeout
    cdef LoanedMemory memory      # None where the message is small and is put as a copy
    cdef object target            # what the program writes to

    def __init__(self):
        raise TypeError("a loan comes from queue.loan() or queue.loan_array()")

    def __enter__(self):
        cdef LoanPlan plan = self.plan
        if self.target is not None:
            raise RuntimeError("a loan is entered once")
        if plan.make_array is None:
            self.memory = lend(self.queue, plan, self.block, self.timeout)
            self.target = memoryview(self.memory)
        elif plan.head:
            self.memory = lend(self.queue, plan, self.block, self.timeout)
            self.target = plan.make_array(plan.shape, plan.dtype, self.memory, plan.begin)
        else:
            self.target = plan.make_array(plan.shape, plan.dtype)
        return self.target

    def __exit__(self, kind, error, trace):
        cdef LoanedMemory memory = self.memory
        cdef object target = self.target
        cdef Outgoing message
        self.memory = None
        if self.plan.make_array is None:
            target.release()
        if kind is not None:
            return
        if memory is None:
            put_encoded(self.queue, target, self.block, self.timeout)
            return
        if not is_own(memory.attachment, memory.owner):
            self.queue.policy.fail_loan(self.queue)
        if self.plan.make_array is not None:
            target.setflags(write=False)  # what has been sent is the consumer's
        message.kind = RecordKind.body if self.plan.head else RecordKind.raw
        message.unit = memory.unit
        message.total = memory.size
        message.body_size = len(self.plan.head)
        memory.owned = False
        put_block(self.queue, memory.attachment, memory.q, &message, self.block, self.timeout)


cdef LoanedMemory lend(Channel queue, LoanPlan plan, object block, object timeout):
    cdef uint64_t size = plan.begin + plan.size
    cdef uint32_t unit = kNowhere
    cdef LoanedMemory memory
    if size > queue.max_message:
        queue.policy.too_large(queue, size, queue.max_message)
    check_out(queue)
    if take_block(queue, size, &unit, block, timeout) == 0:
        queue.policy.fail_put(queue, <int> Status.full, None)
    memory = LoanedMemory.__new__(LoanedMemory)
    memory.attachment = queue.attachment
    memory.q = queue.out
    memory.unit = unit
    memory.owner = memory.q.people().self()
    memory.size = size
    memory.owned = True
    if plan.head:
        memcpy(memory.q.pool().data(unit), PyBytes_AS_STRING(plan.head), len(plan.head))
    return memory
