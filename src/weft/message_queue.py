"""MessageQueue and PriorityQueue: messages with priorities, the best first.

The classes are native, as that of the queue is; this module holds what is asked for once or seldom: settings,
errors' words. Durability stands in ``weft._durability``, being told in ``weft._notification``.
"""

from __future__ import annotations

import functools
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from weft import _aio, _durability, _handle, _notification, _queue_look, errors
from weft import queue as _queue
from weft._core import queue as _native
from weft._core.queue import MessageQueue, PriorityQueue, Queue
from weft._kinds import OTHERS, Kind, register
from weft._notification import Notification
from weft._opening import (
    LIFETIMES,
    PAGE,
    WAITS,
    attach_or_create,
    bad_settings,
    check_count,
    check_create,
    check_one_of,
    header_config,
)
from weft._queue_look import statistics_of
from weft.codecs import make_codec
from weft.namespace import Namespace, check_mode, check_name, group_id, place_of
from weft.statistics import AttachedProcess, MessageQueueStatistics

if TYPE_CHECKING:
    from weft._core.look import Look

__all__ = ["MessageQueue", "Notification", "PriorityQueue"]

MAX_PRIORITY = 32_767
# Of 65,536 places in the lease table so many are for leases, whatever waits.
MAX_MESSAGES = 65_536 - 4_096
DEFAULT_MESSAGES, DEFAULT_SIZE = 1_024, 64 << 10
_MAX_PAGES = 1 << 26
_INLINE = 1024  # bytes of the largest message that needs no block of its own
_MAKE = functools.partial(_native.QueueAttachment, 7)


# --- opening ---------------------------------------------------------------------------------------


def configure_priority(queue: PriorityQueue, name: Any, maxsize: Any, **options: Any) -> None:
    """Opens or creates the segment behind ``queue``: the body of ``PriorityQueue.__init__``."""
    if isinstance(name, int) and not isinstance(name, bool):  # PriorityQueue(10), as in the standard library
        if maxsize:
            raise TypeError("PriorityQueue takes one maxsize")
        name, maxsize = None, name
    maxsize = max(check_count(maxsize, "maxsize", MAX_MESSAGES, -math.inf), 0) or MAX_MESSAGES
    if options["on_full"] == "drop-oldest":
        raise ValueError(
            'on_full="drop-oldest" is not for a PriorityQueue, which would drop what is most urgent: '
            'choose "block", "fail" or "drop-newest"'
        )
    if options["codec"] == "raw":
        raise ValueError("an entry has a priority, and codec='raw' passes bytes alone: choose another codec")
    _queue.configure(queue, name, maxsize, **options, kind=KIND, make=_MAKE, face="PriorityQueue")


def configure(
    handle: MessageQueue,
    name: Any,
    *,
    create: bool | None,
    max_messages: int | None,
    max_message_size: int | None,
    lifetime: str | None,
    mode: int,
    group: str | int | None,
    namespace: Any,
    block: bool,
    codec: Any,
    type: Any,
    wait: str,
    views: bool,
    directory: Any,
    durable: bool | None,
    salvage: bool,
) -> None:
    """Opens or creates the segment behind ``handle``: the body of ``MessageQueue.__init__``."""
    if name is not None:
        check_name(name)
    if max_messages is not None:
        check_count(max_messages, "max_messages", MAX_MESSAGES, 1)
    if max_message_size is not None:
        check_count(max_message_size, "max_message_size", _MAX_PAGES * PAGE, 1)
    check_one_of(wait, "wait", WAITS)
    if lifetime is not None:
        check_one_of(lifetime, "lifetime", LIFETIMES)
    check_create(create, name)
    if durable is not None and not isinstance(durable, bool):
        raise TypeError(f"durable must be True, False or None, not {durable!r}")
    if directory is not None:
        directory = Path(os.path.abspath(os.fsdecode(directory)))
        if name is None:
            raise ValueError("a queue with a directory needs a name, by which it is found after a reboot")
    place = place_of(namespace)
    maker, config = make_codec(codec, type)
    config["class"] = "MessageQueue"
    wanted = _Wanted(
        name, place, create, max_messages, max_message_size, lifetime, check_mode(mode), group_id(group), config
    )
    journal = None
    if durable and directory is None:
        wanted.create = False  # only one that has a directory already will do
    if directory is None:
        try:
            attachment, file_name = wanted.attach(None)
        except errors.NotFoundError:
            if durable and create is not False:
                raise ValueError("durable=True needs a directory=, on a disk, for the journal") from None
            raise
        found = header_config(attachment.header(), file_name).get("directory")
        if found is not None:  # made with one, which this opener has not been told
            directory = Path(found)
            del attachment
    if directory is not None:
        wanted.create = create
        opened = _durability.open_durable(wanted, directory, durable is not False, salvage, maker)
        attachment, file_name, journal = opened
    elif durable:
        raise ValueError("durable=True needs a directory=, on a disk, for the journal")
    options = {
        "class": "MessageQueue", "codec": codec, "type": type, "wait": wait, "views": bool(views),
        "block": bool(block), "durable": durable,
    }  # fmt: skip
    _handle.bind(handle, KIND, place, file_name, attachment.identity(), options)
    handle._notification = None
    handle._bind(_make_queue(place, file_name, attachment, maker, options), journal, bool(block))


