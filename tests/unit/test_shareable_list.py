"""ShareableList: what is put comes back, and damage is told."""

import pickle
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as some

import weft

from ..helpers import run_program

ITEMS = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(-(1 << 63), (1 << 63) - 1),
    some.floats(allow_nan=False),
    some.text(max_size=40),
    some.binary(max_size=40),
)


def typed(items):
    return [(type(item), item) for item in items]


@given(some.lists(ITEMS, max_size=12))
def test_what_is_put_comes_back(items):
    made = weft.ShareableList(items)
    other = weft.ShareableList(name=made.shm.name)
    assert typed(made) == typed(other) == typed(items)
    assert len(made) == len(items)
    made.shm.close()
    other.shm.close()


@pytest.mark.parametrize(
    "value", ["", "\0", "x\0\0", b"", b"\0", b"x\0\0", "\U0001f600" * 9, "é" * 8, None, "\ud800", -0.0, -(1 << 63)]
)
def test_what_the_standard_corrupts(value):
    made = weft.ShareableList([0, value, 1])
    assert typed(made) == typed([0, value, 1])
    made[0] = made[2] = 7
    assert typed(made) == typed([7, value, 7])
    made[1] = None
    assert made[1] is None
    made[1] = value
    assert typed(made) == typed([7, value, 7])
    made.shm.close()


def test_two_programs():
    mine = weft.ShareableList(["howdy", 1, None], name="list")
    run_program("""
        theirs = weft.ShareableList(name="list")
        assert list(theirs) == ["howdy", 1, None], theirs
        theirs[0], theirs[1], theirs[2] = "hi\\0", 2.5, True
        theirs.shm.close()
    """)
    assert typed(mine) == typed(["hi\0", 2.5, True])
    assert repr(mine) == "ShareableList(['hi\\x00', 2.5, True], name='list')"
    mine.shm.close()
    assert repr(mine) == "<weft.ShareableList closed>"


def test_room():
    made = weft.ShareableList(["12345678", 5, "é" * 4])
    assert made.format == "16sq8s"
    made[0] = "x" * 16
    made[1] = "12345678"
    for position, value in ((0, "x" * 17), (1, b"123456789"), (2, "\U0001f600" * 4 + "x")):
        with pytest.raises(ValueError, match="exceeds available storage"):
            made[position] = value
    assert list(made) == ["x" * 16, "12345678", "é" * 4]
    made.shm.close()


def test_as_a_list():
    made = weft.ShareableList(["a", "b", "a", 1])
    assert (made[-1], made[0], made.count("a"), made.index("a"), made.index(1)) == (1, "a", 2, 0, 3)
    with pytest.raises(ValueError, match="not in this container"):
        made.index("c")
    for position in (4, -5):
        with pytest.raises(IndexError, match="index out of range"):
            made[position]
        with pytest.raises(IndexError, match="assignment index out of range"):
            made[position] = 1
    with pytest.raises(TypeError, match="integers"):
        made[0:1]
    again = pickle.loads(pickle.dumps(made))
    again[3] = 2
    assert made[3] == 2
    copied = weft.ShareableList(made, name="copied")
    assert list(copied) == list(made)
    for one in (made, again, copied):
        one.shm.close()


@pytest.mark.parametrize(
    ("value", "error"), [([], TypeError), (object(), TypeError), (bytearray(), TypeError), (1 << 63, OverflowError)]
)
def test_what_it_cannot_hold(value, error, namespace):
    with pytest.raises(error):
        weft.ShareableList([value], name="list")
    assert list(namespace.iterdir()) == []
    made = weft.ShareableList([1])
    with pytest.raises(error):
        made[0] = value
    assert made[0] == 1
    made.shm.close()


def test_names():
    made = weft.ShareableList([1], name="list", lifetime="kept")
    made.shm.close()
    with pytest.raises(FileExistsError):
        weft.ShareableList([2], name="list")
    assert list(weft.Namespace().ShareableList(name="list")) == [1]
    weft.SharedMemory("list").unlink()
    with pytest.raises(FileNotFoundError):
        weft.ShareableList(name="list")
    with weft.SharedMemory("other", create=True, size=100), pytest.raises(weft.MismatchError, match="no ShareableList"):
        weft.ShareableList(name="other")


@pytest.mark.parametrize(
    ("offset", "number"),
    [
        (8, 1 << 40),  # the count
        (8, 4),
        (16, 8),  # where the first value stands
        (16, 1 << 60),
        (16, (1 << 64) - 8),
        (24, 1 << 60),  # its room
        (24, 0),
    ],
)
def test_damaged_tables(offset, number):
    made = weft.ShareableList(["text", 1], name="list")
    struct.pack_into("<Q", made.shm.buf, offset, number)
    with pytest.raises(weft.CorruptedError, match="damaged"):
        weft.ShareableList(name="list")
    made.shm.close()


@pytest.mark.parametrize("state", [9 << 56, 4 << 56 | 17, 4 << 56 | (1 << 50), 2 << 56 | 7, (1 << 64) - 1])
def test_damaged_items(state):
    made = weft.ShareableList(["text", 1], name="list")
    struct.pack_into("<Q", made.shm.buf, 16 + 32, state)
    other = weft.ShareableList(name="list")
    with pytest.raises(weft.CorruptedError, match="item 0"):
        other[0]
    assert other[1] == 1
    struct.pack_into("<Q", made.shm.buf, 16 + 32, 4 << 56 | 4)
    made.shm[16 + 48] = 0xFF
    with pytest.raises(weft.CorruptedError, match="item 0"):
        other[0]
    made.shm.close()
    other.shm.close()
