"""Queue: messages from any process to any other, first in, first out.

The class itself is native, since a Python class in front would double the cost of a call; this module
holds what is asked for once or seldom: settings, names, errors' words, loans, batches of leases.
"""

from __future__ import annotations

import contextlib
import math
import operator
import os
import sys
import urllib.parse
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any

from weft import _aio, errors
from weft._core import codec as _codec_core
from weft._core import queue as _native
from weft._core.queue import Lease, LoanPlan, Queue
from weft._opening import (
    PAGE,
    Status,
    attach_or_create,
    check_count,
    check_one_of,
    header_config,
    is_anonymous,
    no_space,
    system_limit,
)
from weft.codecs import make_codec
from weft.namespace import Namespace, check_mode, check_name, group_id
from weft.statistics import QueueStatistics

__all__ = ["Lease", "LeaseMany", "Queue", "open_token"]

KIND = 1
DEFAULT_CAPACITY = 256 << 20
MIN_CAPACITY = 8 * PAGE
MAX_CAPACITY = PAGE << 26
_POLICIES = ("block", "fail", "drop-newest", "drop-oldest")
_WAITS = ("latency", "balanced", "power")
_LIFETIMES = ("attached", "kept")


# --- opening ---------------------------------------------------------------------------------------


def configure(
    queue: Queue,
    name: Any,
    maxsize: Any,
    *,
    create: bool | None,
    lifetime: str | None,
    mode: int,
    group: str | int | None,
    namespace: Any,
    capacity: int | None,
    max_message: int | None,
    codec: Any,
    type: Any,
    on_full: str,
    wait: str,
    views: bool,
    max_deliveries: int | None,
    dead_letter: str | None,
) -> None:
    """Opens or creates the segment behind ``queue``: the body of ``Queue.__init__``."""
    if isinstance(name, int) and not isinstance(name, bool):  # Queue(10), as in the standard library
        if maxsize:
            raise TypeError("Queue takes one maxsize")
        name, maxsize = None, name
    if name is not None:
        check_name(name)
    maxsize = check_count(maxsize, "maxsize", (1 << 29) - 1)
    max_deliveries = None if max_deliveries is None else check_count(max_deliveries, "max_deliveries", (1 << 32) - 1, 1)
    check_one_of(on_full, "on_full", _POLICIES)
    check_one_of(wait, "wait", _WAITS)
    if lifetime is not None:
        check_one_of(lifetime, "lifetime", _LIFETIMES)
    if create is not None and not isinstance(create, bool):
        raise TypeError(f"create must be True, False or None, not {create!r}")
    if name is None and create is False:
        raise ValueError("create=False needs a name to look for")
    place = namespace if isinstance(namespace, Namespace) else Namespace(namespace)
    units, limit = _memory(capacity, max_message)
    maker, config = make_codec(codec, type)
    if dead_letter is not None:
        check_name(dead_letter, "dead_letter")
        if max_deliveries is None:
            raise ValueError("dead_letter needs max_deliveries: after how many deliveries a message is given up")
        if dead_letter == name:
            raise ValueError("a queue can't be its own dead-letter queue")
        config["dead_letter"] = dead_letter
    asked = {
        "maxsize": maxsize or None,
        "capacity": capacity and units * PAGE,
        "max_message": max_message,
        "max_deliveries": max_deliveries,
        "lifetime": lifetime,
    }
    geometry = (units, maxsize, limit, max_deliveries or 0)
    group = group_id(group)
    attachment, file_name = attach_or_create(
        _native.Attachment,
        KIND,
        place,
        name,
        create,
        geometry,
        config,
        _found,
        asked,
        mode=check_mode(mode),
        group=-1 if group is None else group,
        kept=lifetime == "kept",
    )
    queue._place = place
    queue._name = None if name is None or is_anonymous(name) else name
    queue._attachment_name, queue._identity = file_name, attachment.identity()
    queue._options = {"codec": codec, "type": type, "on_full": on_full, "wait": wait, "views": bool(views)}
    queue._waiters = {}
    header = attachment.header()
    queue._config = header_config(header, str(place.path / file_name))
    queue._geometry, queue._lifetime = header["geometry"], header["lifetime"]
    queue._dead_letter = None
    if queue._config.get("dead_letter") and not getattr(queue, "_is_dead_letter", False):
        queue._dead_letter = _open_dead_letter(queue, codec, type, mode, group)
    queue._bind(attachment, maker, _POLICIES.index(on_full), _WAITS.index(wait), bool(views))


