"""Timers: alarms that compose, ticks, and deadlines.

Each is a timer of its own in the kernel (``timer_create``), so none overwrites another, nor those of
``signal.alarm`` and ``signal.setitimer``. It signals the main thread, with a number by which the dispatcher knows
whose it is. Timers are not inherited by forked children.
"""

from __future__ import annotations

import signal as _signal
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal

from weft._core import signals as _native
from weft._core.signals import Event
from weft.signals.handlers import AnyHandler, Entry, acquire, check_handler, release
from weft.signals.names import check_main_thread, check_seconds

__all__ = ["Alarm", "Deadline", "Timer", "alarm", "deadline", "timer"]

# What time is measured, and which signal tells of it, as for signal.setitimer.
_TICKS = {
    "real": (0, _signal.SIGALRM),
    "virtual": (1, _signal.SIGVTALRM),
    "profiling": (2, _signal.SIGPROF),
}


_running: set[Timer] = set()  # a timer runs whether or not anybody refers to it


class Timer:
    """A running timer; a context manager that ends it on leaving.

    Attributes:
        signal: What it sends to this process when it expires.
        interval: Seconds between two expirations; 0 if it expires once.
    """

    def __init__(self, first: float, interval: float, handler: AnyHandler | None, ticks: str) -> None:
        kind, self.signal = _TICKS[ticks]
        self.interval = interval
        self._entry: Entry | None = None
        call: Callable[[Event], Any] | None = None
        if handler is not None:
            check_main_thread("a timer with a handler")
            call = self._calls(handler)
            self._entry = acquire(self.signal)
        try:
            thread = threading.main_thread().native_id
            assert thread is not None
            self._timer = _native.Timer(kind, int(self.signal), thread, call)
            try:
                self._timer.start(first, interval)
            except BaseException:
                self._timer.end()
                raise
        except BaseException:
            self._release()
            raise
        for over in [each for each in _running if not each.left and not each.interval and each._entry is None]:
            over.cancel()
        _running.add(self)

    def _calls(self, handler: AnyHandler) -> Callable[[Event], Any]:
        function: Callable[..., Any] = handler
        standard = check_handler(handler)

        def expired(event: Event) -> None:
            if not self.interval:  # over before it is told, so that whatever the handler does, nothing stays
                self.cancel()
            if standard:
                function(event.number, None)
            else:
                function(event)

        return expired

    def _release(self) -> None:
        entry, self._entry = self._entry, None
        if entry is not None:
            release(entry)

    @property
    def left(self) -> float:
        """Seconds until it expires next, of the time that it measures; 0 if it will not."""
        return self._timer.left()

    def cancel(self) -> None:
        """Ends it. Can be repeated. With a handler, to be called in the main thread."""
        _running.discard(self)
        self._timer.end()
        self._release()

    def __enter__(self) -> Timer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()


class Alarm(Timer):
    """A timer of real time that expires once."""

    def __init__(self, seconds: float, handler: AnyHandler | None = None) -> None:
        super().__init__(check_seconds(seconds, "an alarm's time"), 0.0, handler, "real")


def alarm(seconds: float, handler: AnyHandler | None = None) -> Alarm:
    """Has SIGALRM sent to this process after some time.

    ::

        signals.alarm(2.5, handler)              # calls the handler once

        with signals.alarm(2.5, handler): ...    # unless the block is over by then

    Any number of alarms can run at the same time, nested or not, beside ``signal.alarm``.

    Args:
        seconds: When, with a resolution of the kernel's clock (well below a millisecond).
        handler: What to call then, in the main thread; for this alarm only. Without one SIGALRM does what is bound
            to it; nothing bound, it ends the process.

    Returns:
        The alarm; ``cancel()`` ends it, ``left`` tells the seconds until then.

    Raises:
        ValueError: The time is 0 or negative.
        TypeError: The handler can't be one, or the time is no number.
        MainThreadError: A handler was given, and this is not the main thread.
    """
    return Alarm(seconds, handler)


def timer(
    interval: float,
    handler: AnyHandler | None = None,
    *,
    first: float | None = None,
    ticks: Literal["real", "virtual", "profiling"] = "real",
) -> Timer:
    """Has a signal sent to this process again and again.

    ::

        with signals.timer(0.1, lambda event: progress.update()):
            ...

    Args:
        interval: Seconds between two expirations.
        handler: What to call each time, in the main thread; for this timer only. ``event.count`` tells how many
            expirations it stands for, if some came while none could be handled. Without a handler the signal does
            what is bound to it.
        first: Seconds until the first; by default ``interval``.
        ticks: What time is measured: ``"real"`` (SIGALRM), ``"virtual"``: CPU time of this process outside the
            kernel (SIGVTALRM), or ``"profiling"``: its CPU time, the kernel's included (SIGPROF). CPU time is told
            with a resolution of some milliseconds.

    Returns:
        The timer, a context manager; ``cancel()`` ends it.

    Raises:
        ValueError: A time is 0 or negative, or ``ticks`` is none of these.
        TypeError: The handler can't be one, or a time is no number.
        MainThreadError: A handler was given, and this is not the main thread.
    """
    if ticks not in _TICKS:
        raise ValueError(f"ticks must be one of {', '.join(map(repr, _TICKS))}, not {ticks!r}")
    seconds = check_seconds(interval, "interval")
    return Timer(seconds if first is None else check_seconds(first, "first"), seconds, handler, ticks)


class Deadline:
    """What ``deadline`` returns.

    Attributes:
        seconds: The time that the block has.
        expired: Whether that time was over before the block was.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = check_seconds(seconds, "a deadline's time", zero=True)
        self.expired = False
        self._raised = False
        self._alarm: Alarm | None = None
        self._inside = False
        self._end = 0.0

    @property
    def left(self) -> float:
        """Seconds that are left; 0 when the time is over."""
        return max(self._end - time.monotonic(), 0.0)

    def _expire(self, event: Event) -> None:
        self.expired = True
        if self._inside:
            raise self._error()

    def _error(self) -> TimeoutError:
        return TimeoutError(f"the block was not over within {self.seconds:g} seconds")

    def __enter__(self) -> Deadline:
        check_main_thread("deadline()")
        if self._inside:
            raise RuntimeError("this deadline runs already: make another")
        self._end = time.monotonic() + self.seconds
        self._inside = True
        try:
            self._alarm = Alarm(max(self.seconds, 1e-9), self._expire)
        except BaseException:
            self._inside = False
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside = False
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self.expired and error is None:
            raise self._error()


def deadline(seconds: float) -> Deadline:
    """Limits the time that a block may take: afterwards ``TimeoutError`` is raised inside it.

    ::

        with signals.deadline(2.5):
            answer = fetch()

    Blocking calls of weft and of the standard library end with it; a call into C code that runs no handlers is ended
    when it returns. Deadlines can be nested, beside alarms and timers; each raises its own error, and each is gone
    when its block is left, whatever the reason. An error that was raised where nobody could see it, in a ``__del__``
    for one, or swallowed, is raised again at the end of the block: no deadline is lost.

    Args:
        seconds: How long the block may take.

    Returns:
        A context manager; ``expired`` tells whether the time was over, ``left`` the seconds that remain.

    Raises:
        TimeoutError: In the block, when the time is over.
        ValueError: The time is negative.
        MainThreadError: This is not the main thread: Python raises errors out of nothing there only.
    """
    return Deadline(seconds)
