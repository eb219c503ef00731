"""Message queues with a directory: what is on the disk comes back, what is torn is dropped and told, what is damaged
is refused."""

import os
import random
import shutil
import struct
import tempfile
import warnings
from pathlib import Path

import pytest

import weft
from weft import _journal
from weft._core.queue import SharedJournal

from ..helpers import start_program


@pytest.fixture
def disk():
    with tempfile.TemporaryDirectory(prefix="weft-disk-", dir=os.environ.get("TMPDIR", "/var/tmp")) as directory:
        yield Path(directory)


def open_one(disk: Path, **options) -> weft.MessageQueue:
    return weft.MessageQueue("q", directory=disk, **options)


def reboot(queue: weft.MessageQueue) -> None:
    """All memory is gone."""
    queue.path.unlink()
    queue.close()


def drain(queue: weft.MessageQueue) -> list:
    return [queue.receive(0) for _ in range(queue.current_messages)]


def journal_of(disk: Path) -> Path:
    return disk / "q.journal"


def close(queue: weft.MessageQueue) -> None:
    queue.unlink()
    queue.close()


def test_messages_survive_a_reboot_in_their_order(disk):
    queue = open_one(disk)
    for number, priority in enumerate([0, 3, 1, 3, 0]):
        queue.send(b"%d" % number, priority=priority)
    assert queue.receive() == (b"1", 3)
    queue.send({"any": ("thing", 2)}, priority=9)
    queue.send_many([b"many", "text"], priority=2)
    queue.send(bytes(40_000))
    seen = queue.statistics()
    assert seen.journal == seen.synced + _journal.RECORD_BYTES == journal_of(disk).stat().st_size
    reboot(queue)
    for _ in range(2):  # once more: what was put back is as safe as before
        queue = open_one(disk)
        assert queue.statistics().torn == 0
        reboot(queue)
    queue = open_one(disk)
    assert drain(queue) == [
        ({"any": ("thing", 2)}, 9), (b"3", 3), (b"many", 2), ("text", 2), (b"2", 1), (b"0", 0), (b"4", 0),
        (bytes(40_000), 0),
    ]  # fmt: skip
    reboot(queue)
    queue = open_one(disk)
    assert queue.current_messages == 0
    close(queue)
    assert list(disk.iterdir()) == []


def test_leases_are_noted_when_they_are_acknowledged(disk):
    queue = open_one(disk)
    for name in "abc":
        queue.send(name)
    with queue.lease() as item:
        assert item == "a"
    held = queue.lease()
    assert held.item == "b"
    reboot(queue)
    queue = open_one(disk)
    assert drain(queue) == [("b", 0), ("c", 0)]
    close(queue)
    held.ack()


def test_not_durable_is_in_the_journal_and_not_synced(disk):
    queue = open_one(disk, durable=False)
    queue.send("a")
    seen = queue.statistics()
    assert seen.journal > seen.synced
    queue.send("b", durable=True)
    seen = queue.statistics()
    assert seen.journal == seen.synced + _journal.RECORD_BYTES  # which tells of the others
    queue.receive(durable=True)
    seen = queue.statistics()
    assert seen.journal == seen.synced + _journal.RECORD_BYTES  # which tells of the others
    queue.receive()
    seen = queue.statistics()
    assert seen.journal > seen.synced
    close(queue)


def test_who_says_no_directory_writes_the_journal_too(disk):
    queue = open_one(disk, max_messages=77)
    with weft.MessageQueue("q") as other:
        assert other.max_messages == 77
        other.send("by another")
        assert other.statistics().synced + _journal.RECORD_BYTES == journal_of(disk).stat().st_size
    with start_program("weft.MessageQueue('q').send('by a program')") as program:
        program.finish()
    with weft.open(queue.token) as other:
        other.send("by token")
    pid = os.fork()
    if not pid:
        queue.send("by a child")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    reboot(queue)
    queue = open_one(disk)
    assert queue.max_messages == 77
    assert [message for message, _ in drain(queue)] == ["by another", "by a program", "by token", "by a child"]
    close(queue)


