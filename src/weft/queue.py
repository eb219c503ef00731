"""Queue: messages from any process to any other, first in, first out.

The class itself is native, since a Python class in front would double the cost of a call; this module
holds what is asked for once or seldom: settings, names, errors' words, loans, batches of leases.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from weft import _aio, _handle, _loans, _queue_look, errors
from weft._core import queue as _native
from weft._core.queue import Lease, LoanPlan, Queue
from weft._handle import describe as _describe
from weft._handle import warn
from weft._kinds import Kind, register
from weft._opening import (
    LIFETIMES,
    PAGE,
    WAITS,
    Status,
    attach_or_create,
    bad_settings,
    check_count,
    check_create,
    check_one_of,
    header_config,
    is_anonymous,
)
from weft._queue_look import statistics_of
from weft.codecs import make_codec
from weft.namespace import Namespace, check_mode, check_name, group_id, is_name, place_of
from weft.statistics import AttachedProcess, QueueStatistics

if TYPE_CHECKING:
    from weft._core.look import Look

__all__ = ["Lease", "LeaseMany", "Queue"]

DEFAULT_CAPACITY = 256 << 20
MIN_CAPACITY = 8 * PAGE
MAX_CAPACITY = PAGE << 26
_POLICIES = ("block", "fail", "drop-newest", "drop-oldest")


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
    kind: Kind | None = None,
    make: Callable[[], Any] = _native.QueueAttachment,
    face: str | None = None,
) -> None:
    """Opens or creates the segment behind ``queue``: the body of ``Queue.__init__``, and of those like it.

    ``kind``, ``make`` and ``face`` are the kind of object, what makes its attachment, and the class that it was made
    with, where one kind has several.
    """
    if isinstance(name, int) and not isinstance(name, bool):  # Queue(10), as in the standard library
        if maxsize:
            raise TypeError("Queue takes one maxsize")
        name, maxsize = None, name
    if name is not None:
        check_name(name)
    maxsize = max(check_count(maxsize, "maxsize", (1 << 29) - 1, -math.inf), 0)  # as in the standard library
    max_deliveries = None if max_deliveries is None else check_count(max_deliveries, "max_deliveries", (1 << 32) - 1, 1)
    check_one_of(on_full, "on_full", _POLICIES)
    check_one_of(wait, "wait", WAITS)
    if lifetime is not None:
        check_one_of(lifetime, "lifetime", LIFETIMES)
    check_create(create, name)
    place = place_of(namespace)
    units, limit = memory_for(capacity, max_message)
    maker, config = make_codec(codec, type)
    if dead_letter is not None:
        check_name(dead_letter, "dead_letter")
        if max_deliveries is None:
            raise ValueError("dead_letter needs max_deliveries: after how many deliveries a message is given up")
        if dead_letter == name:
            raise ValueError("a queue can't be its own dead-letter queue")
        config["dead_letter"] = dead_letter
    if face is not None:
        config["class"] = face
    asked = {
        "maxsize": maxsize or None,
        "capacity": capacity and units * PAGE,
        "max_message": max_message,
        "max_deliveries": max_deliveries,
        "lifetime": lifetime,
        "dead_letter": dead_letter,
    }
    geometry = (units, maxsize, limit, max_deliveries or 0)
    group = group_id(group)
    attachment, file_name = attach_or_create(
        make,
        kind or KIND,
        place,
        name,
        create,
        geometry,
        config,
        _found,
        asked,
        exact={key: config.get(key) for key in ("codec", "type", "schema", "class")},
        mode=check_mode(mode),
        group=-1 if group is None else group,
        kept=lifetime == "kept",
    )
    options = {"codec": codec, "type": type, "on_full": on_full, "wait": wait, "views": bool(views)}
    bind(queue, kind or KIND, place, file_name, attachment, options if face is None else options | {"class": face})
    if queue._config.get("dead_letter") and not getattr(queue, "_is_dead_letter", False):
        queue._dead_letter = _open_dead_letter(queue, codec, type, mode, group)
    queue._bind(attachment, maker, _POLICIES.index(on_full), WAITS.index(wait), bool(views))


def bind(queue: Queue, kind: Kind, place: Namespace, file_name: str, attachment: Any, options: dict[str, Any]) -> None:
    """Tells a queue what it has been opened as."""
    _handle.bind(queue, kind, place, file_name, attachment.identity(), options)
    queue._waiters = {}
    header = attachment.header()
    queue._config = _settings(header, str(place.path / file_name))
    queue._geometry, queue._lifetime = header["geometry"], header["lifetime"]
    queue._dead_letter = None


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


def _settings(header: dict[str, Any], where: str) -> dict[str, str]:
    """The settings in the header of the file ``where``, checked."""
    config = header_config(header, where)
    if (
        "codec" not in config
        or not is_name(config.get("dead_letter", "none"))
        or config.get("dead_letter") == os.path.basename(where)
        or ("dead_letter" in config and not header["geometry"][3])
    ):
        raise bad_settings(where)
    return config


def _found(header: dict[str, Any], where: str) -> dict[str, Any]:
    """What the creator chose, under the names of the arguments."""
    config = _settings(header, where)
    units, maxsize, max_message, deliveries, *_ = header["geometry"]
    return {
        "maxsize": maxsize,
        "capacity": units * PAGE,
        "max_message": max_message,
        "max_deliveries": deliveries or None,
        "lifetime": header["lifetime"],
        "dead_letter": config.get("dead_letter"),
    } | {key: config.get(key) for key in ("codec", "type", "schema", "class")}


def memory_for(capacity: int | None, max_message: int | None) -> tuple[int, int]:
    """Pages, and bytes of the largest message, of a queue with these settings."""
    size = DEFAULT_CAPACITY if capacity is None else check_count(capacity, "capacity", MAX_CAPACITY, MIN_CAPACITY)
    units = (size + PAGE - 1) // PAGE
    # A quarter fits whatever lies where in the other three.
    limit = units * PAGE // 4
    if max_message is not None and check_count(max_message, "max_message", MAX_CAPACITY, 1) > limit:
        raise ValueError(f"max_message={max_message} needs a capacity of at least {4 * max_message}, not {size}")
    return units, limit if max_message is None else max_message


# --- errors ----------------------------------------------------------------------------------------


def fail(queue: Queue, status: int, why: tuple[int, str, int, int] | None) -> NoReturn:
    """Raises what the status of an operation means."""
    match Status(status):
        case Status.EMPTY:
            raise errors.Empty(f"nothing to take from {queue!r}")
        case Status.FULL:
            raise errors.Full(f"no room in {queue!r}")
        case Status.SHUT_DOWN:
            raise errors.ShutDown(f"{queue!r} has been shut down")
        case Status.OUT_OF_SLOTS:
            raise errors.SystemLimitError(f"{queue!r} has 65,536 leases out, as many as there can be: acknowledge some")
    _handle.fail(queue, status, why)


fail_put = fail_take = fail


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
    warn(
        f"closing the last handle of queue {'anonymous' if is_anonymous(name) else name!r} has thrown away {count} "
        'message(s): take them first, or make the queue with lifetime="kept"',
        ResourceWarning,
    )


def closed(queue: Queue) -> None:
    """The handle has been closed: lets go of what hangs on it."""
    _aio.close_waiters(queue)
    if queue._dead_letter is not None:
        queue._dead_letter.close()


# --- names and travelling --------------------------------------------------------------------------


def describe(queue: Queue) -> str:
    """``repr(queue)``."""
    return _describe(queue, "" if queue.closed else f"{queue.qsize()} waiting")


def _to_text(options: dict[str, Any]) -> dict[str, str]:
    """What a token carries; a type or a codec object it can't."""
    text = {key: options[key] for key in ("on_full", "wait") if options[key]}
    if isinstance(options["codec"], str):
        text["codec"] = options["codec"]
    if options["views"]:
        text["views"] = "1"
    return text


