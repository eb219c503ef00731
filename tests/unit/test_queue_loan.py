"""Loans: messages written where they will be read."""

import numpy as np
import pytest

import weft

from ..helpers import run_program


@pytest.fixture
def queue(open_queue):
    return open_queue("q", capacity=4 << 20)


@pytest.mark.parametrize("size", [1, 100, 8192, 8193, 100_000, 1 << 20])
@pytest.mark.parametrize("codec", ["default", "raw"])
def test_loan_is_sent_on_leaving(open_queue, size, codec):
    queue = open_queue("q", capacity=4 << 20, codec=codec)
    with queue.loan(size) as view:
        assert isinstance(view, memoryview)
        assert (len(view), view.format, view.readonly) == (size, "B", False)
        view[:] = b"x" * size
        assert queue.empty()
    taken = queue.get()
    assert type(taken) is bytes
    assert taken == b"x" * size


def test_loan_that_raises_is_dropped_and_its_memory_returns(queue):
    for _ in range(100):  # more than fits at once
        with pytest.raises(LookupError), queue.loan(100_000, timeout=0):
            raise LookupError
        with pytest.raises(LookupError), queue.loan_array(100_000, timeout=0):
            raise LookupError
    assert queue.empty()
    assert queue.statistics().sent == 0


def test_loan_is_received_as_a_view_if_wanted(open_queue):
    queue = open_queue("q", views=True)
    with queue.loan(10) as view:
        view[:] = b"0123456789"
    taken = queue.get()
    assert isinstance(taken, memoryview)
    assert taken == b"0123456789"


def test_loan_keeps_its_place_among_messages(queue):
    queue.put("before")
    with queue.loan(100_000) as view:
        queue.put("meanwhile")
        view[:5] = b"large"
    queue.put("after")
    assert [queue.get()[:9] for _ in range(4)] == ["before", "meanwhile", b"large\0\0\0\0", "after"]


def test_the_view_ends_with_the_block(queue):
    with queue.loan(100_000) as view:
        pass
    with pytest.raises(ValueError, match="released"):
        view[0] = 1
    queue.get()


def test_what_stands_on_the_view_does_not_stop_it_from_being_sent(queue):
    with queue.loan(100_000) as view:
        array = np.frombuffer(view, "u1")
        array[:] = 7
    assert queue.get(timeout=0) == b"\7" * 100_000


def test_what_stands_on_the_view_may_be_looked_at_for_ever():
    said = run_program(
        """
        import numpy as np
        queue = weft.Queue("q")
        with queue.loan(100_000) as view:
            array = np.frombuffer(view, "u1")
            array[:] = 7
        queue.get()
        queue.close()
        del queue, view
        say(array[::50_000].tolist())
        """
    )
    assert said == "[7, 7]\n"


def test_two_loans_at_once(queue):
    with queue.loan(10_000) as one, queue.loan(10_000) as two:
        one[:1], two[:1] = b"1", b"2"
    assert queue.get()[:1] == b"2"
    assert queue.get()[:1] == b"1"


@pytest.mark.parametrize("nbytes", [0, -1, 1 << 60])
def test_loan_of_no_size(queue, nbytes):
    with pytest.raises(ValueError), queue.loan(nbytes):
        pytest.fail("there is no such memory")
    assert queue.empty()


@pytest.mark.parametrize("nbytes", [None, "10", 1.5, True])
def test_loan_of_no_number(queue, nbytes):
    with pytest.raises(TypeError, match="nbytes"), queue.loan(nbytes):
        pytest.fail("there is no such memory")


@pytest.mark.parametrize("codec", ["pickle", "json", "msgspec"])
def test_loan_needs_a_codec_of_bytes(open_queue, codec):
    queue = open_queue("q", codec=codec)
    with pytest.raises(TypeError, match="codec"), queue.loan(10):
        pytest.fail("what would it be?")
    with pytest.raises(TypeError, match="codec"), queue.loan_array(10):
        pytest.fail("what would it be?")


