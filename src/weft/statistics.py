"""What objects count, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = [
    "AttachedProcess",
    "BarrierStatistics",
    "CellStatistics",
    "ConditionStatistics",
    "EventStatistics",
    "LockStatistics",
    "MemoryStatistics",
    "MessageQueueStatistics",
    "Participant",
    "PipeStatistics",
    "QueueStatistics",
    "RWLockStatistics",
    "SemaphoreStatistics",
]


@dataclass(frozen=True)
class Participant:
    """A process that takes part in an object. For display: nothing is decided by a pid.

    Attributes:
        pid: Process id, as its own pid namespace has it.
        command: Its command line, cut to fit.
        started: When it opened the object, in seconds since the epoch.
        thread: The thread's name, where one is known.
    """

    pid: int
    command: str
    started: float
    thread: str | None = None


@dataclass(frozen=True)
class AttachedProcess(Participant):
    """A participant, as it is seen from outside.

    Attributes:
        alive: Whether it lives, as the kernel's locks say. One that does not has been killed, and nobody has given
            back yet what it held.
        state: ``"running"``, ``"sleeping"``, ``"stopped"``, ``"waiting for a device"`` or ``"dead"``; None where its
            pid can't be looked up here, as that of a process in another container.
        waiting: For what threads of it are asleep: ``{"room": 1, "messages": 2}``.
    """

    alive: bool = True
    state: str | None = None
    waiting: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CellStatistics:
    """What a cell counts, at one moment.

    Attributes:
        version: Values that have been set.
        size: Bytes of the largest value.
        buffers: Values that there is memory for: more when as many as that are written or viewed at one time.
        reserved: Bytes of that memory.
        waiting: Threads asleep until there is a newer value.
        attached: Participants: handles of living processes.
    """

    version: int
    size: int
    buffers: int
    reserved: int
    waiting: int
    attached: int


@dataclass(frozen=True)
class QueueStatistics:
    """A queue's counters at one moment.

    At rest ``sent == received + dropped + depth + leased``. Totals count since the queue was made.

    Attributes:
        sent: Messages that producers put, those dropped as the newest included.
        received: Messages that consumers took for good: by ``get``, or by a lease that was acknowledged.
        dropped: Messages lost to ``on_full="drop-oldest"`` or ``"drop-newest"``, to
            ``shutdown(immediate=True)``, those given back after it included, or because the dead-letter queue
            did not take them.
        redelivered: How often a message was handed out again.
        dead_lettered: Messages put aside after ``max_deliveries``; counted in ``received`` too.
        depth: Messages that can be taken now.
        leased: Messages handed out by leases, not acknowledged yet.
        depth_bytes: Bytes of the messages counted in ``depth``; may be off by one message after a death.
        capacity: Bytes that the queue may use at most.
        reserved: Bytes of it that have been reserved so far.
        waiting_producers: Threads asleep until there is room.
        waiting_consumers: Threads asleep until there is a message.
        attached: Participants: handles of living processes.
    """

    sent: int
    received: int
    dropped: int
    redelivered: int
    dead_lettered: int
    depth: int
    leased: int
    depth_bytes: int
    capacity: int
    reserved: int
    waiting_producers: int
    waiting_consumers: int
    attached: int


@dataclass(frozen=True)
class MessageQueueStatistics(QueueStatistics):
    """A message queue's counters at one moment: those of a queue, and what follows.

    Attributes:
        registered: Whether somebody waits to be told of a message (``request_notification``).
        journal: Bytes of the journal; 0 in a queue without a directory.
        synced: Bytes of it that are known to be on the disk; behind them it may say so, in a record of 48 bytes.
        torn: Bytes that were dropped when the journal was read: a record that was being written at the power cut.
    """

    registered: bool = False
    journal: int = 0
    synced: int = 0
    torn: int = 0


@dataclass(frozen=True)
class PipeStatistics:
    """A pipe at one moment, seen from one of its ends.

    Attributes:
        sent: Messages that this end has sent; a large one counts once for each of its parts.
        received: Messages that this end has received, likewise.
        unread: Of those sent, how many the other end has not received yet.
        unread_bytes: Their bytes; may be off by one message after a death.
        depth: Messages that this end can receive now.
        depth_bytes: Their bytes, likewise.
        capacity: Bytes that the pipe may use at most.
        reserved: Bytes of it that have been reserved so far.
        connected: Whether somebody has come to the other end, ever.
        waiting_senders: Threads asleep until there is room, at both ends.
        waiting_receivers: Threads asleep until there is a message, or somebody at the other end, at both ends.
        attached: Participants: ends open in living processes.
    """

    sent: int
    received: int
    unread: int
    unread_bytes: int
    depth: int
    depth_bytes: int
    capacity: int
    reserved: int
    connected: bool
    waiting_senders: int
    waiting_receivers: int
    attached: int


@dataclass(frozen=True)
class MemoryStatistics:
    """Shared memory at one moment.

    Attributes:
        size: Bytes that may be used.
        reserved: Bytes of memory that stand behind it, weft's own included.
        resizes: How often its size has changed.
        attached: Participants: handles of living processes that have used it.
    """

    size: int
    reserved: int
    resizes: int
    attached: int


@dataclass(frozen=True)
class LockStatistics:
    """A lock's state and counters at one moment.

    Attributes:
        owner: Who holds it, with the thread; None if nobody does.
        held_for: For how many seconds, to within some milliseconds; None if nobody does.
        waiters: Threads asleep for it.
        waiting: Who they are. A thread that waits for what it holds itself stands here and as ``owner``.
        acquisitions: How often it has been acquired since it was made; acquiring an RLock again does not count.
        contended: How often that met somebody.
        owner_deaths: How often an owner died with it.
        marked: Whether an owner died and nobody has repaired yet.
    """

    owner: Participant | None
    held_for: float | None
    waiters: int
    waiting: tuple[Participant, ...]
    acquisitions: int
    contended: int
    owner_deaths: int
    marked: bool


@dataclass(frozen=True)
class SemaphoreStatistics:
    """A semaphore's state and counters at one moment.

    Attributes:
        value: Permits that can be taken now.
        owners: How many permits each living process owns.
        waiters: Threads asleep for a permit.
        waiting: Who they are.
        acquisitions: How many permits have been taken since it was made; approximate while many are at it.
        contended: How many of them had to be waited for.
        owner_deaths: How often a process died with permits that have come back.
    """

    value: int
    owners: dict[Participant, int]
    waiters: int
    waiting: tuple[Participant, ...]
    acquisitions: int
    contended: int
    owner_deaths: int


@dataclass(frozen=True)
class RWLockStatistics:
    """A readers-writer lock's state and counters at one moment.

    Attributes:
        owner: The writer, with its thread; None if there is none.
        held_for: For how many seconds it has been that, as far as known; None if there is none.
        readers: How many readers are inside, by process.
        waiters: Threads asleep for either side.
        waiting: Who they are.
        acquisitions: How often a writer has had it.
        contended: How often a writer met another.
        owner_deaths: How often a writer died with it.
        marked: Whether a writer died and nobody has repaired yet.
    """

    owner: Participant | None
    held_for: float | None
    readers: dict[Participant, int]
    waiters: int
    waiting: tuple[Participant, ...]
    acquisitions: int
    contended: int
    owner_deaths: int
    marked: bool


@dataclass(frozen=True)
class ConditionStatistics:
    """A condition's state at one moment.

    Attributes:
        lock: Its lock's statistics.
        waiters: Threads and tasks that wait to be notified.
        waiting: Who they are.
    """

    lock: LockStatistics
    waiters: int
    waiting: tuple[Participant, ...]


@dataclass(frozen=True)
class EventStatistics:
    """An event's state at one moment.

    Attributes:
        is_set: Whether the flag is set.
        sets: How often it has been set since it was made.
        waiters: Threads asleep for it.
        waiting: Who they are.
    """

    is_set: bool
    sets: int
    waiters: int
    waiting: tuple[Participant, ...]


@dataclass(frozen=True)
class BarrierStatistics:
    """A barrier's state at one moment.

    Attributes:
        parties: How many must wait for it to open.
        n_waiting: How many do.
        members: The living processes that have used it and not left.
        broken: Whether it is broken.
        owner_deaths: How many of its parties have died.
        waiters: Threads asleep for it.
        waiting: Who they are.
    """

    parties: int
    n_waiting: int
    members: tuple[Participant, ...]
    broken: bool
    owner_deaths: int
    waiters: int
    waiting: tuple[Participant, ...]
