"""Which signals there are, what they are called, and what they do."""

from __future__ import annotations

import re
import signal as _signal
import threading
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NoReturn, TypeAlias

from weft import errors
from weft._core import signals as _native

__all__ = ["Description", "MainThreadError", "SignalLike", "ValueRangeError", "describe", "name", "number", "table"]

SignalLike: TypeAlias = "str | int | _signal.Signals"

FIRST_REAL_TIME, LAST_REAL_TIME = int(_signal.SIGRTMIN), int(_signal.SIGRTMAX)
UNCATCHABLE = frozenset({_signal.SIGKILL, _signal.SIGSTOP})
_REAL_TIME = re.compile(r"RTM(IN|AX)(?:([+-])(\d{1,2}))?\Z")

# What it means, and what it does where nothing is bound to it; signal(7) tells both.
_END, _CORE, _STOP, _NOTHING, _GO_ON = "terminate", "core", "stop", "ignore", "continue"
_MEANINGS = {
    "SIGHUP": (_END, "the terminal was closed; for services, by custom: read the settings again"),
    "SIGINT": (_END, "Ctrl-C; Python raises KeyboardInterrupt"),
    "SIGQUIT": (_CORE, "Ctrl-\\"),
    "SIGILL": (_CORE, "an instruction that does not exist"),
    "SIGTRAP": (_CORE, "a breakpoint"),
    "SIGABRT": (_CORE, "abort() was called"),
    "SIGBUS": (_CORE, "memory that is not there: a file was cut, or a file system is full"),
    "SIGFPE": (_CORE, "an arithmetic error"),
    "SIGKILL": (_END, "the end, at once; no process can catch it"),
    "SIGUSR1": (_END, "for programs' own use"),
    "SIGSEGV": (_CORE, "a wrong address"),
    "SIGUSR2": (_END, "for programs' own use"),
    "SIGPIPE": (_END, "written to a pipe or socket that nobody reads; Python ignores it and raises BrokenPipeError"),
    "SIGALRM": (_END, "a timer of real time has expired"),
    "SIGTERM": (_END, "please end"),
    "SIGSTKFLT": (_END, "not used"),
    "SIGCHLD": (_NOTHING, "a child ended, stopped or went on"),
    "SIGCONT": (_GO_ON, "go on after a stop"),
    "SIGSTOP": (_STOP, "stop, at once; no process can catch it"),
    "SIGTSTP": (_STOP, "Ctrl-Z"),
    "SIGTTIN": (_STOP, "a background process reads from the terminal"),
    "SIGTTOU": (_STOP, "a background process writes to the terminal"),
    "SIGURG": (_NOTHING, "urgent data on a socket"),
    "SIGXCPU": (_CORE, "the limit of CPU time is used up (RLIMIT_CPU)"),
    "SIGXFSZ": (_CORE, "a file would grow beyond the limit (RLIMIT_FSIZE)"),
    "SIGVTALRM": (_END, "a timer of this process's own CPU time has expired"),
    "SIGPROF": (_END, "a timer of CPU time, the kernel's for this process included, has expired"),
    "SIGWINCH": (_NOTHING, "the terminal has another size"),
    "SIGIO": (_END, "a descriptor can be read or written"),
    "SIGPWR": (_END, "the power fails"),
    "SIGSYS": (_CORE, "a system call that does not exist, or is not allowed"),
}
_REAL_TIME_MEANING = (_END, "for programs' own use: queued, in order, each with a value")


class MainThreadError(errors.WeftError, RuntimeError, ValueError):
    """Only the main thread can do this, since there Python runs handlers of signals."""


class ValueRangeError(errors.WeftError, OverflowError, ValueError):
    """The value does not fit: a signal carries a signed integer of 32 bits."""


@dataclass(frozen=True)
class Description:
    """What is known of a signal.

    Attributes:
        number: Its number on this machine.
        name: Its name.
        action: What it does where nothing is bound to it: ``"terminate"``, ``"core"`` (terminate, with a memory
            dump where those are on), ``"stop"``, ``"continue"`` or ``"ignore"``.
        catchable: Whether a process can bind a handler to it, block it or wait for it.
        real_time: Whether it is queued, each with a value, instead of merged.
        meaning: What it tells.
    """

    number: int
    name: str
    action: str
    catchable: bool
    real_time: bool
    meaning: str

    def __str__(self) -> str:
        cannot = "" if self.catchable else "; can't be caught"
        return f"{self.name} ({self.number}): {self.meaning}; by default: {self.action}{cannot}"


def _numbers() -> dict[str, int]:
    found = {each.name: int(each) for each in _signal.Signals}
    found |= {"SIGIOT": int(_signal.SIGABRT), "SIGCLD": int(_signal.SIGCHLD), "SIGPOLL": int(_signal.SIGIO)}
    return found


_BY_NAME = _numbers()
_NAMES = {int(each): each.name for each in _signal.Signals}
_VALID = frozenset(int(each) for each in _signal.valid_signals())


