# Reading values. Nothing in a message is believed before it is checked, and none of it is run.

cdef object take(Reader *r, int depth):
    """Reads a value: the usual leaves here, all others elsewhere, so that this stays small."""
    cdef int tag
    if r.at == r.end:
        need(r, 1)
    tag = r.at[0]
    r.at += 1
    if tag < TAG_SHORT_STR:
        return PyLong_FromLong(tag)
    if tag < TAG_SHORT_LIST:
        return take_short_str(r, tag & 0x3f)
    if tag == TAG_NONE:
        return None
    if tag == TAG_FALSE:
        return False
    if tag == TAG_TRUE:
        return True
    if tag == TAG_INT8:
        return PyLong_FromLong(<int8_t>take_fixed(r, 1))
    if tag == TAG_INT16:
        return PyLong_FromLong(<int16_t>take_fixed(r, 2))
    if tag == TAG_FLOAT:
        return PyFloat_FromDouble(double_of(take_fixed(r, 8)))
    return take_container(r, tag, depth)


cdef object take_container(Reader *r, int tag, int depth):
    cdef uint64_t bits
    cdef Py_ssize_t size
    if tag < TAG_NONE:
        size = tag & 0x0f
        if tag < TAG_SHORT_TUPLE:
            return take_list(r, size, depth)
        if tag < TAG_SHORT_DICT:
            return take_tuple(r, size, depth)
        if tag < TAG_SHORT_BYTES:
            return take_dict(r, size, depth)
        need(r, size)
        r.at += size
        return PyBytes_FromStringAndSize(<const char *>r.at - size, size)
    if tag == TAG_INT32:
        return PyLong_FromLong(<int32_t>take_fixed(r, 4))
    if tag == TAG_INT64:
        return PyLong_FromLongLong(<int64_t>take_fixed(r, 8))
    if tag == TAG_COMPLEX:
        bits = take_fixed(r, 8)
        return PyComplex_FromDoubles(double_of(bits), double_of(take_fixed(r, 8)))
    if tag == TAG_LIST:
        return take_list(r, take_count(r, 1), depth)
    if tag == TAG_TUPLE:
        return take_tuple(r, take_count(r, 1), depth)
    if tag == TAG_DICT:
        return take_dict(r, take_count(r, 2), depth)
    if tag == TAG_BYTES:
        return take_bytes(r)
    return take_other(r, tag, depth)


cdef object take_other(Reader *r, int tag, int depth):
    """Reads what is built by constructors with checks of their own, or is refused."""
    if depth >= DEEPEST:
        corrupt(r, "nested too deep")
    depth += 1
    try:
        if tag == TAG_STR:
            return take_str(r, NULL)
        if tag == TAG_SURROGATES:
            return take_str(r, "surrogatepass")
        if tag == TAG_SET:
            return take_set(r, set(), depth)
        if tag == TAG_FROZENSET:
            return frozenset(take_set(r, set(), depth))
        if tag == TAG_BIG_INT:
            return take_big_int(r)
        if tag == TAG_BYTEARRAY:
            return take_bytearray(r)
        if tag == TAG_MEMORYVIEW:
            return take_memoryview(r, depth)
        if tag == TAG_ARRAY:
            return take_array(r)
        if tag == TAG_NDARRAY:
            return take_ndarray(r, depth)
        if tag == TAG_SCALAR:
            return take_scalar(r, depth)
        if tag == TAG_NUMPY_STR:
            return take_numpy_text(r, str, "str_", depth)
        if tag == TAG_NUMPY_BYTES:
            return take_numpy_text(r, bytes, "bytes_", depth)
        if tag == TAG_DATE:
            return take_date(r)
        if tag == TAG_TIME:
            return take_time(r, depth)
        if tag == TAG_DATETIME:
            return take_datetime(r, depth)
        if tag == TAG_TIMEDELTA:
            return take_timedelta(r)
        if tag == TAG_UTC:
            return utc
        if tag == TAG_TIMEZONE:
            return take_timezone(r, depth)
        if tag == TAG_ZONEINFO:
            return take_zoneinfo(r, depth)
        if tag == TAG_DECIMAL:
            return take_decimal(r)
        if tag == TAG_UUID:
            return take_uuid(r)
        if tag == TAG_RANGE:
            return take_range(r, depth)
    except (ValueError, TypeError, ArithmeticError, Warning) as error:  # Warning: where warnings are errors
        if isinstance(error, CorruptedError):
            raise
        corrupt(r, f"{type(error).__name__}: {str(error)[:200]}")
    corrupt(r, f"unknown tag {tag:#x}")


cdef inline object take_short_str(Reader *r, Py_ssize_t size):
    cdef const unsigned char *at = r.at
    cdef object text
    need(r, size)
    r.at += size
    if size > 1 and is_ascii(at, size):
        text = PyUnicode_New(size, 127)
        copy(ascii_data(<PyObject *>text), <const char *>at, size)
        return text
    if size == 1 and at[0] < 128:
        return PyUnicode_FromOrdinal(at[0])  # the interpreter has it already
    return decode_utf8(r, <const char *>at, size, NULL)


