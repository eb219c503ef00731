"""What is measured, with whom it is compared, and what weft is meant to reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from .loads import Load, byte_strings, frames, objects

# The backlog that any peer may have of large messages, where it can be bounded: about what a camera
# keeps, and enough that neither side stops when the other is away for a moment. Of 64 KiB messages
# more, since a publisher of iceoryx2 that finds 8 waiting sleeps for longer than those last.
_FRAME_SLOTS = 8
_LARGE_SLOTS = 64
_BATCH = 256

# The peer of a row that `limits` measures: no channel, but what the check allows.
LIMIT = "limit"


@dataclass(frozen=True)
class Row:
    """One peer in one way of using it.

    Attributes:
        label: Its name in the tables.
        peer: Key in `peers.PEERS`.
        options: What its adapter takes.
        cores: See `processes.pin`.
    """

    label: str
    peer: str
    options: Mapping[str, Any] = field(default_factory=dict)
    cores: int = 0


@dataclass(frozen=True)
class Workload:
    """One table.

    Attributes:
        id: Its name on the command line.
        title: Its heading.
        way: The module that measures it.
        unit: Of the values; ``us`` are times, where less is better.
        load: Makes what is sent.
        reference: The row that the table's ratios are to.
        rows: The peers.
        slots: Messages that may wait in the channel; 0 leaves it to the peer.
        producers: And as many consumers.
    """

    id: str
    title: str
    way: Literal["flow", "many", "roundtrip", "reads", "reads-beside", "writes", "durable"]
    unit: Literal["messages/s", "frames/s", "reads/s", "writes/s", "us"]
    load: Callable[[], Load]
    reference: str
    rows: tuple[Row, ...]
    slots: int = 0
    producers: int = 1

    @property
    def better(self) -> Callable[..., float]:
        """`max` where more is better, `min` where less is."""
        return min if self.unit == "us" else max

    def row(self, label: str) -> Row:
        """Finds a row by its label."""
        return next(row for row in self.rows if row.label == label)


@dataclass(frozen=True)
class Target:
    """A ratio that weft is meant to reach.

    Attributes:
        workload: Where.
        row: Whose ratio.
        references: To what: the best of these in the same round.
        bound: The least ratio, or for times the greatest.
        best_of_all: Compares to the best of all rounds instead of the same round.
    """

    workload: str
    row: str
    references: tuple[str, ...]
    bound: float
    best_of_all: bool = False


def _weft(label: str = "weft", **options: Any) -> Row:
    return Row(label, "weft", options)


def _zmq(pattern: str) -> Row:
    return Row(f"pyzmq {pattern}", "pyzmq", {"pattern": pattern})


_POLL = Row("iceoryx2 busy-poll", "iceoryx2")
_EVENT = Row("iceoryx2 + event", "iceoryx2", {"event": True})
_POLL_VIEW = Row("iceoryx2 busy-poll, views", "iceoryx2", {"views": True})
_FIFO = Row("faster-fifo", "faster-fifo")
_FIFO_MANY = Row("faster-fifo put_many/get_many", "faster-fifo", {"batch": _BATCH})
_MP_QUEUE = Row("mp.Queue", "mp.Queue")
_MP_PIPE = Row("mp.Pipe", "mp.Pipe")
_OS_PIPE = Row("os.pipe", "os.pipe")
_MADE = Row("limit: made in one process", LIMIT)
_MET = Row("limit: checked only", LIMIT, {"made": False})
_MADE_MANY = Row("limit: made in one process, by 256", LIMIT, {"batch": _BATCH})
_MET_MANY = Row("limit: checked only, by 256", LIMIT, {"made": False, "batch": _BATCH})
_BY_HAND = "limit: by hand, spinning"
_SOCKETS = tuple(
    Row(f"{label}, {where}", "sockets", {"library": library, "family": family})
    for where, family in (("Unix", "AF_UNIX"), ("TCP", "AF_INET"))
    for label, library in (("weft", "weft"), ("mp.connection", "multiprocessing"))
)
_WEFT_MANY = _weft("weft put_many/get_many", batch=_BATCH)
_SMALL = partial(byte_strings, 64, lap=1024)
_LARGE = partial(byte_strings, 65_536, lap=64)
_SINGLE_TRIPS = partial(byte_strings, 64, lap=64)


def _on_cores(label: str, peer: str, cores: int, **options: Any) -> Row:
    where = "one core" if cores == 1 else "two cores"
    return Row(f"{label}, {where}", peer, options, cores)


_PIPE = Row("weft.Pipe", "weft.Pipe")
_CELL = Row("weft.Cell", "weft.Cell")
_MP_ARRAY = Row("mp.Array with its lock", "mp.Array")
_SEQLOCK = Row("seqlock by hand on shared_memory", "shm-seqlock")


WORKLOADS = (
    Workload(
        "single-64",
        "Messages of 64 B, one at a time, 1 to 1",
        "flow",
        "messages/s",
        _SMALL,
        "pyzmq PAIR",
        (
            _weft(),
            _OS_PIPE,
            _zmq("PAIR"),
            _zmq("PUSH/PULL"),
            _MP_QUEUE,
            _MP_PIPE,
            _FIFO,
            _FIFO_MANY,
            Row("posix_ipc.MessageQueue", "posix_ipc"),
            _POLL,
            _EVENT,
            _MADE,
            _MET,
        ),
    ),
    Workload(
        "batch-64",
        f"Messages of 64 B, by {_BATCH}, 1 to 1",
        "flow",
        "messages/s",
        _SMALL,
        "weft",
        (_weft(), _WEFT_MANY, _FIFO_MANY, _MADE_MANY, _MET_MANY),
    ),
    Workload(
        "object",
        "Small dicts, 1 to 1",
        "flow",
        "messages/s",
        partial(objects, lap=1024),
        "os.pipe + pickle",
        (
            _weft(),
            Row("os.pipe + pickle", "os.pipe", {"codec": "pickle"}),
            Row("os.pipe + pickle, any size", "os.pipe", {"codec": "pickle", "framed": True}),
            Row("os.pipe + msgspec", "os.pipe", {"codec": "msgspec"}),
            _MP_QUEUE,
            _MP_PIPE,
            _zmq("PAIR"),
            _zmq("PUSH/PULL"),
            _FIFO,
            _FIFO_MANY,
        ),
    ),
    Workload(
        "bytes-64k",
        "Messages of 64 KiB, received as bytes, 1 to 1",
        "flow",
        "messages/s",
        _LARGE,
        "iceoryx2 busy-poll",
        (_weft(), _POLL, _POLL_VIEW, _zmq("PAIR"), _MP_PIPE, Row(_BY_HAND, "spin-ring", {"slots": 32})),
        slots=_LARGE_SLOTS,
    ),
    Workload(
        "bytes-64k-view",
        "Messages of 64 KiB, received as views, 1 to 1",
        "flow",
        "messages/s",
        _LARGE,
        "iceoryx2 busy-poll, views",
        (_weft("weft, views", views=True), _POLL_VIEW, Row(_BY_HAND, "spin-ring", {"views": True})),
        slots=_LARGE_SLOTS,
    ),
    Workload(
        "many-64",
        "Messages of 64 B, 4 producers to 4 consumers",
        "many",
        "messages/s",
        _SMALL,
        "pyzmq PUSH/PULL",
        (
            _weft(),
            _WEFT_MANY,
            _OS_PIPE,
            _zmq("PUSH/PULL"),
            Row("mp.Queue", "mp.Queue", {"maxsize": 1000}),
            _FIFO,
            _FIFO_MANY,
        ),
        producers=4,
    ),
    Workload(
        "roundtrip",
        "Round trip of 64 B",
        "roundtrip",
        "us",
        _SINGLE_TRIPS,
        "os.pipe",
        (
            _weft(),
            _on_cores("weft", "weft", 1),
            _OS_PIPE,
            _on_cores("os.pipe", "os.pipe", 1),
            _MP_PIPE,
            _zmq("PAIR"),
            Row("shm + mp.Semaphore ring", "shm-ring"),
            _EVENT,
        ),
    ),
    Workload(
        "roundtrip-power",
        'Round trip of 64 B, both sides asleep while they wait: weft with wait="power"',
        "roundtrip",
        "us",
        _SINGLE_TRIPS,
        "os.pipe, one core",
        (
            _on_cores("weft", "weft", 1, wait="power"),
            _on_cores("os.pipe", "os.pipe", 1),
            _on_cores("weft", "weft", 2, wait="power"),
            _on_cores("os.pipe", "os.pipe", 2),
        ),
    ),
    Workload(
        "frames-copied",
        "Frames of 6.2 MB from the sender's own memory",
        "flow",
        "frames/s",
        frames,
        "iceoryx2 busy-poll",
        (
            _weft(),
            _POLL,
            _EVENT,
            _MP_PIPE,
            Row("shm + mp.Semaphore ring", "shm-ring"),
            Row(_BY_HAND, "spin-ring"),
        ),
        slots=_FRAME_SLOTS,
    ),
    Workload(
        "frames-in-place",
        "Frames of 6.2 MB, one byte of every page written in place",
        "flow",
        "frames/s",
        partial(frames, in_place=True),
        "shm + mp.Semaphore ring",
        (
            _weft(in_place=True),
            Row("shm + mp.Semaphore ring", "shm-ring", {"in_place": True}),
            Row("iceoryx2 busy-poll", "iceoryx2", {"in_place": True}),
            Row("iceoryx2 + event", "iceoryx2", {"in_place": True, "event": True}),
            Row(_BY_HAND, "spin-ring", {"in_place": True}),
        ),
        slots=_FRAME_SLOTS,
    ),
    Workload(
        "cell-reads",
        "The latest value of 64 B, read again and again",
        "reads",
        "reads/s",
        _SINGLE_TRIPS,
        "mp.Array with its lock",
        (_CELL, _MP_ARRAY, _SEQLOCK),
    ),
    Workload(
        "cell-reads-beside",
        "The same while another process writes as fast as it can",
        "reads-beside",
        "reads/s",
        _SINGLE_TRIPS,
        "mp.Array with its lock",
        (_CELL, _MP_ARRAY, _SEQLOCK),
    ),
    Workload(
        "cell-writes",
        "The latest value of 64 B, written again and again",
        "writes",
        "writes/s",
        _SINGLE_TRIPS,
        "mp.Array with its lock",
        (_CELL, _MP_ARRAY, _SEQLOCK),
    ),
    Workload(
        "mq-64",
        "Messages of 64 B with priorities, 1 to 1",
        "flow",
        "messages/s",
        _SMALL,
        "posix_ipc.MessageQueue",
        (Row("weft.MessageQueue", "weft.MessageQueue"), Row("posix_ipc.MessageQueue", "posix_ipc")),
    ),
    Workload(
        "mq-durable",
        "Messages of 64 B sent to the disk: one by one, 100 and 1,000 at a time",
        "durable",
        "messages/s",
        _SMALL,
        "SQLite, 100",
        tuple(
            Row(f"{label}, {batch or 1}", peer, {"batch": batch} if batch else {})
            for batch in (0, 100, 1000)
            for label, peer in (("weft.MessageQueue", "weft.MessageQueue durable"), ("SQLite", "sqlite3"))
        ),
    ),
    Workload(
        "pipe-64",
        "Messages of 64 B through a pipe, send_bytes and recv_bytes, 1 to 1",
        "flow",
        "messages/s",
        _SMALL,
        "mp.Pipe",
        (_PIPE, _MP_PIPE, _OS_PIPE),
    ),
    Workload(
        "pipe-object",
        "Small dicts through a pipe, send and recv, 1 to 1",
        "flow",
        "messages/s",
        partial(objects, lap=1024),
        "mp.Pipe",
        (_PIPE, _MP_PIPE),
    ),
    Workload(
        "pipe-roundtrip",
        "64 B there and back through pipes",
        "roundtrip",
        "us",
        _SINGLE_TRIPS,
        "os.pipe",
        (_PIPE, _OS_PIPE, _on_cores("os.pipe", "os.pipe", 1), _MP_PIPE),
    ),
    Workload(
        "pipe-frames",
        "Frames of 6.2 MB through a pipe",
        "flow",
        "frames/s",
        frames,
        "mp.Pipe",
        (_PIPE, _MP_PIPE),
    ),
    Workload(
        "socket-64",
        "Messages of 64 B over a socket, 1 to 1",
        "flow",
        "messages/s",
        _SMALL,
        "mp.connection, Unix",
        _SOCKETS,
    ),
    Workload(
        "socket-object",
        "Small dicts over a socket, 1 to 1",
        "flow",
        "messages/s",
        partial(objects, lap=1024),
        "mp.connection, Unix",
        _SOCKETS,
    ),
    Workload(
        "socket-64k",
        "Messages of 64 KiB over a socket, 1 to 1",
        "flow",
        "messages/s",
        _LARGE,
        "mp.connection, Unix",
        _SOCKETS,
    ),
    Workload(
        "socket-roundtrip",
        "64 B there and back over sockets",
        "roundtrip",
        "us",
        _SINGLE_TRIPS,
        "mp.connection, Unix",
        _SOCKETS,
    ),
    Workload(
        "socket-frames",
        "Frames of 6.2 MB over a socket",
        "flow",
        "frames/s",
        frames,
        "mp.connection, Unix",
        _SOCKETS,
    ),
)

TARGETS = (
    Target("single-64", "weft", ("pyzmq PAIR",), 10),
    Target("single-64", "weft", ("mp.Queue",), 100),
    Target("batch-64", "weft put_many/get_many", ("weft",), 2),
    Target("object", "weft", ("os.pipe + pickle", "os.pipe + pickle, any size"), 6),
    Target("bytes-64k", "weft", ("iceoryx2 busy-poll",), 1.5),
    Target("bytes-64k", "weft", ("iceoryx2 busy-poll, views",), 1.5),
    Target("bytes-64k-view", "weft, views", ("iceoryx2 busy-poll, views",), 2),
    Target("many-64", "weft", ("pyzmq PUSH/PULL",), 5),
    Target("roundtrip", "weft", ("os.pipe", "os.pipe, one core"), 0.2, best_of_all=True),
    Target("roundtrip-power", "weft, one core", ("os.pipe, one core",), 1.1),
    Target("roundtrip-power", "weft, two cores", ("os.pipe, two cores",), 1.1),
    Target("cell-reads", "weft.Cell", ("mp.Array with its lock", "seqlock by hand on shared_memory"), 2),
    Target("cell-reads-beside", "weft.Cell", ("mp.Array with its lock", "seqlock by hand on shared_memory"), 3),
    Target("cell-writes", "weft.Cell", ("mp.Array with its lock", "seqlock by hand on shared_memory"), 3),
    Target("frames-copied", "weft", ("iceoryx2 busy-poll", "iceoryx2 + event"), 1),
    Target("frames-in-place", "weft", ("shm + mp.Semaphore ring",), 1.2),
    Target("mq-64", "weft.MessageQueue", ("posix_ipc.MessageQueue",), 8),
    *(Target("mq-durable", f"weft.MessageQueue, {n}", (f"SQLite, {n}",), 0.8) for n in (1, 100, 1000)),
    Target("pipe-64", "weft.Pipe", ("mp.Pipe",), 40),
    Target("pipe-object", "weft.Pipe", ("mp.Pipe",), 10),
    Target("pipe-roundtrip", "weft.Pipe", ("os.pipe", "os.pipe, one core"), 0.2, best_of_all=True),
    Target("pipe-frames", "weft.Pipe", ("mp.Pipe",), 8),
    Target("socket-64", "weft, Unix", ("mp.connection, Unix",), 1),
    Target("socket-64", "weft, TCP", ("mp.connection, TCP",), 1),
    Target("socket-object", "weft, Unix", ("mp.connection, Unix",), 1),
    Target("socket-object", "weft, TCP", ("mp.connection, TCP",), 1),
    Target("socket-64k", "weft, Unix", ("mp.connection, Unix",), 1),
    Target("socket-64k", "weft, TCP", ("mp.connection, TCP",), 1),
    Target("socket-roundtrip", "weft, Unix", ("mp.connection, Unix",), 1),
    Target("socket-roundtrip", "weft, TCP", ("mp.connection, TCP",), 1),
    Target("socket-frames", "weft, Unix", ("mp.connection, Unix",), 1),
    Target("socket-frames", "weft, TCP", ("mp.connection, TCP",), 1),
)


def workload(name: str) -> Workload:
    """Finds a workload by its id."""
    return next(w for w in WORKLOADS if w.id == name)
