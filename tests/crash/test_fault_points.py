"""Processes killed at each point at which shared state is half changed."""

import contextlib
import os

import pytest

import weft
from weft.testing import fault_points

from .programs import Victim, assert_whole, drain, duplicates, number_of

pytestmark = pytest.mark.skipif(not fault_points(), reason="needs the test build: make test")
if not fault_points() and "WEFT_TEST_BUILD" in os.environ:  # make test says that this is it
    raise RuntimeError(f"the test build has no fault points: {weft.__file__}")

CAPACITY = 1 << 20
PRODUCING = [
    "lock_taken",
    "pool_grown",
    "pool_merging",
    "pool_split",
    "pool_taken",
    "put_block_written",
    "put_extent_linked",
    "put_record_written",
    "put_committed",
    "put_unlocked",
]
CONSUMING = ["lock_taken", "get_block_held", "get_copied", "get_committed", "get_unlocked"]
LEASING = [
    "lock_taken",
    "lease_prepared",
    "lease_committed",
    "lease_ack_block",
    "lease_acked",
    "lease_return",
    "lease_returned",
    "get_copied",
    "get_committed",
]
CREATING = [
    "segment_created",
    "segment_filled",
    "segment_linked",
    "slot_locked",
    "slot_filled",
    "detach_last",
]
ATTACHING = ["segment_attached", "slot_locked", "slot_filled"]
CLEANING = ["remove_alone", "remove_unlinked"]
# See test_memory_fault_points.py, test_cell.py, test_sync_faults.py, test_message_queue.py.
OF_OTHERS = ("memory_", "cell_", "record_", "user_", "permit_", "reader_", "writer_", "gate_",
             "condition_", "barrier_", "event_", "pipe_", "order_", "notice_", "journal_", "returned_")  # fmt: skip
# What else a producer does that drops the oldest, and a consumer that puts given-up messages aside.
REPLACING = ["get_copied", "get_block_held", "get_committed", "lock_taken", "put_record_written", "put_committed"]
SETTING_ASIDE = ["get_copied", "put_block_written", "put_record_written", "put_committed", "put_unlocked",
                 "lease_ack_block", "lease_acked"]  # fmt: skip
RECOVERING = ["recover_lease", "recover_block", "recover_done", "lock_takeover"]


def test_every_point_is_covered():
    covered = {*PRODUCING, *CONSUMING, *LEASING, *CREATING, *ATTACHING, *CLEANING, *RECOVERING}
    assert {point for point in fault_points() if not point.startswith(OF_OTHERS)} == covered


def pass_of(point, turn):
    # The n-th pass: early ones, and later ones in another phase of sizes and extents. Growth ends soon.
    return (1, 2, 3)[turn] if point in ("pool_grown", "put_extent_linked") else (1, 6, 23)[turn]


@pytest.mark.parametrize("turn", [0, 1, 2])
@pytest.mark.parametrize("point", PRODUCING)
def test_producer_killed(point, turn):
    with weft.Queue("q", capacity=CAPACITY) as queue:
        queue.put(b"0:before")
        taken = [number_of(queue.get())]
        with Victim("produce", "q", 1, fault=f"{point}:{pass_of(point, turn)}:k") as victim:
            victim.wait_ready()
            if point == "pool_grown":
                victim.wait_dead()  # it grows as long as nobody takes anything
            while victim.process.poll() is None or queue.qsize():
                try:
                    taken.append(number_of(queue.get(timeout=0.05)))
                except weft.Empty:
                    if victim.process.poll() is not None:
                        break
            assert victim.wait_dead() == -9
            taken += drain(queue)
            finished, begun = victim.numbers("="), victim.numbers("+")
        assert not duplicates(taken)
        assert taken == sorted(taken)
        # All that was put is there; of what was about to be put, at most the last.
        assert set(finished) <= set(taken)
        assert set(taken) <= {0, *begun}
        assert_whole(queue)