@pytest.mark.parametrize("strange", [(9, b"of a later version", 0), (0, b"", 0), (2, b"ab", 3)])
def test_records_of_a_kind_that_is_not_known_are_refused_and_told(disk, strange):
    queue = open_one(disk)
    queue.send("before", priority=1)
    reboot(queue)
    with journal_of(disk).open("ab") as file:
        file.write(_journal.record(100, strange))
        file.write(_journal.record(101, (_journal.RAW, b"after", 0)))
    whole = journal_of(disk).read_bytes()
    with pytest.raises(weft.CorruptedError, match=rf"does not know \(kind {strange[0]}\).*salvage=True"):
        open_one(disk)
    assert journal_of(disk).read_bytes() == whole
    with pytest.warns(RuntimeWarning, match="left out; 2 messages have been put back"):
        queue = open_one(disk, salvage=True)
    assert queue.statistics().torn == _journal.RECORD_BYTES + len(strange[1])
    assert drain(queue) == [("before", 1), (b"after", 0)]
    reboot(queue)
    close(open_one(disk))  # once it has been left out, it is gone


def test_settings_come_from_the_journal_and_must_agree(disk):
    reboot(open_one(disk, max_messages=5, max_message_size=100))
    for options in ({"max_messages": 6}, {"max_message_size": 99}, {"codec": "pickle"}):
        with pytest.raises(weft.MismatchError, match=next(iter(options))):
            open_one(disk, **options)
    with pytest.raises(weft.NameInUseError):
        open_one(disk, create=True)
    queue = open_one(disk, create=False)
    assert (queue.max_messages, queue.max_message_size) == (5, 100)
    with pytest.raises(weft.MismatchError, match="directory"):
        weft.MessageQueue("q", directory=disk.parent)
    close(queue)
    with pytest.raises(weft.NotFoundError):
        open_one(disk, create=False)


def test_a_queue_in_memory_is_not_made_durable(disk):
    with weft.MessageQueue("q") as queue:
        with pytest.raises(weft.MismatchError, match="directory"):
            open_one(disk)
        queue.unlink()


def test_attached_queues_live_in_the_journal(disk):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with open_one(disk, lifetime="attached") as queue:
            queue.send("x")
            path = queue.path
        assert not path.exists()
        queue = open_one(disk, lifetime="attached")
    assert queue.receive(0) == ("x", 0)
    close(queue)


def test_the_full_queue_keeps_what_was_sent(disk):
    queue = open_one(disk, max_messages=3)
    with pytest.raises(weft.Full) as caught:
        queue.send_many(range(5), timeout=0)
    assert caught.value.sent == 3
    reboot(queue)
    queue = open_one(disk)
    assert [message for message, _ in drain(queue)] == [0, 1, 2]
    close(queue)


# --- torn and damaged -----------------------------------------------------------------------------------


def three(disk: Path, last: bytes = b"third", last_durable: bool = True) -> tuple[bytes, int]:
    """A journal of three messages, without what tells of the last that it is on the disk; and where that one begins."""
    queue = open_one(disk)
    queue.send(b"first")
    queue.send(b"second", priority=1)
    begin = journal_of(disk).stat().st_size
    queue.send(last, durable=last_durable)
    reboot(queue)
    data = journal_of(disk).read_bytes()
    return data[: -_journal.RECORD_BYTES] if last_durable else data, begin


def reread(disk: Path, data: bytes, **options) -> tuple[list, int, list]:
    """What a queue finds in a journal of these bytes: messages, bytes torn, warnings."""
    journal_of(disk).write_bytes(data)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        queue = open_one(disk, **options)
    messages, torn = [message for message, _ in drain(queue)], queue.statistics().torn
    queue.path.unlink()
    queue.close()
    return messages, torn, [str(warning.message) for warning in told]


