# The types beyond the plain built-ins, each with its writer and its reader.
#
# A module that defines such a type is not imported to recognise one: where an object of the type
# exists, its module is in sys.modules.

cdef enum Rare:
    RARE_NONE
    RARE_DECIMAL
    RARE_UUID
    RARE_ZONEINFO
    RARE_ARRAY
    RARE_NDARRAY
    RARE_SCALAR

cdef dict rare_types = {}           # type -> Rare; only ever grows, by the few types of these modules
cdef object array_type = None
cdef object decimal_type = None
cdef object uuid_type = None
cdef object uuid_safety = None      # (unknown, safe, unsafe)
cdef object zoneinfo_type = None
cdef object utc = get_utc()
cdef object timezone_type = type(utc)
cdef object zone_key = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+][A-Za-z0-9_+-]*)*", re.ASCII)


cdef int learn(object kind) except -1:
    """Returns the Rare of a type, or RARE_NONE."""
    global numpy
    for module_name, type_name, rare in (
        ("decimal", "Decimal", RARE_DECIMAL),
        ("uuid", "UUID", RARE_UUID),
        ("zoneinfo", "ZoneInfo", RARE_ZONEINFO),
        ("array", "array", RARE_ARRAY),
        ("numpy", "ndarray", RARE_NDARRAY),
    ):
        if kind is getattr(sys.modules.get(module_name), type_name, None):
            if rare == RARE_NDARRAY:
                numpy = sys.modules["numpy"]
            rare_types[kind] = rare
            return rare
    scalar = getattr(sys.modules.get("numpy"), "generic", None)
    if isinstance(scalar, type) and issubclass(kind, scalar) and kind.__module__ == "numpy":
        numpy = sys.modules["numpy"]
        rare_types[kind] = RARE_SCALAR
        return RARE_SCALAR
    return RARE_NONE


