"""MessageQueue and PriorityQueue: messages with priorities, the best first.

The classes are native, as that of the queue is; this module holds what is asked for once or seldom: settings,
durability, notification, errors' words.
"""

from __future__ import annotations

import errno
import functools
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from weft import _aio, _handle, _journal, _queue_look, errors
from weft import queue as _queue
from weft._core import codec as _codec_core
from weft._core import queue as _native
from weft._core.queue import MessageQueue, PriorityQueue, Queue
from weft._kinds import OTHERS, Kind, register
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
_BOOT = Path("/proc/sys/kernel/random/boot_id")


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
        attachment, file_name, journal = _open_durable(wanted, directory, durable is not False, salvage, maker)
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
    """What an opener asks for."""

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
            config = config | {"directory": str(directory), "boot": _boot()}
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


# --- durability ------------------------------------------------------------------------------------


def _boot() -> str:
    """Which start of the machine this is."""
    return _BOOT.read_text().strip()


def _open_durable(
    wanted: _Wanted, directory: Path, durable: bool, salvage: bool, codec: Any
) -> tuple[Any, str, _journal.Journal]:
    """Opens a queue with a journal; the first after a reboot puts back what the journal has."""
    assert wanted.name is not None
    path = directory / f"{wanted.name}.journal"
    with _journal.serialised(directory):
        while True:
            exists = path.exists()
            before, create = None, wanted.create
            if exists and not (wanted.place.path / wanted.name).exists():
                before = _journal.read(path, salvage)
                if create is True:
                    raise errors.NameInUseError(
                        f"{path} holds a queue of that name: open it with create=None or False, or unlink it first"
                    )
                wanted.create = None  # it exists: on the disk
            try:
                attachment, file_name = (
                    wanted.attach(directory) if before is None else _remake(wanted, directory, before)
                )
            finally:
                wanted.create = create
            shared = _native.SharedJournal(attachment)
            state = shared.get()[0]
            stale = header_config(attachment.header(), file_name).get("boot") != _boot()
            if (state == 0 and shared.sent()) or stale:
                # Whoever was to put the messages back died of it, or the machine stopped: begin again.
                attachment.unlink()
                del attachment, shared
                continue
            if state == 0:
                before = before or _journal.read(path, salvage)
                _put_back(wanted, path, before, attachment, file_name, shared, codec)
            journal = _journal.Journal(path, shared, attachment.identity(), durable)
            journal.open()
            return attachment, file_name, journal


def _remake(wanted: _Wanted, directory: Path, before: _journal.Recovered) -> tuple[Any, str]:
    """Makes the segment as the journal says that it was."""
    settings = before.settings
    differing = {
        key: (value, settings.get(key))
        for key, value in (
            ("max_messages", wanted.max_messages),
            ("max_message_size", wanted.max_message_size),
            *((key, wanted.config.get(key)) for key in ("codec", "type", "schema")),
        )
        if value is not None and value != settings.get(key)
    }
    if differing:
        text = ", ".join(f"{key} {a!r} was asked for and is {b!r}" for key, (a, b) in differing.items())
        raise errors.MismatchError(
            f"the journal of {wanted.name!r} in {directory} is another queue's: {text}",
            {key: a for key, (a, _) in differing.items()},
            {key: b for key, (_, b) in differing.items()},
        )
    count, size = settings.get("max_messages"), settings.get("max_message_size")
    if not isinstance(count, int) or not isinstance(size, int) or not (0 < count <= MAX_MESSAGES and size > 0):
        raise errors.CorruptedError(f"the journal of {wanted.name!r} in {directory} has settings that can't be")
    asked = wanted.max_messages, wanted.max_message_size
    wanted.max_messages, wanted.max_message_size = count, size
    try:
        return wanted.attach(directory)
    finally:
        wanted.max_messages, wanted.max_message_size = asked