def _make_queue(place: Namespace, file_name: str, attachment: Any, maker: Any, options: dict[str, Any]) -> Queue:
    """The queue that stands behind a message queue."""
    queue = Queue.__new__(Queue)
    queue._shown_as = "MessageQueue"
    _queue.bind(queue, KIND, place, file_name, attachment, options | {"on_full": "block"})
    queue._bind(attachment, maker, 0, WAITS.index(options["wait"]), options["views"])
    return queue


class _Wanted:
    """What an opener asks for, and how it opens what is there."""

    most_messages = MAX_MESSAGES

    def __init__(
        self,
        name: str | None,
        place: Namespace,
        create: bool | None,
        max_messages: int | None,
        max_message_size: int | None,
        lifetime: str | None,
        mode: int,
        group: int | None,
        config: dict[str, Any],
    ) -> None:
        self.name, self.place, self.create, self.lifetime = name, place, create, lifetime
        self.max_messages, self.max_message_size = max_messages, max_message_size
        self.mode, self.group, self.config = mode, group, config

    def attach(self, directory: Path | None) -> tuple[Any, str]:
        """Opens the segment, or makes it."""
        count, size = self.max_messages or DEFAULT_MESSAGES, self.max_message_size or DEFAULT_SIZE
        asked = {
            "max_messages": self.max_messages,
            "max_message_size": self.max_message_size,
            "lifetime": self.lifetime,
            "directory": directory and str(directory),
        }
        config = self.config
        if directory is not None:
            config = config | {"directory": str(directory), "boot": _durability.boot()}
        return attach_or_create(
            _MAKE,
            KIND,
            self.place,
            self.name,
            self.create,
            (_pages(count, size), count, size, 0),
            config,
            _found,
            asked,
            exact={key: config.get(key) for key in ("codec", "type", "schema", "class")},
            mode=self.mode,
            group=-1 if self.group is None else self.group,
            kept=(self.lifetime or ("kept" if self.name is not None else "attached")) == "kept",
        )

    def found(self, header: dict[str, Any], where: str) -> dict[str, Any]:
        """What the creator of a segment chose."""
        return _found(header, where)

    def make_queue(self, file_name: str, attachment: Any, codec: Any) -> Queue:
        """A queue on it, for who puts back what a journal has."""
        return _make_queue(self.place, file_name, attachment, codec, {"wait": "power", "views": False})


def _pages(count: int, size: int) -> int:
    """Pages in which so many messages of that size fit, wherever those lie that came before.

    A message may be all that is left in its page of the ring. First fit needs, for runs of up to n pages, up to
    log2(n) times as much as is in use (Robson, 1977); one page has no such trouble. None of it is reserved before it
    is used.
    """
    block = 0 if size <= _INLINE else (size + PAGE - 1) // PAGE
    needed = count * (1 + block)
    pages = needed * (1 + math.ceil(math.log2(block)) if block > 1 else 1) + needed // 8 + 128
    if needed + needed // 4 > _MAX_PAGES:
        raise ValueError(
            f"max_messages={count} of max_message_size={size} are {count * size} bytes: 200 GiB are possible together"
        )
    return min(pages, _MAX_PAGES)


def _found(header: dict[str, Any], where: str) -> dict[str, Any]:
    """What the creator chose, under the names of the arguments."""
    config = header_config(header, where)
    if "codec" not in config or config.get("class") not in ("MessageQueue", "PriorityQueue"):
        raise bad_settings(where)
    _, count, size, *_ = header["geometry"]
    found = {"max_messages": count, "max_message_size": size, "lifetime": header["lifetime"]}
    return found | {key: config.get(key) for key in ("codec", "type", "schema", "class", "directory")}


def _open(name: str, **options: Any) -> MessageQueue | PriorityQueue:
    """What a token or a pickle stands for."""
    return PriorityQueue(name, **options) if options.pop("class") == "PriorityQueue" else MessageQueue(name, **options)


