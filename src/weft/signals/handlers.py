"""Binding handlers to signals: chains, in the main thread or in one of their own.

A signal that is bound goes through two hands. The recorder, a handler in C, writes down at once who sent it and
what came with it. The interpreter then calls the signal's ``Dispatcher`` in the main thread at a safe point, or the
signals' thread wakes up; either takes what has been written down and calls the handlers.
"""

from __future__ import annotations

import atexit
import inspect
import os
import signal as _signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType, TracebackType
from typing import Any, TypeAlias, TypeVar

from weft._core import signals as _native
from weft._core.signals import Dispatcher, Event, Handler
from weft.signals.names import check_catchable, check_main_thread, describe, name

__all__ = ["Binding", "off", "on"]

AnyHandler: TypeAlias = Callable[[Event], Any] | Callable[[int, FrameType | None], Any]
F = TypeVar("F", bound=Callable[..., Any])

_FIRST_NAMES = {"signum", "signalnum", "signal_number", "sig", "signo"}
_lock = threading.RLock()  # the tables below; held by handlers' callers never
_bound: dict[int, Entry] = {}


class Entry:
    """One signal that something is bound to."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.dispatcher = Dispatcher(number)
        self.former: Any = _signal.getsignal(number)  # None: a handler that is not Python's
        self.in_main = False  # whether the interpreter has been told of the dispatcher
        self.main: tuple[Handler, ...] = ()
        self.threaded: tuple[Handler, ...] = ()
        self.keeps_former = 0  # how many bindings ask for it
        self.users = 0  # who needs the dispatcher: bindings, timers, blocks that hold back
        self._tail = (Handler(lambda _, frame: pass_on(self, frame), True),)

    @property
    def still_ours(self) -> bool:
        """Whether nobody has bound the signal by other means since."""
        if self.in_main:
            return _signal.getsignal(self.number) is self.dispatcher
        return bool(_native.is_recorded(self.number))

    @property
    def asks_former(self) -> bool:
        """Whether what was bound before is called, too: where asked for, and where nobody else would be."""
        return self.keeps_former > 0 or not (self.main or self.threaded)

    def update(self) -> None:
        """Brings what the kernel and the interpreter know in line with who is bound."""
        to_main, to_thread = self.users > 0, bool(self.threaded)
        if not to_main and not to_thread:
            self._restore()
            return
        self.dispatcher.handlers = self.main + (self._tail if self.asks_former else ())
        if self.number not in _bound:
            _native.prepare(self.number)
            if not _bound:
                _native.begin_nudges()
            _bound[self.number] = self
        elif not self.still_ours:  # then that is what was there before
            self.former, self.in_main = _signal.getsignal(self.number), False
            _native.end(self.number, False)
            _native.prepare(self.number)
        if to_main and not self.in_main:
            _signal.signal(self.number, self.dispatcher)
            self.in_main = True
        elif not to_main and self.in_main:
            _signal.signal(self.number, _known(self.former))
            self.in_main = False
        chain = self.in_main or (self.asks_former and callable(self.former))
        _native.begin(self.number, to_main, to_thread, chain)

    def _restore(self) -> None:
        if _bound.pop(self.number, None) is None:
            return
        ours = self.still_ours
        if ours and self.in_main:
            _signal.signal(self.number, _known(self.former))
        _native.end(self.number, ours)
        self.in_main = False
        if not _bound:
            _native.end_nudges()


def _known(former: Any) -> Any:
    # What was bound from C can't be told to the interpreter; the kernel is told right afterwards.
    return _signal.SIG_DFL if former is None else former


def entry_of(number: int) -> Entry:
    """The signal's entry, in use or new."""
    return _bound.get(number) or Entry(number)


def acquire(number: int) -> Entry:
    """Has the dispatcher bound for one more user; in the main thread."""
    with _lock:
        entry = entry_of(number)
        entry.users += 1
        try:
            entry.update()
        except BaseException:
            entry.users -= 1
            raise
        return entry


def release(entry: Entry) -> None:
    """Ends one ``acquire``; what had come before is handled first."""
    try:
        if entry.users == 1 and entry.dispatcher.is_waiting():
            entry.dispatcher(entry.number, sys._getframe())
    finally:
        with _lock:
            entry.users -= 1
            entry.update()


def deliver_all(frame: FrameType | None) -> None:
    """Calls the handlers of all that has come and was held back; then raises their first error."""
    waiting = [entry for entry in list(_bound.values()) if entry.dispatcher.is_waiting()]
    run_all([partial(entry.dispatcher, entry.number, frame) for entry in waiting])


def run_all(calls: list[Callable[[], Any]]) -> None:
    """Makes all calls, whatever they raise; then raises the first error."""
    first: BaseException | None = None
    for call in calls:
        try:
            call()
        except BaseException as error:
            first = first or error
    if first is not None:
        raise first


