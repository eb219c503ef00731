# Writing values: exact types only, so that what comes back is what was put.

cdef enum:
    NO_INDEX = -1                   # in a set: its elements have no place
    IN_KEY = -2                     # within a dict's key itself

cdef struct Place:
    # Where the encoder is, for its errors: a chain on the C stack, one link per open container.
    const Place *outer
    PyObject *key                   # the dict key whose value is being written; NULL elsewhere
    Py_ssize_t index
    int depth


cdef str path_of(const Place *place):
    cdef list steps = []
    while place.outer != NULL:
        if place.key != NULL:
            key = repr(<object>place.key)
            steps.append(f"[{key if len(key) <= 60 else key[:57] + '...'}]")
        elif place.index >= 0:
            steps.append(f"[{place.index}]")
        else:
            steps.append("{key}" if place.index == IN_KEY else "{element}")
        place = place.outer
    steps.reverse()
    if len(steps) > 12:
        steps[6:len(steps) - 6] = ["..."]
    return "".join(steps)


cdef int unsupported(str what, const Place *place) except -1:
    path = path_of(place)
    raise TypeError(f"the default codec can't carry {what}{' at ' if path else ''}{path}: "
                    "use codec='pickle', a typed channel (type=...), or convert it to a built-in type")


cdef int too_deep(const Place *place) except -1:
    raise ValueError(f"nested more than {DEEPEST_WRITTEN} deep, or it contains itself: at {path_of(place)}")


cdef str type_name(object obj):
    kind = type(obj)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


cdef inline int enter(Place *place, const Place *outer) except -1:
    """Opens a container. One call in sixteen asks the interpreter whether its stack may grow."""
    place.outer = outer
    place.key = NULL
    place.index = NO_INDEX
    place.depth = outer.depth + 1
    if place.depth > DEEPEST_WRITTEN:
        too_deep(outer)
    if place.depth % 16 == 0:
        Py_EnterRecursiveCall(" while encoding a message")
    return 0


cdef inline void leave(Place *place) noexcept:
    if place.depth % 16 == 0:
        Py_LeaveRecursiveCall()


cdef inline Py_ssize_t write_int(char *to, long long value) noexcept nogil:
    """Writes an int, of up to 9 bytes, and returns how many they are."""
    cdef int power
    if 0 <= value < 64:
        to[0] = <char>value
        return 1
    power = ((not -0x80 <= value < 0x80) + (not -0x8000 <= value < 0x8000)
             + (not -<long long>0x80000000 <= value < <long long>0x80000000))
    to[0] = <char>(TAG_INT8 + power)
    store(to + 1, <uint64_t>value, 8)  # those beyond the width are written over
    return 1 + (1 << power)


cdef bint put_leaf(Encoded out, PyObject *item) noexcept:
    """Writes one of the usual leaves and returns True, unless scratch has to grow first.

    No Python code runs and nothing is called that may fail: so `item` may be borrowed, and this
    stays small enough for the containers' loops.
    """
    cdef PyTypeObject *kind = type_of(item)
    cdef Py_ssize_t size
    cdef long long value
    cdef char *to = out.scratch + out.size
    if out.capacity - out.size < SPARE:
        return False
    if kind == &PyUnicode_Type:
        if not PyUnicode_IS_COMPACT_ASCII(item) or PyUnicode_GET_LENGTH(item) >= 64:
            return False
        size = PyUnicode_GET_LENGTH(item)
        to[0] = <char>(TAG_SHORT_STR | size)
        copy(to + 1, ascii_data(item), size)
        out.size += 1 + size
        return True
    if kind == &PyLong_Type:
        if not is_compact(item, &value):
            return False
        out.size += write_int(to, value)
        return True
    if kind == &PyFloat_Type:
        to[0] = <char>TAG_FLOAT
        store(to + 1, bits_of(PyFloat_AS_DOUBLE(item)), 8)
        out.size += 9
        return True
    if item == Py_None or kind == &PyBool_Type:
        to[0] = <char>(TAG_NONE if item == Py_None else TAG_TRUE if item == Py_True else TAG_FALSE)
        out.size += 1
        return True
    return False


cdef inline int put(Encoded out, PyObject *item, const Place *place) except -1:
    cdef object held
    if put_leaf(out, item):
        return 0
    held = <object>item  # as all others may run Python code, which may drop it
    return put_rest(out, held, place)


cdef int put_object(Encoded out, object obj, const Place *place) except -1:
    return put(out, <PyObject *>obj, place)


cdef int put_rest(Encoded out, object obj, const Place *place) except -1:
    """Writes what is not a leaf, or no leaf that fits."""
    cdef PyTypeObject *kind = Py_TYPE(obj)
    if out.capacity - out.size < SPARE:
        grow(out, SPARE)
        return put(out, <PyObject *>obj, place)
    if kind == &PyDict_Type:
        return put_dict(out, obj, place)
    if kind == &PyList_Type:
        return put_list(out, obj, place)
    if kind == &PyTuple_Type:
        return put_tuple(out, obj, place)
    if kind == &PyUnicode_Type:
        return put_str(out, obj)
    if kind == &PyBytes_Type:
        return put_bytes(out, obj)
    if kind == &PyLong_Type:
        return put_int(out, obj)
    return put_other(out, obj, place)