def _put_back(
    wanted: _Wanted,
    path: Path,
    before: _journal.Recovered | None,
    attachment: Any,
    file_name: str,
    shared: _native.SharedJournal,
    codec: Any,
) -> None:
    """Puts what waited into the new segment, under new numbers, and makes the journal that of this segment.

    Whoever dies here leaves a journal that has all, and a segment that is not ready: the next one begins again.
    """
    found = _found(attachment.header(), str(path))
    settings = {key: found[key] for key in ("max_messages", "max_message_size", "codec", "type", "schema")}
    waiting = [] if before is None else [before.waiting[number] for number in sorted(before.waiting)]
    content = _journal.Recovered(
        1 if before is None else before.generation + 1, attachment.identity(), settings, dict(enumerate(waiting))
    )
    descriptor, size = _journal.write_new(path, content, wanted.mode)
    os.close(descriptor)
    shared.set(size, content.generation)
    queue = _make_queue(wanted.place, file_name, attachment, codec, {"wait": "power", "views": False})
    handle = MessageQueue.__new__(MessageQueue)
    handle._bind(queue, None, False)
    for priority, image in waiting:
        _, failure = handle._put_images([image], priority, 0)
        if failure is not None:
            raise failure
    handle._let_go()
    if before is not None and (before.torn or before.damaged):
        shared.set_torn(before.torn + before.damaged)
        _handle.warn(
            f"the journal {path} ended in a torn record: {before.torn} bytes, which had been acknowledged to nobody, "
            "have been dropped"
            if not before.damaged
            else f"the journal {path} was damaged: {before.damaged} bytes in its middle and {before.torn} at its end "
            f"have been left out; {len(waiting)} messages have been put back",
            RuntimeWarning,
        )
    shared.set_ready()


def send_durably(
    handle: MessageQueue, messages: tuple[Any, ...], timeout: float | None, priority: int, durable: bool | None
) -> None:
    """``send`` and ``send_many`` where there is a journal, or where ``durable`` is said."""
    if durable is not None and not isinstance(durable, bool):
        raise TypeError(f"durable must be True, False or None, not {durable!r}")
    journal = handle._journal
    if journal is None:
        if durable:
            raise ValueError(f"{handle!r} has no directory=: nothing in it outlives a reboot")
        handle.send_many(messages, timeout, priority)
        return
    images = _images(handle, messages)
    sent, end = 0, 0
    try:
        while sent < len(images):
            part = images[sent : sent + 256]
            numbers, failure = handle._put_images(part, priority, timeout)
            sent += len(numbers)
            if numbers:
                end = journal.note_sent(numbers, part, priority)
            if failure is not None:
                raise failure
        if journal.durable if durable is None else durable:
            journal.sync(end)
    except Exception as error:
        if end and isinstance(error, errors.Full) and (journal.durable if durable is None else durable):
            journal.sync(end)
        _queue.note(error, "sent", sent)
        raise


def _images(handle: MessageQueue, messages: tuple[Any, ...]) -> list[_journal.Image]:
    """The messages, encoded. One that can't be sent raises before any is."""
    queue = handle._queue
    limit = queue._geometry[2]
    is_plain = queue._config["codec"] in ("default", "raw")
    images = []
    for message in messages:
        if is_plain and type(message) is bytes:
            image = (_journal.RAW, message, 0)
        else:
            image = (_journal.ENCODED, *_codec_core.encode_message(queue._codec, message))
        if len(image[1]) > limit:
            _queue.too_large(queue, len(image[1]), limit)
        images.append(image)
    return images


def unlink(handle: MessageQueue) -> None:
    """Removes the name, and the journal."""
    if handle.closed:
        fail_closed(handle)
    journal = handle._journal
    if journal is None:
        _handle.unlink(handle)
    else:
        _journal.unlink(journal, lambda: _handle.unlink(handle))


# --- notification ----------------------------------------------------------------------------------