@pytest.mark.parametrize("turn", [0, 1, 2])
@pytest.mark.parametrize("point", CONSUMING)
@pytest.mark.parametrize("role", ["consume", "consume_many"])
def test_consumer_killed(role, point, turn):
    numbers = range(120)
    with weft.Queue("q", capacity=CAPACITY * 8) as queue:
        for number in numbers:
            queue.put(b"%d:" % number + bytes((0, 100, 9000)[number % 3]))
        with Victim(role, "q", fault=f"{point}:{pass_of(point, turn)}:k") as victim:
            assert victim.wait_dead() == -9
            theirs = victim.numbers("-")
        mine = drain(queue)
        assert not duplicates(theirs + mine)
        assert mine == sorted(mine)
        lost = set(numbers) - set(theirs) - set(mine)
        # What the fatal call had taken went with the consumer: one message of get, three of get_many.
        assert len(lost) <= (1 if role == "consume" else 3)
        assert_whole(queue)


@pytest.mark.parametrize("turn", [0, 1, 2])
@pytest.mark.parametrize("point", LEASING)
def test_lease_holder_killed(point, turn):
    numbers = range(120)
    with weft.Queue("q", capacity=CAPACITY * 8) as queue:
        for number in numbers:
            queue.put(b"%d:" % number + bytes((0, 100, 9000)[number % 3]))
        with Victim("lease", "q", fault=f"{point}:{pass_of(point, turn)}:k") as victim:
            assert victim.wait_dead() == -9
            acknowledged, begun = victim.numbers("*"), victim.numbers("~")
        mine = drain(queue)
        assert not duplicates(mine)
        # Each is either acknowledged or comes back; the acknowledgement it died in may have counted.
        assert not set(acknowledged) & set(mine)
        missing = set(numbers) - set(mine)
        assert set(acknowledged) <= missing <= set(begun)
        assert_whole(queue)


@pytest.mark.parametrize("turn", [0, 1, 2])
@pytest.mark.parametrize("point", REPLACING)
def test_producer_that_drops_the_oldest_killed(point, turn):
    with weft.Queue("q", 8, capacity=CAPACITY) as queue:
        with Victim("replace", "q", fault=f"{point}:{pass_of(point, turn)}:k") as victim:
            assert victim.wait_dead() == -9
            finished, begun = victim.numbers("="), victim.numbers("+")
        dropped = queue.statistics().dropped
        mine = drain(queue)
        # The last ones without a gap, at most one dropped too many: for the one whose put it died in.
        assert (
            mine == list(range(len(begun)))[len(begun) - len(mine) :] or mine == finished[len(finished) - len(mine) :]
        )
        assert min(len(finished), 8) - 1 <= len(mine) <= 8
        assert abs(len(finished) - len(mine) - dropped) <= 1
        assert_whole(queue)


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("point", SETTING_ASIDE)
def test_consumer_that_puts_given_up_messages_aside_killed(point, turn):
    numbers = set(range(30))
    with (
        weft.Queue("q", capacity=CAPACITY, max_deliveries=1, dead_letter="dead") as queue,
        weft.Queue("dead", create=False) as dead,
    ):
        for number in numbers:
            queue.put(b"%d:" % number + bytes((0, 9000)[number % 2]))
        for lease in queue.lease_many(100).leases:
            lease.release()
        with Victim("consume", "q", fault=f"{point}:{(1, 8)[turn]}:k") as victim:
            assert victim.wait_dead() == -9
            assert victim.numbers("-") == []
        assert drain(queue) == []  # puts the rest aside
        given_up = drain(dead)
        assert set(given_up) == numbers
        assert len(given_up) <= len(numbers) + 1  # the one that it died with may have arrived before
        assert queue.statistics().dropped == 0
        assert_whole(dead)
        assert_whole(queue)


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("point", ["lock_taken", *CONSUMING])
def test_killed_while_it_drops_what_is_there_at_an_immediate_end(point, turn):
    with weft.Queue("q", capacity=CAPACITY) as queue:
        for number in range(20):
            queue.put(b"%d:" % number + bytes((0, 9000)[number % 2]))
        with Victim("end", "q", fault=f"{point}:{(1, 6)[turn]}:k") as victim:
            assert victim.wait_dead() == (0 if point == "get_unlocked" else -9)
        left = []
        with pytest.raises(weft.ShutDown):
            while True:
                left.append(number_of(queue.get(timeout=30)))
        assert left == list(range(20))[20 - len(left) :]
        with pytest.raises(weft.ShutDown):
            queue.put(b"20:")


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("point", CREATING)
def test_creator_killed(point, turn):
    with Victim("create", "-", fault=f"{point}:{(1, 5)[turn]}:k") as victim:
        assert victim.wait_dead() == -9
    for name in ("made-0", "made-1", "made-2"):
        with weft.Queue(name) as queue:
            assert queue.statistics().sent == 0
            assert_whole(queue)
    weft.Namespace().clean()
    assert os.listdir(weft.Namespace().path) == []


