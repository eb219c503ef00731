"""The things compared: one module per family, all behind `peers.base.Channel`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import Channel, Setup


@dataclass(frozen=True)
class Peer:
    """Where a peer's adapter is, and what must be installed for it.

    Attributes:
        adapter: Module below this package and class in it, as ``module:Class``.
        package: Import name of the third-party package, or None if there is none.
        distribution: Name of that package in the package index.
    """

    adapter: str
    package: str | None = None
    distribution: str | None = None

    @property
    def installed(self) -> bool:
        """Whether the package can be imported; nothing is imported to find out."""
        return self.package is None or find_spec(self.package) is not None

    def open(self, setup: Setup, options: dict[str, Any]) -> Channel:
        """Makes a channel; to be called before the partners are forked."""
        module, name = self.adapter.split(":")
        adapter: Callable[..., Channel] = getattr(import_module(f"{__name__}.{module}"), name)
        return adapter(setup, **options)


PEERS = {
    "weft": Peer("weft_queue:WeftQueue", "weft", "weft"),
    "weft.MessageQueue": Peer("message_queues:WeftMessageQueue", "weft", "weft"),
    "weft.MessageQueue durable": Peer("message_queues:WeftDurable", "weft", "weft"),
    "sqlite3": Peer("message_queues:Sqlite"),
    "weft.Pipe": Peer("weft_pipe:WeftPipe", "weft", "weft"),
    "weft.Cell": Peer("weft_cell:WeftCell", "weft", "weft"),
    "os.pipe": Peer("pipes:OsPipe"),
    "mp.Pipe": Peer("pipes:MpPipe"),
    "mp.Queue": Peer("mp_queue:MpQueue"),
    "mp.Array": Peer("values:MpArray"),
    "shm-seqlock": Peer("values:ShmSeqlock"),
    "sockets": Peer("sockets:SocketConnection", "weft", "weft"),
    "shm-ring": Peer("shm_ring:ShmRing"),
    "spin-ring": Peer("spin_ring:SpinRing"),
    "pyzmq": Peer("pyzmq_socket:ZmqSocket", "zmq", "pyzmq"),
    "faster-fifo": Peer("fifo:FasterFifo", "faster_fifo", "faster-fifo"),
    "posix_ipc": Peer("posix_mq:PosixQueue", "posix_ipc", "posix_ipc"),
    "iceoryx2": Peer("iceoryx:Iceoryx", "iceoryx2", "iceoryx2"),
}
