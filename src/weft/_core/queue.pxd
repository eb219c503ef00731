# cython: language_level=3
"""The native classes of the queue, for the parts of its module and for those that build on it."""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from weft._core.codec cimport Codec, Encoded
from weft._core.handle cimport Attachment, Handle
from weft._core.native cimport Waiting
from weft._core.native_queue cimport CQueue, Incoming
from weft._core.shelf cimport Shelf


@cython.final
@cython.no_gc
cdef class QueueAttachment(Attachment):
    cdef CQueue *q
    cdef list closing              # while its handle is being closed: takes the number of messages thrown away


cdef class Queue(Handle):
    cdef CQueue *q                 # NULL once closed
    cdef Codec codec
    cdef Encoded scratch
    cdef Shelf shelf               # the small bytes made last
    cdef bint plain                # bytes travel as they are
    cdef bint views
    cdef int on_full               # 0 block, 1 fail, 2 drop-newest, 3 drop-oldest
    cdef Waiting waiting
    cdef uint64_t inline_max, max_message
    cdef int listener