def _open_dead_letter(queue: Queue, codec: Any, type: Any, mode: int, group: int | None) -> Queue:
    """Opens the queue for expired messages, whatever its size, or makes one like ``queue``."""
    found: dict[str, Any] = {"namespace": queue._place, "codec": codec, "type": type, "create": False}
    units, _, max_message, *_ = queue._geometry
    sizes = {"capacity": units * PAGE, "max_message": max_message, "lifetime": queue._lifetime}
    made = found | sizes | {"create": True, "mode": mode, "group": group}
    while True:
        for options in (found, made):
            other = Queue.__new__(Queue)
            other._is_dead_letter = True  # its own dead-letter queue is not this one's business
            with contextlib.suppress(errors.NotFoundError, errors.NameInUseError):
                other.__init__(queue._config["dead_letter"], **options)  # type: ignore[misc]
                return other


def _found(header: dict[str, Any]) -> dict[str, Any]:
    """What the creator chose, under the names of the arguments."""
    units, maxsize, max_message, deliveries = header["geometry"]
    return {
        "maxsize": maxsize,
        "capacity": units * PAGE,
        "max_message": max_message,
        "max_deliveries": deliveries or None,
        "lifetime": header["lifetime"],
    }


def _memory(capacity: int | None, max_message: int | None) -> tuple[int, int]:
    size = DEFAULT_CAPACITY if capacity is None else check_count(capacity, "capacity", MAX_CAPACITY, MIN_CAPACITY)
    units = (size + PAGE - 1) // PAGE
    # A quarter fits whatever lies where in the other three.
    limit = units * PAGE // 4
    if max_message is not None and check_count(max_message, "max_message", MAX_CAPACITY, 1) > limit:
        raise ValueError(f"max_message={max_message} needs a capacity of at least {4 * max_message}, not {size}")
    return units, limit if max_message is None else max_message


# --- errors ----------------------------------------------------------------------------------------


def fail(queue: Queue, status: int, why: tuple[int, str, int, int] | None) -> None:
    """Raises what the status of an operation means."""
    match Status(status):
        case Status.EMPTY:
            raise errors.Empty(f"nothing to take from {queue!r}")
        case Status.FULL:
            raise errors.Full(f"no room in {queue!r}")
        case Status.SHUT_DOWN:
            raise errors.ShutDown(f"{queue!r} has been shut down")
        case Status.NO_SPACE:
            place = str(queue._place.path)
            wanted, free = why[2:] if why else (0, 0)
            if not wanted:
                room = os.statvfs(place)
                wanted, free = PAGE, room.f_bavail * room.f_frsize
            raise no_space(wanted, free, place)
        case Status.OUT_OF_SLOTS:
            raise errors.SystemLimitError(f"{queue!r} has 65,536 leases out, as many as there can be: acknowledge some")
        case Status.CORRUPTED:
            raise errors.CorruptedError(
                f"{path(queue)} holds what no honest program writes: unlink it and make a new one"
            )
    if why and why[0]:
        raise system_limit(why[0], why[1], str(path(queue)))
    raise errors.SystemLimitError(f"{path(queue)}: {Status(status).name.lower().replace('_', ' ')}")


def fail_closed(queue: Queue) -> None:
    """Raises for an operation on a closed handle."""
    raise errors.ClosedError(f"this handle of queue {getattr(queue, '_name', None)!r} is closed: open another")


def fail_os(queue: Queue, step: str) -> None:
    """Raises for a system call of the binding that failed."""
    raise errors.SystemLimitError(f"{queue!r}: {step} failed: are too many files open (ulimit -n)?")


def fail_loan(queue: Queue) -> None:
    """Raises for a loan of the parent that a forked child would send."""
    raise errors.ClosedError(f"a loan of {queue!r} belongs to the process that took it, not to its forked child")


def too_large(queue: Queue, size: int, limit: int) -> None:
    """Raises for a message that can never fit."""
    raise errors.MessageTooLargeError(
        f"a message of {size} bytes is larger than max_message={limit} of {queue!r}: "
        f"make the queue with capacity={4 * size} or more",
        size,
        limit,
    )


def note(error: BaseException, attribute: str, value: Any) -> None:
    """Tells in the error of a ``put_many`` or ``get_many`` how far it came."""
    with contextlib.suppress(AttributeError):
        setattr(error, attribute, value)


# --- the end of a handle ---------------------------------------------------------------------------


def warn_lost(file_name: bytes, count: int) -> None:
    """Warns that the last handle of all has been closed, and messages have gone with the queue."""
    name = file_name.decode()
    _warn(
        f"closing the last handle of queue {'anonymous' if is_anonymous(name) else name!r} has thrown away {count} "
        'message(s): take them first, or make the queue with lifetime="kept"',
        ResourceWarning,
    )


def closed(queue: Queue) -> None:
    """The handle has been closed: lets go of what hangs on it."""
    for waiter in list(queue._waiters.values()):
        waiter.close()
    if queue._dead_letter is not None:
        queue._dead_letter.close()


