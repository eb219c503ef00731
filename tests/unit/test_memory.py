"""SharedMemory: the standard's interface, opening, views and closing."""

import gc
import os
import pickle
import weakref

import numpy as np
import pytest

import weft

from ..helpers import Belongings, run_program, start_program


def test_two_programs_share_a_name():
    with weft.SharedMemory("frames", create=True, size=100) as shm:
        shm[:5] = b"howdy"
        said = run_program("""
            shm = weft.SharedMemory("frames")
            say(shm[:5].decode(), shm.size, len(shm.buf))
            shm.buf[-1] = 7
        """)
        assert said == "howdy 100 100\n"
        assert shm[-1] == 7


def test_the_size_is_exact():
    for size in (1, 4095, 4096, 4097, 100_001):
        with weft.SharedMemory(create=True, size=size) as shm:
            assert shm.size == len(shm) == len(shm.buf) == shm.buf.nbytes == size
            assert shm[:] == bytes(size)
            with weft.SharedMemory(shm.name) as other:
                assert (other.size, other[:]) == (size, bytes(size))


def test_name_of_one_without_a_name_opens_it():
    with weft.SharedMemory(create=True, size=10) as shm, weft.SharedMemory(name=shm.name) as other:
        shm[:] = b"0123456789"
        assert other[:] == b"0123456789"
        assert weft.Namespace().names() == []


@pytest.mark.parametrize("arguments", [{"track": True}, {"track": False}, {"size": 20 * 512}, {"size": 1}])
def test_opening_ignores_what_the_standard_ignores(arguments):
    with weft.SharedMemory("m", create=True, size=512), weft.SharedMemory("m", **arguments) as same:
        assert same.size == 512


def test_opens_or_creates():
    with (
        weft.SharedMemory("m", create=None, size=100) as first,
        weft.SharedMemory("m", create=None, size=100) as second,
    ):
        first[0] = 9
        assert second[0] == 9
        with weft.SharedMemory("m", create=None) as third, weft.SharedMemory("m", create=None, size=50) as fourth:
            assert third.size == fourth.size == 100
        with pytest.raises(weft.MismatchError, match="has 100 bytes, 101 were asked for") as caught:
            weft.SharedMemory("m", create=None, size=101)
        assert (caught.value.expected, caught.value.found) == (101, 100)
        assert first.statistics().attached == 2
    with pytest.raises(FileNotFoundError):
        weft.SharedMemory("m", create=None)


def test_existence():
    with pytest.raises(weft.NotFoundError, match="no SharedMemory 'm'"):
        weft.SharedMemory("m")
    with weft.SharedMemory("m", create=True, size=5), pytest.raises(weft.NameInUseError):
        weft.SharedMemory("m", create=True, size=5)
    with weft.SharedMemory("m", create=True, size=6) as shm:
        assert shm.size == 6


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["m", None])
def test_travels(name, protocol):
    with weft.SharedMemory(name, create=True, size=10) as shm:
        with pickle.loads(pickle.dumps(shm, protocol)) as other, weft.open(shm.token) as third:
            other[3] = 8
            assert shm[3] == third[3] == 8
            assert (other.name, other.size) == (shm.name, 10)
        token, pickled = shm.token, pickle.dumps(shm)
    with weft.SharedMemory("m", create=True, size=10):
        for arrive in (lambda: weft.open(token), lambda: pickle.loads(pickled)):
            with pytest.raises(FileNotFoundError):
                arrive()
    with pytest.raises(weft.ClosedError):
        pickle.dumps(shm)


def test_read_only():
    with weft.SharedMemory("m", create=True, size=10) as shm, weft.SharedMemory("m", readonly=True) as reader:
        shm[:5] = b"howdy"
        assert (reader[:5], reader.buf.readonly, shm.buf.readonly) == (b"howdy", True, False)
        for change in (
            lambda: reader.__setitem__(0, 1),
            lambda: reader.__setitem__(slice(0, 1), b"x"),
            lambda: reader.write(b"x"),
            lambda: reader.write_byte(1),
            lambda: reader.move(0, 1, 1),
            lambda: reader.resize(20),
            lambda: reader.buf.__setitem__(0, 1),
        ):
            with pytest.raises(TypeError, match=r"read-?only"):
                change()
        with pytest.raises(ValueError):
            np.frombuffer(reader, np.uint8)[0] = 1
        shm.resize(5000)
        assert (reader.size, reader[4999]) == (5000, 0)
        with pickle.loads(pickle.dumps(reader)) as again, weft.open(reader.token) as third:
            assert again.buf.readonly
            assert third.buf.readonly
        assert shm.statistics().attached == 1


