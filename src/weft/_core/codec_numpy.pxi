# NumPy arrays and scalars, without building against NumPy or importing it before an array arrives.
#
# A dtype is written as a value of this same format:
#   simple      its str, such as "<f8", "|S10", ">M8[25us]"; an integer type that has another's size
#               and is not the one that NumPy prefers of the two, by its letter: "<q"
#   subarray    (base, shape)
#   structured  (itemsize, flags, ((name, title or None, offset, dtype), ...))

cdef enum:
    DTYPE_ALIGNED = 1
    DTYPE_RECORD = 2                # its items are numpy.record
    DTYPES_KEPT = 256

cdef object numpy = None            # None: not yet looked for; False: not to be had
cdef dict described = {}            # id of a dtype -> (the dtype, its description)
cdef dict built = {}                # description -> dtype
cdef object simple_dtype = re.compile(
    r"[<>|](?:[biufc][0-9]{1,2}|[iIlLqQ]|[SUV][0-9]{1,10}"
    r"|[mM]8(?:\[[0-9]{0,9}(?:Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?)")


cdef object describe(object dtype):
    """Returns the description of a dtype, or None if it has none."""
    cdef list fields = []
    if dtype.hasobject:
        return None
    if dtype.subdtype is not None:
        base = describe(dtype.base)
        return None if base is None else (base, tuple(dtype.shape))
    if dtype.names is None:
        if dtype.kind in "iu" and numpy.dtype(dtype.str).char != dtype.char:
            return dtype.str[0] + dtype.char
        return dtype.str
    for name in dtype.names:
        field = dtype.fields[name]
        base = describe(field[0])
        title = field[2] if len(field) == 3 else None
        if base is None or not (title is None or type(title) is str):
            return None
        fields.append((name, title, int(field[1]), base))
    flags = (DTYPE_ALIGNED if dtype.isalignedstruct else 0) | (DTYPE_RECORD if dtype.type is numpy.record else 0)
    return int(dtype.itemsize), flags, tuple(fields)


cdef object build(object description):
    """Returns the dtype described; raises ValueError or TypeError for what describes none."""
    if type(description) is str:
        if not simple_dtype.fullmatch(description):
            raise ValueError("not a dtype")
        return numpy.dtype(description)
    if type(description) is tuple and len(description) == 2:
        base, shape = description
        return numpy.dtype((build(base), shape_of_ints(shape)))
    itemsize, flags, fields = description
    names, titles, offsets, bases = zip(*fields) if fields else ((), (), (), ())
    if not all(type(name) is str for name in names) or not all(type(title) in (str, type(None)) for title in titles):
        raise ValueError("not the fields of a dtype")
    shape_of_ints((itemsize, flags, *offsets))
    dtype = numpy.dtype(
        {"names": list(names), "formats": [build(base) for base in bases], "offsets": list(offsets),
         "titles": list(titles), "itemsize": itemsize},
        align=bool(flags & DTYPE_ALIGNED))
    return numpy.dtype((numpy.record, dtype)) if flags & DTYPE_RECORD else dtype


cdef tuple shape_of_ints(object shape):
    if type(shape) is not tuple or not all(type(extent) is int and 0 <= extent < 1 << 31 for extent in shape):
        raise ValueError("not a shape")
    return shape


cdef bint import_numpy() except -1:
    global numpy
    if numpy is None:
        try:
            numpy = __import__("numpy")  # unlike the statement, refuses a None in sys.modules
        except ImportError:
            numpy = False
    return numpy is not False


cdef object description_of(object dtype, const Place *place):
    """Returns the description of an array's dtype, once it has been seen to bring it back exactly.

    Dtypes may compare equal and yet differ (in alignment, numpy.record, long or long long), so that
    those which are remembered are known by identity.
    """
    cdef size_t identity = <size_t><PyObject *>dtype
    known = described.get(identity)
    if known is not None:
        return known[1]
    description = describe(dtype)
    try:
        same = dtype_of(description)
        if not (same == dtype and same.type is dtype.type and describe(same) == description):
            description = None
    except (ValueError, TypeError):
        description = None
    if description is None:
        unsupported(f"NumPy data of dtype {dtype}", place)
    if len(described) >= DTYPES_KEPT:
        described.clear()
    described[identity] = dtype, description
    return description


