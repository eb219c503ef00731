"""Hostile peers: they get no data, cost bounded memory and time, and do not disturb the others.

`corpus/` holds what has been tried by hand; hypothesis tries more.
"""

import contextlib
import os
import resource
import socket
import struct
import threading
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import weft
from weft.sockets.framing import HANDLES_FLAG, PREFIX, Hello, Terms

from .pairs import Result, connect_to, pair

CORPUS = Path(__file__).parent / "corpus"
LIMIT = 1_000_000
OUR_ERRORS = (weft.WeftError, EOFError)


def corpus(name):
    for line in (CORPUS / f"{name}.txt").read_text().splitlines():
        if not line.startswith("#"):
            title, _, text = line.partition(":")
            data = b""
            for word in text.split():
                digits, _, times = word.partition("*")
                data += bytes.fromhex(digits) * int(times or 1)
            yield pytest.param(data, id=title)


def call(listener):
    family = socket.AF_UNIX if isinstance(listener.address, str) else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.connect(listener.address)
    return sock


def end(sock):
    with contextlib.suppress(OSError):  # the other side has cut it already
        sock.shutdown(socket.SHUT_WR)


def everything(sock):
    """What comes until the end."""
    data = b""
    while True:
        try:
            chunk = sock.recv(1 << 16)
        except ConnectionResetError:
            return data
        if not chunk:
            return data
        data += chunk


def serve_one(listener, key):
    """A good client comes, is accepted and answered; what fails before it is passed over."""
    client = Result(weft.Client, listener.address, authkey=key)
    while True:
        try:
            accepted = listener.accept(timeout=60)
            break
        except weft.AuthenticationError:
            continue
    with accepted, client.get() as connection:
        connection.send("good")
        assert accepted.recv() == "good"


# --- before the handshake is over ----------------------------------------------------------------------


@pytest.mark.parametrize("family", ["AF_UNIX", "AF_INET"])
@pytest.mark.parametrize("key", [None, b"key"])
@pytest.mark.parametrize("data", list(corpus("handshakes")))
def test_handshakes(family, key, data):
    with weft.Listener(family=family, authkey=key) as listener, call(listener) as hostile:
        hostile.sendall(data)
        serve_one(listener, key)
        end(hostile)
        serve_one(listener, key)
        said = everything(hostile)
        assert len(said) in (0, Hello.LAYOUT.size) if key else len(said) <= Hello.LAYOUT.size + Terms.LAYOUT.size
        serve_one(listener, key)
        statistics = listener.statistics()
        assert (statistics.accepted, statistics.handshaking) == (3, 0)
        assert statistics.failed + statistics.refused == 1


@pytest.mark.parametrize("key", [None, b"key"])
@given(data=st.binary(max_size=300), good=st.integers(0, 48))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_as_a_handshake(key, data, good):
    with weft.Listener(authkey=key) as listener, call(listener) as hostile:
        hostile.sendall(Hello.new(bool(key)).pack()[:good] + data)
        end(hostile)
        serve_one(listener, key)
        statistics = listener.statistics()
        assert (statistics.accepted, statistics.handshaking) == (1, 0)
        said = everything(hostile)
        assert len(said) <= Hello.LAYOUT.size + (0 if key else Terms.LAYOUT.size)


@pytest.mark.parametrize("key", [None, b"key"])
def test_a_handshake_byte_by_byte(key):
    """Slow, but honest: it may take as long as ``handshake_timeout``, and no longer."""
    hello, terms = Hello.new(bool(key)).pack(), Terms.of({"codec": "default"}, LIMIT).pack()
    with weft.Listener(authkey=key, handshake_timeout=0.3) as listener, call(listener) as slow:
        for byte in (hello + (b"" if key else terms))[:-1]:
            slow.send(bytes((byte,)))
            with pytest.raises(TimeoutError):
                listener.accept(timeout=0)
        serve_one(listener, key)
        deadline = time.monotonic() + 60
        while listener.statistics().handshaking:
            with pytest.raises(TimeoutError):
                listener.accept(timeout=0.05)
            assert time.monotonic() < deadline
        everything(slow)
        assert listener.statistics().failed == 1


def test_a_thousand_idle_connections():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    idle = []
    try:
        with weft.Listener(authkey=b"key", backlog=2000) as listener:
            idle += [call(listener) for _ in range(1000)]
            tracemalloc.start()
            for _ in range(5):
                serve_one(listener, b"key")
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            statistics = listener.statistics()
            assert statistics.accepted == 5
            assert statistics.handshaking <= 64
            assert statistics.failed >= 1000 - 64
            assert peak < 8_000_000
    finally:
        tracemalloc.stop()
        for sock in idle:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_many_with_wrong_keys_and_one_with_the_right_one():
    with weft.Listener(authkey=b"right") as listener:
        stop = threading.Event()

        def attack():
            while not stop.is_set():
                with pytest.raises((weft.AuthenticationError, ConnectionError, TimeoutError)):
                    weft.Client(listener.address, authkey=b"wrong", handshake_timeout=60)

        attackers = [Result(attack) for _ in range(3)]
        for _ in range(20):
            serve_one(listener, b"right")
        stop.set()
        while any(attacker.pending for attacker in attackers):
            with pytest.raises((weft.AuthenticationError, TimeoutError)):
                listener.accept(timeout=0.01)
        for attacker in attackers:
            attacker.get()
        assert listener.statistics().accepted == 20