class Notification:
    """A registration: being told once, when a message comes into the empty queue and nobody waits to receive it.

    Made by ``MessageQueue.notification()``. ``wait(timeout)`` waits in a thread, ``await`` in an event loop, and
    ``fileno()`` is a descriptor for ``select``. Leaving a ``with`` block takes the registration back.
    """

    def __init__(self, handle: MessageQueue) -> None:
        self._handle = handle
        self._waiters: dict[Any, Any] = {}
        self._listener = -1
        self._cancelled = self._came = False
        self._mark = handle._register()
        if not self._mark:
            raise BlockingIOError(
                errno.EBUSY, f"somebody is registered for notification of {handle!r} already: one can be at a time"
            )

    @property
    def told(self) -> bool:
        """Whether the message has come."""
        if self.closed:
            return self._came
        if self._listener >= 0 and self._handle._is_registered(self._mark):
            # Rung for somebody else: quiet until the next ring.
            self._handle._hush(self._listener)
            self._handle._arm(0)
        return not self._handle._is_registered(self._mark)

    @property
    def closed(self) -> bool:
        """Whether it has been taken back, or its queue's handle closed."""
        return self._cancelled or self._handle.closed

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the message has come.

        Args:
            timeout: Seconds to wait at most; None waits for ever, 0 not at all.

        Returns:
            Whether it has; False when the time is up, the registration has been taken back or the queue closed.
        """
        if self.closed:
            return False
        return self._handle._wait_told(self._mark, timeout) and not self.closed

    def __await__(self) -> Generator[Any, None, bool]:
        return self._wait_in_loop().__await__()

    async def _wait_in_loop(self) -> bool:
        def attempt() -> bool:
            if not self.closed and not self.told:
                raise errors.Empty
            return not self.closed

        return await _aio.attempt_until(self, 0, attempt, errors.Empty, None)

    def fileno(self) -> int:
        """A descriptor that is readable when it may have been told: ask ``told``, which quietens it if not."""
        if self.closed:
            fail_closed(self._handle)
        if self._listener < 0:
            self._listener = self._handle._listen()
            self._handle._arm(0)
        return self._listener

    def cancel(self) -> None:
        """Takes the registration back. May be repeated."""
        if self._cancelled:
            return
        self._cancelled = True
        if self._listener >= 0:
            os.close(self._listener)
            self._listener = -1
        if not self._handle.closed:
            self._came = not self._handle._cancel(self._mark)
        _aio.close_waiters(self)

    def __enter__(self) -> Notification:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def _listen(self) -> int:
        return self._handle._listen()

    def _hush(self, descriptor: int) -> None:
        self._handle._hush(descriptor)

    def _arm(self, channel: int) -> None:
        self._handle._arm(channel)

    def _is_ready(self, channel: int) -> bool:
        return self.closed or self.told


class _Told:
    """What ``request_notification`` has going: a thread that waits, and then calls."""

    def __init__(self, handle: MessageQueue, call: Callable[[], Any]) -> None:
        self._call, self._process, self._calling = call, os.getpid(), False
        self._notification = Notification(handle)
        self._thread = threading.Thread(target=self._run, name=f"weft notification of {handle.name!r}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._calling = self._notification.wait()
        except errors.ClosedError:
            return
        if self._calling:
            self._call()

    def cancel(self) -> None:
        """Takes the registration back; the thread ends, unless it is calling already."""
        if self._process != os.getpid():  # a forked child has neither
            return
        self._notification.cancel()
        if not self._calling and threading.current_thread() is not self._thread:
            self._thread.join(1)


def notification(handle: MessageQueue) -> Notification:
    """Registers ``handle``."""
    registered = Notification(handle)
    _replace(handle, registered)
    return registered


def _replace(handle: MessageQueue, registered: Any) -> None:
    before, handle._notification = handle._notification, registered
    if before is not None:
        before.cancel()


def request_notification(handle: MessageQueue, wanted: Any) -> None:
    """``MessageQueue.request_notification``."""
    if handle.closed:
        fail_closed(handle)
    match wanted:
        case None:
            _replace(handle, None)
            return
        case (call, argument) if callable(call):
            target: Callable[[], Any] = functools.partial(call, argument)
        case int() if not isinstance(wanted, bool):
            number = signal.Signals(wanted)
            target = functools.partial(os.kill, os.getpid(), number)
        case _ if callable(wanted):
            target = wanted
        case _:
            raise TypeError(
                "a notification is a function, (function, argument), a signal's number or None, not "
                f"{type(wanted).__name__}"
            )
    _replace(handle, _Told(handle, target))


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
        fail_closed(handle)
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


def closed(handle: MessageQueue) -> None:
    """The handle is being closed: lets go of what hangs on it."""
    if getattr(handle, "_notification", None) is not None:
        _replace(handle, None)


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


fail_closed = _handle.fail_closed
KIND = register(Kind(7, "MessageQueue", _open, _to_text, _from_text, inspect))
OTHERS |= {"MessageQueue": MessageQueue, "PriorityQueue": PriorityQueue}

_native.set_order_policy(sys.modules[__name__])
