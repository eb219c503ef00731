"""Messages of every size and kind, and the memory they use."""

import gc
import hashlib
import os

import numpy as np
import pytest

import weft

from ..helpers import run_program, start_program

SMALL = 32 << 10  # the smallest capacity
LARGE = 100_000  # bytes that go to a block


def pattern(size: int) -> bytes:
    return (hashlib.sha256(str(size).encode()).digest() * (size // 32 + 1))[:size]


# --- sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["default", "raw", "pickle", "msgspec"])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 4095, 4096, 8191, 8192, 8193, 12_288, 65_535, 65_536, 65_537, 999_999])
def test_bytes_of_every_size(open_queue, codec, size):
    queue = open_queue("q", codec=codec)
    message = pattern(size)
    queue.put(b"before")
    queue.put(message)
    queue.put(b"after")
    taken = [queue.get() for _ in range(3)]
    assert taken == [b"before", message, b"after"]
    assert type(taken[1]) is bytes


@pytest.mark.parametrize("size", [*range(1000, 1050), 2047, 2048, 2049, 4096, 8191, 8192])
def test_every_size_around_the_limits_of_the_smallest_queue(open_queue, size):
    queue = open_queue("q", capacity=SMALL)
    for i in range(40):
        message = pattern(size - i % 2)
        queue.put(message, timeout=0)
        assert queue.get() == message


@pytest.mark.parametrize("make", [lambda n: "x" * n, lambda n: "é" * (n // 2), bytearray, lambda n: [b"y" * n]])
@pytest.mark.parametrize("size", [*range(8170, 8200), 16_000])
def test_other_types_around_the_inline_limit(open_queue, make, size):
    queue = open_queue("q")
    message = make(size)
    queue.put(message)
    assert queue.get() == message


@pytest.mark.parametrize("codec", ["default", "raw"])
@pytest.mark.parametrize("capacity", [SMALL, 9 * 4096, 13 * 4096, 100_000, 1 << 20])
def test_largest_message_always_fits_an_empty_queue(open_queue, codec, capacity):
    queue = open_queue("q", capacity=capacity, codec=codec)
    largest = queue.statistics().capacity // 4
    for i in range(100):
        queue.put(pattern(i * 37 % 2000), timeout=0)
        queue.get()
        queue.put(pattern(largest), timeout=0)
        assert queue.get() == pattern(largest)


@pytest.mark.parametrize("put", ["put", "put_many", "loan"])
def test_message_too_large(open_queue, put):
    queue = open_queue("q", capacity=SMALL)
    with pytest.raises(weft.MessageTooLargeError, match=r"max_message=8192.*capacity=") as caught:
        if put == "loan":
            with queue.loan(8193):
                pytest.fail("there is no such memory")
        else:
            getattr(queue, put)(bytes(8193) if put == "put" else [b"first", bytes(8193)])
    assert (caught.value.size, caught.value.limit) == (8193, 8192)
    assert queue.qsize() == (put == "put_many")
    queue.put(b"fine")
    assert queue.get_many()[-1] == b"fine"


def test_max_message_may_be_chosen(open_queue):
    queue = open_queue("q", max_message=100)
    queue.put(bytes(100))
    assert queue.get() == bytes(100)
    with pytest.raises(weft.MessageTooLargeError) as caught:
        queue.put(bytes(101))
    assert (caught.value.size, caught.value.limit) == (101, 100)
    with pytest.raises(weft.MessageTooLargeError):
        queue.put("x" * 101)
    assert queue.empty()


# --- capacity --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 100, 1000, 1500, 5000])
def test_smallest_queue_works_for_long(open_queue, size):
    queue = open_queue("q", capacity=SMALL)
    put, taken = 0, 0
    while taken < 3000:
        try:
            while True:
                queue.put(put.to_bytes(4, "little") + bytes(size), timeout=0)
                put += 1
        except weft.Full:
            assert put > taken
        for _ in range(max((put - taken) * 2 // 3, 1)):
            assert queue.get(timeout=0) == taken.to_bytes(4, "little") + bytes(size)
            taken += 1
    assert queue.statistics().capacity == SMALL


def test_queue_grows_to_its_capacity_and_not_beyond(open_queue):
    queue = open_queue("q", capacity=1 << 20)
    at_first = queue.statistics().reserved
    assert at_first < (1 << 20) / 4
    with pytest.raises(weft.Full):
        while True:
            queue.put(pattern(20_000), timeout=0)
    assert queue.statistics().reserved == 1 << 20
    assert 0.8 * (1 << 20) < queue.statistics().depth_bytes < 1 << 20
    while not queue.empty():
        assert queue.get() == pattern(20_000)


def test_memory_of_large_messages_returns(open_queue):
    queue = open_queue("q", capacity=8 << 20)

    def pass_messages(count):
        for i in range(count):
            queue.put(bytes(LARGE + i % 7 * 5000))
            queue.get()
        return queue.statistics().reserved

    at_first = pass_messages(10_000)  # until free memory lies as it will
    assert pass_messages(10_000) == at_first


def test_memory_of_small_messages_returns(open_queue):
    queue = open_queue("q", capacity=8 << 20)

    def pass_messages(rounds):
        for _ in range(rounds):
            queue.put_many([b"x" * 100] * 256)
            assert len(queue.get_many(256)) == 256
        return queue.statistics().reserved

    at_first = pass_messages(50)
    assert pass_messages(1000) == at_first


def test_descriptors_and_mappings_do_not_grow_with_messages(open_queue):
    queue = open_queue("q")

    def held():
        with open("/proc/self/maps") as maps:
            return len(os.listdir("/proc/self/fd")), sum(str(queue.path.parent) in line for line in maps)

    before = held()
    for _ in range(100):
        queue.put(np.zeros(LARGE, "u1"))
    views = [queue.get() for _ in range(100)]
    assert held() == before
    del views


# --- views of shared memory ------------------------------------------------------------------------


def is_shared(array: np.ndarray, queue: weft.Queue) -> bool:
    """Whether the array's memory is the queue's."""
    address = array.__array_interface__["data"][0]
    with open("/proc/self/maps") as maps:
        for line in maps:
            begin, end = (int(word, 16) for word in line.split()[0].split("-"))
            if begin <= address < end:
                return str(queue.path.parent) in line
    raise AssertionError("an array without memory")


def test_large_array_comes_as_a_read_only_view(open_queue):
    queue = open_queue("q")
    array = np.arange(LARGE, dtype="f8").reshape(100, -1)
    queue.put(array)
    taken = queue.get()
    assert taken.dtype == array.dtype
    np.testing.assert_array_equal(taken, array)
    assert is_shared(taken, queue)
    assert not taken.flags.writeable
    with pytest.raises(ValueError):
        taken[0, 0] = 1
    with pytest.raises(ValueError):
        taken.flags.writeable = True


def test_small_array_comes_as_a_copy_of_its_own(open_queue):
    queue = open_queue("q")
    queue.put(np.arange(10))
    taken = queue.get()
    taken[0] = 5
    assert not is_shared(taken, queue)


def test_views_keep_their_memory(open_queue):
    queue = open_queue("q", capacity=8 << 20)
    views = []
    for i in range(10):
        queue.put(np.full(LARGE, i, "u1"))
        views.append(queue.get())
    for _ in range(200):  # would overwrite what is not held
        queue.put(np.full(LARGE, 255, "u1"))
        queue.get()
    for i, view in enumerate(views):
        assert (view == i).all()


def test_slices_of_views_keep_their_memory(open_queue):
    queue = open_queue("q", capacity=1 << 20)
    queue.put(np.full(LARGE, 7, "u1"))
    part = queue.get()[1000:2000:3]
    for _ in range(100):
        queue.put(bytes(LARGE))
        queue.get()
    assert (part == 7).all()


def test_views_outlive_close_and_the_name():
    queue = weft.Queue("q")
    queue.put(np.arange(LARGE))
    view = queue.get()
    queue.close()
    del queue
    gc.collect()
    np.testing.assert_array_equal(view, np.arange(LARGE))
    with weft.Queue("q") as again:  # made anew: not the memory of before
        again.put(np.zeros(LARGE, "i8"))
        assert not again.get().any()
    np.testing.assert_array_equal(view, np.arange(LARGE))


def test_views_outlive_their_producer(open_queue):
    queue = open_queue("q")
    run_program("import numpy; weft.Queue('q').put(numpy.arange(100_000))")
    np.testing.assert_array_equal(queue.get(), np.arange(LARGE))


def test_views_are_not_overwritten_by_other_programs(open_queue):
    queue = open_queue("q", capacity=4 << 20)
    with start_program(
        """
        import numpy
        queue = weft.Queue("q")
        for i in range(500):
            queue.put(numpy.full(100_000, i, "u4"), timeout=30)
        """
    ) as producer:
        held = []
        for i in range(500):
            held.append((i, queue.get(timeout=30)))
            for number, view in held:
                assert view[0] == view[-1] == number
            if len(held) > 3:
                held.pop(i % 3)
        producer.finish()


def test_memory_held_by_views_is_not_there_for_others(open_queue):
    queue = open_queue("q", capacity=1 << 20)
    views = []
    with pytest.raises(weft.Full):
        while True:
            queue.put(np.zeros(LARGE, "u1"), timeout=0)
            views.append(queue.get())
    assert 5 < len(views) < 11
    del views[0]
    queue.put(np.ones(LARGE, "u1"), timeout=0)
    assert queue.get().all()


@pytest.mark.parametrize("size", [8193, LARGE])
def test_large_bytes_come_as_memoryviews_if_wanted(open_queue, size):
    queue = open_queue("q", views=True)
    queue.put(pattern(size))
    view = queue.get()
    assert isinstance(view, memoryview)
    assert view.readonly
    assert view == pattern(size)


def test_small_bytes_stay_bytes(open_queue):
    queue = open_queue("q", views=True)
    queue.put(b"small")
    assert queue.get() == b"small"


def test_buffers_keep_their_type(open_queue):
    queue = open_queue("q")
    for message in (bytearray(pattern(LARGE)), bytearray(b"x")):
        queue.put(message)
        taken = queue.get()
        assert type(taken) is bytearray
        assert taken == message
    queue.put(memoryview(pattern(LARGE)))
    assert queue.get() == pattern(LARGE)


def test_several_arrays_in_one_message(open_queue):
    queue = open_queue("q")
    message = {"left": np.arange(LARGE), "right": np.ones((3, 5000), "f4"), "name": "pair", "small": np.arange(3)}
    queue.put(message)
    taken = queue.get()
    assert taken.keys() == message.keys()
    for key, value in message.items():
        np.testing.assert_array_equal(taken[key], value)
    assert is_shared(taken["left"], queue)
    assert is_shared(taken["right"], queue)