@pytest.mark.parametrize("point", ATTACHING)
def test_opener_killed(point):
    with weft.Queue("q", capacity=CAPACITY) as queue:
        queue.put(b"1:")
        with Victim("consume", "q", fault=f"{point}:1:k") as victim:
            assert victim.wait_dead() == -9
        assert queue.statistics().attached == 1
        assert number_of(queue.get_nowait()) == 1
        assert_whole(queue)


@pytest.mark.parametrize("point", CLEANING)
def test_cleaner_killed(point, namespace):
    """What it was about to remove is there still, or gone but for its doorbell, which the next one takes."""
    with weft.Queue("q", lifetime="kept") as queue:
        queue.put(b"1:")
        queue.fileno()
        bell = next(entry for entry in os.listdir(namespace) if entry.startswith(".bell-"))
    (namespace / bell).unlink(missing_ok=True)
    os.mkfifo(namespace / bell)  # as left by one who was killed
    with Victim("clean", "q", fault=f"{point}:1:k") as victim:
        assert victim.wait_dead() == -9
    assert sorted(os.listdir(namespace)) == ([bell, "q"] if point == "remove_alone" else [bell])
    if point == "remove_alone":
        with weft.Queue("q", create=False) as queue:
            assert number_of(queue.get_nowait()) == 1
        os.mkfifo(namespace / bell)
        assert [result.outcome for result in weft.memory.clean(["q"])] == ["removed"]
    else:
        weft.memory.clean()
    assert os.listdir(namespace) == []


@pytest.mark.parametrize("first_death", ["lease_prepared", "lease_committed", "get_block_held", "put_record_written"])
@pytest.mark.parametrize("point", RECOVERING)
def test_recoverer_killed(point, first_death):
    """Who sees to a death may die of it as well."""
    role = {"l": "lease", "g": "consume", "p": "produce"}[first_death[0]]
    with weft.Queue("q", capacity=CAPACITY * 8) as queue:
        for number in range(100, 140):
            queue.put(b"%d:" % number + bytes((0, 9000)[number % 2]))
        with Victim(role, "q", 200, fault=f"{first_death}:2:k") as victim:
            assert victim.wait_dead() == -9
            gone = set(victim.numbers("-"))
        # Opening recovers when the slot was the dead one's; otherwise the first wait does.
        with Victim("lease", "q", fault=f"{point}:1:k,lease_acked:30:k") as second:
            assert second.wait_dead() == -9
            begun = set(second.numbers("~")) | (gone if role == "consume" else set(victim.numbers("~")))
        mine = drain(queue)
        assert not duplicates(mine)
        missing = set(range(100, 140)) - set(mine)
        assert len(missing - begun) <= (1 if role == "consume" else 0)
        assert_whole(queue)


