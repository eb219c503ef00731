"""Being told that a message has come into an empty message queue, as ``mq_notify`` has it."""

from __future__ import annotations

import errno
import functools
import os
import signal
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from weft import _aio, _handle, errors

if TYPE_CHECKING:
    from weft._core.queue import MessageQueue

__all__ = ["Notification", "forget", "notification", "request_notification"]


class Notification:
    """A registration: being told once, when a message comes into the empty queue and nobody waits to receive it.

    Made by ``MessageQueue.notification()``. ``wait(timeout)`` waits in a thread, ``await`` in an event loop, and
    ``fileno()`` is a descriptor for ``select``. Leaving a ``with`` block takes the registration back.
    """

    def __init__(self, handle: MessageQueue) -> None:
        self._handle = handle
        self._waiters: dict[Any, Any] = {}
        self._listener = -1
        self._cancelled = self._came = False
        self._mark = handle._register()
        if not self._mark:
            raise BlockingIOError(
                errno.EBUSY, f"somebody is registered for notification of {handle!r} already: one can be at a time"
            )

    @property
    def told(self) -> bool:
        """Whether the message has come."""
        if self.closed:
            return self._came
        if self._listener >= 0 and self._handle._is_registered(self._mark):
            # Rung for somebody else: quiet until the next ring.
            self._handle._hush(self._listener)
            self._handle._arm(0)
        return not self._handle._is_registered(self._mark)

    @property
    def closed(self) -> bool:
        """Whether it has been taken back, or its queue's handle closed."""
        return self._cancelled or self._handle.closed

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the message has come.

        Args:
            timeout: Seconds to wait at most; None waits for ever, 0 not at all.

        Returns:
            Whether it has; False when the time is up, the registration has been taken back or the queue closed.
        """
        if self.closed:
            return False
        return self._handle._wait_told(self._mark, timeout) and not self.closed

    def __await__(self) -> Generator[Any, None, bool]:
        return self._wait_in_loop().__await__()

    async def _wait_in_loop(self) -> bool:
        def attempt() -> bool:
            if not self.closed and not self.told:
                raise errors.Empty
            return not self.closed

        return await _aio.attempt_until(self, 0, attempt, errors.Empty, None)

    def fileno(self) -> int:
        """A descriptor that is readable when it may have been told: ask ``told``, which quietens it if not."""
        if self.closed:
            _handle.fail_closed(self._handle)
        if self._listener < 0:
            self._listener = self._handle._listen()
            self._handle._arm(0)
        return self._listener

    def cancel(self) -> None:
        """Takes the registration back. May be repeated."""
        if self._cancelled:
            return
        self._cancelled = True
        if self._listener >= 0:
            os.close(self._listener)
            self._listener = -1
        if not self._handle.closed:
            self._came = not self._handle._cancel(self._mark)
        _aio.close_waiters(self)

    def __enter__(self) -> Notification:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def _listen(self) -> int:
        return self._handle._listen()

    def _hush(self, descriptor: int) -> None:
        self._handle._hush(descriptor)

    def _arm(self, channel: int) -> None:
        self._handle._arm(channel)

    def _is_ready(self, channel: int) -> bool:
        return self.closed or self.told


class _Told:
    """What ``request_notification`` has going: a thread that waits, and then calls."""

    def __init__(self, handle: MessageQueue, call: Callable[[], Any]) -> None:
        self._call, self._process, self._calling = call, os.getpid(), False
        self._notification = Notification(handle)
        self._thread = threading.Thread(target=self._run, name=f"weft notification of {handle.name!r}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._calling = self._notification.wait()
        except errors.ClosedError:
            return
        if self._calling:
            self._call()

    def cancel(self) -> None:
        """Takes the registration back; the thread ends, unless it is calling already."""
        if self._process != os.getpid():  # a forked child has neither
            return
        self._notification.cancel()
        if not self._calling and threading.current_thread() is not self._thread:
            self._thread.join(1)


def notification(handle: MessageQueue) -> Notification:
    """Registers ``handle``."""
    registered = Notification(handle)
    _replace(handle, registered)
    return registered


def _replace(handle: MessageQueue, registered: Any) -> None:
    before, handle._notification = handle._notification, registered
    if before is not None:
        before.cancel()


def request_notification(handle: MessageQueue, wanted: Any) -> None:
    """``MessageQueue.request_notification``."""
    if handle.closed:
        _handle.fail_closed(handle)
    match wanted:
        case None:
            _replace(handle, None)
            return
        case (call, argument) if callable(call):
            target: Callable[[], Any] = functools.partial(call, argument)
        case int() if not isinstance(wanted, bool):
            number = signal.Signals(wanted)
            target = functools.partial(os.kill, os.getpid(), number)
        case _ if callable(wanted):
            target = wanted
        case _:
            raise TypeError(
                "a notification is a function, (function, argument), a signal's number or None, not "
                f"{type(wanted).__name__}"
            )
    _replace(handle, _Told(handle, target))


def forget(handle: MessageQueue) -> None:
    """The handle is being closed: nobody will be told."""
    if getattr(handle, "_notification", None) is not None:
        _replace(handle, None)
