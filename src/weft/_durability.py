"""Message queues that outlive the machine's memory: opening them with their journal, and sending to the disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from weft import _handle, _journal, errors
from weft import queue as _queue
from weft._core import codec as _codec_core
from weft._core import queue as _native
from weft._core.queue import MessageQueue
from weft._opening import header_config

if TYPE_CHECKING:
    from weft._core.queue import Queue
    from weft.namespace import Namespace

__all__ = ["boot", "open_durable", "send_durably", "unlink"]

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Wanted(Protocol):
    """What an opener asks for, and how it opens what is there: see ``weft.message_queue``."""

    name: str | None
    place: Namespace
    create: bool | None
    max_messages: int | None
    max_message_size: int | None
    mode: int
    config: dict[str, Any]
    most_messages: int

    def attach(self, directory: Path | None) -> tuple[Any, str]: ...

    def found(self, header: dict[str, Any], where: str) -> dict[str, Any]: ...

    def make_queue(self, file_name: str, attachment: Any, codec: Any) -> Queue: ...


def boot() -> str:
    """Which start of the machine this is."""
    return _BOOT.read_text().strip()


def open_durable(
    wanted: Wanted, directory: Path, durable: bool, salvage: bool, codec: Any
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
            stale = header_config(attachment.header(), file_name).get("boot") != boot()
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


def _remake(wanted: Wanted, directory: Path, before: _journal.Recovered) -> tuple[Any, str]:
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
    if not isinstance(count, int) or not isinstance(size, int) or not (0 < count <= wanted.most_messages and size > 0):
        raise errors.CorruptedError(f"the journal of {wanted.name!r} in {directory} has settings that can't be")
    asked = wanted.max_messages, wanted.max_message_size
    wanted.max_messages, wanted.max_message_size = count, size
    try:
        return wanted.attach(directory)
    finally:
        wanted.max_messages, wanted.max_message_size = asked


def _put_back(
    wanted: Wanted,
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
    found = wanted.found(attachment.header(), str(path))
    settings = {key: found[key] for key in ("max_messages", "max_message_size", "codec", "type", "schema")}
    waiting = [] if before is None else [before.waiting[number] for number in sorted(before.waiting)]
    content = _journal.Recovered(
        1 if before is None else before.generation + 1, attachment.identity(), settings, dict(enumerate(waiting))
    )
    descriptor, size = _journal.write_new(path, content, wanted.mode)
    os.close(descriptor)
    shared.set(size, content.generation)
    queue = wanted.make_queue(file_name, attachment, codec)
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
        _handle.fail_closed(handle)
    journal = handle._journal
    if journal is None:
        _handle.unlink(handle)
    else:
        _journal.unlink(journal, lambda: _handle.unlink(handle))
