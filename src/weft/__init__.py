"""weft: every way two Python processes can talk, by name, at memory speed, sound when one is killed.

Layers, from the top; each uses only what stands below it:

    cell  queue  signals  sockets          primitives: one module, one concept
    namespace  codecs  errors  statistics  shared ground
    _core                                  hot calls (Cython)
    native/                                segment, ring, pool, locks, waiting (C++)
"""

from __future__ import annotations

import sys as _sys

if not _sys.platform.startswith("linux"):
    raise ImportError(f"weft runs on Linux only so far, not on {_sys.platform}: see 'Where it runs' in its README")

from weft import memory, signals
from weft._handle import open_token as open
from weft.cell import Cell
from weft.errors import (
    AccessError,
    AuthenticationError,
    ClosedError,
    ConnectionClosedError,
    ConnectionLostError,
    CorruptedError,
    DeadlockError,
    Empty,
    Full,
    InUseError,
    MessageTooLargeError,
    MismatchError,
    NameInUseError,
    NoSpaceError,
    NotFoundError,
    NotHeldError,
    OwnerDied,
    OwnerDiedWarning,
    PeerDied,
    RemoteError,
    ShutDown,
    SystemLimitError,
    WeftError,
    WorkerDied,
)
from weft.memory import ShareableList, SharedArray, SharedMemory, mmap
from weft.message_queue import MessageQueue, Notification, PriorityQueue
from weft.namespace import Namespace
from weft.pipe import Pipe, PipeEnd
from weft.queue import Lease, Queue
from weft.sockets import Client, Listener
from weft.statistics import (
    AttachedProcess,
    BarrierStatistics,
    CellStatistics,
    ConditionStatistics,
    EventStatistics,
    LockStatistics,
    MemoryStatistics,
    MessageQueueStatistics,
    Participant,
    PipeStatistics,
    QueueStatistics,
    RWLockStatistics,
    SemaphoreStatistics,
)
from weft.sync import Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, RWLock, Semaphore

__version__ = "0.1.0"

__all__ = [
    "AccessError",
    "AttachedProcess",
    "AuthenticationError",
    "Barrier",
    "BarrierStatistics",
    "BoundedSemaphore",
    "Cell",
    "CellStatistics",
    "Client",
    "ClosedError",
    "Condition",
    "ConditionStatistics",
    "ConnectionClosedError",
    "ConnectionLostError",
    "CorruptedError",
    "DeadlockError",
    "Empty",
    "Event",
    "EventStatistics",
    "Full",
    "InUseError",
    "Lease",
    "Listener",
    "Lock",
    "LockStatistics",
    "MemoryStatistics",
    "MessageQueue",
    "MessageQueueStatistics",
    "MessageTooLargeError",
    "MismatchError",
    "NameInUseError",
    "Namespace",
    "NoSpaceError",
    "NotFoundError",
    "NotHeldError",
    "Notification",
    "OwnerDied",
    "OwnerDiedWarning",
    "Participant",
    "PeerDied",
    "Pipe",
    "PipeEnd",
    "PipeStatistics",
    "PriorityQueue",
    "Queue",
    "QueueStatistics",
    "RLock",
    "RWLock",
    "RWLockStatistics",
    "RemoteError",
    "Semaphore",
    "SemaphoreStatistics",
    "ShareableList",
    "SharedArray",
    "SharedMemory",
    "ShutDown",
    "SystemLimitError",
    "WeftError",
    "WorkerDied",
    "__version__",
    "memory",
    "mmap",
    "open",
    "signals",
]
