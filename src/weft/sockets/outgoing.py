"""One frame on its way out, which may stop anywhere: for want of room, by a timeout, by a cancelled task.

A frame of which a part is out must go on before any other. Whoever sends next sees to that.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Any

from weft.sockets.stream import Stream

__all__ = ["Congested", "Outgoing"]


# So much is sent at a time to a peer that takes it as fast as it comes: then the caller looks at the clock.
_TURN = 4 << 20


class Congested(BlockingIOError):
    """The kernel has as many descriptors under way as this user may have; no event tells when that changes."""


class Outgoing:
    """A frame to be sent.

    Attributes:
        begun: Whether a part of it is out.
        done: Whether all of it is.
    """

    __slots__ = ("_body", "_handle", "_parts", "begun", "done")

    def __init__(self, parts: list[Any], body: bytes = b"", handle: int = -1) -> None:
        """``handle`` goes with ``body``, behind the parts; it is owned by this object, and closed when it is sent."""
        self._parts, self._body, self._handle = parts, body, handle
        self.begun = self.done = False

    def advance(self, stream: Stream, turn: int = _TURN) -> None:
        """Sends what can be sent at once, up to ``turn`` bytes or a little more.

        Raises:
            BlockingIOError: Something is left.
        """
        parts = self._parts
        while parts:
            if turn <= 0:
                raise BlockingIOError(errno.EAGAIN, "there is room for more, and others have waited for long enough")
            sent = stream.send_parts(parts)
            turn -= sent
            self.begun = True
            while parts and sent >= len(parts[0]):
                sent -= len(parts.pop(0))
            if sent:
                parts[0] = memoryview(parts[0])[sent:]
        if self._handle >= 0:
            try:
                stream.send_handle(self._body, self._handle)
            except OSError as error:
                if error.errno == errno.ETOOMANYREFS:
                    raise Congested(errno.EAGAIN, "too many descriptors are under way") from None
                raise
            self.drop()
        self.done = True

    def keep(self) -> None:
        """Copies what is left of the caller's memory, which may change from now on."""
        self._parts = [bytes(part) for part in self._parts]

    def drop(self) -> None:
        """Closes the descriptor that it owns."""
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            with contextlib.suppress(OSError):
                os.close(handle)

    def __del__(self) -> None:
        self.drop()
