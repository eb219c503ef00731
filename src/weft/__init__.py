"""weft: every way two Python processes can talk, by name, at memory speed, sound when one is killed.

Layers, from the top; each uses only what stands below it:

    cell  queue                            primitives: one module, one concept
    namespace  codecs  errors  statistics  shared ground
    _core                                  hot calls (Cython)
    native/                                segment, ring, pool, locks, waiting (C++)
"""

from __future__ import annotations

import sys as _sys

if not _sys.platform.startswith("linux"):
    raise ImportError(f"weft runs on Linux only so far, not on {_sys.platform}: see 'Where it runs' in its README")

from weft import memory
from weft._handle import open_token as open
from weft.cell import Cell
from weft.errors import (
    AccessError,
    ClosedError,
    CorruptedError,
    Empty,
    Full,
    InUseError,
    MessageTooLargeError,
    MismatchError,
    NameInUseError,
    NoSpaceError,
    NotFoundError,
    OwnerDied,
    PeerDied,
    RemoteError,
    ShutDown,
    SystemLimitError,
    WeftError,
    WorkerDied,
)
from weft.memory import SharedMemory, mmap
from weft.namespace import Namespace
from weft.queue import Lease, Queue
from weft.statistics import AttachedProcess, CellStatistics, MemoryStatistics, Participant, QueueStatistics

__version__ = "0.1.0"

__all__ = [
    "AccessError",
    "AttachedProcess",
    "Cell",
    "CellStatistics",
    "ClosedError",
    "CorruptedError",
    "Empty",
    "Full",
    "InUseError",
    "Lease",
    "MemoryStatistics",
    "MessageTooLargeError",
    "MismatchError",
    "NameInUseError",
    "Namespace",
    "NoSpaceError",
    "NotFoundError",
    "OwnerDied",
    "Participant",
    "PeerDied",
    "Queue",
    "QueueStatistics",
    "RemoteError",
    "SharedMemory",
    "ShutDown",
    "SystemLimitError",
    "WeftError",
    "WorkerDied",
    "__version__",
    "memory",
    "mmap",
    "open",
]
