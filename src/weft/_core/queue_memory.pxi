# The attachment and what hangs on it: blocks, loans and a growing buffer.


@cython.final
@cython.no_gc
cdef class QueueAttachment(Attachment):
    """This process's part in a queue's segment."""

    def __cinit__(self, uint32_t kind=kQueueKind):
        cdef QueueObject *made = new QueueObject(kind)
        self.object = made
        self.q = <CQueue *> made

    def __dealloc__(self):
        cdef uint64_t lost = 0
        with nogil:
            lost = self.object.close()
            del self.object
        self.q = NULL
        self.object = NULL
        if lost == 0:
            return
        if self.closing:
            self.closing[0] = lost
        elif policy is not None and not is_finalizing():
            policy.warn_lost(self.name, lost)     # the last view has gone after the last handle


@cython.final
cdef class Block:
    """A received payload: a read-only buffer in shared memory, given back when nothing refers to it."""

    cdef Attachment attachment
    cdef CQueue *q                # where it came from; the attachment keeps it
    cdef uint32_t unit
    cdef Owner owner              # as whom this process holds it: a forked child holds nothing
    cdef uint64_t size
    cdef bint owned               # False while a lease still owns the memory
    cdef bint read                # all of it, by this core: see Pool::give
    cdef Incoming message         # what is to be given back to the queue with the last view
    cdef bint to_give_back

    def __getbuffer__(self, Py_buffer *view, int flags):
        if flags & PyBUF_WRITABLE:
            raise BufferError("received messages are read-only: copy what you want to change")
        fill_view(view, self, self.q.pool().data(self.unit), self.size, True, flags)

    def __releasebuffer__(self, Py_buffer *view):
        pass                      # NumPy keeps an export only of what defines this

    def __dealloc__(self):
        if self.attachment is None or not is_own(self.attachment, self.owner):
            return
        if self.owned:
            self.q.give_block(self.unit, self.read)
        elif self.to_give_back:
            self.q.give_back(self.message, kNowhere, now_ns() + STUCK)


cdef bint is_own(Attachment attachment, Owner owner):
    """Whether what was taken as ``owner`` is this process's: a forked child has its parent's objects, but
    another identity, or none yet."""
    return not attachment.object.people().foreign() and attachment.object.people().self() == owner


cdef Block make_block(Attachment attachment, CQueue *q, uint32_t unit, uint64_t size, bint owned):
    cdef Block block = Block.__new__(Block)
    block.attachment = attachment
    block.q = q
    block.owner = attachment.object.people().self()
    block.unit = unit
    block.size = size
    block.owned = owned
    return block


cdef int fill_view(Py_buffer *view, object owner, char *data, uint64_t size, bint readonly, int flags) except -1:
    view.obj = owner
    view.buf = data
    view.len = <Py_ssize_t> size
    view.itemsize = 1
    view.readonly = readonly
    view.ndim = 1
    view.format = <char *> "B" if flags & PyBUF_FORMAT else NULL
    view.shape = &view.len if flags & PyBUF_ND else NULL
    view.strides = &view.itemsize if (flags & PyBUF_STRIDES) == PyBUF_STRIDES else NULL
    view.suboffsets = NULL
    view.internal = NULL
    return 0


@cython.final
cdef class Arena:
    """Bytes behind one another, in memory that grows."""

    cdef char *data
    cdef Py_ssize_t used, size

    def __dealloc__(self):
        PyMem_Free(self.data)

    cdef Py_ssize_t append(self, const char *data, Py_ssize_t count) except -1:
        cdef Py_ssize_t at = self.used
        cdef char *grown
        if at + count > self.size:
            size = max(4096, 2 * self.size, at + count)
            grown = <char *> PyMem_Malloc(size)
            if grown is NULL:
                raise MemoryError()
            if at:
                memcpy(grown, self.data, at)
            PyMem_Free(self.data)
            self.data = grown
            self.size = size
        memcpy(self.data + at, data, count)
        self.used = at + count
        return at
