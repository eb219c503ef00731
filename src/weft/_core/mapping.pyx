# cython: language_level=3
# cython: freethreading_compatible=True, auto_pickle=False
"""Memory of a sealed file, for as long as somebody looks at it, without keeping a descriptor open."""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdint cimport uint64_t

cdef extern from "weft/platform/platform.hpp" namespace "weft::os" nogil:
    void *map_sealed(int fd, uint64_t length)
    void unmap(void *base, uint64_t length)


@cython.final
cdef class SealedMapping:
    """The bytes of a sealed file, exported read-only; they go with the last view of them.

    The caller has checked the seals (against writing and shrinking) and the size.
    """

    cdef void *base
    cdef Py_ssize_t size

    def __cinit__(self, int descriptor, Py_ssize_t size):
        if size <= 0:
            raise ValueError("a mapping has at least one byte")
        self.base = map_sealed(descriptor, size)
        if self.base == NULL:
            raise MemoryError(f"{size} bytes of a sealed file can't be mapped")
        self.size = size

    def __dealloc__(self):
        if self.base != NULL:
            unmap(self.base, self.size)

    def __len__(self):
        return self.size

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.base, self.size, 1, flags)
