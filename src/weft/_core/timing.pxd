# cython: language_level=3
"""Deadlines, and how long a call is patient."""

from libc.stdint cimport int64_t

from weft._core.native cimport kForever, now_ns

cdef enum:
    LOCK_PATIENCE = 40_000_000     # nanoseconds to wait for a lock before looking at signals
    STUCK = 1_000_000_000          # … and in all, in a call that is not to wait for anything else
    RECOVERY = 10_000_000_000      # … and where what the dead had is wanted back, however busy the machine is


cdef inline int64_t deadline_of(object block, object timeout) except -2:
    """The monotonic nanosecond at which to give up; 0 for at once."""
    if block is not True and not block:
        return 0
    if timeout is None:
        return kForever
    cdef double seconds
    try:
        seconds = timeout
    except TypeError:
        raise TypeError(f"timeout must be None or a number of seconds, not {type(timeout).__name__}") from None
    if seconds != seconds or seconds < 0:
        raise ValueError(f"timeout must be None or at least 0, not {timeout!r}")
    if seconds == 0:
        return 0
    if seconds > 4e9:
        return kForever
    return now_ns() + <int64_t> (seconds * 1e9)


cdef inline bint is_stuck(int64_t deadline, int64_t *since) noexcept:
    """Whether to give up on a lock whose owner lives but does not let go: a stopped process. A call that
    is not to wait for messages or room waits for a lock for a second."""
    cdef int64_t now = now_ns()
    if since[0] == 0:
        since[0] = now
    return deadline != kForever and now >= (deadline if deadline else since[0] + STUCK)
