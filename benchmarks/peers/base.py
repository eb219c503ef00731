"""What every peer is reduced to: a channel with a `put` at one end and a `get` at the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from ..loads import Load

Put: TypeAlias = Callable[[Any], Any]
Get: TypeAlias = Callable[..., Any]


@dataclass(frozen=True)
class Setup:
    """What a channel is made for.

    Attributes:
        load: The messages; peers that need sizes or shapes ahead of time look here.
        slots: Messages that may wait in the channel; 0 leaves the peer its own default.
        receivers: Processes that will take from the channel.
        scratch: A directory for sockets; the runner removes it.
    """

    load: Load
    slots: int
    receivers: int
    scratch: Path


class Channel(ABC):
    """One direction between processes.

    It is made before the partners are forked and holds what they need to find each other. Either
    end is opened after the fork, by the process that uses it, because many peers own threads or
    handles that do not survive one. Between two processes the sender is opened first, and nothing
    is put before the receiver is open too.

    Attributes:
        batch: 0 if `put` takes and `get` returns one message; otherwise `put` takes a list, and
            `get(n)` returns a list of at most n, and this is the length to use.
    """

    batch: int = 0

    @abstractmethod
    def sender(self) -> AbstractContextManager[Put]:
        """Opens the sending end; leaving it waits until everything put is on its way.

        In a workload "in place", `put` takes a function and calls it with the array to write to.
        """

    @abstractmethod
    def receiver(self, index: int = 0) -> AbstractContextManager[Get]:
        """Opens the receiving end as the receiver of that number.

        A message that `get` returned need be valid only until the next `get`.
        """

    def close(self) -> None:  # noqa: B027, most have nothing to give back
        """Gives back what the channel itself holds; called once, by the process that made it."""
