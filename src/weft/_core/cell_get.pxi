# Getting a value: as a copy, or where it stands.


@cython.final
cdef class HeldValue:
    """A value as it stands in shared memory: a read-only buffer that nobody writes into until it goes."""

    def __getbuffer__(self, Py_buffer *view, int flags):
        if flags & PyBUF_WRITABLE:
            raise BufferError("values in a cell are read-only: copy what you want to change")
        PyBuffer_FillInfo(view, self, self.data, self.size, True, flags)

    def __releasebuffer__(self, Py_buffer *view):
        pass                      # NumPy keeps an export only of what defines this

    def __dealloc__(self):
        if self.attachment is not None:
            give_up(self.attachment, self.hold, self.owner)


cdef void give_up(CellAttachment attachment, uint32_t hold, Owner owner) noexcept:
    """A forked child has its parent's objects, but another identity, or none yet."""
    if not attachment.c.people().foreign() and attachment.c.people().self() == owner:
        attachment.c.give_up(hold)


cdef object bytes_to_array(Cell self, object memory):
    array = self.ndarray(self.shape, self.dtype, memory)
    return array if self.shape else array[()]


cdef object get_array(Cell self, CCell *c):
    """A new array; a scalar if it has no dimensions."""
    cdef CellAttachment held = <CellAttachment> self.attachment
    cdef CellValue value
    cdef object memory = PyByteArray_FromStringAndSize(NULL, self.size)
    cdef Status status = c.read(value, PyByteArray_AS_STRING(memory), self.size)
    cdef uint32_t hold = 0
    cdef Owner owner
    cdef const char *data
    cdef char *target
    if status == Status.ok:
        if value.total != self.size:
            fail(self, Status.corrupted, NULL)
    else:
        data = take_hold(self, held, status, &value, &hold)
        owner = c.people().self()
        try:
            if value.total != self.size:
                fail(self, Status.corrupted, NULL)
            target = PyByteArray_AS_STRING(memory)
            if value.total >= BIG_COPY:
                with nogil:
                    memcpy(target, data, value.total)
            else:
                memcpy(target, data, value.total)
        finally:
            give_up(held, hold, owner)
    self.got = value.version
    return bytes_to_array(self, memory)


cdef char *take_hold(Cell self, CellAttachment held, Status status, CellValue *value, uint32_t *hold) except NULL:
    """Holds the latest value after a try to copy it that ended with ``status``; where it stands."""
    cdef uint32_t buffer = 0
    cdef int tries = 0
    while status == Status.busy:
        status = held.c.hold(value[0], buffer, hold[0])
        if status == Status.busy:
            # All holds are out: those of readers end soon, those of views may not.
            if tries == HOLD_TRIES:
                policy.fail_holds(self)
            tries += 1
            policy.sleep(0.001)
    if status != Status.ok:
        fail(self, status, NULL)
    return held.c.data(buffer)


cdef object get_held(Cell self, Status status):
    """What is large, or has been overtaken, is decoded where it stands."""
    cdef CellAttachment held = <CellAttachment> self.attachment
    cdef CellValue value
    cdef uint32_t hold = 0
    cdef char *data = take_hold(self, held, status, &value, &hold)
    cdef Owner owner = held.c.people().self()
    cdef object result
    cdef char *target
    try:
        if value.kind == ValueKind.raw and self.plain:
            result = PyBytes_FromStringAndSize(NULL, value.total)
            target = PyBytes_AS_STRING(result)
            if value.total >= BIG_COPY:
                with nogil:
                    memcpy(target, data, value.total)
            else:
                memcpy(target, data, value.total)
        else:
            result = self.codec.decode(data, value.body_size, value.total, None, False)
    finally:
        give_up(held, hold, owner)
    self.got = value.version
    return result