def test_read_only_where_the_file_may_not_be_written(namespace):
    """What another user lets be read can be opened to read."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    namespace.chmod(0o755)
    place = weft.Namespace(namespace, mode=0o755)
    with place.SharedMemory("m", create=True, size=10, mode=0o644) as shm:
        shm[:3] = b"abc"
        said = run_program("""
            import os
            os.setgroups([]); os.setgid(12345); os.setuid(12345)
            try:
                weft.SharedMemory("m", readonly=True)
            except weft.AccessError as error:
                say("refused")  # the directory is another user's
            from weft._core.memory import MemoryAttachment
            place = os.environ["WEFT_NAMESPACE"].encode()
            attachment = MemoryAttachment(2, True)
            say(attachment.attach(place, b"m")[0], attachment.look()[2], bytes(attachment.view(0, 3, True)))
            say(MemoryAttachment(2, False).attach(place, b"m")[0])
        """)
        assert said == "refused\n0 10 b'abc'\n15\n"


def test_views_keep_the_memory(namespace):
    shm = weft.SharedMemory("m", create=True, size=10_000)
    view, array, part = shm.buf, np.frombuffer(shm, np.uint16), shm.buf[10:20]
    shm.close()
    shm.close()
    assert shm.closed
    array[0] = 0x4241
    view[10] = 7
    assert (bytes(view[:2]), part[0]) == (b"AB", 7)
    assert os.listdir(namespace) == ["m"]
    with weft.SharedMemory("m") as other:
        assert other[:2] == b"AB"
    del view, array
    gc.collect()
    assert part[0] == 7
    part.release()
    del part
    assert os.listdir(namespace) == []


def test_buf_is_as_large_as_the_memory():
    with weft.SharedMemory(create=True, size=10) as shm:
        assert shm.buf is shm.buf
        before = shm.buf
        shm.resize(20)
        assert (len(before), len(shm.buf)) == (10, 20)
        before[0] = 1
        assert shm.buf[0] == 1


def test_closed():
    shm = weft.SharedMemory(create=True, size=10)
    shm.close()
    for use in (
        lambda: shm.buf,
        lambda: shm.size,
        lambda: shm[0],
        lambda: shm[:],
        lambda: shm.__setitem__(0, 1),
        lambda: shm.write(b"x"),
        lambda: shm.read(),
        lambda: shm.find(b"x"),
        lambda: shm.resize(5),
        lambda: shm.flush(),
        lambda: len(shm),
        lambda: memoryview(shm),
        lambda: shm.statistics(),
        lambda: shm.token,
        lambda: shm.refresh(),
        lambda: shm.__enter__(),
        lambda: list(shm),
    ):
        with pytest.raises(ValueError, match="closed") as caught:
            use()
        assert isinstance(caught.value, weft.ClosedError)
    assert "closed" in repr(shm)


def test_unlink_leaves_the_memory_to_who_has_it():
    with weft.SharedMemory("m", create=True, size=10) as shm:
        shm.unlink()
        with pytest.raises(FileNotFoundError):
            weft.SharedMemory("m")
        with pytest.raises(FileNotFoundError):
            shm.unlink()
        shm.resize(10_000)
        shm[9999] = 1
        assert shm.refresh() == 10_000
        with weft.SharedMemory("m", create=True, size=5) as fresh:
            assert fresh[:] == bytes(5)


def test_unlink_through_a_closed_handle(namespace):
    """``close(); unlink()`` is what programs written for the standard library say."""
    for lifetime in ("attached", "kept"):
        shm = weft.SharedMemory("m", create=True, size=10, lifetime=lifetime)
        with weft.SharedMemory("m") as other:
            shm.close()
            shm.unlink()
            assert (os.listdir(namespace), other[0]) == ([], 0)
        with weft.SharedMemory("m", create=True, size=10):
            if lifetime == "kept":
                with pytest.raises(FileNotFoundError):
                    shm.unlink()
            else:
                shm.unlink()
            assert os.listdir(namespace) == ["m"]  # a later one of that name is not meant
    alone = weft.SharedMemory("m", create=True, size=10)
    alone.close()
    alone.unlink()


def test_kept(namespace):
    weft.SharedMemory("m", create=True, size=10, lifetime="kept").close()
    assert os.listdir(namespace) == ["m"]
    with weft.SharedMemory("m") as shm:
        shm[0] = 5
    with weft.SharedMemory("m", create=None, size=5, lifetime="kept") as shm:
        assert shm[0] == 5
        with pytest.raises(weft.MismatchError, match="lifetime"):
            weft.SharedMemory("m", lifetime="attached")
        shm.unlink()


def test_another_kind_is_told():
    with weft.Queue("q"), weft.SharedMemory("m", create=True, size=5):
        with pytest.raises(weft.MismatchError, match="is a Queue, not a SharedMemory"):
            weft.SharedMemory("q")
        with pytest.raises(weft.MismatchError, match="is a SharedMemory, not a Queue"):
            weft.Queue("m")


def test_shows_itself():
    with weft.SharedMemory("m", create=True, size=512) as shm:
        assert repr(shm) == "<weft.SharedMemory 'm' size=512>"
        assert shm.path == weft.Namespace().path / "m"
        assert (shm.path.stat().st_mode & 0o777, shm.closed) == (0o600, False)
        found = shm.statistics()
        assert (found.size, found.resizes, found.attached) == (512, 0, 1)
        assert found.reserved == shm.path.stat().st_blocks * 512
    assert repr(weft.SharedMemory.__new__(weft.SharedMemory)) == "<weft.SharedMemory (not open)>"


def test_namespaces_keep_names_apart(spare):
    place = weft.Namespace(spare)
    with weft.SharedMemory("m", create=True, size=5) as shm, place.SharedMemory("m", create=True, size=7) as other:
        assert weft.SharedMemory("m", namespace=spare).size == 7
        assert (shm.size, other.size) == (5, 7)


def test_weak_references():
    shm = weft.SharedMemory(create=True, size=5)
    reference = weakref.ref(shm)
    del shm
    assert reference() is None


def test_who_takes_part():
    """A process that has opened the memory is no participant before it uses it."""
    with weft.SharedMemory("m", create=True, size=5) as shm:
        with start_program('shm = weft.SharedMemory("m"); say(); hear(); say(shm[0]); hear()') as other:
            other.hear()
            assert shm.statistics().attached == 1
            other.say()
            other.expect("0")
            assert shm.statistics().attached == 2
        assert shm.statistics().attached == 1


def test_handles_of_one_process_share_all_that_costs(namespace):
    with weft.SharedMemory("m", create=True, size=5) as shm, weft.SharedMemory("m") as other:
        before = Belongings(namespace)
        third = weft.SharedMemory("m")
        third[0] = other[0] = shm[0] = 1
        assert Belongings(namespace).added_since(before) == {}
        assert shm.statistics().attached == 1
        other.close()
        assert (third[0], shm[0]) == (1, 1)
        third.close()
        shm.unlink()
        with weft.SharedMemory("m", create=True, size=7), weft.SharedMemory("m") as fresh:
            assert (fresh.size, shm.size) == (7, 5)


def test_a_peer_that_never_used_it_keeps_it():
    with weft.SharedMemory("m", create=True, size=5) as shm:
        shm[0] = 3
        with start_program('shm = weft.SharedMemory("m"); say("open"); hear(); say(shm[0])') as program:
            program.expect("open")
            shm.close()
            weft.Namespace().clean()
            program.say()
            program.expect("3")
            program.finish()


@pytest.mark.parametrize(
    ("size", "error"),
    [
        (-1, ValueError),
        (-(1 << 70), ValueError),
        (0, ValueError),
        (1 << 63, OverflowError),
        (1 << 200, OverflowError),
        (1 << 62, OSError),
        (1 << 47, OSError),
        (1 << 45, OSError),
        ("10", TypeError),
        (10.0, TypeError),
        (None, TypeError),
        (True, TypeError),
    ],
)
def test_sizes_that_cannot_be(size, error, namespace):
    with pytest.raises(error) as caught:
        weft.SharedMemory("m", create=True, size=size)
    if error is OSError:
        assert isinstance(caught.value, weft.NoSpaceError)
        assert caught.value.wanted >= size
        del caught
    assert os.listdir(namespace) == []
    with weft.SharedMemory("m", create=True, size=5) as shm:
        with pytest.raises(error):
            shm.resize(size)
        assert (shm.size, shm.statistics().resizes) == (5, 0)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"name": None, "create": False}, ValueError, "'name' can only be None if create=True"),
        ({"name": None, "create": None, "size": 5}, ValueError, "'name' can only be None"),
        ({"name": "", "create": True, "size": 5}, ValueError, "empty"),
        ({"name": "a/b"}, ValueError, "is not one"),
        ({"name": "a\0b"}, ValueError, "is not one"),
        ({"name": 5}, TypeError, "name must be a str"),
        ({"name": "m", "create": 2, "size": 5}, TypeError, "create must be"),
        ({"name": "m", "lifetime": "long"}, ValueError, "lifetime"),
        ({"name": "m", "create": True, "size": 5, "mode": 0o7777}, ValueError, "mode"),
        ({"name": "m", "create": True}, ValueError, "positive"),
    ],
)
def test_arguments_that_cannot_be(arguments, error, words, namespace):
    with pytest.raises(error, match=words):
        weft.SharedMemory(**arguments)
    assert os.listdir(namespace) == []