cdef int put_other(Encoded out, object obj, const Place *place) except -1:
    cdef PyTypeObject *kind = Py_TYPE(obj)
    cdef int rare
    if kind == &PySet_Type or kind == &PyFrozenSet_Type:
        return put_set(out, obj, place)
    if kind == &PyByteArray_Type:
        return put_exported(out, TAG_BYTEARRAY, obj)
    if kind == &PyMemoryView_Type:
        return put_memoryview(out, obj, place)
    if kind == &PyComplex_Type:
        put_tagged(out, TAG_COMPLEX, bits_of(PyComplex_RealAsDouble(obj)), 8)
        store(room(out, 8), bits_of(PyComplex_ImagAsDouble(obj)), 8)
        return 0
    if PyDateTime_CheckExact(obj):
        put_date(out, TAG_DATETIME, datetime_year(obj), datetime_month(obj), datetime_day(obj))
        return put_time(out, datetime_hour(obj), datetime_minute(obj), datetime_second(obj),
                        datetime_microsecond(obj), datetime_fold(obj), datetime_tzinfo(obj), place)
    if PyDate_CheckExact(obj):
        return put_date(out, TAG_DATE, date_year(obj), date_month(obj), date_day(obj))
    if PyTime_CheckExact(obj):
        put_byte(out, TAG_TIME)
        return put_time(out, time_hour(obj), time_minute(obj), time_second(obj),
                        time_microsecond(obj), time_fold(obj), time_tzinfo(obj), place)
    if PyDelta_CheckExact(obj):
        put_tagged(out, TAG_TIMEDELTA, <uint64_t><int64_t>timedelta_days(obj), 4)
        store(room(out, 4), timedelta_seconds(obj), 4)
        store(room(out, 4), timedelta_microseconds(obj), 4)
        return 0
    if <PyObject *>kind == <PyObject *>timezone_type:
        return put_timezone(out, obj, place)
    if kind == &PyRange_Type:
        put_byte(out, TAG_RANGE)
        put_object(out, obj.start, place)
        put_object(out, obj.stop, place)
        return put_object(out, obj.step, place)

    known = rare_types.get(type(obj))
    rare = learn(type(obj)) if known is None else known
    if rare == RARE_DECIMAL:
        text = str(obj).encode("ascii")
        return put_memory(out, TAG_DECIMAL, text, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    if rare == RARE_UUID:
        return put_uuid(out, obj)
    if rare == RARE_ZONEINFO:
        return put_zoneinfo(out, obj, place)
    if rare == RARE_ARRAY:
        put_byte(out, TAG_ARRAY)
        put_byte(out, ord(obj.typecode))
        return put_exported(out, <int>obj.itemsize | (0x80 if BIG_ENDIAN else 0), obj)
    if rare == RARE_NDARRAY:
        return put_ndarray(out, obj, place)
    if rare == RARE_SCALAR:
        return put_scalar(out, obj, place)
    return unsupported(type_name(obj), place)


cdef int put_exported(Encoded out, int lead, object exporter) except -1:
    """Writes a byte and, as a blob, the contiguous memory that an object exports."""
    cdef Py_buffer view
    PyObject_GetBuffer(exporter, &view, PyBUF_SIMPLE)
    return put_blob(out, lead, &view)


# --- dates and times ---

cdef inline int put_date(Encoded out, int tag, int year, int month, int day) except -1:
    return put_tagged(out, tag, <uint64_t>year | <uint64_t>month << 16 | <uint64_t>day << 24, 4)


cdef inline int put_time(Encoded out, int hour, int minute, int second, int microsecond, int fold,
                         object zone, const Place *place) except -1:
    cdef uint64_t fraction = <uint64_t>microsecond | <uint64_t>fold << 31
    store(room(out, 7), <uint64_t>hour | <uint64_t>minute << 8 | <uint64_t>second << 16 | fraction << 24, 7)
    if zone is None or zone is utc:
        return put_byte(out, TAG_NONE if zone is None else TAG_UTC)
    return put_other(out, zone, place)


cdef int put_timezone(Encoded out, object zone, const Place *place) except -1:
    cdef tuple arguments
    if zone is utc:
        return put_byte(out, TAG_UTC)
    arguments = zone.__getinitargs__()  # what its pickling uses: (offset,) or (offset, name)
    put_byte(out, TAG_TIMEZONE)
    put_object(out, arguments[0], place)
    return put_object(out, arguments[1] if len(arguments) == 2 else None, place)


cdef int put_zoneinfo(Encoded out, object zone, const Place *place) except -1:
    key = zone.key
    if type(key) is not str or len(key) > 100 or not zone_key.fullmatch(key):
        return unsupported(f"a ZoneInfo with the key {key!r}", place)
    try:
        zone.__reduce__()  # refuses a zone read from a file, which its key doesn't bring back
    except Exception:
        return unsupported("a ZoneInfo that was read from a file", place)
    put_byte(out, TAG_ZONEINFO)
    return put_str(out, key)


cdef object take_date(Reader *r):
    cdef uint64_t date = take_fixed(r, 4)
    return date_new(date & 0xffff, date >> 16 & 0xff, date >> 24)


cdef object take_time(Reader *r, int depth):
    cdef uint64_t time = take_fixed(r, 7)
    cdef object zone = take_zone(r, depth)
    return time_new(time & 0xff, time >> 8 & 0xff, time >> 16 & 0xff,
                    time >> 24 & 0x7fffffff, zone, time >> 55)


cdef object take_datetime(Reader *r, int depth):
    cdef uint64_t date = take_fixed(r, 4), time = take_fixed(r, 7)
    cdef object zone = take_zone(r, depth)
    return datetime_new(date & 0xffff, date >> 16 & 0xff, date >> 24,
                        time & 0xff, time >> 8 & 0xff, time >> 16 & 0xff,
                        time >> 24 & 0x7fffffff, zone, time >> 55)


cdef object take_zone(Reader *r, int depth):
    zone = take(r, depth)
    if zone is not None and not PyTZInfo_Check(zone):
        corrupt(r, f"{type(zone).__name__} as a time zone")
    return zone


cdef object take_timedelta(Reader *r):
    cdef int32_t days = <int32_t>take_fixed(r, 4)
    cdef int32_t seconds = <int32_t>take_fixed(r, 4)
    cdef int32_t microseconds = <int32_t>take_fixed(r, 4)
    return timedelta_new(days, seconds, microseconds)


cdef object take_timezone(Reader *r, int depth):
    offset = take(r, depth)
    name = take(r, depth)
    return timezone_type(offset) if name is None else timezone_type(offset, name)


cdef object take_zoneinfo(Reader *r, int depth):
    global zoneinfo_type
    key = take(r, depth)
    if type(key) is not str or len(key) > 100 or not zone_key.fullmatch(key):
        corrupt(r, "not the key of a time zone")
    if zoneinfo_type is None:
        from zoneinfo import ZoneInfo
        zoneinfo_type = ZoneInfo
    try:
        return zoneinfo_type(key)
    except (LookupError, OSError):  # OSError: what a directory of zones gives
        corrupt(r, f"time zone {key!r} is not known here")


# --- numbers, identifiers, arrays ---

cdef object take_big_int(Reader *r):
    cdef Blob blob
    take_blob(r, &blob)
    return int.from_bytes(PyBytes_FromStringAndSize(blob.data, blob.size), "little", signed=True)


cdef object take_range(Reader *r, int depth):
    start = take(r, depth)
    stop = take(r, depth)
    step = take(r, depth)
    if not (type(start) is int and type(stop) is int and type(step) is int):
        corrupt(r, "a range of what are not ints")
    return range(start, stop, step)


cdef object take_decimal(Reader *r):
    global decimal_type
    cdef Blob blob
    take_blob(r, &blob)
    if decimal_type is None:
        from decimal import Decimal
        decimal_type = Decimal
    return decimal_type(PyUnicode_DecodeASCII(blob.data, blob.size, NULL))


cdef int put_uuid(Encoded out, object uuid) except -1:
    cdef object number = uuid.int
    cdef bytes data
    if type(number) is not int:
        raise TypeError("a UUID whose int is none")
    data = number.to_bytes(16, "big")
    put_byte(out, TAG_UUID)
    put_raw(out, PyBytes_AS_STRING(data), 16)
    import_uuid()
    return put_byte(out, uuid_safety.index(uuid.is_safe))


cdef object take_uuid(Reader *r):
    cdef object data
    cdef uint64_t safety
    need(r, 17)
    data = PyBytes_FromStringAndSize(<const char *>r.at, 16)
    r.at += 16
    safety = take_fixed(r, 1)
    if safety > 2:
        corrupt(r, "not a UUID")
    import_uuid()
    return uuid_type(bytes=data, is_safe=uuid_safety[safety])


cdef int import_uuid() except -1:
    global uuid_type, uuid_safety
    if uuid_safety is None:
        from uuid import UUID, SafeUUID
        uuid_type = UUID
        uuid_safety = (SafeUUID.unknown, SafeUUID.safe, SafeUUID.unsafe)
    return 0


cdef object take_array(Reader *r):
    global array_type
    cdef Blob blob
    cdef uint64_t typecode = take_fixed(r, 1), itemsize = take_fixed(r, 1)
    cdef bint big_endian = itemsize >> 7
    take_blob(r, &blob)
    if array_type is None:
        from array import array
        array_type = array
    result = array_type(chr(typecode))
    if result.itemsize != itemsize & 0x7f:
        corrupt(r, f"items of {itemsize & 0x7f} bytes in an array of {chr(typecode)!r}, "
                   f"which has {result.itemsize} here")
    result.frombytes(PyMemoryView_FromMemory(<char *>blob.data, blob.size, PyBUF_READ))
    if big_endian != BIG_ENDIAN:
        result.byteswap()
    return result
