"""Waiting for signals and keeping them off: ``wait``, ``pending``, ``blocked``, ``defer``, ``signalfd``."""

from __future__ import annotations

import signal as _signal
import sys
from functools import partial
from types import TracebackType

from weft._core import signals as _native
from weft._core.signals import Blocked, Descriptor, wait
from weft.signals.handlers import Entry, acquire, deliver_all, release, run_all
from weft.signals.names import SignalLike, check_catchable, check_main_thread, member

__all__ = ["blocked", "defer", "pending", "signalfd", "wait"]

# What is held back unless told otherwise, beside what has a handler: what others send to end a process, or to tell
# it something.
_USUAL = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM")


def pending() -> frozenset[int]:
    """The signals that have come and wait to be let in, since this thread blocks them.

    Returns:
        Members of ``signal.Signals``; ints for real-time signals that have none.
    """
    return frozenset(member(int(each)) for each in _signal.sigpending())


def blocked(*signals: SignalLike) -> Blocked:
    """Blocks signals in this thread, for the length of a ``with`` block.

    They are let in on leaving the block, which is also when handlers run, and the mask is what it was, whatever has
    been raised. The mask is this thread's own: another thread that does not block a signal may get it, and a handler
    bound to it then runs in the main thread all the same. Threads and processes that are started inside the block
    inherit the mask. For a critical section in the main thread ``defer`` has neither trap.

    Args:
        *signals: Names, numbers or members of ``signal.Signals``.

    Raises:
        ValueError: No such signal, or SIGKILL or SIGSTOP, which can't be blocked.
    """
    check_catchable(signals)
    return Blocked(*signals)


def signalfd(*signals: SignalLike) -> Descriptor:
    """A descriptor that is readable while one of the signals waits: for ``select`` and event loops.

    Blocks the signals in this thread until ``close``, so no handler runs for them. ``read()`` takes one, as an
    event, or gives None. A context manager, which closes it; to be closed in the thread that opened it.

    ::

        with signals.signalfd("SIGTERM", "SIGHUP") as waiting:
            readable, _, _ = select.select([waiting, socket], [], [])
            if waiting in readable:
                print(waiting.read().name)

    Args:
        *signals: Names, numbers or members of ``signal.Signals``.

    Raises:
        ValueError: No such signal, or SIGKILL or SIGSTOP.
    """
    check_catchable(signals)
    return Descriptor(*signals)


class defer:  # noqa: N801 - used like a function
    """A critical section: handlers that run in the main thread wait until the block is left.

    ::

        with signals.defer():
            write_first_half()
            write_second_half()    # Ctrl-C, a deadline, SIGTERM: handled after this

    Other than ``blocked`` it holds back handlers, not signals: it works whichever thread a signal comes to, blocking
    calls inside the block are not ended, and processes that are started there inherit nothing. Signals without a
    handler do on leaving what they do by default; SIGTERM, for one, ends the process then and not before. Standard
    signals that come more than once are handled once, with a count. Blocks can be nested; the outermost counts.

    Handlers of ``on(…, thread=True)`` run on.

    Args:
        *signals: What to hold back. By default: all that have a Python handler, and SIGHUP, SIGINT, SIGQUIT, SIGTERM,
            SIGUSR1, SIGUSR2 and SIGALRM if nobody ignores them. Signals that are bound with ``weft.signals`` are
            held back in any case.

    Raises:
        ValueError: No such signal, or SIGKILL or SIGSTOP.
        MainThreadError: This is not the main thread, the only one that handlers interrupt.
    """

    def __init__(self, *signals: SignalLike) -> None:
        self._numbers = check_catchable(signals) if signals else None
        self._entries: list[Entry] = []

    def __enter__(self) -> defer:
        check_main_thread("defer()")
        _native.hold()
        try:
            for number in self._numbers or _usual():
                self._entries.append(acquire(number))
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        if _native.release():
            outer, self._entries = self._entries, []
            for entry in outer:  # still held: what has come is left for the outermost block
                _outer.append(entry)
            return
        entries = [*self._entries, *_outer]
        self._entries = []
        _outer.clear()
        try:
            deliver_all(sys._getframe())
        finally:
            run_all([partial(release, entry) for entry in entries])


_outer: list[Entry] = []


def _usual() -> list[int]:
    numbers = check_catchable(_USUAL)
    found = []
    for number in _signal.valid_signals():
        handler = _signal.getsignal(number)
        if callable(handler) or (handler is _signal.SIG_DFL and number in numbers):
            found.append(int(number))
    return found