def test_stopped_owner_keeps_its_lock():
    """Nobody takes a lock from a process that is merely stopped, and nothing is lost when it goes on."""
    with (
        weft.Queue("q", capacity=CAPACITY) as queue,
        Victim("produce", "q", 1, fault="put_record_written:3:s") as victim,
    ):
        for number in (1, 2):
            assert number_of(queue.get(timeout=30)) == number
        os.waitid(os.P_PID, victim.process.pid, os.WSTOPPED | os.WNOWAIT)
        with pytest.raises(weft.Full):
            queue.put(b"900:mine", timeout=0.3)  # it holds the producers' lock, and lives
        assert queue.empty()
        victim.process.send_signal(18)  # SIGCONT
        assert number_of(queue.get(timeout=30)) == 3
        victim.kill()
        victim.wait_dead()
        drain(queue)
        assert_whole(queue)


@pytest.mark.parametrize("successor", [None, "stays", "closes"])
@pytest.mark.parametrize("point", ["lease_committed", "lease_ack_block"])
@pytest.mark.parametrize("take", ["get", "lease", "get_nowait"])
def test_stopped_producer_keeps_no_job_from_its_next_holder(take, point, successor):
    """A holder dies while a producer stands still under the producers' lock: consumers go on, the job comes back,
    and the rest is given back later, also if somebody has got the dead one's place in between."""
    with weft.Queue("q", capacity=CAPACITY) as queue:
        for number in range(4):
            queue.put(b"%d:" % number + bytes(9000))
        with Victim("produce", "q", 1000, fault="put_record_written:3:s") as stopped:
            os.waitid(os.P_PID, stopped.process.pid, os.WSTOPPED | os.WNOWAIT)
            with Victim("lease", "q", fault=f"{point}:1:k") as holder:
                assert holder.wait_dead() == -9
            if successor:
                other = weft.Queue("q")
            if successor == "closes":
                other.close()
            taken = []
            while len(taken) < 6:
                if take == "get_nowait":
                    with contextlib.suppress(weft.Empty):  # deaths are looked for every 5 ms
                        taken.append(number_of(queue.get_nowait()))
                elif take == "get":
                    taken.append(number_of(queue.get(timeout=30)))
                else:
                    with queue.lease(timeout=30) as item:
                        taken.append(number_of(item))
                    del item
            assert sorted(taken) == [0, 1, 2, 3, 1000, 1001]
            stopped.process.send_signal(18)  # SIGCONT
            assert number_of(queue.get(timeout=30)) == 1002
            stopped.kill()
            stopped.wait_dead()
            drain(queue)
        if successor == "stays":
            other.close()
        assert_whole(queue)


def test_job_comes_back_though_its_holders_place_is_taken():
    """Whoever gets a dead holder's place can't give its job back, since a consumer is stopped under the lock, and then
    does nothing more. Those who wait for the job give it back."""
    with weft.Queue("q", capacity=CAPACITY) as queue:
        queue.put(b"0:" + bytes(9000))
        queue.put(b"1:")
        with Victim("lease", "q", fault="lease_ack_block:1:s") as holder:
            os.waitid(os.P_PID, holder.process.pid, os.WSTOPPED | os.WNOWAIT)
            with Victim("consume", "q", fault="get_copied:1:s") as consumer:
                os.waitid(os.P_PID, consumer.process.pid, os.WSTOPPED | os.WNOWAIT)
                holder.kill()
                holder.wait_dead()
                with weft.Queue("q"):  # idle
                    consumer.process.send_signal(18)  # SIGCONT
                    assert [consumer.process.stdout.readline() for _ in range(3)] == ["ready\n", "-1\n", "-0\n"]
                consumer.kill()
                consumer.wait_dead()
        assert_whole(queue)


def test_zombie_is_dead():
    """A killed holder whose parent has not reaped it has no leases any more."""
    with weft.Queue("q", capacity=CAPACITY) as queue:
        queue.put(b"5:")
        with Victim("lease", "q", fault="lease_committed:1:k") as victim:
            os.waitid(os.P_PID, victim.process.pid, os.WEXITED | os.WNOWAIT)
            held = queue.lease(timeout=30)
            assert (number_of(held.item), held.redelivered) == (5, 1)
            held.ack()
        assert_whole(queue)