cdef int put_ndarray(Encoded out, object array, const Place *place) except -1:
    description = description_of(array.dtype, place)
    put_byte(out, TAG_NDARRAY)
    put_object(out, description, place)
    return put_items(out, array, PyBUF_STRIDED_RO)


cdef int put_scalar(Encoded out, object scalar, const Place *place) except -1:
    cdef object dtype = scalar.dtype
    cdef bytes data
    if dtype.type is not type(scalar):
        return unsupported(type_name(scalar), place)
    # Text would lose its trailing NULs as an array's item.
    if PyUnicode_Check(scalar):
        put_byte(out, TAG_NUMPY_STR)
        return put_str(out, scalar)
    if PyBytes_Check(scalar):
        put_byte(out, TAG_NUMPY_BYTES)
        return put_bytes(out, scalar)
    description = description_of(dtype, place)
    data = scalar.tobytes()
    put_byte(out, TAG_SCALAR)
    put_object(out, description, place)
    put_byte(out, TAG_SHORT_TUPLE)  # the shape of an array without dimensions
    return put_memory(out, c"C", data, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef object dtype_of(object description):
    dtype = built.get(description)
    if dtype is not None:
        return dtype
    dtype = build(description)
    if dtype.subdtype is not None:
        raise ValueError("a subarray as the dtype of an array")
    if len(built) >= DTYPES_KEPT:
        built.clear()
    built[description] = dtype
    return dtype


cdef object take_ndarray(Reader *r, int depth):
    cdef Items items
    description = take(r, depth)
    if not import_numpy():
        format, itemsize = format_of(description)
        shape = take_items(r, &items, itemsize, depth)
        return export(r, &items, itemsize, format, shape)
    dtype = dtype_of(description)
    shape = take_items(r, &items, dtype.itemsize, depth)
    order = "F" if items.fortran else "C"
    if items.blob.size == 0:
        return numpy.ndarray(shape, dtype, None, 0, None, order)
    if items.blob.offset >= 0 and r.owner != NULL:
        return numpy.ndarray(shape, dtype, <object>r.owner, items.blob.offset, None, order)
    memory = PyByteArray_FromStringAndSize(items.blob.data, items.blob.size)
    return numpy.ndarray(shape, dtype, memory, 0, None, order)


cdef object take_scalar(Reader *r, int depth):
    array = take_ndarray(r, depth)
    if array.shape != ():
        corrupt(r, "a scalar with dimensions")
    return array[()] if import_numpy() else array


cdef object take_numpy_text(Reader *r, object plain, str name, int depth):
    text = take(r, depth)
    if type(text) is not plain:
        corrupt(r, f"not the text of a numpy.{name}")
    return getattr(numpy, name)(text) if import_numpy() else text


cdef tuple format_of(object description):
    """Returns what a memoryview can say of a dtype, where there is no NumPy: format, item size."""
    cdef str order, kind
    if type(description) is not str:
        itemsize, _flags, _fields = description
        shape_of_ints((itemsize,))
        return b"%ds" % itemsize, itemsize
    if not simple_dtype.fullmatch(description):
        raise ValueError("not a dtype")
    order, kind = description[0], description[1]
    if len(description) == 2:
        itemsize = struct_size("=" + kind)
        kind = "i" if kind.islower() else "u"
    else:
        itemsize = int(description[2:].partition("[")[0]) * (4 if kind == "U" else 1)
    code = plain_formats.get("i" + str(itemsize) if kind in "mM" else kind + str(itemsize))
    if code is None:
        return b"%ds" % itemsize, itemsize
    native = order == "|" or (order == ">") == BIG_ENDIAN
    return (code if native else order + code).encode("ascii"), itemsize


cdef dict plain_formats = {
    "b1": "?", "i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q",
    "f2": "e", "f4": "f", "f8": "d",
}
