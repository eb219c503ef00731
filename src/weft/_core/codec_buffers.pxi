# memoryviews: they come back read-only, with their format and shape.

cdef class _Exporter:
    """Exports memory as read-only items of a format and shape, which `memoryview.cast` can't always give."""

    cdef object owner               # keeps the memory
    cdef char *data
    cdef Py_ssize_t size
    cdef Py_ssize_t itemsize
    cdef bytes format
    cdef int ndim
    cdef Py_ssize_t *shape          # ndim extents, then ndim strides

    def __dealloc__(self):
        PyMem_Free(self.shape)

    def __getbuffer__(self, Py_buffer *view, int flags):
        if flags != PyBUF_FULL_RO:  # the memoryview's own request; it checks what others ask of it
            raise BufferError("only a memoryview can be made of this")
        view.buf = self.data
        view.obj = self
        view.len = self.size
        view.readonly = 1
        view.itemsize = self.itemsize
        view.format = PyBytes_AS_STRING(self.format)
        view.ndim = self.ndim
        view.shape = self.shape
        view.strides = self.shape + self.ndim
        view.suboffsets = NULL
        view.internal = NULL


cdef struct Items:
    Blob blob
    bint fortran


cdef object export(Reader *r, Items *items, Py_ssize_t itemsize, bytes format, tuple shape):
    """Returns a memoryview of items whose shape has been checked."""
    cdef _Exporter exporter = _Exporter.__new__(_Exporter)
    cdef Py_ssize_t i, stride = itemsize
    cdef int ndim = <int>len(shape)
    if items.blob.offset >= 0 and r.owner != NULL:
        exporter.owner = <object>r.owner
        exporter.data = <char *>items.blob.data
    else:
        exporter.owner = PyBytes_FromStringAndSize(items.blob.data, items.blob.size)
        exporter.data = PyBytes_AS_STRING(exporter.owner)
    exporter.size = items.blob.size
    exporter.itemsize = itemsize
    exporter.format = format
    exporter.shape = <Py_ssize_t *>PyMem_Malloc((2 * ndim + 1) * sizeof(Py_ssize_t))
    if exporter.shape == NULL:
        raise MemoryError
    exporter.ndim = ndim
    for i in range(ndim):
        exporter.shape[i] = shape[i]
    for i in range(ndim):
        exporter.shape[ndim + (i if items.fortran else ndim - 1 - i)] = stride
        stride *= exporter.shape[i if items.fortran else ndim - 1 - i] if exporter.size else 1
    return PyMemoryView_FromObject(exporter)


cdef Py_ssize_t format_size(str format) noexcept:
    """Returns the size of an item of a one-character format of the struct module, or 0.

    The format and the item size of a memoryview must agree: it reads items without a check.
    """
    cdef str order = format[0] if len(format) == 2 else "@"
    if not 1 <= len(format) <= 2 or order not in "@=<>!" or format[len(format) - 1] not in "cbB?hHiIlLqQnNefdP":
        return 0
    try:
        return struct_size(format)
    except Exception:  # struct.error: n, N and P have no standard size
        return 0


cdef Py_ssize_t checked_size(Reader *r, object shape, Py_ssize_t itemsize) except -1:
    """Returns the size in bytes of an array of this shape, whose dimensions can be trusted then."""
    cdef Py_ssize_t extent, product = itemsize
    cdef bint empty = itemsize == 0
    if type(shape) is not tuple or len(shape) > MAX_DIMENSIONS:
        corrupt(r, "not a shape")
    for item in <tuple>shape:
        if type(item) is not int or not 0 <= item <= PY_SSIZE_T_MAX:
            corrupt(r, "not a shape")
        extent = item
        if extent == 0:
            empty = True
        elif product > PY_SSIZE_T_MAX // extent:
            corrupt(r, "an array too large to be")
        else:
            product *= extent
    return 0 if empty else product


# Items, of a memoryview or an array, are written as their shape (a tuple), their order ('C' or 'F',
# one byte) and a blob.

cdef int put_items(Encoded out, object exporter, int flags) except -1:
    """Writes the items of a memoryview or an ndarray; those that are not contiguous get packed."""
    cdef Py_buffer view
    cdef int i
    cdef bint contiguous, fortran
    cdef bytes packed
    PyObject_GetBuffer(exporter, &view, flags)
    try:
        contiguous = PyBuffer_IsContiguous(&view, b"C")
        fortran = not contiguous and PyBuffer_IsContiguous(&view, b"F")
        put_count(out, TAG_SHORT_TUPLE, TAG_TUPLE, view.ndim)
        for i in range(view.ndim):
            put_int64(out, view.shape[i])
    except BaseException:
        PyBuffer_Release(&view)
        raise
    if contiguous or fortran:
        return put_blob(out, c"F" if fortran else c"C", &view)
    PyBuffer_Release(&view)
    packed = exporter.tobytes()
    return put_memory(out, c"C", packed, PyBytes_AS_STRING(packed), PyBytes_GET_SIZE(packed))


cdef tuple take_items(Reader *r, Items *items, Py_ssize_t itemsize, int depth):
    """Returns the shape, which can be trusted: its product has been checked against the blob's size."""
    cdef uint64_t order
    shape = take(r, depth)
    order = take_fixed(r, 1)
    if order != c"C" and order != c"F":
        corrupt(r, "not an order of items")
    items.fortran = order == c"F"
    take_blob(r, &items.blob)
    if checked_size(r, shape, itemsize) != items.blob.size:
        corrupt(r, f"{items.blob.size} bytes for items of another size")
    return shape


cdef int put_memoryview(Encoded out, object memory, const Place *place) except -1:
    cdef str format = memory.format
    if not format_size(format):
        return unsupported(f"a memoryview of the format {format!r}", place)
    put_byte(out, TAG_MEMORYVIEW)
    put_str(out, format)
    return put_items(out, memory, PyBUF_FULL_RO)


cdef object take_memoryview(Reader *r, int depth):
    cdef Items items
    cdef Py_ssize_t itemsize
    format = take(r, depth)
    itemsize = format_size(format) if type(format) is str else 0
    if not itemsize:
        corrupt(r, "not the format of a memoryview")
    shape = take_items(r, &items, itemsize, depth)
    return export(r, &items, itemsize, (<str>format).encode("ascii"), shape)