cdef int put_str(Encoded out, object text) except -1:
    cdef Py_ssize_t size = 0
    cdef const char *data = PyUnicode_AsUTF8AndSize(text, &size)
    if data == NULL:
        if not PyErr_ExceptionMatches(UnicodeEncodeError):
            return -1
        PyErr_Clear()
        text = PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass")
        return put_memory(out, TAG_SURROGATES, text, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    if size < 64:
        put_byte(out, TAG_SHORT_STR | <int>size)
        return put_raw(out, data, size)
    return put_memory(out, TAG_STR, text, data, size)


cdef int put_int64(Encoded out, long long value) except -1:
    if out.capacity - out.size < SPARE:
        grow(out, SPARE)
    out.size += write_int(out.scratch + out.size, value)
    return 0


cdef int put_int(Encoded out, object number) except -1:
    cdef int overflow = 0
    cdef long long value = PyLong_AsLongLongAndOverflow(number, &overflow)
    return put_big_int(out, number) if overflow else put_int64(out, value)


cdef int put_big_int(Encoded out, object number) except -1:
    cdef bytes data = number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)
    return put_memory(out, TAG_BIG_INT, data, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef int put_bytes(Encoded out, object data) except -1:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    if size < 16:
        put_byte(out, TAG_SHORT_BYTES | <int>size)
        return put_raw(out, PyBytes_AS_STRING(data), size)
    return put_memory(out, TAG_BYTES, data, PyBytes_AS_STRING(data), size)


# Encoding an element may run Python code (a time zone's, a number's), and with it other threads: so
# what is not a leaf is held while it is written and a container's size is checked as it is walked.
# Without a GIL other threads always run, so there a private copy is walked.

cdef int put_list(Encoded out, object items, const Place *outer) except -1:
    cdef Place place
    cdef Py_ssize_t count
    if FREE_THREADED:
        items = PyList_AsTuple(items)
        put_count(out, TAG_SHORT_LIST, TAG_LIST, PyTuple_GET_SIZE(items))
        return put_elements(out, items, True, outer)
    count = PyList_GET_SIZE(items)
    put_count(out, TAG_SHORT_LIST, TAG_LIST, count)
    enter(&place, outer)
    try:
        for place.index in range(count):
            if place.index >= PyList_GET_SIZE(items):
                break
            put(out, PyList_GET_ITEM(items, place.index), &place)
    finally:
        leave(&place)
    if PyList_GET_SIZE(items) != count:
        raise RuntimeError("list changed size during encoding")
    return 0


cdef int put_tuple(Encoded out, object items, const Place *outer) except -1:
    put_count(out, TAG_SHORT_TUPLE, TAG_TUPLE, PyTuple_GET_SIZE(items))
    return put_elements(out, items, True, outer)


cdef int put_set(Encoded out, object items, const Place *outer) except -1:
    put_byte(out, TAG_SET if Py_TYPE(items) == &PySet_Type else TAG_FROZENSET)
    items = tuple(items)
    put_varint(out, PyTuple_GET_SIZE(items))
    return put_elements(out, items, False, outer)


cdef int put_elements(Encoded out, object items, bint ordered, const Place *outer) except -1:
    cdef Place place
    cdef Py_ssize_t i
    enter(&place, outer)
    try:
        for i in range(PyTuple_GET_SIZE(items)):
            place.index = i if ordered else NO_INDEX
            put(out, PyTuple_GET_ITEM(items, i), &place)
    finally:
        leave(&place)
    return 0


cdef int put_dict(Encoded out, object mapping, const Place *outer) except -1:
    cdef Place place
    cdef Py_ssize_t count, left, position = 0
    cdef PyObject *borrowed_key = NULL
    cdef PyObject *borrowed_value = NULL
    cdef object key, value          # hold what is borrowed
    if FREE_THREADED:
        mapping = PyDict_Copy(mapping)
    count = left = PyDict_Size(mapping)
    put_count(out, TAG_SHORT_DICT, TAG_DICT, count)
    enter(&place, outer)
    place.index = IN_KEY
    try:
        while left >= 0 and PyDict_Next(mapping, &position, &borrowed_key, &borrowed_value):
            left -= 1
            key = <object>borrowed_key
            value = <object>borrowed_value
            place.key = NULL
            put(out, borrowed_key, &place)
            place.key = borrowed_key
            put(out, borrowed_value, &place)
    finally:
        leave(&place)
    if left != 0 or PyDict_Size(mapping) != count:
        raise RuntimeError("dictionary changed size during encoding")
    return 0
