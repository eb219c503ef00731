# cython: language_level=3
"""The native classes of the queue, for the parts of its module and for those that build on it."""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from weft._core.codec cimport Codec, Encoded
from weft._core.handle cimport Attachment, Handle
from weft._core.native cimport Waiting
from weft._core.native_queue cimport CQueue, Incoming, Outgoing
from weft._core.shelf cimport Shelf


@cython.final
@cython.no_gc
cdef class QueueAttachment(Attachment):
    cdef CQueue *q
    cdef list closing              # while its handle is being closed: takes the number of messages thrown away


cdef class Channel(Handle):
    """What sends and receives messages: a queue, or an end of a pipe."""

    cdef CQueue *q                 # where messages are taken; NULL once closed, and in an end that only sends
    cdef CQueue *out               # where they are put; NULL once closed, and in an end that only receives
    cdef Codec codec
    cdef Encoded scratch
    cdef Shelf shelf               # the small bytes made last
    cdef object policy             # the module with what is asked for seldom: see set_policy
    cdef bint plain                # bytes travel as they are
    cdef bint views
    cdef int on_full               # 0 block, 1 fail, 2 drop-newest, 3 drop-oldest
    cdef Waiting waiting
    cdef uint64_t inline_max, max_message
    cdef int listener

    cdef void bind_channel(self, Attachment attachment, Codec codec, object policy, int waiting, bint views)
    cdef bint has_changed(self) noexcept
    cdef int put_aside(self, Incoming *message, char *data) except -1
    cdef int put_large(self, Outgoing *message, Encoded encoded, object block, object timeout) except -1
    cdef void stop_listening(self) noexcept
    cdef int rank_of(self, object obj) except -1


cdef class Queue(Channel):
    cdef object journal            # of a durable message queue: what leaves is noted there
    cdef bint lowest_first         # of a priority queue: ranks run the other way


cdef class PriorityQueue(Queue):
    pass


cdef class MessageQueue(Handle):
    cdef Queue queue               # None until it is opened
    cdef bint waits
