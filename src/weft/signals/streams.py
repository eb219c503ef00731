"""Signals in event loops, asyncio and trio: streams of events, and handlers that may await."""

from __future__ import annotations

import contextlib
import inspect
import os
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any

from weft import errors
from weft._aio import _in_trio, attempt_until, close_waiters
from weft._core.signals import Event
from weft.signals.handlers import Binding
from weft.signals.names import SignalLike, check_catchable

__all__ = ["Stream", "aon", "stream"]

_NO_TICK = 3600.0  # seconds: nothing is lost with a ring here


class Bell:
    """What a task of an event loop can wait for in this process: a descriptor, as ``weft._aio`` takes it."""

    def __init__(self) -> None:
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._waiters: dict[Any, Any] = {}

    def ring(self) -> None:
        """Makes the descriptor readable; may be called from handlers."""
        if self._bell >= 0:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_write(self._bell, 1)

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._bell < 0

    def close(self) -> None:
        """Gives the descriptor back; tasks that wait look again. Can be repeated."""
        bell, self._bell = self._bell, -1
        if bell >= 0:
            close_waiters(self)
            os.close(bell)

    def fileno(self) -> int:
        """The descriptor."""
        if self._bell < 0:
            raise errors.ClosedError("this has been closed")
        return self._bell

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # another thread's, or half made
            self.close()

    def _listen(self) -> int:
        return os.dup(self.fileno())

    def _hush(self, descriptor: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(descriptor)

    def _arm(self, channel: int) -> None:
        self._hush(self.fileno())

    def _is_ready(self, channel: int) -> bool:
        raise NotImplementedError


class Stream(Bell):
    """What ``stream`` returns: an asynchronous iterator over the events of some signals.

    The signals stay bound until ``close``, the end of a ``with`` block, or until nobody refers to the stream.
    """

    def __init__(self, numbers: tuple[int, ...], keep: bool) -> None:
        super().__init__()
        self._events: deque[Event] = deque()
        mine = weakref.ref(self)

        def arrived(event: Event) -> None:
            stream = mine()
            if stream is not None:
                stream._events.append(event)
                stream.ring()

        in_main = threading.current_thread() is threading.main_thread()
        self._binding = Binding(numbers, thread=not in_main, keep=keep)
        try:
            self._binding.bind(arrived)
        except BaseException:
            super().close()
            raise

    def _is_ready(self, channel: int) -> bool:
        return bool(self._events)

    def _take(self) -> Event:
        if self._events:
            return self._events.popleft()
        if self.closed:
            raise StopAsyncIteration
        raise errors.Empty

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        try:
            return await attempt_until(self, 0, self._take, errors.Empty, None, lambda: _NO_TICK)
        except errors.ClosedError:
            raise StopAsyncIteration from None

    async def get(self, timeout: float | None = None) -> Event | None:
        """The next event; None when the time is up. A cancelled ``get`` has taken nothing."""
        try:
            return await attempt_until(self, 0, self._take, errors.Empty, timeout, lambda: _NO_TICK)
        except errors.Empty:
            return None
        except (errors.ClosedError, StopAsyncIteration):
            raise errors.ClosedError("this stream has been closed") from None

    def close(self) -> None:
        """Unbinds the signals; loops over the stream end. Can be repeated, in the thread that made it."""
        try:
            self._binding.remove()
        finally:
            super().close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def stream(*signals: SignalLike, keep: bool = False) -> Stream:
    """The events of some signals, in an event loop.

    ::

        async for event in signals.stream("SIGTERM", "SIGHUP"):
            ...

        with signals.stream("SIGTERM") as terms:      # bound exactly as long as this block
            event = await terms.get(timeout=5)

    Signals are caught from this call on, and none is lost between two steps of the loop, or with a cancelled wait.
    Each stream gets every event, whichever loop it belongs to, beside handlers of ``on`` and those of the loop itself
    (``loop.add_signal_handler``), if those were added before: later ones take the signal away from all others.
    asyncio and trio; no thread is used if the loop runs in the main thread. Made in another thread, events come by
    way of the signals' thread.

    Args:
        *signals: Names, numbers or members of ``signal.Signals``.
        keep: Whether what was bound before is called, too.

    Returns:
        The stream.

    Raises:
        ValueError: No such signal, or SIGKILL or SIGSTOP.
    """
    return Stream(check_catchable(signals), keep)


@contextlib.asynccontextmanager
async def aon(
    *signals_and_handler: SignalLike | Callable[[Event], Awaitable[Any] | Any], keep: bool = False
) -> AsyncIterator[Stream]:
    """Runs a handler that may await, for each event of some signals, in a task beside the block.

    ::

        async with signals.aon("SIGHUP", reload):
            await serve()

    Events are handled one after the other. An error of the handler cancels the block and comes out of it, in an
    exception group. On leaving the block a handler that still runs is cancelled.

    Args:
        *signals_and_handler: Signals, and last a coroutine function (or a function) of one event.
        keep: Whether what was bound before is called, too.

    Raises:
        ValueError: No such signal, or SIGKILL or SIGSTOP.
        TypeError: The handler is not callable, or takes other arguments.
    """
    *names, handler = signals_and_handler
    if not callable(handler):
        raise TypeError(f"a handler is a function of one event, not {handler!r}")
    with contextlib.suppress(ValueError):  # builtins without a signature
        inspect.signature(handler).bind(None)

    async def handle(events: Stream) -> None:
        async for event in events:
            result = handler(event)
            if inspect.isawaitable(result):
                await result

    with stream(*names, keep=keep) as events:  # type: ignore[arg-type]
        if _in_trio():
            import trio

            async with trio.open_nursery() as nursery:
                nursery.start_soon(handle, events)
                yield events
                nursery.cancel_scope.cancel()
        else:
            import asyncio

            async with asyncio.TaskGroup() as group:
                task = group.create_task(handle(events))
                yield events
                task.cancel()
