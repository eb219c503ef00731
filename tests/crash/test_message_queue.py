"""Message queues whose users are killed: nothing lost, doubled or reordered; what was acknowledged is on the disk."""

import os
import random
import tempfile
import time
import warnings
from pathlib import Path

import pytest

import weft
from weft.testing import fault_points

from ..helpers import start_program
from . import programs
from .programs import KILL_CYCLES, duplicates, number_of

pytestmark = pytest.mark.skipif(not fault_points(), reason="needs the test build: make test")

SENDING = ["lock_taken", "pool_grown", "pool_split", "pool_taken", "put_block_written", "put_extent_linked",
           "put_record_written", "put_committed", "put_unlocked", "order_page_freed"]  # fmt: skip
RECEIVING = ["lock_taken", "order_entered", "order_counted", "order_moved", "returned_taken", "get_block_held",
             "get_copied", "get_committed", "get_unlocked"]  # fmt: skip
LEASING = ["order_entered", "order_counted", "order_moved", "returned_taken", "lease_committed", "lease_ack_block",
           "lease_acked", "lease_return", "lease_returned"]  # fmt: skip
TELLING = ["put_committed", "notice_due", "notice_given"]
KEEPING = ["journal_written", "journal_appended", "journal_synced"]


class Victim(programs.Victim):
    """A program that sends or receives until a fault point or a signal ends it."""

    program = Path(__file__).with_name("message_victim.py")


def priority_of(number: int) -> int:
    return number % 3


def open_queue(**options) -> weft.MessageQueue:
    return weft.MessageQueue("q", lifetime="attached", max_messages=400, **options)


def send_all(queue: weft.MessageQueue, numbers: range) -> None:
    """Messages in the ring and in blocks, of each priority."""
    for number in numbers:
        queue.send(b"%d:" % number + bytes((0, 100, 9000)[number % 7 % 3]), priority=priority_of(number))


def drain(queue: weft.MessageQueue) -> list[int]:
    """All that is there, in the order that the queue says."""
    queue._queue._recover()
    taken = []
    while queue.current_messages:
        data, priority = queue.receive(5)
        assert priority == priority_of(number_of(data))
        taken.append(number_of(data))
    assert taken == sorted(taken, key=lambda number: (-priority_of(number), number))
    return taken


def assert_whole(queue: weft.MessageQueue) -> None:
    """The queue works, owes nothing, and has all its memory."""
    queue._queue._recover()  # at once, where otherwise it is looked for now and then
    state = queue.statistics()
    assert (state.depth, state.leased) == (0, 0)
    for _ in range(2):
        for number in range(400):
            queue.send(bytes(20_000 if number % 100 == 0 else 50), 0, number % 5)
        with pytest.raises(weft.Full):
            queue.send(b"", 0)
        assert [queue.receive(0)[1] for _ in range(400)] == sorted((n % 5 for n in range(400)), reverse=True)
    pages = queue._queue._pages()
    assert (pages["loaned"], pages["held"]) == (0, 0)


@pytest.mark.parametrize("turn", [1, 5, 40])
@pytest.mark.parametrize("point", SENDING)
def test_sender_killed(point, turn):
    with open_queue() as queue:
        with Victim("send", 0, 350, fault=f"{point}:{turn}:k") as victim:
            status = victim.wait_dead()
            assert status in (0, -9)
        taken = drain(queue)
        begun, finished = victim.numbers("+"), victim.numbers("=")
        assert not duplicates(taken)
        assert set(finished) <= set(taken) <= set(begun)
        assert_whole(queue)


@pytest.mark.parametrize("turn", [1, 7, 30])
@pytest.mark.parametrize("point", RECEIVING)
def test_receiver_killed(point, turn):
    numbers = range(300)
    with open_queue() as queue:
        send_all(queue, numbers)
        with Victim("receive", fault=f"{point}:{turn}:k") as victim:
            assert victim.wait_dead() in (0, -9)
            theirs = victim.numbers("-")
        mine = drain(queue)
        assert not duplicates(theirs + mine)
        expected = sorted(numbers, key=lambda number: (-priority_of(number), number))
        lost = set(numbers) - set(theirs) - set(mine)
        assert len(lost) <= 1  # what the fatal call had taken went with it
        assert theirs == expected[: len(theirs)]
        assert mine == [number for number in expected if number not in lost][len(theirs) :]
        assert_whole(queue)


@pytest.mark.parametrize("turn", [1, 9])
@pytest.mark.parametrize("point", LEASING)
def test_lease_holder_killed(point, turn):
    numbers = range(120)
    with open_queue() as queue:
        send_all(queue, numbers)
        with Victim("lease", fault=f"{point}:{turn}:k") as victim:
            assert victim.wait_dead() in (0, -9)
            acknowledged, begun = victim.numbers("*"), victim.numbers("~")
        mine = drain(queue)
        assert not duplicates(mine)
        assert set(acknowledged) <= set(numbers) - set(mine) <= set(begun)
        assert_whole(queue)


@pytest.mark.parametrize("point", TELLING)
def test_who_waits_to_be_told_hears_of_a_dead_senders_message(point):
    with open_queue() as queue:
        notice = queue.notification()
        with Victim("send", 0, 1, fault=f"{point}:1:k") as victim:
            assert victim.wait_dead() == -9
        assert notice.wait(30)
        assert drain(queue) == [0]
        assert_whole(queue)


