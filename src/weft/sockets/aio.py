"""Waiting for sockets in event loops: asyncio and trio, without a thread.

An operation is tried, and if it can't be done, the task waits here for the descriptor and tries again. A
cancelled task has then changed nothing that the next attempt would not finish.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from weft._aio import _in_trio as in_trio
from weft.sockets.stream import READ, WRITE

__all__ = ["Bare", "Waitable", "checkpoint", "in_thread", "in_trio", "ready", "sleep"]

T = TypeVar("T")


class Waitable(Protocol):
    """What has a descriptor that tasks wait for.

    Whoever closes it calls what is in ``_waiting``, and leaves ``_release`` to the last task if there are any: a
    descriptor that an event loop still listens to must not be closed, or its number means another file.
    """

    _closed: bool
    _waiting: set[Callable[[], None]]
    _armed: set[tuple[int, int]]

    def _descriptor(self) -> int: ...

    def _release(self) -> None: ...


async def checkpoint() -> None:
    """Lets cancellation in before anything is done."""
    if in_trio():
        import trio

        await trio.lowlevel.checkpoint()


async def sleep(seconds: float) -> None:
    """Sleeps, in either world."""
    if in_trio():
        import trio

        await trio.sleep(seconds)
    else:
        import asyncio

        await asyncio.sleep(seconds)


async def ready(waitable: Waitable, events: int, deadline: float | None) -> None:
    """Waits for the descriptor, for the deadline, or for the end of the waitable; it says not which."""
    if waitable._closed:
        return
    wait = _wait_trio if in_trio() else _wait_asyncio
    await wait(waitable, events, None if deadline is None else max(deadline - time.monotonic(), 0))


async def _wait_asyncio(waitable: Waitable, events: int, seconds: float | None) -> None:
    import asyncio

    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not future.done():
            future.set_result(None)

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(settle)

    descriptor, own = waitable._descriptor(), -1
    if (id(loop), events) in waitable._armed:  # a loop has one reader for each descriptor, and another task is it
        descriptor = own = os.dup(descriptor)
    else:
        waitable._armed.add((id(loop), events))
    waitable._waiting.add(wake)
    timer = None if seconds is None else loop.call_later(seconds, settle)
    if events & READ:
        loop.add_reader(descriptor, settle)
    if events & WRITE:
        loop.add_writer(descriptor, settle)
    try:
        await future
    finally:
        if timer is not None:
            timer.cancel()
        if events & READ:
            loop.remove_reader(descriptor)
        if events & WRITE:
            loop.remove_writer(descriptor)
        if own >= 0:
            os.close(own)
        else:
            waitable._armed.discard((id(loop), events))
        _leave(waitable, wake)


async def _wait_trio(waitable: Waitable, events: int, seconds: float | None) -> None:
    import math

    import trio

    scope = trio.CancelScope(deadline=math.inf if seconds is None else trio.current_time() + seconds)
    token = trio.lowlevel.current_trio_token()

    def wake() -> None:
        with contextlib.suppress(trio.RunFinishedError):
            token.run_sync_soon(scope.cancel)

    waitable._waiting.add(wake)
    descriptor = os.dup(waitable._descriptor())  # trio allows one task for each
    try:
        with scope:
            await (trio.lowlevel.wait_readable if events & READ else trio.lowlevel.wait_writable)(descriptor)
    finally:
        os.close(descriptor)
        _leave(waitable, wake)


def _leave(waitable: Any, wake: Callable[[], None]) -> None:
    waitable._waiting.discard(wake)
    if waitable._closed and not waitable._waiting:
        waitable._release()


class Bare:
    """A socket that is no connection yet, to be waited for."""

    def __init__(self, sock: Any) -> None:
        self._closed = False
        self._waiting: set[Callable[[], None]] = set()
        self._armed: set[tuple[int, int]] = set()
        self._descriptor = sock.fileno

    def _release(self) -> None:
        """Nothing: the socket is the caller's."""


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Calls what only waits by itself, such as the system's look-up of names, in a thread of the event loop's."""
    if in_trio():
        import trio

        return await trio.to_thread.run_sync(function, *arguments)
    import asyncio

    return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)