def pass_on(entry: Entry, frame: FrameType | None) -> None:
    """Does what would have been done with the signal if nothing were bound here."""
    if callable(entry.former):
        entry.former(entry.number, frame)
    elif entry.former is _signal.SIG_DFL and describe(entry.number).action != "ignore":
        _native.by_default(entry.number)


class Binding:
    """What ``on`` returns: one handler, bound to one or more signals.

    A context manager that removes it on leaving; ``remove`` does the same. Without a handler it is a decorator,
    whose function stays bound until ``off``.

    Attributes:
        signals: The signals' numbers.
        handler: The function, or None until the decorator has been given one.
    """

    def __init__(self, signals: tuple[int, ...], *, thread: bool, keep: bool) -> None:
        self.signals, self.handler = signals, None
        self._thread, self._keep = thread, keep
        self._places: dict[int, tuple[Entry, Handler]] = {}

    handler: AnyHandler | None

    def bind(self, handler: AnyHandler) -> None:
        """Binds the handler; told by ``on`` and by the decorator."""
        standard = check_handler(handler)
        if not self._thread:
            check_main_thread("on()")
        self.handler = handler
        try:
            with _lock:
                for number in self.signals:
                    self._bind_one(number, Handler(handler, standard))
        except BaseException:
            self.remove()
            raise
        _all_bindings.append(self)
        if self._thread:
            _start_thread()

    def _bind_one(self, number: int, handler: Handler) -> None:
        entry = entry_of(number)
        self._places[number] = entry, handler
        entry.keeps_former += self._keep
        if self._thread:
            entry.threaded += (handler,)
        else:
            entry.main += (handler,)
            entry.users += 1
        entry.update()

    @property
    def active(self) -> bool:
        """Whether it is bound."""
        return bool(self._places)

    def remove(self) -> None:
        """Unbinds the handler. Restores what was there before, if it was the last. Can be repeated.

        What had come before is handled first. Where something else has been bound to the signal since by other
        means, that stays. For handlers in the main thread, to be called there.
        """
        if self._places and not self._thread:
            check_main_thread("removing a handler")
        with _lock:
            if self in _all_bindings:
                _all_bindings.remove(self)
        while self._places:
            self._remove_one(*self._places.popitem()[1])
        if self._thread and not any(entry.threaded for entry in list(_bound.values())):
            _stop_thread()

    def _remove_one(self, entry: Entry, handler: Handler) -> None:
        try:
            if not self._thread and len(entry.main) == 1 and entry.dispatcher.is_waiting():
                entry.dispatcher(entry.number, sys._getframe())
        finally:
            handler.active = False
            with _lock:
                entry.keeps_former -= self._keep
                if self._thread:
                    entry.threaded = tuple(h for h in entry.threaded if h is not handler)
                else:
                    entry.main = tuple(h for h in entry.main if h is not handler)
                    entry.users -= 1
                entry.update()

    def __call__(self, function: F) -> F:
        """Binds the function that is decorated, and returns it."""
        if self.handler is not None:
            raise TypeError("this binding has its handler: call on() again to bind another")
        self.bind(function)
        return function

    def __enter__(self) -> Binding:
        if self.handler is None:
            raise TypeError("on() in a with statement needs a handler: on('SIGUSR1', handler)")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def __repr__(self) -> str:
        what = getattr(self.handler, "__qualname__", repr(self.handler))
        return f"<{', '.join(map(name, self.signals))} to {what}{'' if self.active else ', not bound'}>"


_all_bindings: list[Binding] = []


def on(*signals: Any, handler: AnyHandler | None = None, thread: bool = False, keep: bool = False) -> Binding:
    """Binds a handler to signals.

    ::

        binding = signals.on("SIGUSR1", "SIGUSR2", handler)    # until binding.remove()

        with signals.on("SIGUSR1", handler): ...               # in the block

        @signals.on("SIGHUP")                                  # until signals.off(reload)
        def reload(event): ...

    Handlers run in the main thread between two bytecodes, so they may use any of Python's and weft's objects; a
    blocking call of weft or of the standard library runs them at once and goes on with what is left of its
    timeout. A handler that raises ends what was interrupted with its error. While a signal's handlers run, further
    ones of the same signal wait; other signals interrupt them.

    Several handlers of a signal run in the order in which they were bound, whatever they raise: the first error is
    raised when all have run.

    Args:
        *signals: Signals by name, number or member of ``signal.Signals``, and last the handler.
        handler: A function of one argument, an ``Event``, or of two, ``(signum, frame)``, as the standard's.
        thread: Whether the handler runs in a thread that weft keeps for this, even while the main thread is busy
            in a call that runs no handlers. Such handlers can be bound in any thread. What they raise is reported
            by ``threading.excepthook``.
        keep: Whether what was bound before weft is called after the handlers: a function, or the signal's default
            action.

    Returns:
        The binding.

    Raises:
        ValueError: No such signal, or SIGKILL or SIGSTOP, which no process can catch.
        TypeError: The handler is not callable, or takes other arguments.
        MainThreadError: This is not the main thread, and ``thread`` was not asked for.
    """
    if handler is None and signals and callable(signals[-1]):
        signals, handler = signals[:-1], signals[-1]
    elif handler is None and signals and not isinstance(signals[-1], str | int):
        raise TypeError(f"a handler is a function of one event, not {signals[-1]!r}")
    binding = Binding(check_catchable(signals), thread=thread, keep=keep)
    if not thread:
        check_main_thread("on()")
    if handler is not None:
        binding.bind(handler)
    return binding


