"""protocol="multiprocessing": the standard library's own clients and listeners at the other end."""

import multiprocessing.connection as standard
import os
import threading

import pytest

import weft

from ..helpers import start_program
from .pairs import Result

FAMILIES = ["AF_UNIX", "AF_INET"]
KEYS = [None, b"key"]
MESSAGES = [None, 1, "text", [1.5, {"a": (1, 2)}], b"x" * 100_000, range(5)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("key", KEYS)
def test_a_client_of_the_standard_library(family, key):
    with weft.Listener(family=family, authkey=key, protocol="multiprocessing") as listener:
        code = """
            import multiprocessing.connection
            address, key = eval(sys.argv[1])
            with multiprocessing.connection.Client(address, authkey=key) as connection:
                while (message := connection.recv()) != "end":
                    connection.send(message)
                while message := connection.recv_bytes():
                    connection.send_bytes(message)
        """
        with start_program(code, repr((listener.address, key))) as program, listener.accept() as connection:
            for message in MESSAGES:
                connection.send(message)
                assert connection.recv() == message
            connection.send("end")
            for size in (1, 16_384, 16_385, 32_768, 32_769, 2_000_000):
                message = os.urandom(size)
                sending = Result(connection.send_bytes, message)
                assert connection.recv_bytes(timeout=60) == message
                sending.get()
            connection.send_bytes(b"")
            with pytest.raises(EOFError):
                connection.recv()
            program.finish()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("key", KEYS)
def test_a_listener_of_the_standard_library(family, key):
    code = """
        import multiprocessing.connection
        family, key = eval(sys.argv[1])
        with multiprocessing.connection.Listener(family=family, authkey=key) as listener:
            say(repr(listener.address))
            with listener.accept() as connection:
                while (message := connection.recv()) is not Ellipsis:
                    connection.send(message)
    """
    with start_program(code, repr((family, key))) as program:
        address = eval(program.hear())
        with weft.Client(address, authkey=key, protocol="multiprocessing") as connection:
            for message in MESSAGES:
                connection.send(message)
                assert connection.recv() == message
            connection.send(...)
            with pytest.raises(EOFError, match="the other end is closed"):
                connection.recv()
            with pytest.raises(BrokenPipeError):
                while True:
                    connection.send_bytes(bytes(100_000))
            with pytest.raises(ValueError, match="weft's own protocol"):
                connection.send_handle(0)


def test_both_ends_of_weft():
    with weft.Listener(protocol="multiprocessing", authkey="k") as listener:
        client = Result(weft.Client, listener.address, protocol="multiprocessing", authkey="k")
        with listener.accept() as accepted, client.get() as connection:
            for message in MESSAGES:
                connection.send(message)
                assert accepted.recv(timeout=60) == message
            connection.send_bytes(b"")
            assert accepted.poll(60)
            assert accepted.recv_bytes() == b""
            connection.send_bytes(b"0123456789")
            with pytest.raises(OSError, match="bad message length"):
                accepted.recv_bytes(9)
            assert accepted.recv_bytes(10) == b"0123456789"


def failure_of(call, *arguments, **options):
    """The type of what a call raises; the standard library's leave sockets to the exception's traceback."""
    try:
        call(*arguments, **options)
    except Exception as error:
        return type(error)


def test_the_other_side_has_another_key():
    with weft.Listener(protocol="multiprocessing", authkey=b"right") as listener:
        client = Result(failure_of, standard.Client, listener.address, authkey=b"wrong")
        with pytest.raises(weft.AuthenticationError):
            listener.accept(timeout=60)
        assert client.get() is standard.AuthenticationError
    with standard.Listener(authkey=b"right") as listener:
        accepting = Result(failure_of, listener.accept)
        with pytest.raises(weft.AuthenticationError, match="rejected"):
            weft.Client(listener.address, authkey=b"wrong", protocol="multiprocessing")
        assert accepting.get() is standard.AuthenticationError


def test_the_other_side_has_no_key():
    with standard.Listener() as listener:

        def accept():
            with listener.accept() as connection:
                connection.send_bytes(b"hello")

        accepting = Result(accept)
        with pytest.raises(weft.AuthenticationError, match="a challenge was expected"):
            weft.Client(listener.address, authkey=b"key", protocol="multiprocessing")
        accepting.get()


def test_the_two_protocols_do_not_mix(caplog):
    with weft.Listener() as listener:
        client = standard.Client(listener.address)
        client.send("a message long enough to be taken for a hello, which is forty-eight bytes")
        with pytest.raises(TimeoutError):
            listener.accept(timeout=0.05)
        with pytest.raises((EOFError, ConnectionResetError)):
            client.recv()
        client.close()
    assert 'protocol="multiprocessing"' in caplog.text
    with standard.Listener() as listener:
        thread = threading.Thread(target=lambda: listener.accept().send_bytes(bytes(200)))
        thread.start()
        with pytest.raises(weft.CorruptedError, match="does not speak weft"), weft.Client(listener.address) as client:
            client.recv()
        thread.join()


def test_a_message_that_is_cut():
    with weft.Listener(protocol="multiprocessing") as listener:
        client = standard.Client(listener.address)
        with listener.accept() as accepted:
            os.write(client.fileno(), b"\0\0\0\x64half of it")
            client.close()
            with pytest.raises(OSError, match="got end of file during message"):
                accepted.recv_bytes()


def test_a_message_larger_than_permitted():
    with weft.Listener(protocol="multiprocessing", max_message=1000) as listener:
        client = standard.Client(listener.address)
        with listener.accept() as accepted:
            os.write(client.fileno(), b"\xff\xff\xff\xff\x7f" + bytes(7))
            with pytest.raises(weft.CorruptedError, match="max_message=1000"):
                accepted.recv()
            client.close()


def test_a_full_listener():
    with weft.Listener(protocol="multiprocessing", max_connections=1) as listener:
        client = standard.Client(listener.address)
        with listener.accept(), standard.Client(listener.address) as other:
            with pytest.raises(TimeoutError):
                listener.accept(timeout=0.05)
            with pytest.raises((EOFError, ConnectionResetError)):
                other.recv()
        client.close()
