"""Waiting in event loops: asyncio and trio, without a thread.

A task that finds nothing arms the object's doorbell, looks once more, and waits for the bell's descriptor.
What it waits for is taken after the wait, in one step that no cancellation can come into: a cancelled task
has taken, or put, nothing. Tasks of one loop that wait in one handle for the same share a descriptor; a ring
wakes the first of them, and whoever was woken and leaves wakes the next.

A handle that can be waited for has ``_listen()`` and ``_hush(descriptor)`` (from ``Handle``),
``_arm(channel)``, which has the bell rung at the next change, ``_is_ready(channel)``, a look that takes
nothing, ``closed``, and a dict ``_waiters``. A channel is what is waited for, by a number of the kind's own.

Event loops are imported by those who use them: ``import weft`` loads neither.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

# A ring taken along by a process that died costs no more than this, in seconds; the short one while
# there is something out that a holder's death would bring back, which somebody has to see.
TICK, WATCHFUL_TICK = 0.25, 0.025


class _LoopWaiter:
    """The tasks of one asyncio loop that wait in one handle for the same."""

    def __init__(self, handle: Any, loop: asyncio.AbstractEventLoop, channel: int) -> None:
        self._handle, self._loop, self._channel = handle, loop, channel
        self._key = (id(loop), channel)
        self._process = os.getpid()
        self._tasks: deque[asyncio.Future[None]] = deque()
        self._descriptor = handle._listen()
        try:
            loop.add_reader(self._descriptor, self._rung)
        except BaseException:  # a loop that watches no descriptors
            os.close(self._descriptor)
            raise
        handle._waiters[self._key] = self

    @classmethod
    def of(cls, handle: Any, channel: int) -> _LoopWaiter:
        import asyncio

        loop = asyncio.get_running_loop()
        found: _LoopWaiter | None = handle._waiters.get((id(loop), channel))
        return found if found is not None and found._loop is loop else cls(handle, loop, channel)

    def _ready(self) -> bool:
        return bool(self._handle._is_ready(self._channel))

    def _rung(self) -> None:
        self._handle._hush(self._descriptor)
        self._wake_next()

    def _wake_next(self) -> None:
        for task in self._tasks:
            if not task.done():
                task.set_result(None)
                return

    async def wait(self, seconds: float, again: bool) -> None:
        """Returns when it is time to look again; who waits ``again`` keeps its place at the front."""
        import asyncio

        mine: asyncio.Future[None] = self._loop.create_future()
        timer = self._loop.call_later(seconds, _settle, mine)
        if again:
            self._tasks.appendleft(mine)
        else:
            self._tasks.append(mine)
        try:
            self._handle._arm(self._channel)
            if not self._ready():
                await mine
            else:
                await asyncio.sleep(0)
        finally:
            timer.cancel()
            self._tasks.remove(mine)
            if self._tasks and not self._handle.closed and self._ready():
                self._wake_next()
            if not self._tasks:
                self.close()

    def close(self) -> None:
        """Stops listening; tasks that still wait look again, and find the handle closed."""
        if self._descriptor < 0:
            return
        if os.getpid() != self._process:
            # A forked child's copy. What the loop waits with is shared with the parent: it is not touched.
            self._forget()
            return
        import asyncio

        if not self._loop.is_closed() and asyncio._get_running_loop() is not self._loop:
            with contextlib.suppress(RuntimeError):  # it has closed just now
                self._loop.call_soon_threadsafe(self.close)
            return
        if not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)
        self._forget()
        for task in self._tasks:
            _settle(task)

    def _forget(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1
        if self._handle._waiters.get(self._key) is self:
            del self._handle._waiters[self._key]


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _wait_trio(handle: Any, channel: int, seconds: float) -> None:
    import trio

    descriptor = handle._listen()
    try:
        handle._arm(channel)
        if handle._is_ready(channel):
            await trio.lowlevel.checkpoint()
            return
        with trio.move_on_after(seconds):
            await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)


def _in_trio() -> bool:
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())


async def _yield() -> None:
    """Lets other tasks run, and lets cancellation in, before anything is taken."""
    if _in_trio():
        import trio

        await trio.lowlevel.checkpoint()


def close_waiters(handle: Any) -> None:
    """Ends the waits of all tasks in a handle that has been closed: they look again, and find it so."""
    for waiter in list(handle._waiters.values()):
        waiter.close()


def _check_timeout(timeout: Any) -> None:
    try:
        possible = timeout >= 0
    except TypeError:
        raise TypeError(f"timeout must be None or a number of seconds, not {type(timeout).__name__}") from None
    if not possible:
        raise ValueError(f"timeout must be None or at least 0, not {timeout!r}")


async def attempt_until(
    handle: Any,
    channel: int,
    attempt: Callable[[], T],
    missed: type[Exception],
    timeout: float | None,
    tick: Callable[[], float] = lambda: TICK,
) -> T:
    """Tries until it succeeds, waiting in the event loop in between.

    Args:
        handle: Where to wait.
        channel: What for.
        attempt: One try that does not wait and either takes all or nothing.
        missed: What it raises when there is nothing to take yet; raised from here when time is up.
        timeout: Seconds to wait at most; None waits for ever, 0 not at all.
        tick: How long to sleep at most before the next try, in seconds.

    Returns:
        What the successful try returned.

    Raises:
        TypeError: The timeout is no number.
        ValueError: The timeout is negative.
    """
    if timeout is not None:
        _check_timeout(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    await _yield()
    again = False
    while True:
        try:
            return attempt()
        except missed:
            if deadline is not None and time.monotonic() >= deadline:
                raise
        seconds = tick()
        if deadline is not None:
            seconds = max(min(seconds, deadline - time.monotonic()), 0)
        if _in_trio():
            await _wait_trio(handle, channel, seconds)
        else:
            await _LoopWaiter.of(handle, channel).wait(seconds, again)
        again = True
