# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True, auto_pickle=False
"""Codecs: messages from objects, and objects from bytes that may be hostile.

A message is a body and, behind it, each large buffer at the next multiple of 64 bytes, so that a
receiver can use arrays where they lie. `codec_wire.pxi` describes the default codec's body.
"""

import re
import sys
from struct import calcsize as struct_size

cimport cython
from cpython.buffer cimport (
    PyBUF_FULL_RO, PyBUF_READ, PyBUF_SIMPLE, PyBUF_STRIDED_RO, PyBuffer_FillInfo,
    PyBuffer_IsContiguous, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer,
)
from cpython.bytearray cimport PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.complex cimport PyComplex_FromDoubles, PyComplex_ImagAsDouble, PyComplex_RealAsDouble
from cpython.datetime cimport (
    PyDate_CheckExact, PyDateTime_CheckExact, PyDelta_CheckExact, PyTime_CheckExact, PyTZInfo_Check,
    date_day, date_month, date_new, date_year, datetime_day, datetime_fold, datetime_hour,
    datetime_microsecond, datetime_minute, datetime_month, datetime_new, datetime_second,
    datetime_tzinfo, datetime_year, get_utc, import_datetime, time_fold, time_hour,
    time_microsecond, time_minute, time_new, time_second, time_tzinfo, timedelta_days,
    timedelta_microseconds, timedelta_new, timedelta_seconds,
)
from cpython.dict cimport PyDict_Copy, PyDict_Next, PyDict_Size
from cpython.exc cimport PyErr_Clear, PyErr_ExceptionMatches
from cpython.float cimport PyFloat_FromDouble
from cpython.list cimport PyList_AsTuple, PyList_GET_SIZE, PyList_New, PyList_SET_ITEM
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_FromLong, PyLong_FromLongLong
from cpython.mem cimport (
    PyMem_Free, PyMem_Malloc, PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc,
    PyMem_RawRealloc,
)
from cpython.memoryview cimport PyMemoryView_FromMemory, PyMemoryView_FromObject, PyMemoryView_GET_BUFFER
from cpython.object cimport Py_TYPE, PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from cpython.tuple cimport PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport (
    PyUnicode_AsEncodedString, PyUnicode_Check, PyUnicode_DecodeASCII, PyUnicode_DecodeUTF8,
    PyUnicode_FromOrdinal,
)
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

cdef extern from "Python.h":
    PyTypeObject PyBool_Type, PyByteArray_Type, PyBytes_Type, PyComplex_Type, PyDict_Type
    PyTypeObject PyFloat_Type, PyFrozenSet_Type, PyList_Type, PyLong_Type, PyMemoryView_Type
    PyTypeObject PyRange_Type, PySet_Type, PyTuple_Type, PyUnicode_Type
    const Py_ssize_t PY_SSIZE_T_MAX
    PyObject *PyList_GET_ITEM(object items, Py_ssize_t index)
    PyObject *PyTuple_GET_ITEM(object items, Py_ssize_t index)
    int PyDict_SetItem(object mapping, object key, object value)  # -1: an exception is set
    PyObject *Py_None
    PyObject *Py_True
    PyTypeObject *type_of "Py_TYPE"(PyObject *item)
    double PyFloat_AS_DOUBLE(PyObject *number)
    bint PyUnicode_IS_COMPACT_ASCII(PyObject *text)
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject *text)
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size)  # NULL: an exception is set
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 highest)
    int Py_EnterRecursiveCall(const char *where) except -1
    void Py_LeaveRecursiveCall()

import_datetime()

cdef object CorruptedError = ValueError


def set_errors(corrupted):
    """Sets the exception to raise for a message that no encoder can have made; returns the one before."""
    global CorruptedError
    before, CorruptedError = CorruptedError, corrupted
    return before


cdef inline uint64_t bits_of(double number) noexcept:
    cdef uint64_t bits = 0
    memcpy(&bits, &number, 8)
    return bits


cdef inline double double_of(uint64_t bits) noexcept:
    cdef double number = 0
    memcpy(&number, &bits, 8)
    return number


include "codec_wire.pxi"
include "codec_encode.pxi"
include "codec_values.pxi"
include "codec_buffers.pxi"
include "codec_numpy.pxi"
include "codec_decode.pxi"


