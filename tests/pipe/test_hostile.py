"""A pipe whose memory somebody has written to: an error, or less than was sent; never a crash, nor an endless wait."""

import random
import re
import tracemalloc

import pytest

import weft

from ..helpers import run_program

VICTIM = """
    import random, sys
    seed, count = map(int, sys.argv[1:])
    ok = 0
    for turn in range(count):
        choose = random.Random(seed * 1000 + turn)
        one, two = weft.Pipe(capacity=1 << 19)
        messages = [b"x" * choose.choice((3, 60, 9000, 40000)) for _ in range(6)]
        for message in messages[:3]:
            one.send(message)
        series = one._series(b"q" * 200_000)
        if choose.random() < 0.5 and series.step(False, None):
            pass
        with open(one.path, "r+b") as file:
            size = file.seek(0, 2)
            where = choose.choice((0x11000, 0x13000, 0x13000 + 0x200000))
            for _ in range(choose.choice((1, 4, 40, 400))):
                file.seek(min(where + choose.randrange(0, 0x30000), size - 8))
                file.write(choose.choice((b"\\xff" * 8, bytes(8), choose.randbytes(8), b"\\x01" + bytes(7))))
        for call in (
            lambda: two.recv(timeout=0), lambda: two.poll(0), lambda: one.send(b"y" * 100, timeout=0),
            lambda: two.recv_bytes(timeout=0), lambda: one.send(b"z" * 30_000, timeout=0), lambda: two.recv(timeout=0),
            lambda: two.send(b"back", timeout=0), lambda: one.recv(timeout=0), lambda: one.statistics(),
            lambda: two.recv(timeout=0), lambda: two.fileno(), lambda: series.step(False, None), lambda: series.close(),
            lambda: weft.memory.segments(),
        ):
            try:
                call()
            except (weft.WeftError, TimeoutError, EOFError, BrokenPipeError, OSError, MemoryError):
                pass
        one.close()
        two.close()
        ok += 1
    say(ok)
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_memory_is_overwritten(seed):
    assert run_program(VICTIM, seed, 60) == "60\n"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 16))
def test_memory_is_overwritten_often(seed):
    assert run_program(VICTIM, seed, 400) == "400\n"


def forge(end, offset, field, value):
    """Overwrites a number in the head of the part that begins there; it is found by what it holds."""
    with open(end.path, "r+b") as file:
        data = file.read()
        head = (600_000).to_bytes(8, "little") + bytes(8) + offset.to_bytes(8, "little")
        number, nothing, begin = b"........", bytes(32), bytes([7]) * 100
        (found,) = re.finditer(re.escape(head) + number + nothing + begin, data, re.DOTALL)
        file.seek(found.start() + {"total": 0, "body_size": 8, "offset": 16, "number": 24}[field])
        file.write(value.to_bytes(8, "little"))


FORGED = [
    ("total", 1 << 47),
    ("total", 10),
    ("body_size", 1 << 40),
    ("offset", 1 << 50),
    ("offset", 64),
    ("offset", (1 << 64) - 64),
]


@pytest.mark.parametrize(
    ("field", "value", "which"), [*((*each, which) for which in (0, 1) for each in FORGED), ("number", 1 << 40, 1)]
)
def test_forged_parts(field, value, which):
    one, two = weft.Pipe(capacity=1 << 21)
    with one, two:
        size = 600_000
        series = one._series_of_bytes(bytes([7]) * size)
        for _ in range(which + 1):
            series.step(False, None)
        forge(one, which * ((1 << 20) // 8 - 64), field, value)
        while True:
            try:
                two.recv_bytes(timeout=0)
            except TimeoutError:
                pytest.fail("nothing was noticed")
            except weft.CorruptedError:
                break
        series.close()
        one.send("next")
        assert two.recv() == "next"


def test_a_size_that_is_only_claimed_costs_nothing():
    one, two = weft.Pipe(capacity=1 << 21)
    with one, two:
        series = one._series_of_bytes(bytes([7]) * 600_000)
        series.step(False, None)
        forge(one, 0, "total", 1 << 45)
        tracemalloc.start()
        try:
            with pytest.raises(TimeoutError):
                two.recv_bytes(timeout=0)
            assert tracemalloc.get_traced_memory()[1] < 100 << 20
        finally:
            tracemalloc.stop()
        series.close()
        one.send("next")
        assert two.recv() == "next"


def test_another_file_of_that_name(namespace):
    (namespace / "p").write_bytes(random.Random(1).randbytes(100_000))
    with pytest.raises(weft.CorruptedError):
        weft.Pipe("p")
    (namespace / "p").unlink()
