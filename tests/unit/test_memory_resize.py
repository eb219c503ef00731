"""Memory that grows and shrinks under those who use it."""

import gc
import os
import threading

import numpy as np
import pytest

import weft

from ..helpers import reserved_bytes, run_program, start_program
from .test_queue_fork import FORK

PAGE = 4096
HEAD = 0x12000  # bytes of the file before the data

PEER = """
shm = weft.SharedMemory("m")
view = shm.buf
say(len(view))
while line := hear():
    try:
        say(eval(line))
    except Exception as error:
        say(type(error).__name__)
"""


def ask(program, question):
    program.say(question)
    return program.hear()


def test_growth_is_seen_by_all_at_their_next_access():
    with weft.SharedMemory("m", create=True, size=100) as shm, start_program(PEER) as peer:
        peer.expect("100")
        shm[:3] = b"abc"
        for size in (101, PAGE, PAGE + 1, 100 * PAGE, 1000 * PAGE + 5):
            shm.resize(size)
            shm[size - 1] = 9
            assert ask(peer, "shm[-1], shm[:3], len(shm.buf), shm.size") == f"(9, b'abc', {size}, {size})"
            shm[size - 1] = 0
        # What it had before is what it was, and the same memory.
        assert ask(peer, "len(view), bytes(view[:3])") == "(100, b'abc')"
        assert ask(peer, "view.__setitem__(0, 122)") == "None"
        assert shm[0] == 122
        assert ask(peer, "shm.resize(2000 * 4096)") == "None"
        assert (shm.size, shm[-1], shm.statistics().resizes) == (2000 * PAGE, 0, 6)


def test_shrinking_under_a_peer_is_refused_unless_forced():
    with weft.SharedMemory("m", create=True, size=10 * PAGE) as shm, start_program(PEER) as peer:
        peer.expect(str(10 * PAGE))
        shm[:] = b"x" * len(shm)
        with pytest.raises(weft.InUseError, match="force=True") as caught:
            shm.resize(10)
        assert isinstance(caught.value, BufferError)
        assert isinstance(caught.value, OSError)
        assert (shm.size, shm.statistics().resizes) == (10 * PAGE, 0)
        shm.resize(10, force=True)
        assert shm[:] == b"x" * 10
        # Its view has the memory still: no SIGBUS, whatever it touches.
        assert ask(peer, "shm.size, len(shm.buf), shm[:20], set(view) == {120}") == f"(10, 10, {b'x' * 10!r}, True)"
        assert shm.path.stat().st_size == HEAD + 10 * PAGE
        shm.resize(5 * PAGE)
        assert shm[:] == b"x" * 10 + bytes(5 * PAGE - 10)


def test_shrinking_alone_gives_memory_back():
    with weft.SharedMemory("m", create=True, size=100 * PAGE) as shm:
        shm[:] = b"x" * len(shm)
        before = reserved_bytes(shm.path)
        shm.resize(PAGE + 1)
        assert before - reserved_bytes(shm.path) == 98 * PAGE
        assert shm[:] == b"x" * (PAGE + 1)
        shm.resize(3 * PAGE)
        assert shm[:] == b"x" * (PAGE + 1) + bytes(2 * PAGE - 1)


def test_views_of_ones_own_keep_memory_that_shrinks():
    with weft.SharedMemory(create=True, size=100 * PAGE) as shm:
        array = np.frombuffer(shm, np.uint8)
        array[:] = 7
        shm.resize(1)
        assert array.sum() == 7 * 100 * PAGE
        assert shm.path.stat().st_size == HEAD + 100 * PAGE
        del array
        gc.collect()
        shm.resize(2)
        shm.resize(1)
        assert shm.path.stat().st_size == HEAD + PAGE


def test_another_handle_of_this_process_counts_as_a_user():
    with weft.SharedMemory("m", create=True, size=100) as shm, weft.SharedMemory("m") as other:
        with pytest.raises(weft.InUseError):
            shm.resize(10)
        shm.resize(10, force=True)
        assert other.size == 10
        other.close()
        shm.resize(5)
        assert shm.size == 5


def test_one_that_only_has_it_open_does_not_count():
    """It has nothing mapped that could be taken from it."""
    has_it_open = 'shm = weft.SharedMemory("m"); say(); hear(); say(shm.size, shm[0])'
    with weft.SharedMemory("m", create=True, size=100 * PAGE) as shm, start_program(has_it_open) as peer:
        peer.hear()
        shm.resize(10)
        peer.say()
        peer.expect("10 0")
        peer.finish()


def test_a_forked_child_counts():
    said = run_program(
        FORK
        + """
shm = weft.SharedMemory("m", create=True, size=10 * 4096)
shm[:] = b"x" * len(shm)
view = shm.buf
read, write = os.pipe()
def child():
    os.read(read, 1)
    assert set(view) == {120}     # never joined, and has it mapped
    os._exit(0)
pid = fork(child)
try:
    shm.resize(5)
except weft.InUseError:
    say("refused")
os.write(write, b"x")
join(pid)
del view
shm.resize(5)
say(shm.path.stat().st_size)
"""
    )
    assert said == f"refused\n{HEAD + PAGE}\n"


def test_many_resize_at_once():
    """Processes and threads grow it by turns: each growth happens, and nothing written is lost."""
    grow = """
        shm = weft.SharedMemory("m")
        say("ready"); hear()
        for _ in range(200):
            try:
                shm.resize(shm.size + 1000)
            except weft.InUseError:
                pass                       # the other has made it larger than that meanwhile
            assert shm[0] == 77
    """
    with weft.SharedMemory("m", create=True, size=1000) as shm:
        shm[0] = 77
        with start_program(grow) as one, start_program(grow) as two:
            for program in (one, two):
                program.expect("ready")
            for program in (one, two):
                program.say()
            failures = []

            def read():
                while two.process.poll() is None or one.process.poll() is None:
                    size = shm.size
                    if shm[:1] != b"\x4d" or len(shm[:]) < 1000 or size < 1000:
                        failures.append(size)

            reader = threading.Thread(target=read)
            reader.start()
            one.finish()
            two.finish()
            reader.join()
            assert failures == []
        # Two may have had the same size in mind.
        assert 1000 + 200 * 1000 <= shm.size <= 1000 + 400 * 1000


def test_resize_while_unlinked_and_closed_by_others(namespace):
    with weft.SharedMemory("m", create=True, size=10) as shm:
        shm.unlink()
        shm.resize(100 * PAGE)
        shm[-1] = 1
        shm.resize(1)
        assert os.listdir(namespace) == []
