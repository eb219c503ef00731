# The codecs that leave the work to others: bytes as they are, pickle, two functions.

cdef object whole(const char *data, Py_ssize_t body_size, Py_ssize_t total, object owner, bint views):
    """Returns the body of a message that has no buffers: a copy, or a view if asked for."""
    check_sizes(body_size, total)
    if body_size != total:
        raise CorruptedError(f"corrupt message: {total - body_size} bytes behind the body")
    if views and owner is not None:
        return PyMemoryView_FromObject(owner)
    return PyBytes_FromStringAndSize(data, body_size)


@cython.final
cdef class RawCodec(Codec):
    """Bytes as they are: any contiguous bytes-like object in, bytes out."""

    def __cinit__(self):
        self.name = "raw"

    cdef int encode(self, object obj, Encoded out) except -1:
        out.clear()
        if not PyObject_CheckBuffer(obj):
            raise TypeError(f"the raw codec carries bytes-like objects, not {type_name(obj)}: "
                            "use another codec, or convert it to bytes")
        return out.lend(obj)

    cdef object decode(self, const char *data, Py_ssize_t body_size, Py_ssize_t total,
                       object owner, bint views):
        return whole(data, body_size, total, owner, views)


cdef class _LargeBuffers:
    """A buffer_callback that keeps the large contiguous buffers out of the pickle."""

    cdef list found                 # memoryviews

    def __cinit__(self):
        self.found = []

    def __call__(self, buffer):
        """Returns whether the buffer is to be pickled in band."""
        try:
            memory = buffer.raw()
        except BufferError:
            return True
        if PyMemoryView_GET_BUFFER(memory).len < OUT_OF_LINE:
            return True
        self.found.append(memory)
        return False


@cython.final
cdef class PickleCodec(Codec):
    """Whatever pickles (protocol 5). Decoding runs code that the sender chose: ask for it by name.

    A body is the pickle, which starts with 0x80; or a zero byte, a varint count, as many times a
    byte (1: writable) and an out-of-line blob, and the pickle.
    """

    def __cinit__(self):
        import pickle
        self.name = "pickle"
        self.dumps = pickle.dumps
        self.loads = pickle.loads
        self.unpickling_error = pickle.UnpicklingError

    cdef int encode(self, object obj, Encoded out) except -1:
        cdef _LargeBuffers large = _LargeBuffers.__new__(_LargeBuffers)
        cdef Py_buffer view
        cdef bytes pickled
        cdef bint done = False
        out.clear()
        pickled = self.dumps(obj, 5, buffer_callback=large)
        if not large.found:
            return out.lend(pickled)
        try:
            put_byte(out, 0)
            put_varint(out, len(large.found))
            for memory in large.found:
                PyObject_GetBuffer(memory, &view, PyBUF_SIMPLE)
                put_blob(out, not view.readonly, &view)
            put_raw(out, PyBytes_AS_STRING(pickled), PyBytes_GET_SIZE(pickled))
            out.seal(out.scratch, out.size)
            done = True
        finally:
            if not done:
                out.clear()
        return 0

    cdef object decode(self, const char *data, Py_ssize_t body_size, Py_ssize_t total,
                       object owner, bint views):
        cdef Reader r
        cdef Blob blob
        cdef Py_ssize_t i
        cdef list buffers = []
        check_sizes(body_size, total)
        begin(&r, <const unsigned char *>data, data, body_size, total, owner)
        if body_size and data[0] == 0:
            r.at += 1
            for i in range(take_count(&r, 2)):
                writable = take_fixed(&r, 1)
                take_blob(&r, &blob)
                if owner is not None and blob.offset >= 0:
                    buffers.append(PyMemoryView_FromObject(owner)[blob.offset:blob.offset + blob.size])
                elif writable:
                    buffers.append(PyByteArray_FromStringAndSize(blob.data, blob.size))
                else:
                    buffers.append(PyBytes_FromStringAndSize(blob.data, blob.size))
        if r.reached != total:
            corrupt(&r, "bytes left over")
        pickled = PyMemoryView_FromMemory(<char *>r.at, r.end - r.at, PyBUF_READ)
        try:
            return self.loads(pickled, buffers=buffers)
        except (self.unpickling_error, EOFError) as error:  # an EOFError would tell of a closed channel
            corrupt(&r, f"{type(error).__name__}: {error}")


@cython.final
cdef class CallableCodec(Codec):
    """Two functions: `encode(obj)` returns a bytes-like object, `decode(data)` gets bytes.

    With `views=True` on a receiver, `decode` gets a read-only memoryview of the message instead.
    """

    def __cinit__(self, str name not None, encode, decode):
        if not callable(encode) or not callable(decode):
            raise TypeError("encode and decode must be callable")
        self.name = name
        self.encoder = encode
        self.decoder = decode

    cdef int encode(self, object obj, Encoded out) except -1:
        out.clear()
        data = self.encoder(obj)
        if not PyObject_CheckBuffer(data):
            raise TypeError(f"the encoder of the codec {self.name!r} returned {type_name(data)}, "
                            "not a bytes-like object")
        return out.lend(data)

    cdef object decode(self, const char *data, Py_ssize_t body_size, Py_ssize_t total,
                       object owner, bint views):
        return self.decoder(whole(data, body_size, total, owner, views))