def run_storm(kills: int, seed: int) -> None:
    """Two senders and two lease holders, one of them killed and replaced at each turn."""
    choose = random.Random(seed)
    sent: set[int] = set()
    begun: set[int] = set()
    acknowledged: list[int] = []
    maybe: set[int] = set()
    first = 0

    def start(role: str) -> Victim:
        nonlocal first
        first += 300_000
        victim = Victim(role, first, first + 300_000)
        victim.wait_ready()
        return victim

    def account(victim: Victim) -> None:
        victim.kill()
        victim.wait_dead()
        sent.update(victim.numbers("="))
        begun.update(victim.numbers("+"))
        acknowledged.extend(victim.numbers("*"))
        maybe.update(victim.numbers("~"))
        victim.__exit__()

    roles = ["send", "send", "lease", "lease"]
    with open_queue() as queue:
        running = [start(role) for role in roles]
        try:
            for _ in range(kills):
                # The moment of the kill is what the test varies: it stands for no event.
                time.sleep(choose.uniform(0.001, 0.04))
                chosen = choose.randrange(4)
                account(running[chosen])
                running[chosen] = start(roles[chosen])
        finally:
            for victim in running:
                account(victim)
        left = drain(queue)
        assert not duplicates(acknowledged + left)
        assert sent <= set(acknowledged) | set(left) | maybe
        assert set(left) | set(acknowledged) <= begun
        assert_whole(queue)


def test_storm():
    run_storm(kills=30, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(3))
def test_long_storm(seed):
    run_storm(kills=500, seed=seed)


# --- durable ------------------------------------------------------------------------------------------------

# Forks one child after the other: each sends and receives durably, says what it has done, and dies of it. Then the
# memory goes, as at a reboot.
USE = """
disk = sys.argv[1]

def use(cycle):
    choose = random.Random(cycle)
    points = ["journal_written", "journal_appended", "journal_synced", "put_committed", "put_unlocked", "order_moved",
              "returned_taken", "get_committed", "segment_linked", "none"]
    die_at(choose.choice(points), choose.randint(1, 12))
    queue = weft.MessageQueue("q", directory=disk, max_messages=400)
    for step in range(12):
        number = cycle * 100 + step
        os.write(1, b"+%d\\n" % number)
        queue.send(b"%d:" % number + bytes(choose.choice((0, 30, 3000))), 0, number % 3)
        os.write(1, b"=%d\\n" % number)
        while choose.random() < (0.9 if queue.current_messages > 50 else 0.6 if queue.current_messages else 0):
            os.write(1, b"?\\n")
            data = queue.receive(0, durable=choose.random() < 0.5)[0]
            os.write(1, b"-" + data.split(b":")[0] + b"\\n")
    die()

kill_cycles(use)
"""


def run_cycles(cycles: int) -> None:
    """What was acknowledged is there until it has been received; a message may come twice if its receiver, or the
    machine, died between receiving it and noting that on the disk."""
    with (
        tempfile.TemporaryDirectory(prefix="weft-disk-", dir=os.environ.get("TMPDIR", "/var/tmp")) as disk,
        start_program(KILL_CYCLES + USE, disk) as server,
    ):
        sent: set[int] = set()
        begun: set[int] = set()
        received: list[int] = []
        taking = 0  # calls of receive that did not return
        for cycle in range(cycles):
            server.say("1")
            while not (line := server.hear()).startswith("done"):
                match line[0]:
                    case "+":
                        begun.add(int(line[1:]))
                    case "=":
                        sent.add(int(line[1:]))
                    case "?":
                        taking += 1
                    case "-":
                        taking -= 1
                        received.append(int(line[1:]))
            if cycle % 3:  # every third time memory lives on
                (weft.Namespace().path / "q").unlink(missing_ok=True)
        server.say("0")
        server.finish()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            queue = weft.MessageQueue("q", directory=disk, max_messages=400)
        left = drain(queue)
        assert not duplicates(left)
        missing = sent - set(received) - set(left)
        assert len(missing) <= taking  # taken by a call that was killed before it could say so
        assert set(received) | set(left) <= begun
        assert len(duplicates(received + left)) <= taking
        queue.unlink()
        queue.close()
        assert os.listdir(disk) == []


def test_kill_and_recover():
    run_cycles(500)


@pytest.mark.parametrize("point", KEEPING)
@pytest.mark.parametrize("turn", [1, 3])
def test_killed_while_it_writes_the_journal(point, turn):
    with tempfile.TemporaryDirectory(prefix="weft-disk-", dir=os.environ.get("TMPDIR", "/var/tmp")) as disk:
        queue = weft.MessageQueue("q", directory=disk, max_messages=400)
        queue.send(b"1000:")
        with Victim("send", 0, 50, disk, fault=f"{point}:{turn}:k") as victim:
            assert victim.wait_dead() == -9
            finished, begun = set(victim.numbers("=")), set(victim.numbers("+"))
        queue.send(b"1001:", priority=2)  # goes on at once, behind the last whole record
        queue.path.unlink()
        queue.close()
        queue = weft.MessageQueue("q", directory=disk)
        assert queue.statistics().torn == 0
        messages = {number_of(queue.receive(0)[0]) for _ in range(queue.current_messages)}
        assert finished | {1000, 1001} <= messages <= begun | {1000, 1001}
        queue.unlink()
        queue.close()
