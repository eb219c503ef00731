"""Connections: the interface of the standard library's, timeouts, limits, and what an end looks like."""

import array
import itertools
import os
import select
import signal
import socket
import threading
import time
from multiprocessing import BufferTooShort
from multiprocessing.connection import wait

import numpy as np
import pytest

import weft

from ..helpers import start_program, until
from .pairs import FAMILIES, Result, connect_to, pair

SIZES = [0, 1, 7, 8, 100, 16_383, 16_384, 16_385, 32_759, 32_768, 32_769, 65_536, 1_000_003]


@pytest.fixture(params=FAMILIES)
def ends(request):
    with pair(request.param) as both:
        yield both


# --- messages ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_bytes_of_any_size(ends, size):
    client, accepted = ends
    message = os.urandom(size)
    sending = Result(client.send_bytes, message)
    assert accepted.recv_bytes() == message
    sending.get()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("timeout", [None, 60])
def test_objects_of_any_size(ends, size, timeout):
    client, accepted = ends
    message = {"text": "é" * size, "data": (os.urandom(size), [size])}
    sending = Result(accepted.send, message, timeout=timeout)
    assert client.recv(timeout=timeout) == message
    sending.get()


def test_many_messages_keep_their_order_and_bounds(ends):
    client, accepted = ends
    messages = [os.urandom(i * 37 % 5000) for i in range(2000)]
    sending = Result(lambda: [client.send_bytes(message) for message in messages])
    assert [accepted.recv_bytes() for _ in messages] == messages
    sending.get()
    assert not accepted.poll()


def test_both_ways_at_once(ends):
    client, accepted = ends
    message = os.urandom(3_000_000)
    sending = [Result(end.send_bytes, message) for end in ends]
    assert client.recv_bytes() == accepted.recv_bytes() == message
    for each in sending:
        each.get()


