"""Waiting in event loops: asyncio and trio, without a thread.

A task that finds nothing arms the doorbell, looks once more, and waits for the bell's descriptor. What
it waits for is taken after the wait, in one step that no cancellation can come into: a cancelled task
has taken, or put, nothing. Tasks of one loop that wait in one handle share a descriptor; a ring wakes
the first of them, and whoever was woken and leaves wakes the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from weft import errors

if TYPE_CHECKING:
    from weft._core.queue import Lease, Queue

# A ring taken along by a process that died costs no more than this, in seconds; the short one while
# leases are out, whose holders' deaths somebody has to see.
_TICK, _WATCHFUL_TICK = 0.25, 0.025
# Whether there is room in memory shows only in trying, so room that came between a failed try and the
# arming of the bell is found after this.
_ROOM_TICK = 0.02


class _LoopWaiter:
    """The tasks of one asyncio loop that wait in one handle, for messages or for room."""

    def __init__(self, queue: Queue, loop: asyncio.AbstractEventLoop, for_room: bool) -> None:
        self._queue, self._loop, self._for_room = queue, loop, for_room
        self._key = (id(loop), for_room)
        self._tasks: deque[asyncio.Future[None]] = deque()
        self._descriptor = queue._listen()
        loop.add_reader(self._descriptor, self._rung)
        queue._waiters[self._key] = self

    @classmethod
    def of(cls, queue: Queue, for_room: bool) -> _LoopWaiter:
        loop = asyncio.get_running_loop()
        found: _LoopWaiter | None = queue._waiters.get((id(loop), for_room))
        return found if found is not None and found._loop is loop else cls(queue, loop, for_room)

    def _ready(self) -> bool:
        return not self._for_room and self._queue._has_items()

    def _rung(self) -> None:
        self._queue._hush(self._descriptor)
        self._wake_next()

    def _wake_next(self) -> None:
        for task in self._tasks:
            if not task.done():
                task.set_result(None)
                return

    async def wait(self, seconds: float, again: bool) -> None:
        """Returns when it is time to look again; who waits ``again`` keeps its place at the front."""
        mine: asyncio.Future[None] = self._loop.create_future()
        timer = self._loop.call_later(seconds, _settle, mine)
        if again:
            self._tasks.appendleft(mine)
        else:
            self._tasks.append(mine)
        try:
            self._queue._arm(self._for_room)
            if not self._ready():
                await mine
            else:
                await asyncio.sleep(0)
        finally:
            timer.cancel()
            self._tasks.remove(mine)
            if self._tasks and not self._queue.closed and self._ready():
                self._wake_next()
            if not self._tasks:
                self.close()

    def close(self) -> None:
        """Stops listening; tasks that still wait look again, and find the handle closed."""
        if self._descriptor < 0:
            return
        if not self._loop.is_closed() and asyncio._get_running_loop() is not self._loop:
            with contextlib.suppress(RuntimeError):  # it has closed just now
                self._loop.call_soon_threadsafe(self.close)
            return
        if not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        if self._queue._waiters.get(self._key) is self:
            del self._queue._waiters[self._key]
        for task in self._tasks:
            _settle(task)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _wait_trio(queue: Queue, for_room: bool, seconds: float) -> None:
    import trio

    descriptor = queue._listen()
    try:
        queue._arm(for_room)
        if not for_room and queue._has_items():
            await trio.lowlevel.checkpoint()
            return
        with trio.move_on_after(seconds):
            await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)


def _in_trio() -> bool:
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())


async def _wait(queue: Queue, for_room: bool, deadline: float | None, again: bool) -> None:
    tick = _ROOM_TICK if for_room else _WATCHFUL_TICK if queue._leased() else _TICK
    if deadline is not None:
        tick = max(min(tick, deadline - time.monotonic()), 0)
    if _in_trio():
        await _wait_trio(queue, for_room, tick)
    else:
        await _LoopWaiter.of(queue, for_room).wait(tick, again)


def _deadline(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if not timeout >= 0:
        raise ValueError(f"timeout must be None or at least 0, not {timeout!r}")
    return time.monotonic() + timeout


async def _yield() -> None:
    """Lets other tasks run, and lets cancellation in, before anything is taken."""
    if _in_trio():
        import trio

        await trio.lowlevel.checkpoint()


async def aget(queue: Queue, timeout: float | None = None) -> Any:
    """Takes the message at the front, waiting in the event loop."""
    deadline = _deadline(timeout)
    await _yield()
    again = False
    while True:
        try:
            return queue.get(False)
        except errors.Empty:
            if deadline is not None and time.monotonic() >= deadline:
                raise
        await _wait(queue, False, deadline, again)
        again = True


async def aput(queue: Queue, obj: Any, timeout: float | None = None) -> None:
    """Puts a message at the end, waiting for room in the event loop."""
    deadline = _deadline(timeout)
    await _yield()
    again = False
    while True:
        try:
            return queue.put(obj, False)
        except errors.Full:
            if queue._options["on_full"] == "fail" or (deadline is not None and time.monotonic() >= deadline):
                raise
        await _wait(queue, True, deadline, again)
        again = True


class alease(contextlib.AbstractAsyncContextManager[Any]):  # noqa: N801 - used as a function
    """``async with queue.alease() as item:``; afterwards ``lease`` is the ``Lease`` that was held."""

    lease: Lease

    def __init__(self, queue: Queue, timeout: float | None = None) -> None:
        self._queue, self._timeout = queue, timeout

    async def __aenter__(self) -> Any:
        deadline = _deadline(self._timeout)
        await _yield()
        again = False
        while True:
            try:
                self.lease = self._queue.lease(block=False)
                return self.lease.item
            except errors.Empty:
                if deadline is not None and time.monotonic() >= deadline:
                    raise
            await _wait(self._queue, False, deadline, again)
            again = True

    async def __aexit__(self, *exc_info: Any) -> None:
        self.lease.__exit__(*exc_info)

    @property
    def redelivered(self) -> int:
        """How often the message had been handed out before."""
        return self.lease.redelivered