def test_loan_of_a_full_queue(open_queue):
    queue = open_queue("q", 1, capacity=4 << 20)
    queue.put("there")
    for _ in range(100):
        with pytest.raises(weft.Full), queue.loan(100_000, timeout=0):
            pass
    assert queue.get() == "there"
    assert queue.empty()
    with queue.loan(100_000, timeout=0) as view:
        view[0] = 1
    assert queue.get(timeout=0)[0] == 1


def test_loan_of_a_queue_shut_down_meanwhile(queue):
    with pytest.raises(weft.ShutDown), queue.loan(100_000):
        queue.shutdown()
    assert queue.empty()


@pytest.mark.parametrize("on_full", ["drop-newest", "drop-oldest"])
def test_loan_under_a_dropping_policy(open_queue, on_full):
    queue = open_queue("q", 1, on_full=on_full)
    for i in range(5):
        with queue.loan(100_000) as view:
            view[0] = i
    assert queue.statistics().dropped == 4
    assert queue.get()[0] == (0 if on_full == "drop-newest" else 4)


# --- arrays ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "<f8", ">i4", "c16", "?", "M8[s]", "S7", [("x", "f4"), ("y", "i8")]])
@pytest.mark.parametrize("shape", [100_000, (1000, 100), (10, 20, 30, 4)])
def test_array_is_sent_on_leaving(open_queue, shape, dtype):
    queue = open_queue("q", capacity=16 << 20)
    made = np.zeros(shape, dtype)
    made.view("u1").reshape(-1)[::3] = 1
    with queue.loan_array(shape, dtype) as array:
        assert (array.shape, array.dtype) == (made.shape, made.dtype)
        array[...] = made
    taken = queue.get()
    assert (taken.shape, taken.dtype) == (made.shape, made.dtype)
    assert taken.tobytes() == made.tobytes()
    assert not taken.flags.writeable


@pytest.mark.parametrize("shape", [(), 0, 1, (0, 5), (3, 3), 1023, 1024, 1025])
def test_small_array(queue, shape):
    with queue.loan_array(shape, "f8") as array:
        array[...] = 1.5
    taken = queue.get()
    assert (taken.shape, taken.dtype) == (array.shape, array.dtype)
    assert (taken == 1.5).all()


@pytest.mark.parametrize("shape", [np.int64(100_000), [100, 1000], (np.int32(100), 1000)])
def test_shape_as_numpy_takes_it(queue, shape):
    with queue.loan_array(shape, "u1") as array:
        array[...] = 3
    assert (queue.get() == 3).all()


def test_array_is_aligned(queue):
    with queue.loan_array(100_000, "f8") as array:
        assert array.__array_interface__["data"][0] % 64 == 0
    assert queue.get().__array_interface__["data"][0] % 64 == 0


def test_array_is_read_only_once_sent(queue):
    with queue.loan_array(100_000, "u1") as array:
        array[:] = 1
    with pytest.raises(ValueError):
        array[0] = 2
    assert (queue.get() == 1).all()


def test_array_loaned_again_and_again_is_the_same_memory(queue):
    at_first = None
    for i in range(1000):
        with queue.loan_array((100, 1000), "f4") as array:
            array[...] = i
        del array
        assert queue.get()[-1, -1] == i
        at_first = at_first or queue.statistics().reserved
    assert queue.statistics().reserved == at_first


@pytest.mark.parametrize(
    ("shape", "dtype", "error"),
    [
        (-1, "u1", ValueError),
        ((10, -10), "u1", ValueError),
        ((-100, -1000), "u1", ValueError),
        ("abc", "u1", TypeError),
        (1.5, "u1", TypeError),
        (100_000, "nonsense", TypeError),
        (100_000, "O", TypeError),
        (10, "O", TypeError),
        ((1 << 40, 1 << 40), "u1", ValueError),
        (1 << 21, "u1", weft.MessageTooLargeError),
    ],
)
def test_array_that_cannot_be(queue, shape, dtype, error):
    with pytest.raises(error), queue.loan_array(shape, dtype):
        pass
    assert queue.empty()


def test_array_larger_than_the_machine_is_refused_before_anything_is_allocated(queue):
    with pytest.raises(weft.MessageTooLargeError) as caught, queue.loan_array(1 << 50, "u1"):
        pytest.fail("there is no such memory")
    assert caught.value.size >= 1 << 50