def _to_text(options: dict[str, Any]) -> dict[str, str]:
    """What a token carries; a type or a codec object it can't."""
    text = {key: options[key] for key in ("class", "on_full", "wait") if options.get(key)}
    if isinstance(options["codec"], str):
        text["codec"] = options["codec"]
    text |= {key: str(int(options[key])) for key in ("views", "block", "durable") if options.get(key) is not None}
    return text


def _from_text(text: dict[str, str]) -> dict[str, Any]:
    if not set(text) <= {"class", "on_full", "wait", "codec", "views", "block", "durable"}:
        raise ValueError("options of another version")
    if text.get("class") not in ("MessageQueue", "PriorityQueue"):
        raise ValueError("another class")
    return text | {key: text[key] == "1" for key in ("views", "block", "durable") if key in text}


# --- asynchronous twins ----------------------------------------------------------------------------

_ITEMS, _ROOM = 0, 1
_ROOM_TICK = 0.02


async def asend(handle: MessageQueue, msg: Any, timeout: float | None, priority: int, durable: bool | None) -> None:
    """Sends, waiting for room in the event loop."""
    await _aio.attempt_until(
        handle._queue,
        _ROOM,
        lambda: handle.send(msg, 0, priority, durable=durable),
        errors.Full,
        timeout if handle.block else 0,
        lambda: _ROOM_TICK,
    )


async def areceive(handle: MessageQueue, timeout: float | None) -> tuple[Any, int]:
    """Receives, waiting in the event loop. Whoever waits so is one who waits, to `request_notification`."""
    queue = handle._queue
    handle._count_consumer(1)
    try:
        return await _aio.attempt_until(
            queue,
            _ITEMS,
            lambda: handle.receive(0),
            errors.Empty,
            timeout if handle.block else 0,
            _queue.tick_of(queue),
        )
    finally:
        if not handle.closed:
            handle._count_consumer(-1)


# --- looking, and the end --------------------------------------------------------------------------


def describe(handle: MessageQueue) -> str:
    """``repr(handle)``."""
    return _handle.describe(handle, "" if handle.closed else f"{handle.current_messages} waiting")


def statistics(handle: MessageQueue) -> MessageQueueStatistics:
    """The counters of ``handle`` at this moment."""
    if handle.closed:
        _handle.fail_closed(handle)
    queue = handle._queue
    people = queue._attachment.participants()
    seen = statistics_of(queue._counters(), sum(p[3] for p in people), sum(p[4] for p in people), len(people))
    _, end, synced, _, torn = _native.SharedJournal(queue._attachment).get()  # type: ignore[arg-type]
    return MessageQueueStatistics(
        **vars(seen), registered=handle._has_registrant(), journal=end, synced=synced, torn=torn
    )


def inspect(look: Look, people: Mapping[int, AttachedProcess]) -> dict[str, Any]:
    """What a message queue tells to who looks from outside."""
    settings = _found(look.header(), "it")
    units, _, _, deliveries, *_ = look.header()["geometry"]
    config = header_config(look.header(), "it")
    known = {"capacity": units * PAGE, "maxsize": settings["max_messages"], "max_message": settings["max_message_size"]}
    seen = _queue_look.inspect(
        look,
        people,
        settings | known | {"max_deliveries": deliveries or None, "dead_letter": config.get("dead_letter")},
    )
    renamed = {"maxsize": "max_messages", "max_message": "max_message_size"}
    return (
        {"class": settings["class"]}
        | {renamed.get(key, key): value for key, value in seen.items()}
        | {"directory": settings["directory"]}
    )


def fail_priority(number: Any, entry: Any) -> NoReturn:
    """Raises for what is no priority; ``entry`` has what it was looked for in, or is None."""
    if entry is not None and (not isinstance(number, int) or isinstance(number, bool)):
        raise TypeError(
            "an entry of a PriorityQueue is a tuple that begins with its priority, (priority, item), or an object with "
            f"an int attribute priority, not {type(entry[0]).__name__}"
        )
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"priority must be an int, not {type(number).__name__}")
    raise ValueError(f"priority must be from 0 to {MAX_PRIORITY}, not {number}")


# What the native classes call besides.
send_durably, unlink = _durability.send_durably, _durability.unlink
notification, request_notification = _notification.notification, _notification.request_notification
closed = _notification.forget
KIND = register(Kind(7, "MessageQueue", _open, _to_text, _from_text, inspect))
OTHERS |= {"MessageQueue": MessageQueue, "PriorityQueue": PriorityQueue}

_native.set_order_policy(sys.modules[__name__])
