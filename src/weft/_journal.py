"""The journal of a durable message queue: an append-only file of what was sent and what was taken.

A header says whose it is; each record has a checksum of its own::

    header   "WEFTJRN1", bytes of it, generation, identity of the segment, settings as JSON, CRC-32
    record   "wRec", CRC-32 of what follows, bytes of the payload, number, synced, size of the body,
             what (1 bytes, 2 an encoded message, 3 taken), priority; then the payload

Records are written under a lock that a death gives back, each behind the last whole one (native/weft/
queue_journal.hpp). So a process that is killed tears the last record at most, and the next one cuts it off. A power
cut may take more: whatever was not yet on the disk, in any order. ``synced`` tells how far the journal was known to be
on the disk when the record was written; after a sync behind which nobody has written, a record of its own tells it
(``taken``, of a number that no message has). So a record that can't be read, and before which another says the disk
ended, was torn by a power cut and had been acknowledged to nobody; one that was on the disk is damage, and is refused.

Compaction writes what still waits into a new file, which is on the disk before it takes the old one's name.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from weft import errors
from weft._core.queue import journal_records, scan_records
from weft._handle import warn
from weft._opening import Status

if TYPE_CHECKING:
    from weft._core.queue import SharedJournal

__all__ = ["Image", "Journal", "Recovered", "read", "serialised", "write_new"]

MAGIC, RECORD_MAGIC = b"WEFTJRN1", b"wRec"
_HEADER = struct.Struct("<8sIQ32sI")  # magic, bytes of it with settings and checksum, generation, identity, settings
_MARK = struct.Struct("<4sI")  # of a record: magic and checksum
_BODY = struct.Struct("<QQQQBxHxxxx")  # … and what the checksum covers besides the payload
RECORD_BYTES = _MARK.size + _BODY.size
_MOST_HEADER = 1 << 16
RAW, ENCODED, TAKEN = 1, 2, 3
# A journal is made anew when it has grown to twice what it was then, and to this size at least.
_LEAST_COMPACTION = 4 << 20

# What is "taken" in the record that only tells how far the journal is on the disk.
_NOTHING = (1 << 64) - 1

# An encoded message: RAW or ENCODED, its bytes, and the size of its body.
Image = tuple[int, bytes, int]
_TAKEN: Image = (TAKEN, b"", 0)


@dataclass
class Recovered:
    """What a journal was found to hold.

    Attributes:
        generation: Of the file.
        identity: The segment whose journal it is.
        settings: Of the queue.
        waiting: By number, what was sent and not taken: priority and message.
        early: Numbers of what was taken before it was noted that it had been sent.
        torn: Bytes at its end that were no whole record.
        damaged: Bytes in its middle that were skipped: damage, and records of kinds that are not known.
    """

    generation: int
    identity: str
    settings: dict[str, Any]
    waiting: dict[int, tuple[int, Image]] = field(default_factory=dict)
    early: set[int] = field(default_factory=set)
    torn: int = 0
    damaged: int = 0


def record(number: int, image: Image, priority: int = 0, synced: int = 0) -> bytes:
    """One record."""
    return journal_records([image], [number], synced, priority)


def _header(generation: int, identity: str, settings: dict[str, Any]) -> bytes:
    text = json.dumps(settings, sort_keys=True).encode()
    head = _HEADER.pack(MAGIC, _HEADER.size + len(text) + 4, generation, identity.encode(), len(text)) + text
    return head + struct.pack("<I", zlib.crc32(head))


def _read_header(data: bytes, path: Path) -> tuple[Recovered, int]:
    try:
        magic, size, generation, identity, length = _HEADER.unpack_from(data)
        head = data[: size - 4]
        if magic != MAGIC or size > _MOST_HEADER or size != _HEADER.size + length + 4:
            raise ValueError
        if zlib.crc32(head) != struct.unpack_from("<I", data, size - 4)[0]:
            raise ValueError
        settings = json.loads(head[_HEADER.size :])
        if not isinstance(settings, dict):
            raise ValueError
        return Recovered(generation, identity.decode("ascii"), settings), size
    except (struct.error, ValueError, RecursionError):
        raise errors.CorruptedError(
            f"{path} has no sound header of a journal: put back a copy of the file, or move it away to begin with an "
            "empty queue"
        ) from None


def _record_at(data: bytes, at: int) -> tuple[int, int, int, int, int, int] | None:
    """(what, number, synced, priority, size, body) of a whole record, or None."""
    if at + RECORD_BYTES > len(data) or data[at : at + 4] != RECORD_MAGIC:
        return None
    size, number, synced, body, what, priority = _BODY.unpack_from(data, at + _MARK.size)
    end = at + RECORD_BYTES + size
    if end > len(data) or zlib.crc32(memoryview(data)[at + _MARK.size : end]) != _MARK.unpack_from(data, at)[1]:
        return None
    return what, number, synced, priority, size, body


def _next_record(data: bytes, at: int) -> int:
    """Where the next whole record begins, or the end."""
    while (at := data.find(RECORD_MAGIC, at)) >= 0:
        if _record_at(data, at) is not None:
            return at
        at += 1
    return len(data)


def read(path: Path, salvage: bool = False) -> Recovered | None:
    """Reads a journal; None if there is none.

    Args:
        path: The file.
        salvage: Whether damage in the middle is skipped, and what is not known.

    Raises:
        CorruptedError: It is damaged, where it was on the disk and not where a power cut tore it; or it has records
            of another version.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    found, at = _read_header(data, path)
    places: dict[int, int] = {}
    taken: list[int] = []
    while True:
        at, numbers, starts, gone = scan_records(data, at)
        places.update(zip(numbers, starts, strict=True))
        taken += gone
        if at == len(data):
            break
        if (unknown := _record_at(data, at)) is not None:
            if not salvage:
                raise errors.CorruptedError(
                    f"{path} has a record at byte {at} that this version of weft does not know (kind {unknown[0]}): "
                    "open the queue with the version that wrote it; or with salvage=True, which leaves the record out "
                    "and keeps the rest"
                )
            skipped = RECORD_BYTES + unknown[4]
            found.damaged += skipped
            at += skipped
            continue
        following = _next_record(data, at + 1)
        if not _was_synced(data, at, following):
            found.torn = len(data) - at
            break
        if not salvage:
            raise errors.CorruptedError(
                f"{path} is damaged at byte {at}: {following - at} bytes that had been on the disk are no record. "
                "Put back a copy of the file; or open the queue with salvage=True, which leaves them out and keeps "
                "the rest; or move the file away to begin with an empty queue"
            )
        found.damaged += following - at
        at = following
    for number in taken:
        if number != _NOTHING and places.pop(number, None) is None:
            found.early.add(number)
    for number, place in places.items():
        size, _, _, body, what, priority = _BODY.unpack_from(data, place + _MARK.size)
        begin = place + RECORD_BYTES
        found.waiting[number] = (priority, (what, data[begin : begin + size], body))
    return found


