"""A hostile peer overwrites a message queue's memory: every call ends, with a value or a typed error."""

import pytest

from ..helpers import start_program

# The user is a program of its own, so that a crash is seen as what it is.
USE = """
import collections, mmap, random, struct

MESSAGES, SIZE = 200, 16384
seed, rounds = int(sys.argv[1]), int(sys.argv[2])
rng = random.Random(seed)
seen = collections.Counter()
EVIL = [0, 1, 0xFF, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 34, 1 << 63, (1 << 64) - 1]
OBJECT, LEASES = 0x11000, 0x12000

def attempt(call, *arguments, **options):
    try:
        result = call(*arguments, **options)
    except (weft.WeftError, BlockingIOError) as error:
        seen[type(error).__name__] += 1
        return None
    seen["well"] += 1
    return result

def lease(queue):
    held = attempt(queue.lease, 0.001)
    if held:
        attempt(held.ack if rng.random() < 0.5 else held.release)

def tell(queue):
    notice = attempt(queue.notification)
    if notice:
        notice.wait(0)
        notice.cancel()

def use(queue):
    match rng.randrange(7):
        case 0 | 1:
            attempt(queue.send, bytes(rng.choice((5, 60, 900, 5000))), 0.001, rng.choice((0, 1, 1, 9, 32767)))
        case 2:
            attempt(queue.send_many, [b"m"] * rng.randrange(20), 0.001, rng.randrange(3))
        case 3 | 4:
            attempt(queue.receive, 0.001)
        case 5:
            lease(queue)
        case 6:
            tell(queue)
            attempt(queue.statistics)
            attempt(lambda: queue.current_messages)

for number in range(rounds):
    queue = weft.MessageQueue(f"q{number}", max_messages=MESSAGES, max_message_size=SIZE)
    table = OBJECT + 0x201000
    heap = (table + queue._queue._geometry[0] * 16 + 4095) // 4096 * 4096
    pages = heap + 65536 * 16
    for _ in range(40):
        use(queue)
    with queue.path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        for _ in range(rng.choice((1, 1, 3))):
            begin, size = rng.choice(
                [(OBJECT, 2304), (OBJECT, 2304), (LEASES, 1600), (table, 1600), (heap, 800), (pages, 40960)]
            )
            at = begin + rng.randrange(size // 8) * 8
            word = struct.unpack_from("<Q", memory, at)[0] ^ 1 << rng.randrange(64)
            struct.pack_into("<Q", memory, at, rng.choice([word, word, rng.getrandbits(64), *EVIL]))
        for _ in range(25):
            use(queue)
    queue.path.unlink()
    attempt(queue.close)
for path in os.listdir(os.environ["WEFT_NAMESPACE"]):
    os.unlink(os.environ["WEFT_NAMESPACE"] + "/" + path)
say(dict(seen))
"""


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 40))])
def test_random_words_overwritten(namespace, seed):
    with start_program("import os\n" + USE, seed, 120) as program:
        assert "well" in program.finish()
