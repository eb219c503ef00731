# Setting a value.


cdef inline object set_bytes(Cell self, CCell *c, ValueKind kind, const char *data, uint64_t total, uint64_t body_size):
    """Makes contiguous bytes, which nobody changes meanwhile, the value; returns its version."""
    cdef CellAttachment held
    cdef CellValue value
    cdef Failure why
    cdef uint32_t buffer
    cdef Status status
    if total > self.size:
        policy.too_large(self, total, self.size)
    status = c.claim(buffer, why)
    if status != Status.ok:
        fail(self, status, &why)
    if total >= BIG_COPY:
        held = <CellAttachment> self.attachment   # a close in another thread must not pull c away
        with nogil:
            c.fill(buffer, 0, data, total)
    else:
        c.fill(buffer, 0, data, total)
    value.kind = kind
    value.total = total
    value.body_size = body_size
    return c.publish(buffer, value)


cdef object set_encoded(Cell self, object obj):
    cdef CCell *c = check_open(self)
    cdef CellAttachment held = <CellAttachment> self.attachment
    cdef Encoded encoded = self.scratch
    cdef CellValue value
    cdef Failure why
    cdef uint32_t buffer
    cdef Status status
    if encoded.busy:              # a codec that runs Python code may come back here
        encoded = Encoded()
    encoded.busy = True
    try:
        self.codec.encode(obj, encoded)
        c = check_open(self)
        if encoded.buffer_count == 0:
            return set_bytes(self, c, ValueKind.body, encoded.body, encoded.total, encoded.body_size)
        if <uint64_t> encoded.total > self.size:
            policy.too_large(self, encoded.total, self.size)
        status = c.claim(buffer, why)
        if status != Status.ok:
            fail(self, status, &why)
        if encoded.total >= BIG_COPY:
            with nogil:
                fill_parts(c, buffer, encoded)
        else:
            fill_parts(c, buffer, encoded)
        value.kind = ValueKind.body
        value.total = encoded.total
        value.body_size = encoded.body_size
        return c.publish(buffer, value)
    finally:
        encoded.clear()
        encoded.busy = False


cdef void fill_parts(CCell *c, uint32_t buffer, Encoded encoded) noexcept nogil:
    """As ``Encoded.write_to`` lays a message out."""
    cdef Py_ssize_t i, at = (encoded.body_size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    cdef char zeros[64]
    if at > encoded.body_size:
        for i in range(64):
            zeros[i] = 0
        c.fill(buffer, at - 64, zeros, 64)
    c.fill(buffer, 0, encoded.body, encoded.body_size)
    for i in range(encoded.buffer_count):
        at = (at + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
        c.fill(buffer, at, <const char *> encoded.buffers[i].buf, encoded.buffers[i].len)
        at += encoded.buffers[i].len


cdef object set_array(Cell self, object array):
    cdef CCell *c = check_open(self)
    cdef Py_buffer view
    if type(array) is not self.ndarray or array.shape != self.shape or array.dtype is not self.dtype:
        array = policy.flatten(self, array)
    try:
        PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS)
    except (BufferError, ValueError):          # strided, or of a type that the buffer protocol does not know
        array = policy.flatten(self, array)
        PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS)
    try:
        c = check_open(self)
        return set_bytes(self, c, ValueKind.raw, <const char *> view.buf, view.len, view.len)
    finally:
        PyBuffer_Release(&view)
