# The wire format's tags and the primitives that write and read them.
#
# A body is one value. A value is a tag byte and what that tag asks for; numbers are little-endian.
# A `varint` is LEB128 of at most 63 bits. A `blob` is a varint, `size << 1 | out_of_line`, and then
# the bytes themselves, unless they are out of line: those follow the body in the order in which the
# body refers to them, each at the next multiple of ALIGNMENT.

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    #ifdef Py_GIL_DISABLED
    #define WEFT_FREE_THREADED 1
    #else
    #define WEFT_FREE_THREADED 0
    #endif

    /* Widths are constants at every call: each of these becomes one move. */
    static inline void weft_store(char *to, uint64_t value, int width) {
    #if PY_BIG_ENDIAN
        for (int i = 0; i < width; i++) to[i] = (char)(value >> (8 * i));
    #else
        memcpy(to, &value, (size_t)width);
    #endif
    }

    static inline uint64_t weft_load(const unsigned char *from, int width) {
        uint64_t value = 0;
    #if PY_BIG_ENDIAN
        for (int i = 0; i < width; i++) value |= (uint64_t)from[i] << (8 * i);
    #else
        memcpy(&value, from, (size_t)width);
    #endif
        return value;
    }

    static inline int weft_is_ascii(const unsigned char *at, Py_ssize_t size) {
        uint64_t bits = 0, word;
        for (; size >= 8; at += 8, size -= 8) { memcpy(&word, at, 8); bits |= word; }
        for (; size > 0; at++, size--) bits |= *at;
        return (bits & UINT64_C(0x8080808080808080)) == 0;
    }

    /* A memcpy that costs no call where the sizes are small, as those of keys and names are. */
    static inline void weft_copy(char *to, const char *from, Py_ssize_t size) {
        if (size > 16) {
            memcpy(to, from, (size_t)size);
        } else if (size >= 8) {
            uint64_t head, tail;
            memcpy(&head, from, 8);
            memcpy(&tail, from + size - 8, 8);
            memcpy(to, &head, 8);
            memcpy(to + size - 8, &tail, 8);
        } else if (size >= 4) {
            uint32_t head, tail;
            memcpy(&head, from, 4);
            memcpy(&tail, from + size - 4, 4);
            memcpy(to, &head, 4);
            memcpy(to + size - 4, &tail, 4);
        } else if (size > 0) {
            to[0] = from[0];
            to[size >> 1] = from[size >> 1];
            to[size - 1] = from[size - 1];
        }
    }

    /* Where a compact ASCII str has its text. */
    static inline char *weft_ascii_data(PyObject *text) {
        return (char *)((PyASCIIObject *)text + 1);
    }

    /* Whether an int is small enough to be read without a call; its value, if so. */
    static inline int weft_is_compact(PyObject *number, long long *value) {
    #if PY_VERSION_HEX >= 0x030C0000
        if (!PyUnstable_Long_IsCompact((PyLongObject *)number)) return 0;
        *value = PyUnstable_Long_CompactValue((PyLongObject *)number);
    #else
        Py_ssize_t size = Py_SIZE(number);
        if (size < -1 || size > 1) return 0;
        *value = (long long)size * (long long)((PyLongObject *)number)->ob_digit[0];
    #endif
        return 1;
    }
    """
    const bint FREE_THREADED "WEFT_FREE_THREADED"
    const bint BIG_ENDIAN "PY_BIG_ENDIAN"
    void store "weft_store"(char *to, uint64_t value, int width) noexcept nogil
    uint64_t load "weft_load"(const unsigned char *at, int width) noexcept nogil
    bint is_ascii "weft_is_ascii"(const unsigned char *at, Py_ssize_t size) noexcept nogil
    void copy "weft_copy"(char *to, const char *source, Py_ssize_t size) noexcept nogil
    char *ascii_data "weft_ascii_data"(PyObject *text) noexcept
    bint is_compact "weft_is_compact"(PyObject *number, long long *value) noexcept

cdef enum:
    DEEPEST_WRITTEN = 200           # open containers
    DEEPEST = 208                   # the same when reading, where the parts of a value count as well
    MAX_DIMENSIONS = 64             # what the buffer protocol and NumPy allow
    SPARE = 80                      # more than the tag and the fixed part of any value
    KEPT_SCRATCH = 1 << 20          # a scratch that grew beyond this is given back by clear
    KEY_SLOTS = 256
    LONGEST_KEPT_KEY = 0x60         # the tag of a str of 32 bytes

# One value per tag; the four short forms hold their size in the tag itself.
cdef enum:
    TAG_SMALL_INT = 0x00            # 0x00-0x3f: the ints 0 to 63
    TAG_SHORT_STR = 0x40            # 0x40-0x7f: 0 to 63 bytes of UTF-8
    TAG_SHORT_LIST = 0x80           # 0x80-0x8f: 0 to 15 values
    TAG_SHORT_TUPLE = 0x90          # 0x90-0x9f: 0 to 15 values
    TAG_SHORT_DICT = 0xa0           # 0xa0-0xaf: 0 to 15 keys, each followed by its value
    TAG_SHORT_BYTES = 0xb0          # 0xb0-0xbf: 0 to 15 bytes
    TAG_NONE = 0xc0
    TAG_FALSE = 0xc1
    TAG_TRUE = 0xc2
    TAG_INT8 = 0xc3                 # signed, as all of these
    TAG_INT16 = 0xc4
    TAG_INT32 = 0xc5
    TAG_INT64 = 0xc6
    TAG_BIG_INT = 0xc7              # blob: two's complement
    TAG_FLOAT = 0xc8                # IEEE 754 binary64
    TAG_COMPLEX = 0xc9              # two of them
    TAG_STR = 0xca                  # blob: UTF-8
    TAG_SURROGATES = 0xcb           # blob: UTF-8 with surrogates let through
    TAG_LIST = 0xcc                 # varint count, values
    TAG_TUPLE = 0xcd
    TAG_DICT = 0xce                 # varint count, keys each followed by its value
    TAG_SET = 0xcf                  # varint count, values
    TAG_FROZENSET = 0xd0
    TAG_BYTES = 0xd1                # blob
    TAG_BYTEARRAY = 0xd2            # blob
    TAG_MEMORYVIEW = 0xd3           # format (str), shape (tuple), order ('C' or 'F', a byte), blob
    TAG_ARRAY = 0xd4                # type code and item size (high bit: big-endian), a byte each; blob
    TAG_NDARRAY = 0xd5              # dtype (see codec_numpy.pxi), shape, order, blob
    TAG_SCALAR = 0xd6               # the same for a NumPy scalar, with the shape ()
    TAG_NUMPY_STR = 0xd7            # str
    TAG_NUMPY_BYTES = 0xd8          # bytes
    TAG_DATE = 0xd9                 # year (2 bytes), month, day
    TAG_TIME = 0xda                 # hour, minute, second, microsecond (4 bytes, high bit: fold), zone
    TAG_DATETIME = 0xdb             # date, time
    TAG_TIMEDELTA = 0xdc            # days, seconds, microseconds: 4 bytes each
    TAG_UTC = 0xdd                  # datetime.timezone.utc
    TAG_TIMEZONE = 0xde             # offset (timedelta), name (str or None)
    TAG_ZONEINFO = 0xdf             # key (str)
    TAG_DECIMAL = 0xe0              # blob: its str()
    TAG_UUID = 0xe1                 # 16 bytes, big-endian; one byte for is_safe
    TAG_RANGE = 0xe2                # start, stop, step


cdef inline Py_ssize_t aligned(Py_ssize_t offset) noexcept nogil:
    return (offset + ALIGNMENT - 1) & -ALIGNMENT


# --- writing ---

cdef int grow(Encoded out, Py_ssize_t wanted) except -1:
    cdef Py_ssize_t capacity = out.capacity if out.capacity else 512
    cdef char *scratch
    if wanted > PY_SSIZE_T_MAX // 2 - out.size:
        raise MemoryError
    while capacity < out.size + wanted:
        capacity *= 2
    scratch = <char *>PyMem_RawRealloc(out.scratch, capacity)
    if scratch == NULL:
        raise MemoryError
    out.scratch = scratch
    out.capacity = capacity
    return 0


cdef inline char *room(Encoded out, Py_ssize_t wanted) except NULL:
    """Returns where the next `wanted` bytes go and counts them as used."""
    if out.capacity - out.size < wanted:
        grow(out, wanted)
    out.size += wanted
    return out.scratch + out.size - wanted


cdef inline int put_byte(Encoded out, int value) except -1:
    room(out, 1)[0] = <char>value
    return 0


cdef inline int put_raw(Encoded out, const char *data, Py_ssize_t size) except -1:
    cdef char *to = room(out, size)
    if size:  # an empty buffer's address may be NULL
        memcpy(to, data, size)
    return 0


cdef inline Py_ssize_t write_varint(char *to, uint64_t value) noexcept nogil:
    """Writes a varint, of up to 9 bytes, and returns how many they are."""
    cdef Py_ssize_t size = 0
    while value >= 0x80:
        to[size] = <char>(value | 0x80)
        value >>= 7
        size += 1
    to[size] = <char>value
    return size + 1


cdef inline int put_varint(Encoded out, uint64_t value) except -1:
    cdef char *to = room(out, SPARE)
    out.size += write_varint(to, value) - SPARE
    return 0


cdef inline int put_tagged(Encoded out, int tag, uint64_t value, int width) except -1:
    cdef char *to = room(out, 1 + width)
    to[0] = <char>tag
    store(to + 1, value, width)
    return 0


cdef inline int put_count(Encoded out, int short_tag, int tag, Py_ssize_t count) except -1:
    if count < 16:
        return put_byte(out, short_tag | <int>count)
    put_byte(out, tag)
    return put_varint(out, count)


cdef int put_memory(Encoded out, int lead, object owner, const char *data, Py_ssize_t size) except -1:
    """Writes a byte and a blob of `size` bytes, which do not change or move while `owner` lives."""
    cdef Py_buffer view
    if size < OUT_OF_LINE:
        return put_inline(out, lead, data, size)
    PyBuffer_FillInfo(&view, owner, <void *>data, size, 1, PyBUF_SIMPLE)
    return put_blob(out, lead, &view)


cdef int put_inline(Encoded out, int lead, const char *data, Py_ssize_t size) except -1:
    cdef char *to = room(out, SPARE + size)
    cdef Py_ssize_t header
    to[0] = <char>lead
    header = 1 + write_varint(to + 1, <uint64_t>size << 1)
    copy(to + header, data, size)
    out.size += header - SPARE
    return 0


cdef int put_blob(Encoded out, int lead, Py_buffer *view) except -1:
    """Writes a byte and a blob and takes over `view`: kept if it goes out of line, else released."""
    cdef bint kept = False
    try:
        if view.len < OUT_OF_LINE:
            put_inline(out, lead, <const char *>view.buf, view.len)
        else:
            put_byte(out, lead)
            put_varint(out, <uint64_t>view.len << 1 | 1)
            keep(out, view)
            kept = True
    finally:
        if not kept:
            PyBuffer_Release(view)
    return 0


cdef int keep(Encoded out, Py_buffer *view) except -1:
    cdef Py_ssize_t capacity
    cdef Py_buffer *buffers
    if out.buffer_count == out.buffer_capacity:
        capacity = out.buffer_capacity * 2 + 4
        buffers = <Py_buffer *>PyMem_RawRealloc(out.buffers, capacity * sizeof(Py_buffer))
        if buffers == NULL:
            raise MemoryError
        out.buffers = buffers
        out.buffer_capacity = capacity
    out.buffers[out.buffer_count] = view[0]
    out.buffer_count += 1
    return 0


# --- reading ---

cdef struct Reader:
    const unsigned char *at         # in a private copy of the body: a hostile peer can't change it
    const unsigned char *end        #   between a check and the use of what was checked
    const unsigned char *start
    const char *data                # the message itself
    Py_ssize_t total
    Py_ssize_t unclaimed            # bytes of the body that no count has claimed as elements
    Py_ssize_t reached              # end of the last part used: the body, then each buffer in turn
    PyObject *owner                 # borrowed; NULL: everything is copied
    bint views
    void **keys


cdef struct Blob:
    const char *data
    Py_ssize_t size
    Py_ssize_t offset               # in the message; -1: inline


cdef int corrupt(Reader *r, str what) except -1:
    raise CorruptedError(f"corrupt message: {what} (before byte {r.at - r.start} "
                         f"of a body of {r.end - r.start})")


cdef inline int need(Reader *r, Py_ssize_t size) except -1:
    if r.end - r.at < size:
        corrupt(r, f"{size} more bytes expected")
    return 0


cdef inline uint64_t take_fixed(Reader *r, int width) except? 0xdead:
    need(r, width)
    r.at += width
    return load(r.at - width, width)


cdef Py_ssize_t take_varint(Reader *r) except -1:
    cdef uint64_t value = 0, byte
    cdef int shift = 0
    while shift < 63:
        byte = take_fixed(r, 1)
        value |= (byte & 0x7f) << shift
        if byte < 0x80:
            return <Py_ssize_t>value
        shift += 7
    return corrupt(r, "number too large")


cdef Py_ssize_t take_count(Reader *r, Py_ssize_t least) except -1:
    """Reads how many elements follow, each of at least `least` bytes.

    No more than fit are believed: neither by one container nor, as room is made for them at once,
    by all the nested ones together.
    """
    cdef Py_ssize_t count = take_varint(r)
    if count > min(r.end - r.at, r.unclaimed) // least:
        corrupt(r, f"{count} elements claimed")
    r.unclaimed -= count * least
    return count


cdef int take_blob(Reader *r, Blob *blob) except -1:
    cdef Py_ssize_t header = take_varint(r), offset
    blob.size = header >> 1
    if header & 1:
        offset = aligned(r.reached)
        if offset > r.total or blob.size > r.total - offset:
            corrupt(r, f"{blob.size} bytes out of line claimed")
        blob.offset = offset
        blob.data = r.data + offset
        r.reached = offset + blob.size
    else:
        need(r, blob.size)
        blob.offset = -1
        blob.data = <const char *>r.at
        r.at += blob.size
    return 0
