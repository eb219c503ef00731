"""serve: a handler for each client, in asyncio."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from weft import errors
from weft.sockets.connection import Connection
from weft.sockets.listener import Listener, ListenerStatistics

__all__ = ["Server", "serve"]

_log = logging.getLogger("weft.sockets")
_PAUSE = 0.1  # seconds, when the system lacks descriptors

Handler = Callable[[Connection], Awaitable[Any]]


class Server:
    """What ``serve`` returns: a listener, and the tasks of its clients. ``async with`` closes it on leaving."""

    def __init__(self, handler: Handler, listener: Listener) -> None:
        self._handler, self._listener = handler, listener
        self._clients: dict[asyncio.Task[None], Connection] = {}
        self._task = asyncio.get_running_loop().create_task(self._accept())

    @property
    def address(self) -> Any:
        """What clients connect to."""
        return self._listener.address

    @property
    def connections(self) -> frozenset[Connection]:
        """Those that are open."""
        return frozenset(self._clients.values())

    def statistics(self) -> ListenerStatistics:
        """The listener's counters at this moment."""
        return self._listener.statistics()

    async def _accept(self) -> None:
        while True:
            try:
                connection = await self._listener.aaccept()
            except errors.AuthenticationError:
                continue  # it has been logged
            except errors.ConnectionClosedError:
                return
            except OSError as error:
                _log.error("%r: %s", self._listener, error)
                await asyncio.sleep(_PAUSE)
                continue
            task = asyncio.get_running_loop().create_task(self._handle(connection))
            self._clients[task] = connection
            task.add_done_callback(self._clients.pop)

    async def _handle(self, connection: Connection) -> None:
        with connection:
            try:
                await self._handler(connection)
            except (EOFError, errors.ConnectionLostError, errors.ConnectionClosedError, BrokenPipeError) as error:
                _log.debug("%r: %s", connection, error)  # the client's way to end it
            except Exception:
                _log.exception("the handler of %r has failed", connection)

    async def serve_forever(self) -> None:
        """Serves until it is cancelled or closed; then closes."""
        try:
            await asyncio.shield(self._task)
        finally:
            await self.aclose()

    async def aclose(self, timeout: float | None = 5.0) -> None:
        """Stops listening, and waits for the handlers of the clients that are there.

        Args:
            timeout: Seconds after which those that are still at work are cancelled, and their connections closed;
                None waits for ever.
        """
        self._listener.close()
        await asyncio.wait([self._task])
        tasks = set(self._clients)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


async def serve(handler: Handler, address: Any = None, family: str | None = None, **options: Any) -> Server:
    """Listens, and calls a coroutine function for each client, in asyncio.

    A handler that returns or raises has its connection closed. What it raises is logged (``weft.sockets``), unless
    it is the client's end of the connection, and disturbs nobody else. Clients that fail the handshake are logged.
    In trio, have a task for each connection of ``Listener.aaccept`` instead.

    Args:
        handler: Called with the ``Connection``.
        address: As for ``Listener``.
        family: As for ``Listener``.
        **options: As for ``Listener``: ``authkey``, ``ssl``, ``codec``, ``max_connections``, …

    Returns:
        The server, which listens already.

    Raises:
        OSError: The address is in use, or can't be bound.
        ValueError: As for ``Listener``.
        TypeError: The handler can't be called.
        RuntimeError: There is no event loop of asyncio.
    """
    if not callable(handler):
        raise TypeError(f"the handler must be a coroutine function, not {type(handler).__name__}")
    asyncio.get_running_loop()
    return Server(handler, Listener(address, family, **options))