def _was_synced(data: bytes, at: int, following: int) -> bool:
    """Whether a record after ``at`` tells that what stands there had been on the disk."""
    while following < len(data):
        seen = _record_at(data, following)
        if seen is None:
            following = _next_record(data, following + 1)
            continue
        if seen[2] > at:
            return True
        following += RECORD_BYTES + seen[4]
    return False


def write_new(path: Path, content: Recovered, mode: int) -> tuple[int, int]:
    """Writes a journal under the name, in one step, and on the disk.

    Args:
        path: The file.
        content: What it is to hold.
        mode: Its permissions.

    Returns:
        Its descriptor, and its bytes.
    """
    temporary = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):  # of one who was killed here
        temporary.unlink()
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        os.fchmod(descriptor, mode)
        parts = [_header(content.generation, content.identity, content.settings)]
        for number in sorted(content.waiting):
            priority, image = content.waiting[number]
            parts.append(record(number, image, priority))
        parts += [record(number, _TAKEN) for number in sorted(content.early)]
        whole = memoryview(b"".join(parts))
        at = 0
        while at < len(whole):
            at += os.pwrite(descriptor, whole[at:], at)
        os.fsync(descriptor)
        temporary.rename(path)
        sync_directory(path.parent)
    except BaseException:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return descriptor, len(whole)


