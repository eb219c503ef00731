# Memory as a sequence of bytes. What may run Python code comes first, and only then the look at the size.


cdef inline object get_slice(SharedMemory shm, index):
    cdef Py_ssize_t start, stop, step, count, i
    cdef char *data
    cdef char *to
    PySlice_Unpack(index, &start, &stop, &step)
    count = PySlice_AdjustIndices(shm.touch(), &start, &stop, step)
    data = shm.m.data()
    if step == 1 or count <= 0:
        return PyBytes_FromStringAndSize(data + start, count if count > 0 else 0)
    result = PyBytes_FromStringAndSize(NULL, count)
    to = PyBytes_AS_STRING(result)
    for i in range(count):
        to[i] = data[start + i * step]
    return result


cdef inline object get_byte(SharedMemory shm, index):
    cdef Py_ssize_t at = index_of(shm, index)      # which may map anew: so first
    return <int> <unsigned char> shm.m.data()[at]


cdef inline int set_slice(SharedMemory shm, index, value) except -1:
    cdef Py_ssize_t start, stop, step
    cdef Py_buffer source
    PySlice_Unpack(index, &start, &stop, &step)
    if PyBytes_CheckExact(value):
        return fill_slice(shm, start, stop, step, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    PyObject_GetBuffer(value, &source, PyBUF_SIMPLE)
    try:
        return fill_slice(shm, start, stop, step, <const char *> source.buf, source.len)
    finally:
        PyBuffer_Release(&source)


cdef inline int fill_slice(
    SharedMemory shm, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t step, const char *source, Py_ssize_t length,
) except -1:
    cdef Py_ssize_t i, count = PySlice_AdjustIndices(shm.touch_to_write(), &start, &stop, step)
    if length != count:
        raise IndexError(f"mmap slice assignment is wrong size: {length} bytes for {count}")
    cdef char *data = shm.m.data()
    if step == 1:
        memmove(data + start, source, count)
    else:
        for i in range(count):
            data[start + i * step] = source[i]
    return 0


cdef inline int set_byte(SharedMemory shm, index, value) except -1:
    cdef int byte = byte_of(value) if PyIndex_Check(index) else 0
    cdef Py_ssize_t at = index_of(shm, index)
    shm.touch_to_write()
    shm.m.data()[at] = <char> byte
    return 0


cdef inline Py_ssize_t index_of(SharedMemory shm, index) except -1:
    """Where the byte of that index stands."""
    if not PyIndex_Check(index):
        shm.touch()
        raise TypeError(f"mmap indices must be integers or slices, not {type(index).__name__}")
    cdef Py_ssize_t at = PyNumber_AsSsize_t(index, IndexError)
    cdef Py_ssize_t size = shm.touch()
    if at < 0:
        at += size
    if not 0 <= at < size:
        raise IndexError(f"mmap index out of range: {shm!r}")
    return at


cdef inline int byte_of(value) except -1:
    """An int that is a byte."""
    if not PyIndex_Check(value):
        raise TypeError(f"mmap item value must be an int from 0 to 255, not {type(value).__name__}")
    cdef Py_ssize_t number = PyNumber_AsSsize_t(value, OverflowError)
    if not 0 <= number <= 255:
        raise ValueError("mmap item value must be in range(0, 256)")
    return <int> number


cdef Py_ssize_t search(SharedMemory shm, sub, start, end, bint last) except -2:
    cdef Py_buffer wanted
    cdef Py_ssize_t first, past, size
    cdef const char *found
    cdef const char *data
    PyObject_GetBuffer(sub, &wanted, PyBUF_SIMPLE)
    try:
        first = shm.at if start is None else PyNumber_AsSsize_t(start, OverflowError)
        past = ((<size_t> -1) >> 1) if end is None else PyNumber_AsSsize_t(end, OverflowError)
        size = shm.touch()
        first = min(max(first + size if first < 0 else first, 0), size)
        past = min(max(past + size if past < 0 else past, 0), size)
        if past - first < wanted.len:
            return -1
        data = shm.m.data()
        if last:
            found = find_last_bytes(data + first, past - first, <const char *> wanted.buf, wanted.len)
        else:
            found = find_bytes(data + first, past - first, <const char *> wanted.buf, wanted.len)
        return found - data if found is not NULL else -1
    finally:
        PyBuffer_Release(&wanted)