def number(signal: SignalLike) -> int:
    """The number of a signal.

    Args:
        signal: A name with or without ``SIG``, in either case, like ``"SIGUSR1"``, ``"usr1"`` or
            ``"SIGRTMIN+3"``; a number; or a member of ``signal.Signals``.

    Raises:
        TypeError: It is none of these.
        ValueError: There is no such signal.
    """
    if isinstance(signal, str):
        return _number_of_name(signal)
    if isinstance(signal, _signal.Handlers):
        raise TypeError(f"{signal!r} is no signal but a handler of the standard's: give it to signal.signal()")
    if isinstance(signal, bool) or not hasattr(signal, "__index__"):
        raise TypeError(f"a signal is a name like 'SIGUSR1', a number or a signal.Signals, not {signal!r}")
    found = int(signal.__index__())
    if found not in _VALID:
        raise ValueError(
            f"there is no signal {found}: numbers are from 1 to {LAST_REAL_TIME}, but for those that the C library "
            f"keeps to itself (32 to {FIRST_REAL_TIME - 1})"
        )
    return found


def _number_of_name(text: str) -> int:
    short = text.strip().upper().removeprefix("SIG")
    if match := _REAL_TIME.match(short):
        base = FIRST_REAL_TIME if match[1] == "IN" else LAST_REAL_TIME
        found = base + int((match[2] or "+") + (match[3] or "0"))
        if FIRST_REAL_TIME <= found <= LAST_REAL_TIME:
            return found
        last = LAST_REAL_TIME - FIRST_REAL_TIME
        raise ValueError(f"there is no signal {text!r}: real-time signals are from SIGRTMIN to SIGRTMIN+{last}")
    known = _BY_NAME.get("SIG" + short)
    if known is None and short.isascii() and short.isdecimal():
        return number(int(short))
    if known is None:
        import difflib

        near = difflib.get_close_matches("SIG" + short, _BY_NAME, 1)
        hint = f"did you mean {near[0]!r}?" if near else "weft.signals.table() lists them"
        raise ValueError(f"there is no signal {text!r}: {hint}")
    return known


def name(signal: SignalLike) -> str:
    """The name of a signal, like ``"SIGUSR1"``, or ``"SIGRTMIN+3"`` for a real-time one."""
    found = number(signal)
    if found in _NAMES:
        return _NAMES[found]
    return f"SIGRTMIN+{found - FIRST_REAL_TIME}"


def member(found: int) -> int:
    """The member of ``signal.Signals``, where there is one."""
    return _signal.Signals(found) if found in _NAMES else found


def describe(signal: SignalLike) -> Description:
    """What the signal means, what it does by default, and whether it can be caught."""
    found = number(signal)
    title = name(found)
    real_time = found >= FIRST_REAL_TIME
    action, meaning = _REAL_TIME_MEANING if real_time else _MEANINGS[title]
    return Description(found, title, action, found not in UNCATCHABLE, real_time, meaning)


def table() -> list[Description]:
    """All signals of this machine, by number."""
    return [describe(each) for each in sorted(_VALID)]


def check_catchable(asked: tuple[SignalLike, ...]) -> tuple[int, ...]:
    """The numbers, each once; raises if there is none, or if one can't be caught."""
    found = tuple(dict.fromkeys(map(number, asked)))
    if not found:
        raise TypeError("name at least one signal, like 'SIGUSR1'")
    for each in found:
        if each in UNCATCHABLE:
            raise ValueError(
                f"no process can catch {name(each)}, block it or wait for it: the kernel "
                f"{'ends' if each == _signal.SIGKILL else 'stops'} the process at once. "
                "To end with a clean-up, have SIGTERM sent instead"
            )
    return found


def check_value(value: Any) -> int:
    """The value that a signal is to carry, or an error."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"a signal's value is an int, not {type(value).__name__}")
    found = int(value.__index__())
    if not -(1 << 31) <= found < 1 << 31:
        raise ValueRangeError(f"{found} does not fit: a signal carries from {-(1 << 31)} to {(1 << 31) - 1}")
    return found


def check_seconds(value: Any, what: str, *, zero: bool = False) -> float:
    """A time that is not negative, or not even 0, as a float; or an error."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} must be a number of seconds, not {type(value).__name__}")
    if not (value >= 0 if zero else value > 0) or value > 9e9:
        least = "at least 0" if zero else "above 0"
        raise ValueError(f"{what} must be {least} and at most 9e9 seconds, not {value!r}")
    return float(value)


def check_main_thread(what: str) -> None:
    """Raises unless this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        raise MainThreadError(
            f"{what} works in the main thread only, since that is where Python runs handlers: call it there, or "
            "use on(…, thread=True), whose handlers run in a thread of their own and can be bound anywhere"
        )


def fail_gone(pid: int) -> NoReturn:
    """Raises what sending to a dead process is."""
    raise ProcessLookupError(3, f"process {pid} has ended")


def fail_send(pid: int, number: int, code: int) -> NoReturn:
    """Raises what an errno means."""
    from weft.signals.sending import error_of

    raise error_of(pid, number, code)


def _set_policy(module: ModuleType) -> None:
    _native.set_policy(module, threading.main_thread().ident)
