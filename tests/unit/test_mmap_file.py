"""weft.mmap of files: the standard's, and it grows them."""

import mmap
import os
import socket

import pytest

import weft

from ..helpers import Belongings, reserved_bytes

PAGE = mmap.PAGESIZE


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


def test_maps_a_file(path):
    path.write_bytes(b"howdy world")
    with path.open("r+b") as file, weft.mmap(file.fileno(), 0) as m:
        assert isinstance(m, mmap.mmap)
        m[:5] = b"HOWDY"
        assert (len(m), m.size(), m[:]) == (11, 11, b"HOWDY world")
        m.flush()
    assert path.read_bytes() == b"HOWDY world"


@pytest.mark.parametrize(
    ("content", "length", "arguments"),
    [
        (b"", 1, {}),
        (b"", 5000, {}),
        (b"abc", PAGE, {}),
        (b"abc", 3 * PAGE, {}),
        (b"abc", 10, {"access": mmap.ACCESS_WRITE}),
        (b"abc", 10, {"flags": mmap.MAP_SHARED}),
        (b"abc", 10, {"prot": mmap.PROT_READ | mmap.PROT_WRITE}),
        (b"abc", PAGE + 1, {"tagname": None, "access": mmap.ACCESS_WRITE}),
    ],
)
def test_a_shorter_file_grows(path, content, length, arguments):
    path.write_bytes(content)
    with path.open("r+b") as file, weft.mmap(file.fileno(), length, **arguments) as m:
        assert m[:] == content + bytes(length - len(content))
        m[-1] = 7
        assert reserved_bytes(path) >= length
    assert path.read_bytes()[-1] == 7
    assert path.stat().st_size == length


@pytest.mark.parametrize(
    ("mode", "length", "arguments"),
    [
        ("rb", PAGE, {"access": mmap.ACCESS_READ}),
        ("rb", PAGE, {"prot": mmap.PROT_READ}),
        ("r+b", PAGE, {"access": mmap.ACCESS_READ}),
        ("r+b", PAGE, {"access": mmap.ACCESS_COPY}),
        ("r+b", PAGE, {"flags": mmap.MAP_PRIVATE}),
        ("r+b", 4, {}),  # a few bytes off
        ("rb", PAGE, {}),
    ],
)
def test_what_does_not_grow_tells_both_sizes(path, mode, length, arguments):
    path.write_bytes(b"abc")
    with (
        path.open(mode) as file,
        pytest.raises(ValueError, match=f"greater than file size: {length} bytes from offset 0 .* the file has 3"),
    ):
        weft.mmap(file.fileno(), length, **arguments)
    assert path.read_bytes() == b"abc"


def test_resize_reserves(path):
    with weft.mmap.open(path, PAGE) as m:
        m[:3] = b"abc"
        m.resize(10 * PAGE)
        assert (len(m), m.size(), m[:3]) == (10 * PAGE, 10 * PAGE, b"abc")
        assert reserved_bytes(path) >= 10 * PAGE
        view = memoryview(m)
        with pytest.raises(BufferError):
            m.resize(20 * PAGE)
        assert path.stat().st_size == 10 * PAGE
        del view
        m.resize(10)
        assert (path.stat().st_size, m[:]) == (10, b"abc" + bytes(7))


def test_open(path, namespace):
    before = Belongings(namespace)
    with weft.mmap.open(path, 100, mode=0o640) as m:
        m[:5] = b"howdy"
        assert (path.stat().st_mode & 0o777, len(m), path.stat().st_size) == (0o640, 100, 100)
    with weft.mmap.open(str(path)) as m:
        assert (m[:5], len(m)) == (b"howdy", 100)
    with weft.mmap.open(path, 50) as m:
        assert (len(m), m.size()) == (50, 100)
    with weft.mmap.open(path, 200) as m:
        assert path.stat().st_size == 200
    with weft.mmap.open(path, access=mmap.ACCESS_READ) as m:
        assert (m[:5], len(m)) == (b"howdy", 200)
        with pytest.raises(TypeError):
            m[0] = 1
    with pytest.raises(ValueError, match="the file has 200"):
        weft.mmap.open(path, 300, access=mmap.ACCESS_READ)
    for arguments in ({}, {"size": 10, "access": mmap.ACCESS_READ}, {"size": 10, "access": mmap.ACCESS_COPY}):
        with pytest.raises(FileNotFoundError):
            weft.mmap.open(path.with_name("missing"), **arguments)
    for size, error in ((-1, OverflowError), ("x", TypeError), (1 << 62, OSError)):
        with pytest.raises(error):
            weft.mmap.open(path.with_name("missing"), size)
        assert not path.with_name("missing").exists()
    with pytest.raises(IsADirectoryError):
        weft.mmap.open(path.parent, 10)
    assert Belongings(namespace).added_since(before) == {}


def test_descriptors_that_cannot_be_mapped(path, tmp_path):
    path.write_bytes(b"abc")
    read, write = os.pipe()
    directory = os.open(tmp_path, os.O_RDONLY)
    plug = socket.socket()
    closed = os.open(path, os.O_RDWR)
    os.close(closed)
    try:
        for number, words in (
            (read, "is a pipe"),
            (write, "is a pipe"),
            (directory, "is a directory"),
            (plug.fileno(), "is not a file"),
            (closed, "is not open"),
            (-2, "is not open"),
        ):
            for length in (0, 10):
                with pytest.raises((OSError, ValueError)) as caught:
                    weft.mmap(number, length)
                with pytest.raises(type(caught.value)):
                    mmap.mmap(number, length)
                assert words in str(caught.value)
    finally:
        plug.close()
        for number in (read, write, directory):
            os.close(number)
    with path.open("rb") as file, pytest.raises(PermissionError, match="access=ACCESS_READ"):
        weft.mmap(file.fileno(), 3)
    with pytest.raises(TypeError):
        weft.mmap("x", 3)


@pytest.mark.parametrize(
    ("length", "arguments", "error"),
    [
        (-1, {}, OverflowError),
        (1 << 63, {}, OverflowError),
        ("3", {}, TypeError),
        (3.0, {}, TypeError),
        (3, {"offset": 1}, OSError),
        (3, {"offset": -1}, OverflowError),
        (3, {"offset": None}, TypeError),
        (0, {"offset": PAGE}, ValueError),
        (3, {"access": 4}, ValueError),
        (3, {"access": mmap.ACCESS_READ, "prot": mmap.PROT_READ}, ValueError),
        (3, {"access": mmap.ACCESS_WRITE, "flags": mmap.MAP_PRIVATE}, ValueError),
    ],
)
def test_arguments_that_cannot_be(path, length, arguments, error):
    path.write_bytes(b"abcdef")
    with path.open("r+b") as file, pytest.raises(error):
        weft.mmap(file.fileno(), length, **arguments)
    assert path.read_bytes() == b"abcdef"


def test_an_empty_file(path):
    path.touch()
    with path.open("r+b") as file, pytest.raises(ValueError, match="cannot mmap an empty file: give a length"):
        weft.mmap(file.fileno(), 0)


def test_a_tagname_beside_a_file_is_accepted(path):
    path.write_bytes(b"abc")
    with path.open("r+b") as file, weft.mmap(file.fileno(), 0, "name", mmap.ACCESS_WRITE) as m:
        assert m[:] == b"abc"
        assert weft.Namespace().names() == []
