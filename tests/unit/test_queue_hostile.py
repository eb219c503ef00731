"""A hostile peer overwrites shared memory under those who use it: every call ends, with a value or a typed
error. The users are programs of their own, so that a crash is seen as what it is.
"""

import mmap
import random
import struct

import pytest

from ..helpers import start_program
from ..segments import LEASES_AT, OBJECT_AT, PARTICIPANTS_AT, TABLE_AT

CAPACITY = 1 << 20
UNITS = CAPACITY // 4096
UNITS_AT = (TABLE_AT + UNITS * 16 + 4095) // 4096 * 4096
STATE_BYTES = 1024

# What a user does, over and over, with waits short enough to get through all of it whatever happens.
USE = f"""
import collections, mmap, random, struct
import numpy

SHORT = 0.001
seen = collections.Counter()

def attempt(call, *arguments, **options):
    try:
        result = call(*arguments, **options)
    except weft.WeftError as error:
        seen[type(error).__name__] += 1
        return None
    seen["well"] += 1
    return result

def use_lease(queue, chance):
    lease = attempt(queue.lease, timeout=SHORT)
    if lease:
        attempt(lease.ack if chance % 2 else lease.release)

def use_loan(queue):
    with queue.loan(20_000, timeout=SHORT) as view:
        view[:4] = b"loan"

def use_leases(queue):
    with queue.lease_many(5, timeout=SHORT):
        pass

USES = [
    lambda queue, chance: attempt(queue.put, b"x" * chance, timeout=SHORT),
    lambda queue, chance: attempt(queue.put, {{"text": "t" * chance, "n": [chance]}}, timeout=SHORT),
    lambda queue, chance: attempt(queue.put, numpy.full(9000 + 50 * chance, 7, "u1"), timeout=SHORT),
    lambda queue, chance: attempt(queue.put, bytes(9000 + 50 * chance), timeout=SHORT),
    lambda queue, chance: attempt(queue.put_many, [b"m"] * chance, timeout=SHORT),
    lambda queue, chance: attempt(use_loan, queue),
    lambda queue, chance: attempt(queue.get, timeout=SHORT),
    lambda queue, chance: attempt(queue.get, timeout=SHORT),
    lambda queue, chance: attempt(queue.get_many, 1 + chance, timeout=SHORT),
    use_lease,
    use_lease,
    lambda queue, chance: attempt(use_leases, queue),
    lambda queue, chance: attempt(queue.statistics),
    lambda queue, chance: attempt(queue.qsize),
    lambda queue, chance: attempt(queue.fileno),
]

def open_one(name, **options):
    return weft.Queue(name, capacity={CAPACITY}, lifetime="kept", max_deliveries=3, **options)

def some_of_everything(queue):
    queue.put_many([b"small", {{"d": 1}}, b"s" * 500])
    queue.put(numpy.arange(5000))
    queue.put(bytes(30_000))
    queue.put_many([b"more"] * 20)
    held = [queue.get(), queue.lease(), queue.lease(), queue.lease()]
    held[1].release()
    return held
"""

EVIL = [
    0,
    1,
    0xFF,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    1 << 34,
    1 << 63,
    (1 << 64) - 1,
    0x0101_0101_0101_0101,
]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))])
@pytest.mark.parametrize(
    ("begin", "size"),
    [
        (PARTICIPANTS_AT, 192),
        (OBJECT_AT, STATE_BYTES),
        (LEASES_AT, 160),
        (TABLE_AT, 640),
        (TABLE_AT + 16 * 16, 640),
        (UNITS_AT, 256),
        (UNITS_AT + 16 * 4096, 256),
    ],
    ids=["participants", "state", "leases", "table", "table of blocks", "records", "block"],
)
def test_every_word_that_can_be_overwritten(namespace, begin, size, seed):
    with start_program(
        USE
        + """
import os
begin, size, evil, seed = (eval(word) for word in sys.argv[1:])
rng = random.Random(seed)
for at in range(begin, begin + size, 8):
    for value in [*evil, rng.getrandbits(64), rng.getrandbits(64), None]:
        queue = open_one("q")
        held = some_of_everything(queue)
        say("%#x" % at, value)
        with queue.path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            if value is None:
                value = struct.unpack_from("<Q", memory, at)[0] ^ 1 << rng.randrange(64)
            struct.pack_into("<Q", memory, at, value)
        for number in rng.choices(range(len(USES)), k=12):
            USES[number](queue, rng.randrange(100))
        del held
        queue.path.unlink()
        attempt(queue.close)
for path in os.listdir(os.environ["WEFT_NAMESPACE"]):
    os.unlink(os.environ["WEFT_NAMESPACE"] + "/" + path)
say("done", dict(seen))
""",
        begin, size, EVIL, seed,
    ) as program:  # fmt: skip
        last = ""
        while not last.startswith("done"):
            before, last = last, program.process.stdout.readline()
            assert last, f"status {program.process.wait()} after {before}"
        program.finish()
    assert "well" in last


def scribble(memory: mmap.mmap, rng: random.Random) -> None:
    """Overwrites one word where it hurts."""
    begin, size = rng.choice(
        [
            (PARTICIPANTS_AT, 256),
            (OBJECT_AT, STATE_BYTES),
            (OBJECT_AT, STATE_BYTES),
            (LEASES_AT, 1024),
            (TABLE_AT, UNITS * 16),
            (TABLE_AT, 1024),
            (UNITS_AT, 64 << 10),
            (UNITS_AT, CAPACITY),
        ]
    )
    at = begin + rng.randrange(size // 8) * 8
    match rng.randrange(5):
        case 0:
            memory[at + rng.randrange(8)] = rng.randrange(256)
        case 1:
            struct.pack_into("<Q", memory, at, rng.getrandbits(64))
        case 2:
            struct.pack_into("<Q", memory, at, rng.choice(EVIL))
        case 3:
            struct.pack_into("<I", memory, at, rng.randrange(2048))
        case 4:
            word = struct.unpack_from("<Q", memory, at)[0]
            struct.pack_into("<Q", memory, at, word ^ 1 << rng.randrange(64))


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 60))])
def test_random_words_overwritten_while_programs_work(namespace, seed):
    work = """
while command := hear():
    name, seed = command.split()
    rng = random.Random(int(seed))
    queue = attempt(open_one, name)
    say("open")
    hear()
    if queue:
        for i in range(300):
            USES[rng.randrange(len(USES))](queue, rng.randrange(100))
            if i % 20 == 0:
                say("at work")
        attempt(queue.close)
    del queue
    say("done")
say(dict(seen))
"""
    rng = random.Random(seed)
    with start_program(USE + work) as one, start_program(USE + work) as two:
        for turn in range(12):
            name = f"q{turn}"
            for program in (one, two):
                program.say(f"{name} {rng.randrange(1 << 30)}")
                program.expect("open")
            path = namespace / name
            with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
                for program in (one, two):
                    program.say("go")
                for program in (one, two):
                    while program.hear() == "at work":
                        for _ in range(turn % 4 + 1):
                            scribble(memory, rng)
            path.unlink()
        for program in (one, two):
            program.say()
            said = program.finish()
            assert "well" in said
            assert "CorruptedError" in said
    for path in namespace.glob(".bell-*"):
        path.unlink()
