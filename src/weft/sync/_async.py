"""Waiting for locks and their like in asyncio and trio: the twins of what waits in a thread."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from weft import _aio
from weft.sync._people import TASK


class _NotYet(Exception):
    pass


def task_number(handle: Any) -> int:
    """The number of the task that runs in this thread, by which a lock knows its holder; 0 if none does."""
    task: object = None
    if _aio._in_trio():
        import trio

        task = trio.lowlevel.current_task()
    elif (asyncio := sys.modules.get("asyncio")) is not None and asyncio._get_running_loop() is not None:
        task = asyncio.current_task()
    return 0 if task is None else TASK | id(task) >> 4 & (TASK - 1)


async def _until(handle: Any, ready: Callable[[], bool], timeout: float | None, channel: int = 0) -> bool:
    """Waits until ``ready()``; whether it was in time. Looks by itself often enough to see to the dead."""

    def attempt() -> None:
        if not ready():
            raise _NotYet

    try:
        await _aio.attempt_until(handle, channel, attempt, _NotYet, timeout, lambda: _aio.WATCHFUL_TICK)
    except _NotYet:
        return False
    return True


async def aacquire(handle: Any, timeout: float | None) -> bool:
    """Acquires for a task; whether it did in time."""
    number = task_number(handle)
    return await _until(handle, lambda: handle._acquire_as(number), None if timeout == -1 else timeout)


class Sharing:
    """``async with lock.aread(timeout):``."""

    def __init__(self, lock: Any, timeout: float | None) -> None:
        self._lock, self._timeout = lock, None if timeout == -1 else timeout

    async def __aenter__(self) -> None:
        if not await _until(self._lock, self._lock._try_read, self._timeout, 1):
            raise TimeoutError(f"{self._lock!r} was in a writer's hands for {self._timeout} s")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock._end_read()


class Exclusive(Sharing):
    """``async with lock.awrite(timeout):``."""

    async def __aenter__(self) -> None:
        number = task_number(self._lock)
        if not await _until(self._lock, lambda: bool(self._lock._try_write(number)), self._timeout):
            raise TimeoutError(f"{self._lock!r} was in others' hands for {self._timeout} s")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock._end_write()


async def wait_event(event: Any, timeout: float | None) -> bool:
    """``await event.async_wait()``."""
    if event.is_set():
        return True
    since = event._count()
    return await _until(event, lambda: event._is_over(since), timeout)


async def wait_condition(condition: Any, timeout: float | None) -> bool:
    """``await condition.async_wait()``."""
    number = task_number(condition)
    if not condition._holds(number):
        raise RuntimeError("cannot wait on un-acquired lock")
    entry, depth = condition._announce(number)
    notified = False
    try:
        await _until(condition, lambda: condition._is_notified(entry), timeout)
        notified = bool(condition._leave(entry))
        entry = 0
    finally:
        if entry and condition._leave(entry):
            condition._pass_on()
        await _again(condition._lock)
        condition._deepen(depth)
    return notified


async def _again(lock: Any) -> None:
    """Takes the lock back, however often the task is cancelled meanwhile."""
    if _aio._in_trio():
        import trio

        with trio.CancelScope(shield=True):
            await aacquire(lock, None)
        return
    import asyncio

    cancelled: asyncio.CancelledError | None = None
    while True:
        try:
            await aacquire(lock, None)
            break
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def wait_condition_for(condition: Any, predicate: Callable[[], Any], timeout: float | None) -> Any:
    """``await condition.async_wait_for(predicate)``."""
    deadline = None if timeout is None else time.monotonic() + timeout
    result = predicate()
    while not result:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            break
        await wait_condition(condition, left)
        result = predicate()
    return result


async def wait_barrier(barrier: Any, timeout: float | None) -> int:
    """``await barrier.async_wait()``."""
    number, turn = barrier._arrive_now()
    if number < 0:
        return -1 - int(number)
    try:

        def is_over() -> bool:
            if not barrier._is_over(turn):
                barrier._check_dead()
            return bool(barrier._is_over(turn))

        if not await _until(barrier, is_over, barrier._timeout if timeout is None else timeout):
            barrier.abort()
    except BaseException:
        if not barrier._is_over(turn):
            barrier.abort()
        raise
    finally:
        barrier._depart()
    if not barrier._has_passed(turn):
        barrier._fail_broken()
    return int(number)