def _from_text(text: dict[str, str]) -> dict[str, Any]:
    if not set(text) <= {"on_full", "wait", "codec", "views"}:
        raise ValueError("options of another version")
    return text | {"views": text.get("views") == "1"}


# --- looking ---------------------------------------------------------------------------------------


def statistics(queue: Queue) -> QueueStatistics:
    """The counters of ``queue`` at this moment."""
    counters = queue._counters()
    people = queue._attachment.participants()
    return statistics_of(counters, sum(p[3] for p in people), sum(p[4] for p in people), len(people))


def inspect(look: Look, people: Mapping[int, AttachedProcess]) -> dict[str, Any]:
    """What a queue tells to who looks from outside."""
    return _queue_look.inspect(look, people, _found(look.header(), "it"))


KIND = register(Kind(1, "Queue", Queue, _to_text, _from_text, inspect))


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
    warn(
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


def plan_array(queue: Queue, shape: Any, dtype: Any) -> LoanPlan:
    """For memory to write a NumPy array into."""
    return _loans.plan_array(queue, shape, dtype, too_large)


plan_loan = _loans.plan_loan


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
        return await aget(queue)
    except errors.ShutDown:
        raise StopAsyncIteration from None


# What a task waits for; the arguments of Queue._arm.
_ITEMS, _ROOM = 0, 1
# Whether there is room in memory shows only in trying, so room that came between a failed try and the
# arming of the bell is found after this many seconds.
_ROOM_TICK = 0.02


async def aget(queue: Queue, timeout: float | None = None) -> Any:
    """Takes the message at the front, waiting in the event loop."""
    return await _aio.attempt_until(queue, _ITEMS, lambda: queue.get(False), errors.Empty, timeout, tick_of(queue))


async def aput(queue: Queue, obj: Any, timeout: float | None = None) -> None:
    """Puts a message at the end, waiting for room in the event loop."""
    if queue._options["on_full"] == "fail" and (timeout is None or timeout > 0):
        timeout = 0
    await _aio.attempt_until(queue, _ROOM, lambda: queue.put(obj, False), errors.Full, timeout, lambda: _ROOM_TICK)


def tick_of(queue: Queue) -> Any:
    """How long a task that waits for messages may sleep before it looks again."""
    return lambda: _aio.WATCHFUL_TICK if queue._leased() else _aio.TICK


class alease(contextlib.AbstractAsyncContextManager[Any]):  # noqa: N801 - used as a function
    """``async with queue.alease() as item:``; afterwards ``lease`` is the ``Lease`` that was held."""

    lease: Lease

    def __init__(self, queue: Queue, timeout: float | None = None) -> None:
        self._queue, self._timeout = queue, timeout

    async def __aenter__(self) -> Any:
        queue = self._queue
        self.lease = await _aio.attempt_until(
            queue, _ITEMS, lambda: queue.lease(block=False), errors.Empty, self._timeout, tick_of(queue)
        )
        return self.lease.item

    async def __aexit__(self, *exc_info: Any) -> None:
        self.lease.__exit__(*exc_info)

    @property
    def redelivered(self) -> int:
        """How often the message had been handed out before."""
        return self.lease.redelivered


fail_closed, fail_os = _handle.fail_closed, _handle.fail_os

_native.set_policy(sys.modules[__name__])
