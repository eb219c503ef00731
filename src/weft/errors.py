"""Every exception that weft raises, in one tree.

Each is also the builtin that a user would catch, and carries its data as attributes::

    WeftError
    ├── ClosedError(ValueError)            this handle has been closed
    │   └── ConnectionClosedError(OSError)  … and it is one end of a connection, or a listener
    ├── NoSpaceError(MemoryError, OSError) memory could not be reserved: wanted, free, place
    ├── CorruptedError(ValueError)         a segment or message holds what no honest program writes
    ├── MismatchError(ValueError)          the object exists, but is another: expected, found
    ├── MessageTooLargeError(ValueError)   size, limit
    ├── NameInUseError(FileExistsError)    create=True, but it exists
    ├── NotFoundError(FileNotFoundError)   create=False, but it does not exist
    ├── AccessError(PermissionError)       another user's, or too open a directory
    ├── InUseError(OSError, BufferError)   others use it: not done
    ├── SystemLimitError(OSError)          descriptors, mappings or participants are used up
    ├── OwnerDied(RuntimeError)            the owner of a lock died: owner
    ├── NotHeldError(RuntimeError, ValueError) released, but not held
    ├── DeadlockError(RuntimeError)        to wait would be for ever
    ├── AuthenticationError(multiprocessing.AuthenticationError)  the other side could not prove itself
    ├── PeerDied(ConnectionError)          the other side died: peer
    │   └── ConnectionLostError(ConnectionResetError)  … or a connection ended without a goodbye
    ├── WorkerDied(RuntimeError)           a worker died with a task
    ├── RemoteError(RuntimeError)          a remote call failed
    ├── ShutDown(queue.ShutDown, EOFError) the end of the stream
    ├── Full(queue.Full)                   no room in time: sent
    └── Empty(queue.Empty)                 nothing to take in time

A wait that ends raises ``Full`` or ``Empty`` where the standard library does, and the builtin
``TimeoutError`` elsewhere.
"""

from __future__ import annotations

import multiprocessing
import queue
import sys
from typing import Any

__all__ = [
    "AccessError",
    "AuthenticationError",
    "ClosedError",
    "ConnectionClosedError",
    "ConnectionLostError",
    "CorruptedError",
    "DeadlockError",
    "Empty",
    "Full",
    "InUseError",
    "MessageTooLargeError",
    "MismatchError",
    "NameInUseError",
    "NoSpaceError",
    "NotFoundError",
    "NotHeldError",
    "OwnerDied",
    "OwnerDiedWarning",
    "PeerDied",
    "RemoteError",
    "ShutDown",
    "SystemLimitError",
    "WeftError",
    "WorkerDied",
]


class WeftError(Exception):
    """Base of all errors of weft."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors travel between processes: keep text and data whatever the signature of __init__.
        state = dict(self.__dict__)
        if isinstance(self, OSError) and self.filename is not None:
            state["filename"] = self.filename
        return (_rebuild, (type(self), self.args, state))


def _rebuild(kind: type[WeftError], args: tuple[Any, ...], state: dict[str, Any]) -> WeftError:
    error = kind(*args)
    for name, value in state.items():
        setattr(error, name, value)
    return error


class ClosedError(WeftError, ValueError):
    """This handle has been closed; open another."""


class ConnectionClosedError(ClosedError, OSError):
    """This end of a connection, or this listener, has been closed."""


class NoSpaceError(WeftError, MemoryError, OSError):
    """Memory could not be reserved.

    Attributes:
        wanted: Bytes that were to be reserved.
        free: Bytes that were left.
        place: The directory whose file system is full.
    """

    def __init__(self, message: str, wanted: int = 0, free: int = 0, place: str = "") -> None:
        super().__init__(message)
        self.wanted, self.free, self.place = wanted, free, place

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class CorruptedError(WeftError, ValueError):
    """A segment or message holds what no honest program writes."""


class MismatchError(WeftError, ValueError):
    """The object exists, but is not what was asked for.

    Attributes:
        expected: What the caller asked for.
        found: What is there.
    """

    def __init__(self, message: str, expected: Any = None, found: Any = None) -> None:
        super().__init__(message)
        self.expected, self.found = expected, found


class MessageTooLargeError(WeftError, ValueError):
    """The message can never fit.

    Attributes:
        size: Bytes of the encoded message.
        limit: The object's ``max_message``.
    """

    def __init__(self, message: str, size: int = 0, limit: int = 0) -> None:
        super().__init__(message)
        self.size, self.limit = size, limit


class NameInUseError(WeftError, FileExistsError):
    """``create=True``, but the name exists."""


class NotFoundError(WeftError, FileNotFoundError):
    """``create=False``, but nothing has that name."""


class AccessError(WeftError, PermissionError):
    """Another user's object, or a directory that lets others in."""


class InUseError(WeftError, OSError, BufferError):
    """Others use it, so it has not been done."""


class SystemLimitError(WeftError, OSError):
    """The system, or the object, has no more of what is counted: descriptors, mappings, participants."""


class OwnerDied(WeftError, RuntimeError):
    """The owner of a lock died; what the lock guards may be half changed.

    Attributes:
        owner: The dead participant.
    """

    def __init__(self, message: str, owner: Any = None) -> None:
        super().__init__(message)
        self.owner = owner


class OwnerDiedWarning(RuntimeWarning):
    """A lock was handed over by the dead; what it guards may be half changed."""


class NotHeldError(WeftError, RuntimeError, ValueError):
    """What is released is not held: by this thread, where only the holder may release."""


class DeadlockError(WeftError, RuntimeError):
    """With ``debug=True``: threads would wait for one another for ever. The text names the circle."""


class PeerDied(WeftError, ConnectionError):
    """The other side died."""


class ConnectionLostError(PeerDied, ConnectionResetError):
    """A connection ended without a goodbye: the other process died, or something cut it."""


class AuthenticationError(WeftError, multiprocessing.AuthenticationError):
    """The other side of a connection could not prove that it knows the key, or will not try to."""


class WorkerDied(WeftError, RuntimeError):
    """A worker died with a task."""


class RemoteError(WeftError, RuntimeError):
    """A remote call failed."""


if sys.version_info >= (3, 13):
    _QueueShutDown = queue.ShutDown
else:

    class _QueueShutDown(Exception):
        """``queue.ShutDown``."""


class ShutDown(WeftError, _QueueShutDown, EOFError):
    """The end of the stream: nothing more can be put, or nothing is left to get."""


class Full(WeftError, queue.Full):
    """No room in the time given.

    Attributes:
        sent: How many messages of a ``put_many`` had been put before.
    """

    sent: int = 0


class Empty(WeftError, queue.Empty):
    """Nothing to take in the time given."""
