"""weft.mmap with a tagname: what Windows has and Linux had not."""

import gc
import io
import mmap
import os
import pickle
import re
import weakref

import pytest

import weft

from ..helpers import Belongings, run_program, start_program
from .test_queue_fork import FORK

PAGE = mmap.PAGESIZE


def test_two_programs_share_nothing_but_a_tag_name():
    with start_program("""
        m = weft.mmap(-1, 4096, tagname="mysharename")
        say(m[:5])
        m[5:10] = b"world"
        hear()
    """) as first:
        first.expect(repr(bytes(5)))
        said = run_program("""
            m = weft.mmap(-1, 4096, tagname="mysharename")
            say(m[5:10])
            m[:5] = b"hello"
        """)
        assert said == "b'world'\n"
        with weft.mmap(-1, 0, "mysharename") as third:
            assert (third[:10], len(third)) == (b"helloworld", 4096)
            first.say()
            first.finish()


def test_it_is_an_mmap():
    with weft.mmap(-1, 100, tagname="t") as m:
        assert isinstance(m, mmap.mmap)
        m.write(b"one two\nthree")
        m.seek(0)
        assert (m.readline(), m.read_byte(), m.tell(), m.find(b"ee"), m.rfind(b"o", 0)) == (b"one two\n", 116, 9, 11, 6)
        assert re.search(rb"t\w+", m)[0] == b"two"
        assert (m.size(), len(m), m[-1], m[0:7:3], m.tagname) == (100, 100, 0, b"o o", "t")
        assert m.flush() is None
        assert m.madvise(mmap.MADV_NORMAL) is None
        m.move(0, 4, 3)
        assert io.BytesIO(m).read(3) == b"two"
        assert m.seekable()
        assert m.seek(-1, os.SEEK_END) == 99


@pytest.mark.parametrize(
    "make",
    [
        lambda: weft.mmap(-1, 100, "t"),
        lambda: weft.mmap(-1, 100, "t", mmap.ACCESS_WRITE),
        lambda: weft.mmap(-1, 100, "t", mmap.ACCESS_DEFAULT, 0),
        lambda: weft.mmap(-1, 100, tagname="t", access=mmap.ACCESS_WRITE, offset=0),
        lambda: weft.mmap(-1, 100, mmap.MAP_SHARED, tagname="t"),
        lambda: weft.mmap(-1, 100, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, tagname="t"),
        lambda: weft.mmap(fileno=-1, length=100, tagname="t"),
        lambda: weft.Namespace().mmap("t", 100),
    ],
)
def test_constructions(make):
    with make() as m, weft.mmap(-1, 100, tagname="t") as other:
        m[0] = 5
        assert other[0] == 5


def test_constructions_without_a_name():
    for m in (
        weft.mmap(-1, 10),
        weft.mmap(-1, 10, None),
        weft.mmap(-1, 10, tagname=None),
        weft.mmap(-1, 10, None, mmap.ACCESS_WRITE),
        weft.mmap(-1, 10, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE),
    ):
        with m:
            m[0] = 1
            assert (len(m), m.tagname) == (10, None)


def test_anonymous_memory_is_shared_with_forked_children():
    said = run_program(
        FORK
        + """
m = weft.mmap(-1, 100)
def child():
    m[:5] = b"child"
join(fork(child))
say(m[:5])
"""
    )
    assert said == "b'child'\n"


def test_a_larger_length_makes_it_grow():
    with weft.mmap(-1, 100, tagname="t") as m:
        m[:] = b"x" * 100
        with weft.mmap(-1, 3 * PAGE, tagname="t") as larger, weft.mmap(-1, 50, tagname="t") as smaller:
            assert larger[:] == b"x" * 100 + bytes(3 * PAGE - 100)
            assert (len(m), m.size(), len(smaller)) == (100, 3 * PAGE, 50)
            m.resize(2 * PAGE)
            larger[2 * PAGE - 1] = 7
            assert (m[-1], m.size()) == (7, 3 * PAGE)


