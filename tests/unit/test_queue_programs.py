"""Many unrelated programs on one queue: every message arrives once, in its producer's order."""

import contextlib
import json

import pytest

from ..helpers import start_program

PRODUCER = """
import random
queue = weft.Queue("q")
who, count, how = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
chance = random.Random(who)
say("ready")
hear()
def message(i):
    size = chance.choice([10, 100, 1000, 9000] if how == "mixed" else [10])
    return b"%d %d " % (who, i) + b"." * size
sent = 0
while sent < count:
    if how == "batches":
        size = min(chance.randrange(1, 300), count - sent)
        queue.put_many([message(i) for i in range(sent, sent + size)], timeout=30)
        sent += size
    else:
        queue.put(message(sent), timeout=30)
        sent += 1
"""

CONSUMER = """
import json
queue = weft.Queue("q")
how = sys.argv[1]
seen = []
say("ready")
try:
    while True:
        if how == "batches":
            messages = queue.get_many(100)
        elif how == "leases":
            with queue.lease_many(20) as messages:
                pass
        else:
            messages = [queue.get()]
        seen += [[int(word) for word in bytes(message).split()[:2]] for message in messages]
except weft.ShutDown:
    say(json.dumps(seen))
"""


@pytest.mark.parametrize("wait", ["latency", "balanced", "power"])
@pytest.mark.parametrize(
    ("options", "producing", "consuming", "count"),
    [
        ({}, "singly", "singly", 4000),
        ({"maxsize": 10}, "singly", "leases", 1500),
        ({"maxsize": 500}, "batches", "batches", 8000),
        ({"capacity": 256 << 10}, "mixed", "batches", 1500),
        ({"capacity": 64 << 10}, "singly", "singly", 4000),
        ({"capacity": 256 << 10}, "mixed", "leases", 800),
    ],
    ids=["free", "maxsize and leases", "batches", "capacity and batches", "capacity", "capacity and leases"],
)
def test_every_message_arrives_once_and_in_its_producers_order(open_queue, options, producing, consuming, count, wait):
    queue = open_queue("q", wait=wait, **options)
    who = range(3)
    with contextlib.ExitStack() as stack:
        producers = [stack.enter_context(start_program(PRODUCER, i, count, producing)) for i in who]
        consumers = [stack.enter_context(start_program(CONSUMER, consuming)) for _ in range(2)]
        for program in (*producers, *consumers):
            program.expect("ready")
        for program in producers:
            program.say("go")
        for program in producers:
            program.finish()
        queue.shutdown()
        seen = [json.loads(program.finish()) for program in consumers]
    assert sorted(tuple(message) for mine in seen for message in mine) == [
        (i, number) for i in who for number in range(count)
    ]
    for mine in seen:
        for i in who:
            numbers = [number for producer, number in mine if producer == i]
            assert numbers == sorted(numbers)
    counts = queue.statistics()
    assert (counts.sent, counts.received, counts.depth, counts.leased) == (3 * count, 3 * count, 0, 0)
    assert counts.attached == 1
