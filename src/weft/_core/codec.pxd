# cython: language_level=3
"""What other native code needs to encode messages and to decode them in place."""

cimport cython


cdef extern from *:
    """
    #define WEFT_OUT_OF_LINE 8192
    #define WEFT_ALIGNMENT 64
    """
    # A buffer of this size or more is stored behind the body, where a receiver can use it in place.
    const Py_ssize_t OUT_OF_LINE "WEFT_OUT_OF_LINE"
    # Each such buffer starts at a multiple of this, counted from the start of the message.
    const Py_ssize_t ALIGNMENT "WEFT_ALIGNMENT"


@cython.final
cdef class Encoded:
    cdef const char *body           # valid until the next encode or clear
    cdef Py_ssize_t body_size
    cdef Py_ssize_t total           # of the message as write_to lays it out
    cdef Py_ssize_t buffer_count
    cdef bint busy                  # for the owner: set while in use, as encoding may run Python code

    # The codec's own.
    cdef char *scratch
    cdef Py_ssize_t size            # used bytes of scratch
    cdef Py_ssize_t capacity
    cdef Py_buffer *buffers         # the out-of-line buffers, in the order the body refers to them
    cdef Py_ssize_t buffer_capacity
    cdef object held                # keeps a body that is not in scratch
    cdef void release(self) noexcept
    cdef int seal(self, const char *body, Py_ssize_t size) except -1
    cdef int lend(self, object data) except -1

    cdef void write_to(self, char *destination) noexcept nogil
    cdef void clear(self) noexcept


cdef class Codec:
    cdef readonly str name

    cdef int encode(self, object obj, Encoded out) except -1
    cdef object decode(self, const char *data, Py_ssize_t body_size, Py_ssize_t total,
                       object owner, bint views)


@cython.final
cdef class DefaultCodec(Codec):
    cdef void **keys                # recently decoded short dict keys: PyObject *, each NULL or owned


@cython.final
cdef class RawCodec(Codec):
    pass


@cython.final
cdef class PickleCodec(Codec):
    cdef object dumps
    cdef object loads
    cdef object unpickling_error


@cython.final
cdef class CallableCodec(Codec):
    cdef object encoder
    cdef object decoder
