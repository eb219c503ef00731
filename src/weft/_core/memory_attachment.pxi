# Attachments to memory, which handles and views of one process share.

# What this process has open: key -> address of the attachment, which takes itself out when it goes.
cdef dict attachments = {}


@cython.no_gc
cdef class MemoryAttachment(Attachment):
    """This process's part in a segment of memory, of whatever kind."""

    def __cinit__(self, uint32_t kind=kMemoryKind, bint read_only=False):
        self.m = new Memory(kind, read_only)
        self.object = self.m

    def __dealloc__(self):
        if self.key is not None and attachments.get(self.key) == <size_t> <void *> self:
            del attachments[self.key]

    cpdef share(self, tuple key):
        """Lets later handles of this process find it under that key: see ``find_shared``."""
        self.key = key
        attachments[key] = <size_t> <void *> self

    cpdef object view(self, uint64_t offset, uint64_t size, bint readonly):
        """A buffer of that part of the data, which must be within the size of the last look.

        It keeps memory and attachment for as long as anybody refers to it.
        """
        cdef View view = View.__new__(View)
        view.attachment = self
        view.data = self.m.data() + offset
        view.size = <Py_ssize_t> size
        view.readonly = readonly or self.m.read_only()
        return view

    def is_foreign(self):
        """Whether this is a forked child that has not looked at it yet."""
        return self.m.people().foreign()

    def reserved(self):
        """Bytes of memory behind its file."""
        return reserved_bytes(self.m.segment().fd())

    def look(self):
        """Maps the memory if need be, and looks at its size, which it returns: (status, details, size)."""
        cdef Failure why
        cdef Status status = self.m.ensure_joined(why)
        if status == Status.ok:
            status = self.m.look(why)
        return <int> status, describe(why), self.m.size()


cdef object find_shared(tuple key):
    """The attachment of this process that was shared under that key, if its name still leads to it, or None.

    Handles that share it share its mapping, its descriptor and its place among the participants.
    """
    cdef object address = attachments.get(key)
    if address is None:
        return None
    attachment = <MemoryAttachment> <void *> <size_t> address
    return attachment if attachment.m.segment().is_linked() else None


@cython.final
cdef class View:
    """A buffer in shared memory that keeps it."""

    cdef MemoryAttachment attachment
    cdef char *data
    cdef Py_ssize_t size
    cdef bint readonly

    def __getbuffer__(self, Py_buffer *view, int flags):
        if flags & PyBUF_WRITABLE and self.readonly:
            raise BufferError("this memory was opened with readonly=True")
        view.obj = self
        view.buf = self.data
        view.len = self.size
        view.itemsize = 1
        view.readonly = self.readonly
        view.ndim = 1
        view.format = <char *> "B" if flags & PyBUF_FORMAT else NULL
        view.shape = &view.len if flags & PyBUF_ND else NULL
        view.strides = &view.itemsize if (flags & PyBUF_STRIDES) == PyBUF_STRIDES else NULL
        view.suboffsets = NULL
        view.internal = NULL
        self.attachment.exports += 1

    def __releasebuffer__(self, Py_buffer *view):
        self.attachment.exports -= 1
