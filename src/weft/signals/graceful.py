"""Ending well: asked to, a program finishes what it does; asking others to, one sees that they do."""

from __future__ import annotations

import select
import signal as _signal
import subprocess
from collections.abc import Callable, Generator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from weft import errors
from weft._aio import attempt_until
from weft._core import signals as _native
from weft._core.signals import Event
from weft.signals.handlers import Binding, on
from weft.signals.names import SignalLike, check_catchable, check_main_thread, check_seconds, name
from weft.signals.sending import KILL, AnyProcess, Process
from weft.signals.streams import Bell
from weft.signals.timers import Alarm, alarm

__all__ = ["Graceful", "Termination", "graceful", "terminate"]


class Graceful(Bell):
    """What ``graceful`` returns, and gives to the ``with`` block.

    Attributes:
        event: The signal that asked for the end, or None so far.
    """

    def __init__(
        self, signals: tuple[int, ...], timeout: float | None, on_force: Callable[[Event], Any] | None
    ) -> None:
        super().__init__()
        self.event: Event | None = None
        self._requested = False
        self._numbers, self._timeout, self._on_force = signals, timeout, on_force
        self._binding: Binding | None = None
        self._alarm: Alarm | None = None

    @property
    def requested(self) -> bool:
        """Whether the end has been asked for."""
        return self._requested

    def request(self) -> None:
        """Asks for the end without a signal; in any thread, or in a handler. No time limit runs from here."""
        self._requested = True
        self.ring()

    def _arrived(self, event: Event) -> None:
        if self.event is not None or event.count > 1:
            self._force(event)
        self.event = event
        self.request()
        if self._timeout is not None and self._alarm is None:
            self._alarm = alarm(self._timeout, lambda _: self._force(event))

    def _force(self, event: Event) -> None:
        if self._on_force is not None:
            self._on_force(event)
        else:
            _native.by_default(event.number)

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the end is asked for; false when the time is up. In any thread.

        Args:
            timeout: Seconds; None waits for ever, 0 not at all.
        """
        limit = None if timeout is None else check_seconds(timeout, "timeout", zero=True)
        if not self._requested:
            poll = select.poll()
            poll.register(self.fileno(), select.POLLIN)
            poll.poll(None if limit is None else limit * 1000)
        return self._requested

    async def await_request(self, timeout: float | None = None) -> bool:
        """Waits in an event loop until the end is asked for; false when the time is up. ``await stop`` does, too."""
        try:
            return await attempt_until(self, 0, self._look, errors.Empty, timeout, lambda: 3600.0)
        except errors.Empty:
            return False

    def __await__(self) -> Generator[Any, Any, bool]:
        return self.await_request().__await__()

    def _look(self) -> bool:
        if not self._requested:
            raise errors.Empty
        return True

    def _is_ready(self, channel: int) -> bool:
        return self._requested

    def _hush(self, descriptor: int) -> None:
        """Nothing: once readable, the descriptor stays so."""

    def __enter__(self) -> Graceful:
        check_main_thread("graceful()")
        if self._binding is not None or self.closed:
            raise RuntimeError("this block was entered already: make another with graceful()")
        self._binding = on(*self._numbers, self._arrived)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._binding is not None:
            self._binding.remove()
        if self._alarm is not None:
            self._alarm.cancel()
        self.close()


def graceful(
    timeout: float | None = 10.0,
    *,
    signals: tuple[SignalLike, ...] = ("SIGINT", "SIGTERM"),
    on_force: Callable[[Event], Any] | None = None,
) -> Graceful:
    """Turns the signals that end a program into a wish that it can see.

    ::

        with signals.graceful(timeout=10) as stop:
            while not stop.requested:
                with jobs.lease(timeout=1) as job:
                    run(job)

    In the block SIGINT and SIGTERM do no more than set ``stop.requested``, which can be waited for: ``stop.wait(1)``
    in place of ``time.sleep(1)``, ``await stop`` in asyncio and trio, ``stop`` itself in ``select``. A second signal
    forces the end, and so does the time limit, which runs from the first: the process is ended as the signal does by
    default, at once, so its status tells the truth to whoever started it.

    Args:
        timeout: Seconds that the block has from the first signal on; None: no limit.
        signals: Which signals ask for the end.
        on_force: What to call in the main thread instead of ending the process, with the event. What it raises, such
            as KeyboardInterrupt, ends the block.

    Raises:
        ValueError: The time is 0 or negative, or a signal can't be caught.
        MainThreadError: On entering the block: this is not the main thread.
    """
    limit = None if timeout is None else check_seconds(timeout, "timeout")
    return Graceful(check_catchable(tuple(signals)), limit, on_force)


@dataclass(frozen=True)
class Termination:
    """How a process ended.

    Attributes:
        signal: The last that was sent: SIGTERM, or SIGKILL; None if it had ended before.
        returncode: As of ``subprocess``; None if the process is not a child that this program may ask.
    """

    signal: _signal.Signals | None
    returncode: int | None = None

    @property
    def forced(self) -> bool:
        """Whether it took SIGKILL."""
        return self.signal == _signal.SIGKILL

    def __str__(self) -> str:
        return "had ended before" if self.signal is None else f"ended by {name(self.signal)}"


def terminate(process: AnyProcess, timeout: float = 10.0, *, signal: SignalLike = "SIGTERM") -> Termination:
    """Asks a process to end, and ends it if it does not.

    Sends SIGTERM, waits, then sends SIGKILL and waits until the process has ended. Processes of ``subprocess`` and
    ``multiprocessing`` are reaped.

    Args:
        process: See ``send``.
        timeout: Seconds to wait before SIGKILL; 0 sends that at once after the first.
        signal: What to ask with.

    Returns:
        What it took.

    Raises:
        PermissionError: It is another user's.
        ProcessLookupError: A pid or a name of no process.
        ValueError: The time is negative.
    """
    limit = check_seconds(timeout, "timeout", zero=True)
    try:
        held = Process(process)
    except ProcessLookupError:
        if isinstance(process, int | str) or getattr(process, "pid", None) is None:
            raise
        return Termination(None, _reap(process))
    took: _signal.Signals | None = None
    with held:
        for number, patience in ((signal, limit), (KILL, None)):
            try:
                held.send(number)
            except ProcessLookupError:
                break
            took = _signal.Signals.SIGKILL if number == KILL else _signal.Signals.SIGTERM
            if held.wait(patience):
                break
    return Termination(took, _reap(process))


def _reap(process: AnyProcess) -> int | None:
    if isinstance(process, subprocess.Popen):
        return int(process.wait())
    if hasattr(process, "join") and hasattr(process, "exitcode"):
        process.join()
        code: int | None = process.exitcode
        return code
    return None