def test_the_last_record_cut_at_every_byte(disk):
    data, begin = three(disk)
    assert len(data) - begin == _journal.RECORD_BYTES + 5
    for size in range(begin, len(data)):
        messages, torn, told = reread(disk, data[:size])
        assert messages == [b"second", b"first"]
        assert torn == size - begin
        assert len(told) == (1 if torn else 0)
        assert all(str(torn) in text and "torn" in text for text in told)
    assert reread(disk, data) == ([b"second", b"first", b"third"], 0, [])


def test_the_last_record_with_any_bit_flipped_or_blank(disk):
    data, begin = three(disk)
    for at in range(begin, len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        messages, torn, told = reread(disk, bytes(changed))
        assert messages == [b"second", b"first"]
        assert (torn, len(told)) == (len(data) - begin, 1)
    messages, torn, told = reread(disk, data[:begin] + bytes(len(data) - begin + 4096))
    assert (messages, len(told)) == ([b"second", b"first"], 1)


def test_garbage_and_an_old_record_after_the_end(disk):
    data, _ = three(disk)
    for garbage in (b"\0", b"wRec", b"wRec" + bytes(60), os.urandom(500), data[:100]):
        messages, torn, told = reread(disk, data + garbage)
        assert messages == [b"second", b"first", b"third"]
        assert (torn, len(told)) == (len(garbage), 1)


def test_what_was_not_acknowledged_may_be_torn_before_what_was_written_after_it(disk):
    """A power cut takes what was not on the disk in any order."""
    queue = open_one(disk)
    queue.send(b"acknowledged")
    begin = journal_of(disk).stat().st_size
    for number in range(3):
        queue.send(b"not %d" % number, durable=False)
    reboot(queue)
    data = bytearray(journal_of(disk).read_bytes())
    data[begin + 50 : begin + 52] = b"\0\0"
    messages, torn, told = reread(disk, bytes(data))
    assert messages == [b"acknowledged"]
    assert (torn, len(told)) == (len(data) - begin, 1)


def test_damage_in_the_middle_is_refused_unless_salvaged(disk):
    data, begin = three(disk)
    header = struct.unpack_from("<I", data, 8)[0]
    for at in range(header, begin - _journal.RECORD_BYTES, 3):
        changed = bytearray(data)
        changed[at] ^= 0x40
        journal_of(disk).write_bytes(changed)
        with pytest.raises(weft.CorruptedError, match="salvage") as caught:
            open_one(disk)
        assert str(journal_of(disk)) in str(caught.value)
        assert journal_of(disk).read_bytes() == changed
    changed = bytearray(data)
    changed[data.index(b"second")] ^= 0x40
    messages, torn, told = reread(disk, bytes(changed), salvage=True)
    assert messages == [b"first", b"third"]
    assert torn == _journal.RECORD_BYTES + len(b"second")
    assert len(told) == 1
    assert "damaged" in told[0]


@pytest.mark.parametrize("damaged", [0, 50, 99])
def test_damage_to_what_was_acknowledged_last_is_refused_unless_salvaged(disk, damaged):
    queue = open_one(disk)
    queue.send_many([b"message %02d" % number for number in range(100)])
    reboot(queue)
    data = bytearray(journal_of(disk).read_bytes())
    data[data.index(b"message %02d" % damaged)] ^= 1
    journal_of(disk).write_bytes(data)
    with pytest.raises(weft.CorruptedError, match="salvage"):
        open_one(disk)
    messages, _, told = reread(disk, bytes(data), salvage=True)
    assert messages == [b"message %02d" % number for number in range(100) if number != damaged]
    assert len(told) == 1


def test_a_damaged_header_is_refused(disk):
    data, _ = three(disk)
    header = struct.unpack_from("<I", data, 8)[0]
    for at in range(header):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        journal_of(disk).write_bytes(changed)
        with pytest.raises(weft.CorruptedError, match="journal"):
            open_one(disk)
    for size in range(header):
        journal_of(disk).write_bytes(data[:size])
        with pytest.raises(weft.CorruptedError, match="journal"):
            open_one(disk)


def test_random_damage_is_one_error_or_some_of_the_messages(disk):
    rng = random.Random(5)
    data, _ = three(disk, os.urandom(300))
    for _ in range(150):
        changed = bytearray(data)
        for _ in range(rng.choice([1, 2, 20])):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        try:
            messages, *_ = reread(disk, bytes(changed[: rng.randrange(len(changed) + 1)]), salvage=rng.random() < 0.5)
        except weft.CorruptedError:
            continue
        assert len(messages) <= 3


# --- compaction ---------------------------------------------------------------------------------------------


def test_compaction_keeps_what_waits_and_all_who_write_go_on(disk, monkeypatch):
    monkeypatch.setattr(_journal, "_LEAST_COMPACTION", 20_000)
    queue, other = open_one(disk), open_one(disk)
    for number in range(1500):
        queue.send(number, priority=number % 3, durable=False)
        if number >= 5:
            other.receive()
    assert journal_of(disk).stat().st_size < 60_000
    assert _journal.read(journal_of(disk)).generation > 5
    waiting = sorted(drain_copy(queue))
    other.send("by the other")
    reboot(queue)
    other.close()
    queue = open_one(disk)
    assert sorted(str(message) for message, _ in drain(queue)) == sorted([*map(str, waiting), "by the other"])
    close(queue)


def drain_copy(queue: weft.MessageQueue) -> list:
    """What waits, which goes on waiting."""
    leases = [queue.lease(0) for _ in range(queue.current_messages)]
    messages = [lease.item for lease in leases]
    for lease in leases:
        lease.release()
    return messages


def test_unlinked_under_those_who_have_it_open(disk):
    queue = open_one(disk)
    queue.unlink()
    with pytest.raises(weft.NotFoundError):
        queue.send("not durable any more")
    queue.receive(0)  # it is in memory, and noted nowhere
    later = open_one(disk)
    with pytest.raises(weft.NotFoundError):
        queue.send("not the later one's")
    assert later.current_messages == 0
    queue.close()
    close(later)


def test_a_journal_cut_off_under_its_writers_is_told(disk):
    queue = open_one(disk)
    queue.send("x")
    os.truncate(journal_of(disk), 100)
    with pytest.raises(weft.CorruptedError, match="journal"):
        queue.send("y")
    close(queue)


def test_a_full_disk_is_told_and_the_message_sent(tiny, tmp_path):
    place = tiny(300_000)
    queue = weft.MessageQueue("q", directory=place.path, max_message_size=300_000)
    queue.send(bytes(100_000))
    with pytest.raises(OSError, match="have been sent") as caught:
        queue.send(bytes(250_000))
    assert isinstance(caught.value, weft.WeftError)
    assert len(queue.receive(0)[0]) == 100_000
    assert len(queue.receive(0)[0]) == 250_000
    queue.send("goes on")
    assert queue.receive(0) == ("goes on", 0)
    close(queue)


def test_half_replayed_is_begun_again(disk):
    queue = open_one(disk)
    queue.send_many(range(10))
    reboot(queue)
    queue = open_one(disk)
    # As one who died while it put messages back: in memory some, and not ready.
    SharedJournal(queue._queue._attachment).set_ready(False)
    queue.close()
    queue = open_one(disk)
    assert [message for message, _ in drain(queue)] == list(range(10))
    close(queue)


def test_wrong_directories(disk):
    (disk / "file").write_text("")
    for directory in (disk / "missing", disk / "file"):
        with pytest.raises(OSError):
            weft.MessageQueue("q", directory=directory)
    with pytest.raises(ValueError, match="name"):
        weft.MessageQueue(directory=disk)
    shutil.rmtree(disk)
    disk.mkdir()
