"""Both ends of a connection in one test."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import weft
from weft.sockets import Connection

FAMILIES = ["AF_UNIX", "AF_INET", "AF_INET6"]


class Result:
    """A call in a thread, and what it comes to."""

    def __init__(self, call: Any, *arguments: Any, **options: Any) -> None:
        self.value = self.error = None
        self._thread = threading.Thread(target=self._run, args=(call, arguments, options), daemon=True)
        self._thread.start()

    def _run(self, call: Any, arguments: Any, options: Any) -> None:
        try:
            self.value = call(*arguments, **options)
        except BaseException as error:
            self.error = error

    @property
    def pending(self) -> bool:
        return self._thread.is_alive()

    def get(self) -> Any:
        self._thread.join()
        if self.error is not None:
            raise self.error
        return self.value


def connect_to(listener: weft.Listener, **options: Any) -> tuple[Connection, Connection]:
    """A client and its end at the listener."""
    client = Result(weft.Client, listener.address, **options)
    accepted = listener.accept(timeout=60)
    return client.get(), accepted


@contextlib.contextmanager
def pair(family: str = "AF_UNIX", both: Any = None, listening: Any = None, calling: Any = None) -> Iterator[Any]:
    """Two ends that have come to terms, closed afterwards."""
    both = both or {}
    with weft.Listener(family=family, **both, **(listening or {})) as listener:
        client, accepted = connect_to(listener, **both, **(calling or {}))
        client.wait_connected()
    with client, accepted:
        yield client, accepted