@pytest.mark.parametrize("data", list(corpus("handshakes")))
def test_a_hostile_listener(data):
    with socket.create_server(("127.0.0.1", 0)) as server:
        for key in (None, b"key"):

            def call(key=key):
                with weft.Client(server.getsockname(), authkey=key, handshake_timeout=60) as client:
                    client.recv()

            client = Result(call)
            hostile, _ = server.accept()
            with hostile:
                hostile.sendall(data)
                end(hostile)
                with pytest.raises(OUR_ERRORS):
                    client.get()
                assert len(everything(hostile)) <= Hello.LAYOUT.size + (32 if key else Terms.LAYOUT.size)


# --- frames --------------------------------------------------------------------------------------------


def take_all(connection):
    """Receives until something else comes than a message; what ended it."""
    while True:
        try:
            connection.recv(timeout=0)
        except weft.CorruptedError as error:
            if connection._ended is None:
                continue  # one message that can't be decoded
            return error
        except Exception as error:
            return error


@pytest.mark.parametrize("family", ["AF_UNIX", "AF_INET"])
@pytest.mark.parametrize("data", list(corpus("frames")))
def test_frames(family, data):
    with weft.Listener(family=family, max_message=LIMIT) as listener:
        client, accepted = connect_to(listener)
        other, other_accepted = connect_to(listener)
        tracemalloc.start()
        sock = socket.socket(fileno=os.dup(client.fileno()))
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        sock.close()
        while isinstance(error := take_all(accepted), TimeoutError):
            pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert isinstance(error, OUR_ERRORS), error
        assert peak < 4 * LIMIT
        assert type(take_all(accepted)) is type(error)
        other.send("undisturbed")
        assert other_accepted.recv() == "undisturbed"
        for end in (client, accepted, other, other_accepted):
            end.close()


FRAMES = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda size, flag, kind, rest: (
            PREFIX.pack((size | (HANDLES_FLAG if flag else 0)) & (1 << 64) - 1) + kind + rest
        ),
        st.one_of(st.integers(0, 300), st.integers(30_000, 40_000), st.integers(0, 1 << 64)),
        st.booleans(),
        st.sampled_from([b"\0", b"\1", b"\2", b"\3", b"\4", b"\5", b""]),
        st.binary(max_size=300),
    ),
    st.builds(
        lambda body: PREFIX.pack(len(body) + 9) + struct.pack("<BQ", 1, len(body)) + body,
        st.binary(min_size=1, max_size=100),
    ),
)


@pytest.mark.parametrize("family", ["AF_UNIX", "AF_INET"])
@given(frames=st.lists(FRAMES, max_size=5), way=st.sampled_from(["recv", "recv_bytes", "recv_handle"]))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_frames(family, frames, way):
    with pair(family, both={"max_message": LIMIT}) as (client, accepted):
        sock = socket.socket(fileno=os.dup(client.fileno()))
        sock.sendall(b"".join(frames))
        sock.shutdown(socket.SHUT_WR)
        sock.close()
        for _ in range(1000):
            try:
                getattr(accepted, way)()
            except weft.MismatchError:
                way = "recv" if "recv()" in str(accepted._pending) or accepted._pending.kind != 5 else "recv_handle"
                accepted._pending = None
            except OUR_ERRORS:
                if accepted._ended is not None:
                    break
        else:
            raise AssertionError("no end")


def test_a_length_of_2_to_the_63_costs_nothing():
    for length in (1 << 62, (1 << 63) - 1, (1 << 64) - 1, LIMIT + 100):
        with pair(listening={"max_message": LIMIT}) as (client, accepted):
            os.write(client.fileno(), PREFIX.pack(length) + b"\2")
            tracemalloc.start()
            with pytest.raises(weft.CorruptedError):
                accepted.recv_bytes()
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 100_000


def test_a_large_message_that_drips_in_takes_memory_as_it_comes():
    with pair(listening={"max_message": 1 << 30, "frame_timeout": 60}) as (client, accepted):
        os.write(client.fileno(), PREFIX.pack(1 << 29) + b"\2" + bytes(1000))
        tracemalloc.start()
        for _ in range(200):
            os.write(client.fileno(), b"x")
            with pytest.raises(TimeoutError):
                accepted.recv_bytes(timeout=0)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 4_000_000


def test_a_peer_that_does_not_read_blocks_its_own_sender_alone():
    with weft.Listener() as listener:
        deaf, deaf_accepted = connect_to(listener)
        other, other_accepted = connect_to(listener)
        with pytest.raises(TimeoutError):
            while True:
                deaf_accepted.send_bytes(bytes(60_000), timeout=0)
        other_accepted.send(1)
        assert other.recv() == 1
        for end in (deaf, deaf_accepted, other, other_accepted):
            end.close()