def _warn(text: str, category: type[Warning]) -> None:
    """Warns at the line of the program that called into weft."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "weft":
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)


# --- names -----------------------------------------------------------------------------------------


def name(queue: Queue) -> str | None:
    """The name it was opened by."""
    _check_opened(queue)
    return queue._name


def _check_opened(queue: Queue) -> None:
    if not hasattr(queue, "_attachment_name"):
        raise errors.ClosedError("this queue has not been opened")


def path(queue: Queue) -> Path:
    """The file behind the queue."""
    _check_opened(queue)
    return Path(queue._place.path) / queue._attachment_name


def describe(queue: Queue) -> str:
    """``repr(queue)``."""
    if not hasattr(queue, "_attachment_name"):
        return "<weft.Queue (not open)>"
    state = "closed" if queue.closed else f"{queue.qsize()} waiting"
    return f"<weft.Queue {queue._name or 'anonymous'!r} {state}>"


def token(queue: Queue) -> str:
    """The queue's address as text."""
    _check_opened(queue)
    options = {k: v for k, v in queue._options.items() if k in ("on_full", "wait") and v}
    options["id"] = queue._identity
    codec = queue._options["codec"]
    if isinstance(codec, str):
        options["codec"] = codec
    if queue._options["views"]:
        options["views"] = "1"
    return f"weft:Queue:{urllib.parse.quote(os.fsencode(path(queue)))}?{urllib.parse.urlencode(options)}"


def open_token(text: str, **options: Any) -> Queue:
    """Opens the object that a token stands for.

    Args:
        text: Another handle's ``token``.
        options: What a token can't carry (``type=``, a codec object), or what this handle wants otherwise.

    Raises:
        ValueError: The text is no token.
        NotFoundError: The object has gone.
    """
    if not isinstance(text, str) or not text.startswith("weft:"):
        raise ValueError(f"{text!r} is not a token of weft: it begins with 'weft:'")
    try:
        kind, rest = text.removeprefix("weft:").split(":", 1)
        where, _, query = rest.partition("?")
        file = Path(os.fsdecode(urllib.parse.unquote_to_bytes(where)))
        given: dict[str, Any] = dict(urllib.parse.parse_qsl(query, strict_parsing=bool(query)))
    except ValueError:
        raise ValueError(f"{text!r} is not a whole token of weft") from None
    if kind != "Queue" or not file.is_absolute() or not set(given) <= {"id", "on_full", "wait", "codec", "views"}:
        raise ValueError(f"{text!r} is not a token that this version of weft understands")
    given["views"] = given.get("views") == "1"
    identity = given.pop("id", None)
    return _reopen(_directory(file.parent), file.name, identity, given | options)


def _directory(path: Path) -> Namespace:
    """The namespace of a token: the user's own directory may let others in, another user's is refused."""
    mode = 0o700
    with contextlib.suppress(OSError):
        found = path.stat()
        if found.st_uid == os.geteuid():
            mode |= found.st_mode & 0o077
    return Namespace(path, mode=mode)


def reduce(queue: Queue) -> tuple[Any, ...]:
    """Pickling sends the address, not the messages; the queue must still be there on arrival."""
    if queue.closed:
        fail_closed(queue)
    return (_reopen, (queue._place, queue._attachment_name, queue._identity, queue._options))


def _reopen(place: Namespace, name: str, identity: str | None, options: dict[str, Any]) -> Queue:
    """Opens the very queue that was meant, not a later one of the same name."""
    queue = Queue(name, create=False, **({"namespace": place} | options))
    if identity is not None and queue._identity != identity:
        queue.close()
        raise errors.NotFoundError(f"the queue that this stood for has gone; {name!r} in {place.path} is a later one")
    return queue


def unlink(queue: Queue) -> None:
    """Removes the name; those who have the queue open keep it."""
    if queue.closed:
        fail_closed(queue)
    done = queue._attachment.unlink()
    if done < 0:
        raise system_limit(-done, "removing the name", str(path(queue)))
    if not done:
        raise errors.NotFoundError(f"the name of {queue!r} is gone already")


# --- looking ---------------------------------------------------------------------------------------


def statistics(queue: Queue) -> QueueStatistics:
    """The counters of ``queue`` at this moment."""
    counters = queue._counters()
    people = queue._participants()
    taken = counters["received"] - counters["dropped_oldest"] - counters["leased"] - counters["returned"]
    dropped = counters["dropped_oldest"] + counters["dropped_newest"]
    waiting_bytes = max(counters["sent_bytes"] - counters["received_bytes"], 0) + counters["returned_bytes"]
    if counters["ended"]:  # at once: what is there still, or comes back, is for nobody any more
        dropped += max(counters["sent"] - counters["received"] + counters["returned"], 0)
        waiting_bytes = 0
    return QueueStatistics(
        sent=counters["sent"] + counters["dropped_newest"],
        received=max(taken, 0),
        dropped=dropped,
        redelivered=counters["redelivered"],
        dead_lettered=counters["dead_lettered"],
        depth=counters["depth"],
        leased=counters["leased"],
        depth_bytes=waiting_bytes,
        capacity=counters["capacity"],
        reserved=counters["reserved"],
        waiting_producers=sum(p[3] for p in people),
        waiting_consumers=sum(p[4] for p in people),
        attached=len(people),
    )