def test_read_only_and_copies():
    with weft.mmap(-1, 100, tagname="t") as m:
        m[:5] = b"howdy"
        for arguments in ({"access": mmap.ACCESS_READ}, {"prot": mmap.PROT_READ}):
            with weft.mmap(-1, 0, tagname="t", **arguments) as reader:
                assert (reader[:5], len(reader)) == (b"howdy", 100)
                for change in (
                    lambda: reader.__setitem__(0, 1),
                    lambda: reader.write(b"x"),
                    lambda: reader.write_byte(1),
                    lambda: reader.move(0, 1, 1),
                    lambda: reader.resize(5),
                    lambda: reader.resize(500),
                    lambda: memoryview(reader).__setitem__(0, 1),
                ):
                    with pytest.raises(TypeError):
                        change()
        for arguments in ({"access": mmap.ACCESS_COPY}, {"flags": mmap.MAP_PRIVATE}):
            with weft.mmap(-1, 0, tagname="t", **arguments) as copy:
                assert copy[:5] == b"howdy"
                copy[:5] = b"other"
                m[5] = 33
                assert (copy[:5], m[:6]) == (b"other", b"howdy!")
                with pytest.raises(TypeError):
                    copy.resize(500)
        for arguments in ({"access": mmap.ACCESS_READ}, {"access": mmap.ACCESS_COPY}):
            with pytest.raises(ValueError, match=r"5000 bytes from offset 0 on were asked for, 't' has 100"):
                weft.mmap(-1, 5000, tagname="t", **arguments)
        assert m.size() == 100
    with weft.mmap(-1, 10, tagname="fresh", access=mmap.ACCESS_READ) as reader:
        assert reader[:] == bytes(10)


def test_offsets():
    granularity = mmap.ALLOCATIONGRANULARITY
    with weft.mmap(-1, 3 * granularity, tagname="t") as m:
        m[granularity : granularity + 3] = b"abc"
        with weft.mmap(-1, 0, tagname="t", offset=granularity) as part:
            assert (part[:3], len(part), part.size()) == (b"abc", 2 * granularity, 3 * granularity)
            part.resize(3 * granularity)
            assert (m.size(), len(part)) == (4 * granularity, 3 * granularity)
        for offset in (1, granularity - 1):
            with pytest.raises(ValueError, match="ALLOCATIONGRANULARITY"):
                weft.mmap(-1, 1, tagname="t", offset=offset)
        with pytest.raises(OverflowError):
            weft.mmap(-1, 1, tagname="t", offset=-granularity)
        with pytest.raises(ValueError, match="'t' has"):
            weft.mmap(-1, 0, tagname="t", offset=8 * granularity)


def test_resize():
    with weft.mmap(-1, PAGE, tagname="t") as m:
        m[:3] = b"abc"
        for size in (3 * PAGE, 10, 5 * PAGE, 1):
            m.resize(size)
            assert (len(m), m.size(), m[:1]) == (size, size, b"a")
        view = memoryview(m)
        with pytest.raises(BufferError):
            m.resize(100)
        with pytest.raises(BufferError):
            m.close()
        assert (m.size(), m.closed) == (1, False)
        del view
        m.resize(100)
        with weft.mmap(-1, 0, tagname="t") as other:
            other[99] = 1
            with pytest.raises(OSError, match="force=True"):
                m.resize(10)
            assert (len(m), m.size(), m[99]) == (100, 100, 1)
        m.resize(10)
        assert m.size() == 10
        for size, error in ((0, ValueError), (-1, ValueError), (1 << 62, OSError), ("x", TypeError), (1.5, TypeError)):
            with pytest.raises(error):
                m.resize(size)
            assert (len(m), m[:3]) == (10, b"a\0\0")


def test_resize_under_shared_memory_of_the_same_process():
    """One handle can't take away what another object of this process has mapped."""
    with weft.mmap(-1, 10 * PAGE, tagname="t") as m, weft.SharedMemory("t") as shm:
        shm.resize(1, force=True)
        m[9 * PAGE] = 1
        assert m[9 * PAGE] == 1


def test_closing(namespace):
    m = weft.mmap(-1, 10, tagname="t")
    m.close()
    m.close()
    assert os.listdir(namespace) == []
    for use in (
        lambda: m[0],
        lambda: m[:],
        lambda: m.read(1),
        lambda: m.write(b"x"),
        lambda: m.size(),
        lambda: m.resize(5),
        lambda: m.flush(),
        lambda: m.tell(),
        lambda: len(m),
        lambda: memoryview(m),
    ):
        with pytest.raises(ValueError, match="closed"):
            use()
    assert repr(m) == "<weft.mmap closed=True>"
    reference = weakref.ref(weft.mmap(-1, 10, tagname="t"))
    gc.collect()
    assert reference() is None
    assert os.listdir(namespace) == []


