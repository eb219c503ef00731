"""A full file system: a typed error with the numbers, and nothing lost."""

import os
import subprocess

import numpy as np
import pytest

import weft

from ..helpers import check_no_space, fill, relieve, start_program

MEGABYTE = 1 << 20


@pytest.mark.parametrize("size", [4096, 8192, 16 << 10, 32 << 10, 64 << 10])
def test_no_space_at_creation(tiny, size):
    place = tiny(size)
    with pytest.raises(weft.NoSpaceError) as caught:
        place.Queue("q")
    check_no_space(caught.value, place)
    with pytest.raises(weft.NoSpaceError):
        place.Queue()
    del caught
    assert os.listdir(place.path) == []


@pytest.mark.parametrize("leave", range(0, 18 * 4096, 4096))
def test_no_space_at_any_step_of_creation_leaves_nothing(tiny, leave):
    place = tiny(256 << 10)
    fill(place, leave)
    with pytest.raises(weft.NoSpaceError) as caught:
        place.Queue("q")
    check_no_space(caught.value, place)
    del caught
    assert place.names() == []
    relieve(place)
    with place.Queue("q") as queue:
        queue.put(1)
        assert queue.get() == 1


@pytest.mark.parametrize("put", ["put", "put_many", "loan", "loan_array"])
def test_no_space_while_growing(tiny, open_queue, put):
    place = tiny(MEGABYTE)
    queue, other = open_queue("q", namespace=place), open_queue("q", namespace=place)
    sent = 0
    with pytest.raises(weft.NoSpaceError) as caught:
        while True:
            message = bytes([sent % 256]) * 50_000
            if put == "put":
                queue.put(message)
            elif put == "put_many":
                queue.put_many([message])
            elif put == "loan":
                with queue.loan(50_000) as view:
                    view[:] = message
            else:
                with queue.loan_array(50_000) as view:
                    view[:] = sent % 256
            sent += 1
    check_no_space(caught.value, place)
    assert sent > 5
    assert queue.statistics().dropped == 0
    for i in range(sent):  # nothing is lost, and others go on
        taken = other.get(timeout=0)
        assert bytes(taken[:1]) == bytes([i % 256])
        assert len(taken) == 50_000
    del taken
    for _ in range(100):
        other.put(bytes(50_000), timeout=0)
        queue.get(timeout=0)


def test_no_space_for_small_messages(tiny, open_queue):
    place = tiny(512 << 10)
    queue = open_queue("q", namespace=place)
    sent = 0
    with pytest.raises(weft.NoSpaceError) as caught:
        while True:
            queue.put(sent)
            sent += 1
    check_no_space(caught.value, place)
    with pytest.raises(weft.NoSpaceError) as caught:
        queue.put_many([1, 2, 3])
    assert caught.value.sent == 0
    assert [queue.get() for _ in range(sent)] == list(range(sent))
    queue.put("fits again")
    assert queue.get() == "fits again"


def test_space_that_returns_is_used(tiny, open_queue):
    place = tiny(2 * MEGABYTE)
    queue = open_queue("q", namespace=place)
    fill(place)
    with pytest.raises(weft.NoSpaceError):
        queue.put(bytes(500_000))
    relieve(place)
    queue.put(b"x" * 500_000)
    assert queue.get() == b"x" * 500_000


def test_no_space_concerns_the_other_program_alone(tiny, open_queue):
    place = tiny(MEGABYTE)
    queue = open_queue("q", namespace=place)
    with start_program(
        """
        queue = weft.Namespace(sys.argv[1]).Queue("q")
        sent = 0
        try:
            while True:
                queue.put(bytes(50_000))
                sent += 1
        except weft.NoSpaceError:
            say(sent)
        hear()
        queue.put("still here")
        """,
        place.path,
    ) as program:
        sent = int(program.hear())
        assert queue.qsize() == sent
        for _ in range(sent):
            assert queue.get(timeout=0) == bytes(50_000)
        program.say()
        program.finish()
    assert queue.get(timeout=0) == "still here"


def test_dropping_policies_do_not_hide_it(tiny, open_queue):
    place = tiny(MEGABYTE)
    for on_full in ("drop-newest", "drop-oldest", "fail"):
        queue = open_queue(on_full, namespace=place, on_full=on_full)
        with pytest.raises(weft.NoSpaceError):
            for _ in range(100):
                queue.put(bytes(50_000))
        while not queue.empty():
            queue.get()
        queue.close()


def test_no_space_for_leases(tiny, open_queue):
    place = tiny(512 << 10)
    queue = open_queue("q", namespace=place, codec="raw")
    queue.put_many([b""] * 1000)
    fill(place)
    leases = []
    with pytest.raises(weft.NoSpaceError) as caught:
        while True:
            leases.append(queue.lease(timeout=0))
    check_no_space(caught.value, place)
    assert len(leases) + queue.qsize() == 1000
    for lease in leases:
        lease.ack()
    with queue.lease(timeout=0):
        pass
    relieve(place)
    leases = [queue.lease(timeout=0) for _ in range(queue.qsize())]
    for lease in leases:
        lease.ack()


def test_no_space_for_one_more_participant(tiny, open_queue):
    place = tiny(512 << 10)
    handles = [open_queue("q", namespace=place)]
    fill(place)
    with pytest.raises(weft.NoSpaceError) as caught:
        while len(handles) < 200:
            handles.append(open_queue("q", namespace=place))
    check_no_space(caught.value, place)
    handles[0].put(1)
    assert handles[-1].get() == 1
    relieve(place)
    with place.Queue("q") as another:
        assert another.empty()


def test_views_outlive_a_shortage(tiny, open_queue):
    place = tiny(MEGABYTE)
    queue = open_queue("q", namespace=place)
    queue.put(np.full(100_000, 7, "u1"))
    view = queue.get()
    with pytest.raises(weft.NoSpaceError):
        while True:
            queue.put(bytes(50_000))
    assert (view == 7).all()


def test_namespace_that_cannot_be_made(tiny):
    place = tiny(4096)
    fill(place)
    subprocess.run(["mount", "-o", "remount,nr_inodes=2", place.path], check=True)
    with pytest.raises(weft.NoSpaceError):
        weft.Queue("q", namespace=place.path / "new")


@pytest.mark.parametrize("what", ["new", "existing", "directory"])
def test_file_system_that_is_read_only(tiny, what):
    place = tiny(MEGABYTE)
    with place.Queue("existing", lifetime="kept"):
        pass
    subprocess.run(["mount", "-o", "remount,ro", place.path], check=True)
    with pytest.raises(weft.AccessError, match=r"(?i)read-only.*WEFT_NAMESPACE") as caught:
        if what == "directory":
            weft.Queue("q", namespace=place.path / "new")
        else:
            place.Queue(what)
    assert isinstance(caught.value, PermissionError)