def test_a_message_is_received_in_any_pieces(ends):
    """Between them come timeouts, which keep what has come."""
    client, accepted = ends
    for size in (10, 40_000):
        message = os.urandom(size)
        frame = (size + 1).to_bytes(8, "little") + b"\2" + message
        cuts = sorted({0, 1, 7, 8, 9, 10, 10 + size // 2, size + 8, len(frame)})
        for start, end in itertools.pairwise(cuts):
            with pytest.raises(TimeoutError):
                accepted.recv_bytes(timeout=0)
            os.write(client.fileno(), frame[start:end])
            assert accepted.poll(60)
        assert accepted.recv_bytes() == message


@pytest.mark.parametrize("message", [[1, 2.25, None], "x" * 50_000, np.arange(100_000)], ids=["small", "text", "array"])
def test_an_encoded_object_can_be_passed_on(ends, message):
    client, accepted = ends
    sending = Result(client.send, message)
    encoded = accepted.recv_bytes()
    sending.get()
    sending = Result(accepted.send_bytes, encoded)
    received = client.recv()
    sending.get()
    assert np.array_equal(received, message) if isinstance(message, np.ndarray) else received == message


def test_bytes_that_are_no_object(ends):
    client, accepted = ends
    for data in (b"", b"abc", b"\xff" * 100, bytes(50_000)):
        client.send_bytes(data)
        with pytest.raises(weft.CorruptedError):
            accepted.recv()
    client.send("next")
    assert accepted.recv() == "next"


@pytest.mark.parametrize("timeout", [None, 60])
def test_the_wrong_call_takes_nothing(timeout):
    with pair() as (client, accepted):
        client.send([1])
        client.send_handle(0)
        with pytest.raises(weft.MismatchError, match=r"sent by send\(\): receive it by recv\(\)"):
            accepted.recv_handle(timeout=timeout)
        assert accepted.poll()
        assert accepted.recv(timeout) == [1]
        for call in (accepted.recv, accepted.recv_bytes):
            with pytest.raises(weft.MismatchError, match=r"recv_handle\(\)"):
                call(timeout=timeout)
        os.close(accepted.recv_handle(timeout=timeout))


def test_slices_of_buffers(ends):
    client, accepted = ends
    numbers = array.array("i", range(10))
    client.send_bytes(numbers, 8, 12)
    assert array.array("i", accepted.recv_bytes()) == array.array("i", [2, 3, 4])
    client.send_bytes(memoryview(b"abcdef"), 2)
    assert accepted.recv_bytes() == b"cdef"
    client.send_bytes(np.zeros((3, 4), "u1"))
    assert accepted.recv_bytes() == bytes(12)
    for arguments, sentence in [
        ((-1,), "offset is negative"),
        ((7,), "buffer length < offset"),
        ((1, -1), "size is negative"),
        ((1, 6), r"buffer length < offset \+ size"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            client.send_bytes(b"abcdef", *arguments)
    with pytest.raises(BufferError, match="not contiguous"):
        client.send_bytes(memoryview(b"abcdef")[::2])
    with pytest.raises(TypeError):
        client.send_bytes("text")
    assert not accepted.poll()


def test_receiving_into_memory(ends):
    client, accepted = ends
    buffer = array.array("i", [0] * 10)
    client.send_bytes(array.array("i", [1, 2, 3]))
    assert accepted.recv_bytes_into(buffer, 8) == 12
    assert list(buffer) == [0, 0, 1, 2, 3, 0, 0, 0, 0, 0]
    client.send_bytes(b"too long for it")
    with pytest.raises(BufferTooShort) as short:
        accepted.recv_bytes_into(bytearray(5))
    assert short.value.args == (b"too long for it",)
    client.send_bytes(b"")
    assert accepted.recv_bytes_into(bytearray(5), 5) == 0
    client.send_bytes(b"kept")
    for bad, error in [((bytearray(5), -1), ValueError), ((bytearray(5), 6), ValueError), ((b"12345",), BufferError)]:
        with pytest.raises(error):
            accepted.recv_bytes_into(*bad)
    assert accepted.recv_bytes() == b"kept"


@pytest.mark.parametrize("size", [11, 100_000])
def test_maxlength_leaves_the_message_where_it_is(ends, size):
    client, accepted = ends
    client.send_bytes(bytes(size))
    client.send(2)
    for _ in range(2):
        with pytest.raises(OSError, match="bad message length") as long:
            accepted.recv_bytes(10)
        assert isinstance(long.value, weft.MessageTooLargeError)
        assert (long.value.size, long.value.limit) == (size, 10)
    with pytest.raises(ValueError, match="negative maxlength"):
        accepted.recv_bytes(-1)
    assert len(accepted.recv_bytes(size)) == size
    assert accepted.recv() == 2


def test_maxlength_of_a_message_that_was_read_already(ends):
    client, accepted = ends
    client.send_bytes(b"0123456789")
    with pytest.raises(weft.MismatchError):
        accepted.recv_handle()
    with pytest.raises(OSError, match="bad message length"):
        accepted.recv_bytes(9)
    assert accepted.recv_bytes(10) == b"0123456789"


# --- what may pass -------------------------------------------------------------------------------------


def test_what_the_codec_does_not_carry_is_refused_and_harms_nothing(ends):
    client, accepted = ends
    with pytest.raises(TypeError):
        client.send(object())
    client.send("next")
    assert accepted.recv() == "next"


def test_a_message_larger_than_the_other_side_takes():
    with pair(listening={"max_message": 100}, calling={"max_message": 50}) as (client, accepted):
        client.send_bytes(bytes(100))
        assert len(accepted.recv_bytes()) == 100
        for call, size in [(client.send_bytes, 101), (accepted.send_bytes, 51), (client.send, 101)]:
            with pytest.raises(weft.MessageTooLargeError, match="larger than the other side takes") as large:
                call(bytes(size))
            assert large.value.size >= size
        assert (client.max_message, accepted.max_message) == (50, 100)
        accepted.send("next")
        assert client.recv() == "next"


@pytest.mark.parametrize("codec", ["raw", "json", "msgspec", "pickle"])
@pytest.mark.parametrize("size", [0, 5, 100_000])
def test_codecs(codec, size):
    message = bytes(size) if codec == "raw" else {"a": "x" * size}
    with pair(both={"codec": codec}) as (client, accepted):
        sending = Result(client.send, message)
        assert accepted.recv() == message
        sending.get()


def test_typed_connections():
    with pair(both={"type": dict[str, int]}) as (client, accepted):
        client.send({"a": 1})
        assert accepted.recv() == {"a": 1}
        with pytest.raises(TypeError, match="this channel carries"):
            client.send({"a": "b"})


def test_a_message_that_can_not_be_decoded_harms_no_other():
    class Odd:
        name = "odd"

        def encode(self, obj):
            return obj

        def decode(self, data):
            raise ArithmeticError(bytes(data))

    with pair(both={"codec": Odd()}) as (client, accepted):
        client.send(b"one")
        with pytest.raises(ArithmeticError):
            accepted.recv()
        client.send_bytes(b"two")
        assert accepted.recv_bytes() == b"two"


# --- time ----------------------------------------------------------------------------------------------


def test_timeouts_take_nothing(ends):
    client, accepted = ends
    for call in (client.recv, client.recv_bytes, client.recv_handle):
        with pytest.raises(TimeoutError, match="in time"):
            call(timeout=0)
        with pytest.raises(TimeoutError):
            call(timeout=0.01)
        with pytest.raises(ValueError, match="timeout"):
            call(timeout=-1)
    with pytest.raises(ValueError, match="timeout"):
        client.send_bytes(bytes(100_000), timeout=-1)
    accepted.send(1)
    assert client.recv(timeout=60) == 1


def test_a_send_that_times_out_at_the_start_has_sent_nothing():
    with pair() as (client, accepted):
        sent = 0
        with pytest.raises(TimeoutError, match="nothing of it has been sent"):
            while True:
                client.send_bytes(bytes(8000), timeout=0)
                sent += 1
        for _ in range(sent):
            assert accepted.recv_bytes() == bytes(8000)
        assert not accepted.poll()
        client.send("next")
        assert accepted.recv() == "next"


@pytest.mark.parametrize("mutable", [False, True])
def test_a_send_that_times_out_in_the_middle_is_finished_by_the_next(ends, mutable):
    client, accepted = ends
    message = bytearray(os.urandom(20_000_000))
    expected = bytes(message)
    with pytest.raises(TimeoutError, match="goes out before the next"):
        client.send_bytes(message if mutable else expected, timeout=0.01)
    if mutable:
        message[:] = bytes(len(message))  # it is the caller's again
    sending = Result(client.send, "next")
    assert accepted.recv_bytes() == expected
    assert accepted.recv() == "next"
    sending.get()


def test_poll(ends):
    client, accepted = ends
    assert not client.poll()
    assert not client.poll(-1)
    assert not client.poll(0.01)
    accepted.send_bytes(b"")
    assert client.poll(60)
    assert client.poll(None)
    assert client.recv_bytes() == b""
    assert not client.poll()


def test_select_knows_of_what_is_next(ends):
    """Each message wakes the one who waits for it, whatever has been read along with the one before."""
    client, accepted = ends
    for size in (0, 1, 5000, 40_000, 0):
        client.send_bytes(bytes(size))
    for size in (0, 1, 5000, 40_000, 0):
        assert wait([accepted], 60) == [accepted]
        assert select.select([accepted], [], [], 60)[0] == [accepted]
        assert len(accepted.recv_bytes()) == size
    assert wait([accepted], 0) == []
    client.close()
    assert wait([accepted], 60) == [accepted]


@pytest.mark.parametrize("blocked", ["recv", "recv_bytes", "poll"])
def test_ctrl_c_ends_a_wait_and_loses_nothing(ends, blocked):
    client, accepted = ends
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        pytest.skip("Ctrl-C has another handler here")
    main = threading.main_thread().ident
    done = threading.Event()

    def interrupt():
        while not done.wait(0.02):
            signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    with pytest.raises(KeyboardInterrupt):
        try:
            thread.start()
            client.poll(None) if blocked == "poll" else getattr(client, blocked)()
        finally:
            done.set()
    thread.join()
    accepted.send_bytes(b"still here")
    assert client.recv_bytes() == b"still here"


# --- the end -------------------------------------------------------------------------------------------


def test_close_lets_what_was_sent_be_received(ends):
    client, accepted = ends
    for i in range(100):
        client.send(i)
    client.close()
    assert list(accepted) == list(range(100))
    for call in (accepted.recv, accepted.recv_bytes, accepted.recv_handle):
        with pytest.raises(EOFError, match="has been closed"):
            call()
    assert accepted.poll()
    with pytest.raises(BrokenPipeError, match="the other end is closed"):
        accepted.send(1)


def test_close_with_something_unread(ends):
    """TCP would answer by a reset, and that may overtake what was sent before."""
    client, accepted = ends
    client.send("unread")
    until(lambda: accepted.poll(60))
    for i in range(100):
        accepted.send(i)
    accepted.close()
    assert list(client) == list(range(100))


def test_a_closed_end(ends):
    client, _ = ends
    assert not client.closed
    assert client.readable
    assert client.writable
    client.close()
    client.close()
    assert client.closed
    assert "closed" in repr(client)
    for call in (client.recv, client.recv_bytes, client.poll, client.fileno, client.recv_handle, client.wait_connected):
        with pytest.raises(OSError, match="handle is closed") as closed:
            call()
        assert isinstance(closed.value, weft.ClosedError)
    for call in (client.send, client.send_bytes, client.send_handle):
        with pytest.raises(weft.ConnectionClosedError):
            call(b"")


def test_close_ends_the_waits_of_other_threads():
    with pair() as (client, _):
        waiting = [Result(client.recv), Result(client.recv_bytes, timeout=60), Result(client.recv, timeout=60)]
        while not client._reading.locked():
            time.sleep(0.001)
        client.close()
        for each in waiting:
            with pytest.raises(weft.ConnectionClosedError):
                each.get()


def test_close_ends_a_send_that_waits():
    with pair() as (client, _):
        waiting = Result(client.send_bytes, bytes(50_000_000))
        until(lambda: client._out is not None)
        client.close()
        with pytest.raises(weft.ConnectionClosedError):
            waiting.get()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_death_of_the_other_process_is_no_normal_end(family):
    with weft.Listener(family=family) as listener:
        code = "connection = weft.Client(eval(sys.argv[1])); connection.send(1); connection.send(2); say(connection.recv()); hear()"
        with start_program(code, repr(listener.address)) as program:
            connection = listener.accept()
            connection.send("ready")
            program.expect("ready")
            program.process.kill()
            program.process.wait()
        with connection:
            assert [connection.recv(), connection.recv()] == [1, 2]
            for _ in range(2):
                with pytest.raises(ConnectionResetError, match="without a goodbye") as died:
                    connection.recv()
                assert isinstance(died.value, weft.PeerDied)
            with pytest.raises(BrokenPipeError):
                connection.send(1)


@pytest.mark.parametrize(
    ("ending", "error"),
    [
        ("", EOFError),
        ("sys.exit(0)", EOFError),
        ("connection.close()", EOFError),
        ("del connection", EOFError),
        ("import os; os._exit(0)", weft.ConnectionLostError),
    ],
)
def test_how_a_process_ends(ending, error):
    with weft.Listener() as listener:
        code = f"connection = weft.Client(sys.argv[1]); connection.send(1); connection.recv(); {ending}"
        with start_program(code, listener.address) as program, listener.accept() as connection:
            assert connection.recv() == 1
            connection.send(2)
            program.finish()
            with pytest.raises(error):
                connection.recv()


def test_a_message_that_is_cut_is_not_delivered():
    with weft.Listener() as listener:
        code = """
            import os
            connection = weft.Client(sys.argv[1])
            connection.send("whole")
            os.write(connection.fileno(), (100).to_bytes(8, "little") + b"\\2half")
            hear()
        """
        with start_program(code, listener.address) as program, listener.accept() as connection:
            assert connection.recv() == "whole"
            with pytest.raises(TimeoutError):
                connection.recv(timeout=0.05)
            program.process.kill()
            program.process.wait()
            with pytest.raises(weft.ConnectionLostError, match="in the middle of a message"):
                connection.recv()


def test_a_peer_that_stops_in_the_middle_of_a_message():
    small, large = (5).to_bytes(8, "little"), (40_000).to_bytes(8, "little")
    for start in (b"\1", small, small + b"\2ab", large, large + b"\2", large + b"\1ab", large + b"\1" + bytes(100)):
        with pair(listening={"frame_timeout": 0.05}) as (client, accepted):
            os.write(client.fileno(), start)
            with pytest.raises(weft.ConnectionLostError, match="frame_timeout"):
                accepted.recv()


def test_iteration_ends_with_the_connection(ends):
    client, accepted = ends
    client.send("a")
    client.close()
    assert list(accepted) == ["a"]


# --- who is there --------------------------------------------------------------------------------------


def test_peers():
    with pair() as (client, accepted):
        for end in (client, accepted):
            assert (end.peer.pid, end.peer.uid, end.peer.gid) == (os.getpid(), os.geteuid(), os.getegid())
            assert f"process {os.getpid()}" in repr(end)
    with pair("AF_INET") as (client, accepted):
        assert client.peer.uid is None
        assert client.peer.address[0] == accepted.peer.address[0] == "127.0.0.1"
        sock = socket.socket(fileno=os.dup(client.fileno()))
        assert accepted.peer.address == sock.getsockname()
        sock.close()


# --- descriptors ---------------------------------------------------------------------------------------


def test_descriptors_come_in_order_with_messages():
    with pair() as (client, accepted):
        read_end, write_end = os.pipe()
        client.send("before")
        client.send_handle(write_end)
        with os.fdopen(read_end, "rb") as reader:
            client.send_handle(reader)
            client.send("after")
            os.close(write_end)
            assert accepted.recv() == "before"
            with pytest.raises(weft.MismatchError, match="recv_handle"):
                accepted.recv()
            received = accepted.recv_handle()
            assert not os.get_inheritable(received)
            os.write(received, b"through")
            os.close(received)
            os.close(accepted.recv_handle())
            assert accepted.recv() == "after"
            assert reader.read() == b"through"


def test_many_descriptors_among_large_and_small_messages():
    with pair() as (client, accepted):

        def send():
            for i in range(300):
                client.send_handle(0)
                client.send_bytes(bytes(i * 100))

        sending = Result(send)
        for i in range(300):
            os.close(accepted.recv_handle())
            assert len(accepted.recv_bytes()) == i * 100
        sending.get()


def test_descriptors_that_nobody_takes_are_closed():
    with pair() as (client, accepted):
        client.send_handle(0)
        client.send_handle(0)
        with pytest.raises(weft.MismatchError):
            accepted.recv()
        accepted.close()


def test_what_is_no_descriptor():
    with pair() as (client, _):
        with pytest.raises(OSError, match="can't be passed"):
            client.send_handle(1_000_000)
        for wrong in ("0", None, True, 1.0):
            with pytest.raises(TypeError, match="descriptor"):
                client.send_handle(wrong)
    with pair("AF_INET") as (client, _), pytest.raises(ValueError, match="Unix sockets"):
        client.send_handle(0)


# --- threads -------------------------------------------------------------------------------------------


def test_threads_share_a_connection(ends):
    client, accepted = ends
    senders = [Result(lambda n: [client.send((n, i)) for i in range(500)], n) for n in range(4)]
    takers = [Result(lambda: [accepted.recv() for _ in range(500)]) for _ in range(4)]
    got = [message for taker in takers for message in taker.get()]
    assert sorted(got) == [(n, i) for n in range(4) for i in range(500)]
    for sender in senders:
        sender.get()


def test_a_client_without_a_key_does_not_wait_to_be_accepted():
    with weft.Listener() as listener, weft.Client(listener.address) as client:
        client.send("early")
        assert not client.poll(0.01)
        with pytest.raises(TimeoutError, match="accepted"):
            client.wait_connected(timeout=0.01)
        with listener.accept() as accepted:
            assert accepted.recv() == "early"
            client.wait_connected()
            accepted.send("late")
            assert client.poll(60)
            assert client.recv() == "late"


def test_a_dropped_connection_is_closed():
    with weft.Listener() as listener:
        client, accepted = connect_to(listener)
        client.send(1)
        del client
        assert accepted.recv() == 1
        with pytest.raises(EOFError):
            accepted.recv()
        accepted.close()
