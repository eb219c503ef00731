"""A hostile peer overwrites a cell under those who use it: every call ends, with a value or a typed error."""

import mmap
import random
import struct

import pytest

import weft

from ..helpers import start_program
from ..segments import OBJECT_AT, PAGE, forge

HOLDS_AT = OBJECT_AT + PAGE
BUFFERS_AT = HOLDS_AT + PAGE
STRIDE = 64 + 4096

USE = """
import collections
import numpy

seen = collections.Counter()

def attempt(call, *arguments):
    try:
        call(*arguments)
        seen["well"] += 1
    except (weft.WeftError, TimeoutError, LookupError) as error:
        seen[type(error).__name__] += 1

cell, raw = weft.Cell("c", create=False), weft.Cell("r", codec="raw", create=False)
array = weft.Cell("a", create=False)
say("ready")
for turn in range(int(hear())):
    for each in (cell, raw, array):
        attempt(each.get)
        attempt(each.wait_newer, turn % 100, 0)
        attempt(each.statistics)
    attempt(cell.set, {"turn": turn, "text": "t" * (turn % 3000)})
    attempt(raw.set, b"x" * (turn * 37 % 60_000))
    attempt(array.set, numpy.full((10, 10), turn))
    attempt(raw.view)
    attempt(array.view)
say(dict(seen))
"""


def ugly(choose):
    return choose.choice(
        [
            lambda: struct.pack("<Q", choose.getrandbits(64)),
            lambda: struct.pack("<Q", 1 << choose.randrange(64)),
            lambda: struct.pack("<Q", choose.randrange(4096)),
            lambda: b"\xff" * choose.randrange(1, 64),
            lambda: bytes(choose.randrange(1, 64)),
        ]
    )()


@pytest.mark.parametrize(
    "seed", [1, 2, pytest.param(3, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)]
)
def test_random_overwriting(seed):
    choose = random.Random(seed)
    with (
        weft.Cell("c") as cell,
        weft.Cell("r", codec="raw", size=65_536) as raw,
        weft.Cell("a", shape=(10, 10)) as array,
        start_program(USE) as program,
    ):
        program.expect("ready")
        for each in (cell, raw, array):
            each.set({1: 2} if each is cell else b"x" if each is raw else [[0] * 10] * 10)
        maps = []
        for each in (cell, raw, array):
            with open(each.path, "r+b") as file:
                maps.append(
                    mmap.mmap(file.fileno(), BUFFERS_AT + 8 * STRIDE if each is not array else BUFFERS_AT + 4096)
                )
        program.say("3000")
        while program.process.poll() is None:
            if select_ready(program):
                break
            for memory in maps:
                place = choose.choice(
                    [OBJECT_AT, OBJECT_AT + 64, OBJECT_AT + 128, OBJECT_AT + 128, HOLDS_AT, BUFFERS_AT]
                )
                at = place + choose.randrange(0, 192 if place != BUFFERS_AT else 2000)
                data = ugly(choose)
                memory[at : at + len(data)] = data
        heard = program.finish()
        assert heard.startswith("{"), heard
        for memory in maps:
            memory.close()


def select_ready(program):
    import select

    return bool(select.select([program.process.stdout], [], [], 0)[0])


def overwrite(cell, at, data):
    with open(cell.path, "r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize(
    ("at", "data"),
    [
        (OBJECT_AT, struct.pack("<Q", 5 << 12 | 16)),  # a buffer that has no memory
        (OBJECT_AT, struct.pack("<Q", 5 << 12 | 4095)),
        (BUFFERS_AT + 16, struct.pack("<Q", 4097)),  # a value larger than its buffer
        (BUFFERS_AT + 16, struct.pack("<Q", 1 << 63)),
        (BUFFERS_AT + 24, struct.pack("<Q", 100)),  # a body larger than the value
        (BUFFERS_AT + 32, struct.pack("<Q", 7)),  # of no kind
        (BUFFERS_AT + 64, b"\xff\xff\xff\xff"),  # no value that a codec writes
    ],
    ids=["no memory", "no buffer", "too large", "huge", "body", "kind", "content"],
)
def test_what_no_program_writes(at, data):
    with weft.Cell("c") as cell:
        cell.set({"a": 1})
        where = at if at < BUFFERS_AT else at + STRIDE * latest_buffer(cell)
        overwrite(cell, where, data)
        with pytest.raises(weft.CorruptedError):
            cell.get()


def latest_buffer(cell):
    with open(cell.path, "rb") as file:
        file.seek(OBJECT_AT)
        return struct.unpack("<Q", file.read(8))[0] & 0xFFF


def test_an_array_of_another_size():
    with weft.Cell("c", shape=4, dtype="u1") as cell:
        cell.set([1, 2, 3, 4])
        overwrite(cell, BUFFERS_AT + 16 + 128 * latest_buffer(cell), struct.pack("<Q", 3))
        for use in (cell.get, cell.view):
            with pytest.raises(weft.CorruptedError):
                use()


@pytest.mark.parametrize(
    "fields",
    [
        {"geometry": (0,) * 8},
        {"geometry": (1 << 63,) + (0,) * 7},
        {"geometry": (4097,) + (0,) * 7},
        {"file_bytes": 1 << 20},
        {"config": b"[1]".ljust(2048, b"\0"), "config_bytes": 3},
        {"config": b"{}".ljust(2048, b"\0"), "config_bytes": 2},
        {"config": b'{"codec":"array"}'.ljust(2048, b"\0"), "config_bytes": 17},
        {"config": b'{"codec":"array","shape":"3","dtype":"O"}'.ljust(2048, b"\0"), "config_bytes": 41},
        {"config": b'{"codec":"array","shape":"3","dtype":"[[1,2]]"}'.ljust(2048, b"\0"), "config_bytes": 47},
    ],
    ids=["no size", "huge", "other size", "file", "list", "empty", "array", "objects", "fields"],
)
def test_forged_headers(fields):
    weft.Cell("c", lifetime="kept").close()
    path = weft.Namespace().path / "c"
    forge(path, **fields)
    with pytest.raises(weft.CorruptedError):
        weft.Cell("c")
    path.unlink()