cdef object decode_utf8(Reader *r, const char *data, Py_ssize_t size, const char *errors):
    try:
        return PyUnicode_DecodeUTF8(data, size, errors)
    except UnicodeDecodeError as error:
        corrupt(r, f"text is not UTF-8: {error.reason}")


cdef object take_str(Reader *r, const char *errors):
    cdef Blob blob
    take_blob(r, &blob)
    return decode_utf8(r, blob.data, blob.size, errors)


cdef object take_bytes(Reader *r):
    cdef Blob blob
    take_blob(r, &blob)
    if blob.offset >= 0 and r.views and r.owner != NULL:
        return PyMemoryView_FromObject(<object>r.owner)[blob.offset:blob.offset + blob.size]
    return PyBytes_FromStringAndSize(blob.data, blob.size)


cdef object take_bytearray(Reader *r):
    cdef Blob blob
    take_blob(r, &blob)
    return PyByteArray_FromStringAndSize(blob.data, blob.size)


cdef inline int descend(Reader *r, int depth) except -1:
    """Opens a container. One call in sixteen asks the interpreter whether its stack may grow."""
    if depth >= DEEPEST:
        corrupt(r, "nested too deep")
    if depth % 16 == 15:
        Py_EnterRecursiveCall(" while decoding a message")
    return 0


cdef inline void ascend(int depth) noexcept:
    if depth % 16 == 15:
        Py_LeaveRecursiveCall()


cdef object take_list(Reader *r, Py_ssize_t count, int depth):
    cdef list items
    cdef object item
    cdef Py_ssize_t i
    descend(r, depth)
    try:
        items = PyList_New(count)
        for i in range(count):
            item = take(r, depth + 1)
            Py_INCREF(item)
            PyList_SET_ITEM(items, i, item)
    finally:
        ascend(depth)
    return items


cdef object take_tuple(Reader *r, Py_ssize_t count, int depth):
    cdef tuple items
    cdef object item
    cdef Py_ssize_t i
    descend(r, depth)
    try:
        items = PyTuple_New(count)
        for i in range(count):
            item = take(r, depth + 1)
            Py_INCREF(item)
            PyTuple_SET_ITEM(items, i, item)
    finally:
        ascend(depth)
    return items


cdef object take_set(Reader *r, set items, int depth):
    cdef Py_ssize_t i, count = take_count(r, 1)
    descend(r, depth)
    try:
        for i in range(count):
            items.add(take(r, depth))
    finally:
        ascend(depth)
    return items


cdef object take_dict(Reader *r, Py_ssize_t count, int depth):
    cdef dict mapping
    cdef object key, value
    cdef Py_ssize_t i
    descend(r, depth)
    try:
        mapping = {}
        for i in range(count):
            key = take_key(r, depth + 1)
            value = take(r, depth + 1)
            if PyDict_SetItem(mapping, key, value) < 0:
                refuse_key(r, key)
    finally:
        ascend(depth)
    return mapping


cdef int refuse_key(Reader *r, object key) except -1:
    """Deals with the exception that hashing or comparing `key` has set."""
    if PyErr_ExceptionMatches(TypeError) or PyErr_ExceptionMatches(ValueError):
        PyErr_Clear()
        corrupt(r, f"{type(key).__name__} as a dict key")
    return -1


cdef inline object take_key(Reader *r, int depth):
    """Reads a dict key; the short ones, which recur, come from a cache with their hash known."""
    cdef Py_ssize_t size
    cdef void **slot
    cdef object key
    if r.keys == NULL or r.at == r.end or not TAG_SHORT_STR <= r.at[0] <= LONGEST_KEPT_KEY:
        return take(r, depth)
    size = r.at[0] & 0x3f
    r.at += 1
    need(r, size)
    slot = r.keys + key_slot(r.at, size)
    if slot[0] != NULL:
        key = <object>slot[0]
        if PyUnicode_GET_LENGTH(<PyObject *>key) == size and memcmp(ascii_data(<PyObject *>key), r.at, size) == 0:
            r.at += size
            return key
    key = take_short_str(r, size)
    if PyUnicode_IS_COMPACT_ASCII(<PyObject *>key):
        Py_INCREF(key)
        Py_XDECREF(<PyObject *>slot[0])  # a str: its end runs no code
        slot[0] = <void *>key
    return key


cdef inline Py_ssize_t key_slot(const unsigned char *at, Py_ssize_t size) noexcept:
    """Mixes the size and up to 24 bytes of a key."""
    cdef uint64_t mix = <uint64_t>size
    if size >= 8:
        mix ^= load(at, 8) * <uint64_t>0x9e3779b97f4a7c15
        mix ^= load(at + (size - 8), 8) + load(at + ((size - 8) >> 1), 8)
    elif size >= 4:
        mix ^= load(at, 4) << 32 | load(at + (size - 4), 4)
    elif size:
        mix ^= <uint64_t>at[0] << 32 | <uint64_t>at[size >> 1] << 16 | at[size - 1]
    return <Py_ssize_t>(mix * <uint64_t>0x9e3779b97f4a7c15 >> 56)