def off(*signals: Any) -> int:
    """Removes a handler from all signals, or all handlers from a signal.

    Args:
        *signals: Functions that ``on`` was given, signals, or signals and last a function: then that function is
            removed from these.

    Returns:
        How many bindings were removed; of one that names several signals, all go.
    """
    functions = [each for each in signals if callable(each)]
    numbers = {number for each in signals if not callable(each) for number in check_catchable((each,))}
    if not signals:
        raise TypeError("name a signal or a handler")
    found = [
        binding for binding in list(_all_bindings)
        if (not functions or binding.handler in functions) and (not numbers or numbers & set(binding.signals))
    ]  # fmt: skip
    for binding in found:
        binding.remove()
    return len(found)


def check_handler(handler: Any) -> bool:
    """Whether the handler takes (signum, frame); raises if it can't be one."""
    if not callable(handler):
        raise TypeError(f"a handler is a function of one event, not {handler!r}")
    if inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler):
        raise TypeError(f"{handler!r} is asynchronous: use signals.aon() or signals.stream() in an event loop")
    try:
        parameters = list(inspect.signature(handler).parameters.values())
    except (TypeError, ValueError):  # builtins without a signature
        return False
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = sum(p.default is p.empty for p in places)
    any_more = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    missing = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    most = 2 if any_more else len(places)
    if missing or required > 2 or most < 1:
        raise TypeError(
            f"{handler!r} can't be called by a signal: a handler takes one event, or (signum, frame) as the "
            f"standard's; it takes {inspect.signature(handler)}"
        )
    if required != 1 and len(places) >= 2:
        return required == 2 or places[0].name in _FIRST_NAMES
    return required == 1 and len(places) == 2 and places[0].name in _FIRST_NAMES and places[1].name == "frame"


# --- The signals' thread ---------------------------------------------------------------------------

_thread: threading.Thread | None = None


def _start_thread() -> None:
    global _thread
    with _lock:
        if not _native.has_thread():
            _native.thread_lives(True)
            _thread = threading.Thread(target=_serve, name="weft-signals", daemon=True)
            _thread.start()


def _stop_thread() -> None:
    global _thread
    with _lock:
        mine, _thread = _thread, None
        if mine is None:
            return
        _native.thread_lives(False)
        _native.thread_wake()
    if mine is not threading.current_thread() and mine.is_alive():
        mine.join()


def _serve() -> None:
    me = threading.current_thread()
    while _thread is me:
        turn = _native.thread_turn()
        while (event := _native.thread_take()) is not None:
            entry = _bound.get(event.number)
            if entry is None:
                continue
            for handler in entry.threaded:
                _call_in_thread(handler, event)
            if entry.keeps_former and not entry.in_main and not callable(entry.former):
                pass_on(entry, None)
        if _thread is me:
            _native.thread_wait(turn)


def _call_in_thread(handler: Handler, event: Event) -> None:
    if not handler.active:
        return
    try:
        if handler.standard:
            handler.function(event.number, None)
        else:
            handler.function(event)
    except SystemExit:
        pass
    except BaseException:
        threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))


# --- Forks and the end -----------------------------------------------------------------------------


def _before_fork() -> None:
    _lock.acquire()
    bits = 0
    for number in _bound:
        bits |= 1 << (number - 1)
    _native.before_fork(bits, threading.get_ident())


def _after_in_parent() -> None:
    _lock.release()
    _native.after_fork(threading.get_ident())


def _after_in_child() -> None:
    global _thread
    _lock.release()
    _thread = None
    if any(entry.threaded for entry in _bound.values()):
        _start_thread()
    _native.after_fork(threading.get_ident())


os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)


@atexit.register
def _end_threaded() -> None:
    for binding in [each for each in _all_bindings if each._thread]:
        binding.remove()