def sync_directory(directory: Path) -> None:
    """Returns once its names are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def serialised(directory: Path) -> Iterator[None]:
    """Nobody else opens or unlinks a durable queue of that directory meanwhile, whatever becomes of this process."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise errors.NotFoundError(
            f"there is no directory {str(directory)!r} for the journal: make it, on a disk, before the queue"
        ) from None
    except PermissionError as error:
        raise errors.AccessError(f"{directory}: {error.strerror}: choose a directory that is yours") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class Journal:
    """One process's part in a journal.

    Args:
        path: The file.
        shared: What all its writers share.
        identity: The segment whose journal it is.
        durable: Whether what is sent is on the disk before ``note_sent`` returns, where it is not told.
    """

    def __init__(self, path: Path, shared: SharedJournal, identity: str, durable: bool) -> None:
        self.path, self.durable = path, durable
        self._shared, self._identity = shared, identity
        self._descriptor, self._generation = -1, 0
        self._compact_at = _LEAST_COMPACTION

    def open(self) -> None:
        """Opens the file.

        Raises:
            NotFoundError: It is gone, or another queue's.
        """
        self._shared.locked(self._reopen)

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def note_sent(self, numbers: list[int], images: list[Image], priority: int) -> int:
        """Appends messages that have been put; returns where the journal ends then, for ``sync``."""
        synced = self._shared.get()[2]
        return self._append(journal_records(images, numbers, synced, priority))

    def note_taken(self, number: int, durable: bool = False) -> None:
        """Appends that a message has been taken. What fails costs the message no one: it may come again."""
        try:
            end = self._append(record(number, _TAKEN, synced=self._shared.get()[2]))
            if durable:
                self.sync(end)
        except errors.NotFoundError:  # unlinked: nothing will ever be put back
            if durable:
                raise
        except (OSError, errors.CorruptedError) as error:
            warn(f"a received message could not be noted, and may come again after a reboot: {error}", RuntimeWarning)

    def sync(self, end: int) -> None:
        """Returns once the journal is on the disk up to ``end``."""
        status, code = self._shared.sync(self._descriptor, self._generation, end)
        if status != Status.OK:
            self._fail(status, code)
        _, last, synced, generation, _ = self._shared.get()
        if last == end and generation == self._generation:
            # Without it a reader could not tell damage to what was acknowledged last from a power cut's. It need not
            # be there, so that nothing depends on whether this succeeds.
            self._shared.append(self._descriptor, generation, record(_NOTHING, _TAKEN, synced=synced))

    def _append(self, records: bytes) -> int:
        while True:
            status, end, code = self._shared.append(self._descriptor, self._generation, records)
            if status == Status.OK:
                break
            if status != Status.MISSING:
                self._fail(status, code)
            self._shared.locked(self._reopen)
        if end >= self._compact_at:
            self.compact()
        return int(end)

    def _fail(self, status: int, code: int) -> NoReturn:
        what = f"the messages have been sent, but the journal {self.path} could not keep them"
        if status == Status.OS_ERROR:
            raise errors.SystemLimitError(code, f"{what}: {os.strerror(code)}", str(self.path))
        if status == Status.BROKEN:
            raise errors.SystemLimitError(
                5, f"{what}: the disk has failed before, and what it holds is not known: close the queue everywhere, "
                "unlink it, and make it anew in a directory on a sound disk", str(self.path)
            )  # fmt: skip
        raise errors.CorruptedError(f"{what}: it is shorter than it was: unlink the queue and make it anew")

    def _reopen(self) -> None:
        """The file is another now: it has been compacted, or unlinked. Nobody writes meanwhile."""
        descriptor = -1
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            found = None if descriptor < 0 else _read_header(os.pread(descriptor, _MOST_HEADER, 0), self.path)[0]
            if found is None or found.identity != self._identity:
                raise errors.NotFoundError(
                    f"the journal {self.path} is gone, as it is when the queue has been unlinked: what is sent lives "
                    "in memory alone"
                )
        except BaseException:
            if descriptor >= 0:
                os.close(descriptor)
            raise
        self.close()
        self._descriptor, self._generation = descriptor, found.generation
        if found.generation != self._shared.get()[3]:
            # Whoever compacted it died before it could say so: it is whole and on the disk.
            self._shared.set(os.fstat(descriptor).st_size, found.generation)

    def compact(self) -> None:
        """Makes the journal anew, without what has been taken."""
        self._shared.locked(self._compact)

    def _compact(self) -> None:
        _, end, _, generation, _ = self._shared.get()
        if generation != self._generation or os.fstat(self._descriptor).st_nlink == 0:
            self._reopen()
            return
        if os.fstat(self._descriptor).st_size > end:
            os.ftruncate(self._descriptor, end)
        found = read(self.path)
        if found is None:
            return
        found.generation += 1
        descriptor, size = write_new(self.path, found, os.fstat(self._descriptor).st_mode & 0o777)
        self.close()
        self._descriptor, self._generation = descriptor, generation + 1
        self._shared.set(size, generation + 1)
        self._compact_at = max(2 * size, _LEAST_COMPACTION)


def unlink(journal: Journal, remove: Callable[[], None]) -> None:
    """Removes the queue's name by ``remove``, then the journal's.

    A kill in between leaves the journal, and with it the queue.
    """
    with serialised(journal.path.parent):
        remove()
        with contextlib.suppress(FileNotFoundError):
            journal.path.unlink()
        sync_directory(journal.path.parent)


if sys.byteorder != "little":
    raise ImportError("weft runs on little-endian machines only")