# --- leases and loans ------------------------------------------------------------------------------


def dead_letter_queue(queue: Queue) -> Queue | None:
    """Where expired messages of ``queue`` go."""
    return queue._dead_letter


def warn_refused(queue: Queue, refusal: Exception) -> None:
    """Warns that an expired message of ``queue`` has been dropped."""
    match refusal:
        case errors.Full():
            why = "has no room"
        case errors.ShutDown():
            why = "has been shut down"
        case _:
            why = f"does not take it: {refusal}"
    _warn(
        f"a message of queue {queue._name or 'anonymous'!r} that had been delivered {queue._geometry[3]} time(s) is "
        f"lost: the dead-letter queue {queue._config['dead_letter']!r} {why}",
        RuntimeWarning,
    )


class LeaseMany:
    """Several leases settled together: acknowledged on leaving, given back if the block raises.

    Attributes:
        leases: One ``Lease`` for each message, to ``ack()`` or ``release()`` by itself.
    """

    def __init__(self, leases: list[Lease]) -> None:
        self.leases = leases

    def __len__(self) -> int:
        return len(self.leases)

    def __enter__(self) -> list[Any]:
        return [lease.item for lease in self.leases]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for lease in self.leases:
            lease.__exit__(kind, error, trace)

    def ack(self) -> None:
        """Acknowledges those not settled yet. May be repeated."""
        for lease in self.leases:
            lease.ack()

    def release(self) -> None:
        """Gives those not settled yet back to the front of the queue. May be repeated.

        Raises:
            BufferError: As for ``Lease.release``. The other messages have been given back.
        """
        stands = None
        for lease in self.leases:
            try:
                lease.release()
            except BufferError as error:
                stands = error
        if stands is not None:
            raise stands


def lease_many(queue: Queue, max_messages: int, timeout: float | None, block: bool) -> LeaseMany:
    """Leases what is there, waiting for the first alone."""
    max_messages = check_count(max_messages, "max_messages", sys.maxsize, 1)
    batch = LeaseMany([queue.lease(timeout, block=block)])
    try:
        while len(batch) < max_messages:
            batch.leases.append(queue.lease(block=False))
    except (errors.Empty, errors.ShutDown, errors.SystemLimitError):
        return batch
    except BaseException as error:
        batch.__exit__(type(error), error, None)
        raise
    return batch


def plan_loan(queue: Queue, nbytes: int) -> LoanPlan:
    """For memory to write a message of bytes into."""
    if queue._config["codec"] not in ("default", "raw"):
        raise TypeError(f'a loan of bytes needs the codec "default" or "raw", not {queue._config["codec"]!r}')
    return LoanPlan(check_count(nbytes, "nbytes", MAX_CAPACITY, 1))


def plan_array(queue: Queue, shape: Any, dtype: Any) -> LoanPlan:
    """For memory to write a NumPy array into, or for an array that is too small to be worth a place of its own."""
    import numpy as np

    if queue._config["codec"] != "default":
        raise TypeError(f"a loan of an array needs the default codec, not {queue._config['codec']!r}")
    kind = np.dtype(dtype)
    extents = tuple(map(operator.index, (shape,) if hasattr(shape, "__index__") else shape))
    nbytes = kind.itemsize * math.prod(extents)
    if nbytes > queue._geometry[2] and min(extents) >= 0:
        too_large(queue, nbytes, queue._geometry[2])
    message, size = _codec_core.encode_message(queue._codec, np.empty(extents, kind))
    head = message[:size] if len(message) > size else b""
    plan = LoanPlan(nbytes, head, np.ndarray, extents, kind)
    if extents == shape and isinstance(dtype, (str, type, np.dtype)):
        _native.keep_plan(extents, dtype, plan)
    return plan


# --- iteration and asynchronous twins --------------------------------------------------------------


def next_item(queue: Queue) -> Any:
    """``next(queue)``: ends when the queue has been shut down and is drained."""
    try:
        return queue.get()
    except errors.ShutDown:
        raise StopIteration from None


async def next_item_async(queue: Queue) -> Any:
    """``anext(queue)``."""
    try:
        return await _aio.aget(queue)
    except errors.ShutDown:
        raise StopAsyncIteration from None


aput, aget, alease = _aio.aput, _aio.aget, _aio.alease

_native.set_policy(sys.modules[__name__])
