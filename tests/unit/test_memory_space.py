"""Full file systems, and files that somebody damages: an exception, never a signal."""

import os

import pytest

import weft

from ..helpers import check_no_space, fill, relieve, run_program, start_program
from ..segments import forge

PAGE = 4096
HEAD = 0x12000
HEAD_PAGES = 3  # those of them with memory behind


@pytest.mark.parametrize("pages", [3, 4, 8, 63])
def test_too_small_a_file_system(tiny, pages):
    place = tiny(64 * PAGE)
    fill(place, pages * PAGE)
    for make in (
        lambda: place.SharedMemory("m", create=True, size=100 * PAGE),
        lambda: place.SharedMemory(create=True, size=(pages - HEAD_PAGES + 1) * PAGE),
        lambda: place.mmap("m", 100 * PAGE),
        lambda: place.ShareableList([b"x" * 100 * PAGE]),
    ):
        with pytest.raises(weft.NoSpaceError) as caught:
            make()
        check_no_space(caught.value, place)
        del caught
    relieve(place)
    assert os.listdir(place.path) == []


def test_filled_between_creation_and_the_first_write(tiny):
    place = tiny(64 * PAGE)
    with place.SharedMemory("m", create=True, size=20 * PAGE) as shm, place.mmap("n", 20 * PAGE) as m:
        fill(place)
        shm[:] = b"x" * len(shm)
        m[:] = b"y" * len(m)
        said = run_program(
            'import os; s = weft.SharedMemory("m", namespace=sys.argv[1]); say(s[-1], s.resize(10 * 4096, force=True))',
            place.path,
        )
        assert said == "120 None\n"
        relieve(place)


def test_filled_during_growth(tiny):
    place = tiny(64 * PAGE)
    with place.SharedMemory("m", create=True, size=20 * PAGE) as shm, place.mmap("n", 5 * PAGE) as m:
        shm[:] = b"x" * len(shm)
        fill(place, 5 * PAGE)
        for grow in (lambda: shm.resize(30 * PAGE), lambda: m.resize(12 * PAGE), lambda: place.mmap("n", 30 * PAGE)):
            with pytest.raises(weft.NoSpaceError) as caught:
                grow()
            check_no_space(caught.value, place)
            del caught
        assert (shm.size, len(m), m.size()) == (20 * PAGE, 5 * PAGE, 5 * PAGE)
        assert shm[:] == b"x" * (20 * PAGE)
        shm.resize(25 * PAGE)
        shm[-1] = 1
        relieve(place)
        shm.resize(40 * PAGE)
        assert shm[:] == b"x" * (20 * PAGE) + bytes(5 * PAGE - 1) + b"\1" + bytes(15 * PAGE)


def test_a_file_grows_on_a_full_file_system(tiny):
    place = tiny(64 * PAGE)
    path = place.path / "file"
    with weft.mmap.open(path, 10 * PAGE) as m:
        fill(place, 5 * PAGE)
        with pytest.raises(weft.NoSpaceError):
            m.resize(20 * PAGE)
        assert (len(m), path.stat().st_size) == (10 * PAGE, 10 * PAGE)
        with pytest.raises(weft.NoSpaceError):
            weft.mmap.open(path, 20 * PAGE)
        with pytest.raises(weft.NoSpaceError):
            weft.mmap.open(place.path / "other", 20 * PAGE)
        assert path.stat().st_size == 10 * PAGE
        assert not (place.path / "other").exists()
        relieve(place)


# --- vandals ---------------------------------------------------------------------------------------


def test_a_vandal_deletes_the_file():
    """Nothing happens to those who have it; the name is free."""
    with weft.SharedMemory("m", create=True, size=PAGE) as shm, weft.mmap(-1, 0, "m") as m:
        with start_program('s = weft.SharedMemory("m"); s[0] = 5; say(); hear(); s.resize(8192); say(s[0])') as peer:
            peer.hear()
            shm.path.unlink()
            peer.say()
            peer.expect("5")
            assert (shm[0], m[0], shm.size, shm.refresh()) == (5, 5, 2 * PAGE, 2 * PAGE)
            peer.finish()
        with weft.SharedMemory("m", create=True, size=3) as fresh:
            assert fresh[0] == 0


@pytest.mark.parametrize("size", [0, 1, PAGE, HEAD - 1, HEAD, HEAD + PAGE])
def test_a_vandal_truncates_the_file(size):
    """Whoever asks is told; whoever opens it is told; what grows past the cut gets its memory back."""
    shm = weft.SharedMemory("m", create=True, size=2 * PAGE)
    not_used = start_program(
        's = weft.SharedMemory("m"); say(); hear()\ntry: s[0]\nexcept weft.CorruptedError: say("told")'
    )
    with shm, not_used as peer:
        peer.hear()
        os.truncate(shm.path, size)
        with pytest.raises(weft.CorruptedError, match="cut it off"):
            shm.refresh()
        peer.say()
        peer.expect("told")
        said = run_program("""
            for open in (lambda: weft.SharedMemory("m"), lambda: weft.mmap(-1, 0, "m")):
                try:
                    open()[0]
                except weft.CorruptedError:
                    say("told")
        """)
        assert said == "told\ntold\n"
    weft.Namespace().clean()
    (weft.Namespace().path / "m").unlink(missing_ok=True)


@pytest.mark.parametrize("size", [PAGE + 1, 1 << 40, 1 << 46, (1 << 46) + 1, (1 << 64) - 1])
def test_a_size_that_is_not_backed(size):
    """Sizes from shared memory are checked before use."""
    with weft.SharedMemory("m", create=True, size=PAGE) as shm, weft.SharedMemory("m") as other:
        with shm.path.open("r+b") as file:
            file.seek(0x11000)
            file.write(size.to_bytes(8, "little"))
        for use in (lambda: shm[0], lambda: other.size, lambda: shm.buf, lambda: len(other), lambda: shm.write(b"x")):
            with pytest.raises(weft.CorruptedError):
                use()
        assert "damaged" in repr(shm)
        with shm.path.open("r+b") as file:
            file.seek(0x11000)
            file.write(PAGE.to_bytes(8, "little"))
        assert shm[0] == 0


def test_a_sparse_file_that_promises_memory(tiny):
    """A file that is long enough, on a file system that has not so much."""
    place = tiny(64 * PAGE)
    with place.SharedMemory("m", create=True, size=PAGE) as shm:
        fill(place)
        os.truncate(shm.path, HEAD + 1000 * PAGE)
        with shm.path.open("r+b") as file:
            file.seek(0x11000)
            file.write((1000 * PAGE).to_bytes(8, "little"))
        with pytest.raises(weft.NoSpaceError):
            shm[0]
        relieve(place)


def test_forged_headers():
    with weft.SharedMemory("m", create=True, size=PAGE, lifetime="kept") as shm:
        path = shm.path
    for fields in ({"kind": 99}, {"file_bytes": PAGE}, {"file_bytes": 1 << 40}, {"lifetime": 7}):
        original = path.read_bytes()
        forge(path, **fields)
        with pytest.raises((weft.CorruptedError, weft.MismatchError)):
            weft.SharedMemory("m")[0]
        path.write_bytes(original)
    with weft.SharedMemory("m") as shm:
        assert shm[0] == 0
        shm.unlink()