def test_it_owns_one_descriptor(namespace):
    before = Belongings(namespace)
    with weft.mmap(-1, 10, tagname="t") as m:
        assert len(Belongings(namespace).added_since(before)["descriptors"]) == 1
        assert repr(m) == "<weft.mmap tagname='t', closed=False, access=ACCESS_DEFAULT, length=10, pos=0, offset=0>"


def test_kept_and_modes(namespace):
    weft.mmap(-1, 10, tagname="t", lifetime="kept", mode=0o640).close()
    assert (namespace / "t").stat().st_mode & 0o777 == 0o640
    with weft.mmap(-1, 0, tagname="t", lifetime="kept"), pytest.raises(weft.MismatchError):
        weft.mmap(-1, 0, tagname="t", lifetime="attached")
    weft.SharedMemory("t").unlink()


def test_travels():
    with weft.mmap(-1, 10, tagname="t") as m, pickle.loads(pickle.dumps(m)) as other:
        other[0] = 9
        assert (m[0], other.tagname) == (9, "t")
        with (
            weft.mmap(-1, 0, tagname="t", access=mmap.ACCESS_READ) as reader,
            pickle.loads(pickle.dumps(reader)) as again,
        ):
            assert again[0] == 9
            with pytest.raises(TypeError):
                again[0] = 1
    with weft.mmap(-1, 10) as anonymous, pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(anonymous)


def test_a_child_that_was_forked_has_it_too():
    said = run_program(
        FORK
        + """
m = weft.mmap(-1, 100, tagname="t")
read, write = os.pipe()
def child():
    os.read(read, 1)
    m[:5] = b"child"
    with weft.mmap(-1, 0, tagname="t") as other:
        assert other[:5] == b"child"
    m.resize(8192)
    m[8191] = 5
pid = fork(child)
m.close()
os.write(write, b"x")
join(pid)
say(os.listdir(os.environ["WEFT_NAMESPACE"]))
"""
    )
    assert said == "['t']\n"  # the child has ended by os._exit
    weft.Namespace().clean()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"tagname": 1}, TypeError, "tagname"),
        ({"tagname": b"t"}, TypeError, "tagname"),
        ({"tagname": ""}, ValueError, "empty"),
        ({"tagname": "a/b"}, ValueError, "is not one"),
        ({"tagname": "t", "length": -1}, OverflowError, "positive"),
        ({"tagname": "t", "length": 1 << 63}, OverflowError, "more than"),
        ({"tagname": "t", "length": 1 << 62}, OSError, "reserved"),
        ({"tagname": "t", "length": "10"}, TypeError, "int"),
        ({"tagname": "t", "length": 1.5}, TypeError, "int"),
        ({"tagname": "t", "access": 4}, ValueError, "access"),
        ({"tagname": "t", "access": mmap.ACCESS_READ, "prot": mmap.PROT_READ}, ValueError, "both access and"),
        ({"tagname": "t", "access": mmap.ACCESS_WRITE, "flags": mmap.MAP_PRIVATE}, ValueError, "both access and"),
        ({"tagname": "t", "prot": mmap.PROT_EXEC | mmap.PROT_READ}, ValueError, "PROT_READ and PROT_WRITE"),
        ({"tagname": "t", "offset": "0"}, TypeError, "offset"),
        ({"tagname": "t", "length": 0}, FileNotFoundError, "give a length"),
        ({"lifetime": "kept"}, TypeError, "tagname"),
        ({"tagname": "t", "nothing": 1}, TypeError, "nothing"),
    ],
)
def test_arguments_that_cannot_be(arguments, error, words, namespace):
    with pytest.raises(error, match=words):
        weft.mmap(-1, **({"length": 10} | arguments))
    with pytest.raises(TypeError, match="multiple values"):
        weft.mmap(-1, 10, "t", tagname="t")
    with pytest.raises(TypeError, match="positional"):
        weft.mmap(-1, 10, "t", 1, 0, 0)
    gc.collect()
    assert os.listdir(namespace) == []