@cython.final
cdef class Encoded:
    """The reusable result of one encode. Not thread-safe: whoever uses it owns it, and clears it after."""

    def __dealloc__(self):
        self.release()
        PyMem_RawFree(self.scratch)
        PyMem_RawFree(self.buffers)

    cdef void write_to(self, char *destination) noexcept nogil:
        """Lays the message out: the body, then each buffer at the next multiple of ALIGNMENT."""
        cdef Py_ssize_t i, at = self.body_size
        if at:
            memcpy(destination, self.body, at)
        for i in range(self.buffer_count):
            memset(destination + at, 0, aligned(at) - at)
            at = aligned(at)
            memcpy(destination + at, self.buffers[i].buf, self.buffers[i].len)
            at += self.buffers[i].len

    cdef void clear(self) noexcept:
        """Lets go of all that the last encode holds; keeps the scratch unless it grew large."""
        self.release()
        self.held = None
        self.body = NULL
        self.body_size = self.total = self.size = 0
        if self.capacity > KEPT_SCRATCH:
            PyMem_RawFree(self.scratch)
            self.scratch = NULL
            self.capacity = 0
        if self.buffer_capacity * <Py_ssize_t>sizeof(Py_buffer) > KEPT_SCRATCH:
            PyMem_RawFree(self.buffers)
            self.buffers = NULL
            self.buffer_capacity = 0

    cdef void release(self) noexcept:
        while self.buffer_count:
            self.buffer_count -= 1  # first, as an exporter's end may run Python code
            PyBuffer_Release(&self.buffers[self.buffer_count])

    cdef int seal(self, const char *body, Py_ssize_t size) except -1:
        """Makes this the body, with the buffers collected so far."""
        cdef Py_ssize_t i, total = size
        for i in range(self.buffer_count):
            if self.buffers[i].len > PY_SSIZE_T_MAX - ALIGNMENT - total:
                raise OverflowError("the message is larger than memory can be")
            total = aligned(total) + self.buffers[i].len
        self.body = body
        self.body_size = size
        self.total = total
        return 0

    cdef int lend(self, object data) except -1:
        """Makes the memory of a bytes-like object the body, without a copy."""
        cdef Py_buffer *view
        if Py_TYPE(data) == &PyBytes_Type:
            self.held = data
            return self.seal(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        data = PyMemoryView_FromObject(data)
        view = PyMemoryView_GET_BUFFER(data)
        if not PyBuffer_IsContiguous(view, b"C"):
            raise BufferError("the items of the buffer are not contiguous")
        self.held = data
        return self.seal(<const char *>view.buf, view.len)


cdef class Codec:
    """Turns objects into messages and back; the subclasses differ in what they carry."""

    cdef int encode(self, object obj, Encoded out) except -1:
        """Encodes `obj`; if that raises, `out` is left clear."""
        raise NotImplementedError

    cdef object decode(self, const char *data, Py_ssize_t body_size, Py_ssize_t total,
                       object owner, bint views):
        """Decodes the message of `total` bytes at `data`.

        Args:
            owner: Exports the message's memory read-only and keeps it, so that large buffers come
                back as views into it. None: all is copied, and `data` may go at once.
            views: Large `bytes` come back as views as well.
        """
        raise NotImplementedError


@cython.final
cdef class DefaultCodec(Codec):
    """Built-in types, dates and arrays, type for type; decoding runs no code."""

    def __cinit__(self):
        self.name = "default"
        if not FREE_THREADED:  # where only the GIL makes the cache's reads and writes safe
            self.keys = <void **>PyMem_RawCalloc(KEY_SLOTS, sizeof(void *))
            if self.keys == NULL:
                raise MemoryError

    def __dealloc__(self):
        cdef int i
        if self.keys != NULL:
            for i in range(KEY_SLOTS):
                Py_XDECREF(<PyObject *>self.keys[i])
            PyMem_RawFree(self.keys)

    cdef int encode(self, object obj, Encoded out) except -1:
        cdef Place root
        cdef bint done = False
        out.clear()
        root.outer = NULL
        root.depth = 0
        try:
            put(out, <PyObject *>obj, &root)
            out.seal(out.scratch, out.size)
            done = True
        finally:
            if not done:
                out.clear()
        return 0

    cdef object decode(self, const char *data, Py_ssize_t body_size, Py_ssize_t total,
                       object owner, bint views):
        cdef Reader r
        cdef unsigned char local[1024]
        cdef unsigned char *body = local
        check_sizes(body_size, total)
        if body_size > <Py_ssize_t>sizeof(local):
            body = <unsigned char *>PyMem_RawMalloc(body_size)
            if body == NULL:
                raise MemoryError
        if body_size:
            memcpy(body, data, body_size)
        begin(&r, body, data, body_size, total, owner)
        r.views = views
        r.keys = self.keys
        try:
            result = take(&r, 0)
            if r.at != r.end or r.reached != total:
                corrupt(&r, "bytes left over")
            return result
        finally:
            if body != local:
                PyMem_RawFree(body)


cdef inline int check_sizes(Py_ssize_t body_size, Py_ssize_t total) except -1:
    if not 0 <= body_size <= total:
        raise CorruptedError(f"corrupt message: a body of {body_size} bytes in a message of {total}")
    return 0


cdef inline void begin(Reader *r, const unsigned char *body, const char *data,
                       Py_ssize_t body_size, Py_ssize_t total, object owner) noexcept:
    r.start = r.at = body
    r.end = body + body_size
    r.data = data
    r.total = total
    r.unclaimed = body_size
    r.reached = body_size
    r.owner = NULL
    if owner is not None:
        r.owner = <PyObject *>owner
    r.views = False
    r.keys = NULL


include "codec_foreign.pxi"


def encode_message(Codec codec not None, obj):
    """Returns the message of `obj`, laid out as in shared memory, and the size of its body."""
    cdef Encoded out = Encoded.__new__(Encoded)
    codec.encode(obj, out)
    message = PyBytes_FromStringAndSize(NULL, out.total)
    out.write_to(PyBytes_AS_STRING(message))
    return message, out.body_size


def decode_message(Codec codec not None, data, Py_ssize_t body_size, *, bint view=False, bint views=False):
    """Decodes a message.

    Args:
        view: Large buffers come back as views into `data`, as they do from shared memory.
        views: Large `bytes` do so too.
    """
    cdef bytes message = bytes(data)
    return codec.decode(PyBytes_AS_STRING(message), body_size, PyBytes_GET_SIZE(message),
                        message if view else None, views)


def encode_parts(Codec codec not None, obj):
    """Returns the message of `obj` in parts to be written one behind the other, and the size of its body.

    The body comes first. Large buffers are not copied: theirs are read-only views, which keep what they
    show, with the bytes between them that `ALIGNMENT` asks for.
    """
    cdef Encoded out = Encoded.__new__(Encoded)
    cdef Py_ssize_t i, at
    codec.encode(obj, out)
    if out.buffer_count == 0 and out.held is None:
        return [PyBytes_FromStringAndSize(out.body, out.body_size)], out.body_size
    if out.held is not None:
        parts = [exported(out, <char *>out.body, out.body_size)]
    else:
        parts = [PyBytes_FromStringAndSize(out.body, out.body_size)]
    at = out.body_size
    for i in range(out.buffer_count):
        if aligned(at) != at:
            parts.append(bytes(aligned(at) - at))
            at = aligned(at)
        if out.buffers[i].len:
            parts.append(exported(out, <char *>out.buffers[i].buf, out.buffers[i].len))
        at += out.buffers[i].len
    return parts, out.body_size


cdef object exported(object owner, char *data, Py_ssize_t size):
    """Returns a read-only memoryview of bytes that `owner` keeps."""
    cdef _Exporter exporter = _Exporter.__new__(_Exporter)
    exporter.owner = owner
    exporter.data = data
    exporter.size = size
    exporter.itemsize = 1
    exporter.format = b"B"
    exporter.ndim = 1
    exporter.shape = <Py_ssize_t *>PyMem_Malloc(2 * sizeof(Py_ssize_t))
    if exporter.shape == NULL:
        raise MemoryError
    exporter.shape[0] = size
    exporter.shape[1] = 1
    return PyMemoryView_FromObject(exporter)


def decode_in_place(Codec codec not None, memory, Py_ssize_t body_size, *, bint views=False):
    """Decodes a message in memory that does not change any more: large buffers come back as views into it.

    Args:
        memory: Exports the message's bytes, contiguous and read-only; the views keep it.
    """
    cdef Py_buffer *view
    memory = PyMemoryView_FromObject(memory)
    view = PyMemoryView_GET_BUFFER(memory)
    if not view.readonly or not PyBuffer_IsContiguous(view, b"C"):
        raise BufferError("a message is decoded in place only where it is contiguous and read-only")
    return codec.decode(<const char *>view.buf, body_size, view.len, memory, views)
