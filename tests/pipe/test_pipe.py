"""Pipes without a name: sending and receiving, large messages, the end, bad input."""

import multiprocessing
import pickle
import select
import threading
import time
from multiprocessing import connection

import numpy as np
import pytest

import weft

LARGE = 10_000_000  # more than a direction of `small` may have


@pytest.fixture
def pair():
    one, two = weft.Pipe()
    with one, two:
        yield one, two


@pytest.fixture
def small():
    one, two = weft.Pipe(capacity=2 << 20)
    with one, two:
        yield one, two


def in_thread(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    return thread


@pytest.mark.parametrize(
    "message", [None, 0, b"", b"x" * 64, b"x" * 9000, "text", (1, {2}), {"a": [1.5, 10**30]}, bytearray(b"ab")]
)
def test_what_is_sent_is_received(pair, message):
    for sender, receiver in (pair, pair[::-1]):
        sender.send(message)
        received = receiver.recv()
        assert received == message
        assert type(received) is type(message)


def test_order_and_directions_are_apart(pair):
    one, two = pair
    for number in range(1000):
        one.send(number)
        two.send(-number)
    assert [two.recv() for _ in range(1000)] == list(range(1000))
    assert [one.recv() for _ in range(1000)] == [-number for number in range(1000)]


def test_arrays_are_views(pair):
    one, two = pair
    array = np.arange(100_000)
    one.send({"frame": array})
    received = two.recv()["frame"]
    assert not received.flags.writeable
    assert not received.flags.owndata
    two.close()
    np.testing.assert_array_equal(received, array)


def test_loans(pair):
    one, two = pair
    with one.loan_array((300, 400), "f4") as array:
        array[:] = 7
    assert two.recv().sum() == 7 * 300 * 400
    with one.loan(20_000) as view:
        view[:] = bytes(20_000)
    assert two.recv() == bytes(20_000)
    with pytest.raises(ZeroDivisionError), one.loan(20_000):
        raise ZeroDivisionError
    assert not two.poll()
    with pytest.raises(weft.MessageTooLargeError, match="in parts"), one.loan(200 << 20):
        pass


def test_views_of_bytes():
    one, two = weft.Pipe(views=True)
    with one, two:
        one.send(b"v" * 20_000)
        view = two.recv()
        assert type(view) is memoryview
        assert view == b"v" * 20_000


def test_bytes(pair):
    one, two = pair
    one.send_bytes(b"abcdef", 2, 3)
    one.send_bytes(np.arange(3, dtype="u1"))
    one.send_bytes(memoryview(b"z" * 30_000))
    assert two.recv_bytes() == b"cde"
    assert two.recv_bytes() == b"\0\1\2"
    assert two.recv_bytes() == b"z" * 30_000
    one.send_bytes(b"y" * 30_000)
    into = bytearray(30_010)
    assert two.recv_bytes_into(into, 10) == 30_000
    assert into == bytes(10) + b"y" * 30_000


def test_bytes_of_another_length(pair):
    one, two = pair
    one.send_bytes(b"x" * 100)
    with pytest.raises(weft.MessageTooLargeError) as caught:
        two.recv_bytes(99)
    assert isinstance(caught.value, OSError)
    assert (caught.value.size, caught.value.limit) == (100, 99)
    assert two.poll()
    with pytest.raises(multiprocessing.BufferTooShort) as short:
        two.recv_bytes_into(bytearray(50))
    assert short.value.args == (b"x" * 100,)
    assert not two.poll()


@pytest.mark.parametrize("codec", [None, "pickle", "msgspec"])
@pytest.mark.parametrize("message", [{"a": [1, 2]}, [b"x" * 20_000, 3]])
def test_what_recv_bytes_took_send_bytes_passes_on(codec, message):
    one, two = weft.Pipe(codec=codec)
    three, four = weft.Pipe(codec=codec)
    with one, two, three, four:
        one.send(message)
        three.send_bytes(two.recv_bytes())
        assert four.recv() == message


def test_a_pickle_is_a_pickle():
    one, two = weft.Pipe(codec="pickle")
    with one, two:
        one.send({"a": 1})
        assert pickle.loads(two.recv_bytes()) == {"a": 1}
        one.send(np.zeros(10_000))
        assert pickle.loads(two.recv_bytes()).shape == (10_000,)
        one.send_bytes(pickle.dumps([1, 2]))
        assert two.recv() == [1, 2]


def test_bytes_are_no_object(pair):
    one, two = pair
    one.send_bytes(b"what")
    one.send(1)
    with pytest.raises(weft.CorruptedError, match="recv_bytes"):
        two.recv()
    assert two.recv() == 1


@pytest.mark.parametrize("message", [b"q" * LARGE, {"a": np.arange(LARGE // 8), "b": np.ones(5_000), "c": "x"}])
def test_messages_larger_than_the_pipe(small, message):
    one, two = small
    for sender, receiver in (small, small[::-1]):
        thread = in_thread(sender.send, message)
        received = receiver.recv()
        thread.join()
        if type(message) is bytes:
            assert received == message
        else:
            assert received["c"] == "x"
            np.testing.assert_array_equal(received["a"], message["a"])
            np.testing.assert_array_equal(received["b"], message["b"])
    thread = in_thread(one.send_bytes, bytes(LARGE))
    into = bytearray(LARGE)
    assert two.recv_bytes_into(into) == LARGE
    thread.join()


def test_large_messages_of_many_threads(small):
    """They come whole, whoever sends at the same time."""
    one, two = small
    senders = [in_thread(lambda n=n: [one.send(bytes([n]) * (700_000 * n)) for _ in range(3)]) for n in range(1, 5)]
    received = [two.recv() for _ in range(12)]
    for sender in senders:
        sender.join()
    assert sorted((message[0], len(message)) for message in received) == sorted(
        (n, 700_000 * n) for n in range(1, 5) for _ in range(3)
    )
    assert all(message == message[:1] * len(message) for message in received)


def test_both_send_more_than_fits(small):
    """Each waits for the other to receive; who receives beside goes on."""
    threads = [in_thread(end.send, bytes(LARGE)) for end in small]
    assert [len(end.recv()) for end in small] == [LARGE, LARGE]
    for thread in threads:
        thread.join()


def test_a_large_message_given_up_is_never_seen(small):
    one, two = small
    with pytest.raises(TimeoutError):
        one.send(b"half" * LARGE, timeout=0.05)
    with pytest.raises(TimeoutError):
        two.recv(timeout=0.05)
    one.send("next")
    assert two.recv() == "next"
    with pytest.raises(TimeoutError):
        one.send(b"half" * LARGE, timeout=0)
    thread = in_thread(one.send, b"w" * LARGE)
    assert two.recv() == b"w" * LARGE
    thread.join()


def test_a_large_message_that_comes_slowly(small):
    """A receive that times out keeps what has come."""
    one, two = small
    thread = in_thread(one.send, b"s" * LARGE)
    message = None
    while message is None:
        try:
            message = two.recv(timeout=0)
        except TimeoutError:
            continue
    thread.join()
    assert message == b"s" * LARGE


def test_full(small):
    one, two = small
    with pytest.raises(TimeoutError, match="no room"):
        while True:
            one.send(bytes(5_000), timeout=0)
    with pytest.raises(TimeoutError):
        one.send(bytes(5_000), timeout=0.02)
    sent = one.statistics().unread
    thread = in_thread(one.send, "waits")
    received = [two.recv() for _ in range(sent)]
    assert two.recv() == "waits"
    thread.join()
    assert received == [bytes(5_000)] * sent


def test_poll_and_wait(pair):
    one, two = pair
    assert not two.poll()
    assert not two.poll(-1)
    assert not two.poll(0.01)
    assert connection.wait([one, two], 0) == []
    one.send(1)
    assert two.poll(None)
    assert connection.wait([one, two], 5) == [two]
    assert select.select([one, two], [], [], 5)[0] == [two]
    two.recv()
    assert not two.poll()
    one.close()
    assert two.poll(None)
    assert connection.wait([two]) == [two]


def test_wait_from_another_thread(pair):
    one, two = pair
    thread = in_thread(lambda: connection.wait([two]) and one.close())
    one.send("x")
    thread.join()
    assert two.recv() == "x"
    with pytest.raises(EOFError):
        two.recv()


def test_close_ends_it_after_what_was_sent(pair):
    one, two = pair
    one.send("last")
    one.close()
    one.close()
    assert two.recv() == "last"
    for call in (two.recv, two.recv_bytes, lambda: two.recv_bytes_into(bytearray(1)), lambda: two.recv(timeout=0)):
        with pytest.raises(EOFError):
            call()
    for call in (lambda: two.send(1), lambda: two.send_bytes(b"x"), lambda: two.send(bytes(300 << 20))):
        with pytest.raises(BrokenPipeError):
            call()
    assert list(two) == []


def test_close_wakes_the_other_end(small):
    one, two = small
    with pytest.raises(TimeoutError):
        while True:
            two.send(bytes(5_000), timeout=0)
    raised = []

    def catch(call):
        try:
            call()
        except Exception as error:
            raised.append(type(error))

    threads = [in_thread(catch, two.recv), in_thread(catch, lambda: two.send(bytes(500_000)))]
    while sum((two.statistics().waiting_receivers, two.statistics().waiting_senders)) < 2:
        time.sleep(0.001)
    one.close()
    for thread in threads:
        thread.join()
    assert sorted(raised, key=str) == [BrokenPipeError, EOFError]


def test_close_wakes_own_threads(pair):
    one, two = pair
    raised = []

    def receive():
        try:
            two.recv()
        except weft.ConnectionClosedError as error:
            raised.append(error)

    thread = in_thread(receive)
    while not one.statistics().waiting_receivers:
        time.sleep(0.001)
    two.close()
    thread.join()
    assert len(raised) == 1


def test_views_outlive_both_ends():
    one, two = weft.Pipe()
    one.send(np.arange(10_000))
    array = two.recv()
    two.close()
    with pytest.raises(BrokenPipeError):
        one.send(1)
    one.close()
    assert array.sum() == sum(range(10_000))


def test_one_way():
    reader, writer = weft.Pipe(False)
    with reader, writer:
        writer.send(1)
        assert reader.recv() == 1
        assert (reader.readable, reader.writable) == (True, False)
        assert (writer.readable, writer.writable) == (False, True)
        for call in (writer.recv, writer.poll, lambda: reader.send(1), lambda: reader.send_bytes(b"")):
            with pytest.raises(OSError, match="-only"):
                call()
        assert connection.wait([writer], 0) == []
        reader.close()
        assert connection.wait([writer]) == [writer]
        with pytest.raises(BrokenPipeError):
            writer.send(1)
    assert (reader.readable, writer.writable) == (False, False)


def test_typed():
    one, two = weft.Pipe(type=list[int])
    with one, two:
        one.send([1, 2])
        assert two.recv() == [1, 2]
        with pytest.raises(TypeError):
            one.send(["no"])
        assert not two.poll()


def test_statistics(pair):
    one, two = pair
    one.send(b"x" * 10)
    one.send(b"y" * 20_000)
    state = one.statistics()
    assert (state.sent, state.received, state.unread, state.unread_bytes, state.depth) == (2, 0, 2, 20_010, 0)
    state = two.statistics()
    assert (state.sent, state.received, state.unread, state.depth, state.depth_bytes) == (0, 0, 0, 2, 20_010)
    assert state.connected
    assert state.attached == 2
    assert state.capacity == 256 << 20


def test_closed(pair):
    one, _ = pair
    one.close()
    assert one.closed
    calls = (
        one.recv, one.poll, one.fileno, one.statistics, one.recv_bytes, one.__enter__, one.wait_connected,
        one.recv_handle, lambda: one.send(1), lambda: one.send_bytes(b""), lambda: one.recv_bytes_into(bytearray(1)),
        lambda: one.send_handle(0), lambda: one.loan(5), lambda: one.loan_array(5), lambda: pickle.dumps(one),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(weft.ConnectionClosedError) as caught:
            call()
        assert isinstance(caught.value, OSError)
    assert "closed" in repr(one)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda one, two: one.send(object()), TypeError),
        (lambda one, two: one.send(1, timeout=-1), ValueError),
        (lambda one, two: one.send(1, timeout="soon"), TypeError),
        (lambda one, two: one.send_bytes("text"), TypeError),
        (lambda one, two: one.send_bytes(b"abc", 4), ValueError),
        (lambda one, two: one.send_bytes(b"abc", -1), ValueError),
        (lambda one, two: one.send_bytes(b"abc", 1, 3), ValueError),
        (lambda one, two: one.send_bytes(b"abc", 1, -1), ValueError),
        (lambda one, two: one.send_bytes(b"abc", 1 << 70), OverflowError),
        (lambda one, two: one.send_bytes(np.zeros((4, 4))[:, 1]), (BufferError, ValueError)),
        (lambda one, two: two.recv(timeout=-1), ValueError),
        (lambda one, two: two.recv_bytes(-1), ValueError),
        (lambda one, two: two.recv_bytes_into(b"readonly"), (BufferError, TypeError)),
        (lambda one, two: two.recv_bytes_into(bytearray(3), -1), ValueError),
        (lambda one, two: two.recv_bytes_into(bytearray(3), 4), ValueError),
        (lambda one, two: one.send_handle("no"), TypeError),
        (lambda one, two: one.send_handle(True), TypeError),
        (lambda one, two: one.send_handle(999_999), OSError),
        (lambda one, two: two.recv_handle(timeout=0), weft.MismatchError),
        (lambda one, two: one.loan(0), ValueError),
        (lambda one, two: one.loan("x"), TypeError),
        (lambda one, two: one.loan_array((-1,)), ValueError),
    ],
)
def test_bad_calls_change_nothing(pair, call, error):
    one, two = pair
    one.send("kept")
    with pytest.raises(error):
        call(one, two)
    assert two.recv() == "kept"
    assert not two.poll()


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (("bad name",), {}, ValueError),
        ((3.5,), {}, TypeError),
        ((True, False), {}, TypeError),
        ((), {"create": False}, ValueError),
        ((), {"capacity": 100}, ValueError),
        ((), {"capacity": "1"}, TypeError),
        ((), {"lifetime": "never"}, ValueError),
        ((), {"wait": "long"}, ValueError),
        ((), {"codec": "morse"}, ValueError),
        (("gone",), {"create": False}, weft.NotFoundError),
    ],
)
def test_bad_settings(arguments, options, error):
    with pytest.raises(error):
        weft.Pipe(*arguments, **options)


def test_an_end_comes_from_pipe():
    with pytest.raises(TypeError, match="Pipe"):
        weft.PipeEnd()
    with pytest.raises(weft.ConnectionClosedError):
        weft.PipeEnd.__new__(weft.PipeEnd).recv()
