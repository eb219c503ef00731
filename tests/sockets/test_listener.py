"""Listeners: addresses, what a kill leaves, who may come in, limits, and how they end."""

import errno
import gc
import logging
import multiprocessing
import os
import socket
import stat
import time

import pytest

import weft
from weft.sockets.address import candidates, is_loopback, resolve

from ..helpers import start_program
from .pairs import FAMILIES, Result, connect_to, pair

FORK = multiprocessing.get_context("fork")
NOBODY = 65534


@pytest.fixture
def path(namespace):
    return str(namespace / "socket")


# --- addresses -----------------------------------------------------------------------------------------


def test_the_default_is_a_socket_that_only_this_user_reaches():
    with weft.Listener() as listener:
        directory = os.path.dirname(listener.address)
        assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
        assert stat.S_IMODE(os.stat(listener.address).st_mode) == 0o600
        client, accepted = connect_to(listener)
        client.close()
        accepted.close()
        assert listener.last_accepted is None
    assert not os.path.exists(directory)


@pytest.mark.parametrize(("family", "host"), [("AF_INET", "127.0.0.1"), ("AF_INET6", "::1")])
def test_the_default_of_tcp_is_loopback(family, host):
    with weft.Listener(family=family) as listener:
        assert listener.address[0] == host
        assert listener.address[1] > 0
        client, accepted = connect_to(listener)
        assert listener.last_accepted == accepted.peer.address
        client.close()
        accepted.close()


@pytest.mark.parametrize("address", ["\0weft-test-abstract", b"\0weft-test-abstract"])
def test_abstract_names(address):
    with weft.Listener(address) as listener:
        assert listener.address == "\0weft-test-abstract"
        assert "abstract 'weft-test-abstract'" in repr(listener)
        with pytest.raises(OSError, match="somebody listens there already"):
            weft.Listener(address)
        client, accepted = connect_to(listener)
        client.close()
        accepted.close()


def test_a_host_by_name():
    with weft.Listener(("localhost", 0)) as listener, pair():
        client, accepted = connect_to(listener)
        client.close()
        accepted.close()
        assert is_loopback(listener.address)


def test_relative_paths_stay_what_they_were(namespace, monkeypatch):
    monkeypatch.chdir(namespace)
    with weft.Listener("relative") as listener:
        assert listener.address == str(namespace / "relative")
        monkeypatch.chdir("/")
        client, accepted = connect_to(listener)
        client.close()
        accepted.close()
    assert not (namespace / "relative").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (("x" * 200,), OSError, "may have 107 bytes, and .* has 2..: use a directory nearer"),
        (("\0" + "x" * 108,), OSError, "an abstract name of 109 bytes; the system allows 108"),
        (("\0",), ValueError, "at least one character"),
        (("",), ValueError, "empty path"),
        (("a\0b",), ValueError, "a zero inside the path"),
        ((("127.0.0.1", 0), "AF_UNIX"), ValueError, "AF_UNIX takes a path"),
        (("path", "AF_INET"), ValueError, r"AF_INET takes \(host, port\)"),
        (("path", "AF_PIPE"), ValueError, "'AF_PIPE' is not known"),
        (("path", 1), ValueError, "the family 1 is not known"),
        ((("127.0.0.1", 70_000),), ValueError, "between 0 and 65535"),
        ((("127.0.0.1", "80"),), TypeError, "a str and an int"),
        ((("127.0.0.1", True),), TypeError, "a str and an int"),
        ((("127.0.0.1",),), ValueError, r"is \(host, port\)"),
        ((("", 0),), ValueError, 'say "127.0.0.1" for this machine'),
        ((5,), TypeError, "not int"),
        (("/no/such/directory/socket",), FileNotFoundError, "no such directory: make it first"),
        (("/dev/null/socket",), NotADirectoryError, "not a directory"),
        ((("192.0.2.1", 0), None, 1, b"k"), OSError, "no interface of this machine"),
        ((("no.such.host.invalid", 0),), socket.gaierror, "the host 'no.such.host.invalid' is not known"),
    ],
)
def test_bad_addresses(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        weft.Listener(*arguments)


def test_an_address_of_none_is_for_listeners():
    with pytest.raises(TypeError, match="an address is needed"):
        weft.Client(None)


def test_what_is_no_socket_is_left_alone(path):
    with open(path, "w") as file:
        file.write("mine")
    with pytest.raises(OSError, match="not a socket, and is left alone") as error:
        weft.Listener(path)
    assert error.value.errno == errno.ENOTSOCK
    with open(path) as file:
        assert file.read() == "mine"
    os.unlink(path)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_listening_wider_needs_a_key_or_tls(host):
    with pytest.raises(ValueError, match="can be reached from other machines: give authkey= or ssl="):
        weft.Listener((host, 0))
    with weft.Listener((host, 0), authkey=b"key") as listener:
        assert not is_loopback(candidates(resolve(listener.address))[0][1])
        client = Result(weft.Client, ("127.0.0.1" if host == "0.0.0.0" else "::1", listener.address[1]), authkey="key")
        accepted = listener.accept(timeout=60)
        client.get().close()
        accepted.close()


# --- what is in the way --------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_an_address_in_use(family):
    with weft.Listener(family=family) as listener:
        with pytest.raises(OSError, match="somebody listens there already") as used:
            weft.Listener(listener.address, family)
        assert used.value.errno == errno.EADDRINUSE
        client, accepted = connect_to(listener)
        client.close()
        accepted.close()


def test_a_path_with_a_full_backlog_is_in_use(path):
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as waiting:
        other.bind(path)
        other.listen(0)
        waiting.connect(path)
        with pytest.raises(OSError, match="somebody listens there already"):
            weft.Listener(path)
        os.unlink(path)


def test_what_a_killed_listener_leaves_is_replaced(path):
    code = "listener = weft.Listener(sys.argv[1]); say('listening'); hear()"
    with start_program(code, path) as program:
        program.expect("listening")
        program.process.kill()
        program.process.wait()
    with pytest.raises(ConnectionRefusedError, match="nobody listens there"):
        weft.Client(path)
    with weft.Listener(path) as listener:
        client, accepted = connect_to(listener)
        client.close()
        accepted.close()
    assert not os.path.exists(path)
    with pytest.raises(FileNotFoundError, match="no such socket: start the listener"):
        weft.Client(path)


def test_of_many_that_replace_a_dead_one_a_single_one_listens(path):
    code = """
        for line in sys.stdin:
            try:
                listener = weft.Listener(sys.argv[1])
                say("listening")
            except OSError as error:
                say(error.errno)
                continue
            hear()
            if line == "die\\n":
                import os, signal
                os.kill(os.getpid(), signal.SIGKILL)
            listener.close()
            say("closed")
    """
    for ending in ("die", "close", "die"):
        programs = [start_program(code, path) for _ in range(3)]
        for program in programs:
            program.say(ending)
        heard = [program.hear() for program in programs]
        assert sorted(heard) == sorted(["listening", str(errno.EADDRINUSE), str(errno.EADDRINUSE)])
        winner = programs[heard.index("listening")]
        weft.Client(path).close()
        winner.say("")
        if ending == "close":
            winner.expect("closed")
            assert not os.path.exists(path)
        else:
            winner.process.wait()
        for program in programs:
            program.__exit__()
    os.unlink(path)


def test_a_directory_that_is_kept_locked(namespace, path, monkeypatch):
    import fcntl

    monkeypatch.setattr("weft.sockets.binding._LOCK_TIME", 0.01)
    descriptor = os.open(namespace, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(TimeoutError, match=r"listening at .* failed: no answer|keeps the directory"):
        weft.Listener(path)
    os.close(descriptor)


def test_a_path_that_another_has_taken_over_is_not_removed(path):
    listener = weft.Listener(path)
    os.unlink(path)
    with weft.Listener(path):
        listener.close()
        assert os.path.exists(path)
        weft.Client(path).close()
    assert not os.path.exists(path)


# --- who may come in -----------------------------------------------------------------------------------

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

STRANGER = """
    import os
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    try:
        connection = weft.Client(eval(sys.argv[1]), allow_users="any", **eval(sys.argv[2]))
        connection.wait_connected(timeout=30)
        connection.send("in")
        say(connection.recv())
    except (OSError, weft.WeftError) as error:
        say(type(error).__name__, error)
"""


@root
@pytest.mark.parametrize("key", [None, "key"])
def test_other_users_are_refused(key):
    with weft.Listener("\0weft-test-strangers", authkey=key) as listener:
        with start_program(STRANGER, repr(listener.address), {"authkey": key}) as program:
            with pytest.raises(TimeoutError):
                listener.accept(timeout=3)
            assert "AccessError the listener takes no connections of this user" in program.hear()
        assert listener.statistics().refused == 1


@root
def test_other_users_who_are_allowed(path):
    os.chmod(os.path.dirname(path), 0o711)
    with weft.Listener(path, allow_users=["root", NOBODY]) as listener:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o666
        with start_program(STRANGER, repr(listener.address), {}) as program, listener.accept() as accepted:
            assert accepted.peer.uid == NOBODY
            assert accepted.recv() == "in"
            accepted.send("welcome")
            program.expect("welcome")


@root
def test_other_users_do_not_get_as_far_as_the_path(path):
    os.chmod(os.path.dirname(path), 0o711)
    with weft.Listener(path) as listener, start_program(STRANGER, repr(listener.address), {}) as program:
        assert "PermissionError" in program.hear()


@root
def test_a_listener_of_another_user_is_refused(path):
    os.chmod(os.path.dirname(path), 0o777)
    code = "import os; os.setuid(65534); listener = weft.Listener(sys.argv[1], mode=0o666, allow_users='any'); say('listening'); hear()"
    with start_program(code, path) as program:
        program.expect("listening")
        with pytest.raises(weft.AccessError, match="is at the other end; only 'root'"):
            weft.Client(path)
        weft.Client(path, allow_users=[NOBODY]).close()
        program.say()
        program.finish()


@pytest.mark.parametrize("users", ["root", 0, b"root", ["no such user, surely"], [None], [-1], [True], 1.5])
def test_what_allow_users_takes(users):
    with pytest.raises((TypeError, ValueError), match="allow_users"):
        weft.Listener(allow_users=users)


def test_modes(path):
    with weft.Listener(path, mode=0o660):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    for bad in (-1, 0o10000, "600"):
        with pytest.raises((TypeError, ValueError)):
            weft.Listener(path, mode=bad)


# --- accepting -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, b"key"])
def test_who_dawdles_keeps_nobody_waiting(key):
    with weft.Listener(authkey=key) as listener:
        idle = [socket.socket(socket.AF_UNIX) for _ in range(20)]
        for sock in idle:
            sock.connect(listener.address)
        for _ in range(3):
            client, accepted = connect_to(listener, authkey=key)
            client.send(1)
            assert accepted.recv() == 1
            client.close()
            accepted.close()
        assert listener.statistics().handshaking == 20
        for sock in idle:
            sock.close()


def test_handshakes_have_a_time_limit(caplog):
    with weft.Listener(handshake_timeout=0.02) as listener, socket.socket(socket.AF_UNIX) as idle:
        idle.connect(listener.address)
        with pytest.raises(TimeoutError, match="no client in time"):
            listener.accept(timeout=0.2)
        assert idle.recv(100) == b""
        statistics = listener.statistics()
        assert (statistics.failed, statistics.handshaking, statistics.accepted) == (1, 0, 0)
    assert "handshake_timeout" in caplog.text


def test_more_handshakes_than_there_may_be_push_out_the_oldest():
    with weft.Listener(max_handshakes=3) as listener:
        idle = [socket.socket(socket.AF_UNIX) for _ in range(10)]
        for sock in idle:
            sock.connect(listener.address)
        client, accepted = connect_to(listener)
        client.close()
        accepted.close()
        statistics = listener.statistics()
        assert statistics.failed >= 7
        assert statistics.handshaking <= 3
        for sock in idle:
            sock.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_as_many_connections_as_there_may_be(family):
    with weft.Listener(family=family, max_connections=2) as listener:
        pairs = [connect_to(listener) for _ in range(2)]
        with weft.Client(listener.address) as refused:
            while not refused.poll():
                with pytest.raises(TimeoutError):
                    listener.accept(timeout=0.01)
            for _ in range(2):
                with pytest.raises(ConnectionRefusedError, match="as many connections as it takes"):
                    refused.wait_connected(60)
                    refused.recv()
        statistics = listener.statistics()
        assert (statistics.accepted, statistics.refused, statistics.open) == (2, 1, 2)
        assert statistics.max_connections == 2
        for end in pairs.pop():
            end.close()
        pairs.append(connect_to(listener))
        for client, accepted in pairs:
            client.close()
            accepted.close()
        assert listener.statistics().open == 0


def test_timeouts_of_accept():
    with weft.Listener() as listener:
        for timeout in (0, 0.01):
            with pytest.raises(TimeoutError, match="no client in time"):
                listener.accept(timeout=timeout)
        with pytest.raises(ValueError, match="timeout"):
            listener.accept(timeout=-1)


def test_clients_that_find_nobody_in_time():
    with weft.Listener(backlog=0, authkey="k") as listener:
        with pytest.raises(TimeoutError, match="is the listener accepting"):
            weft.Client(listener.address, authkey="k", handshake_timeout=0.02)
        with pytest.raises(TimeoutError, match=r"longer than handshake_timeout=0\.02 s"):  # the backlog is full
            weft.Client(listener.address, authkey="k", handshake_timeout=0.02)


def test_different_codecs_are_told_on_both_sides(caplog):
    with weft.Listener(codec="json") as listener:
        client = weft.Client(listener.address, type=dict[str, int])
        with pytest.raises(TimeoutError):
            listener.accept(timeout=0.05)
        for call in (client.recv, client.wait_connected, client.recv):
            with pytest.raises(
                weft.MismatchError, match=r"the codec 'msgspec of dict'.* the other one 'json'"
            ) as other:
                call()
                client.recv()
            assert (other.value.expected, other.value.found) == ("msgspec of dict", "json")
        assert client.poll()
        with pytest.raises(weft.MismatchError):
            client.send({})
        client.close()
        assert listener.statistics().refused == 1
    assert "speaks the codec 'json'" in caplog.text


def test_the_same_codec_with_another_schema():
    with weft.Listener(type=dict[str, int]) as listener:
        client = Result(weft.Client, listener.address, type=dict[str, str])
        with pytest.raises(TimeoutError):
            listener.accept(timeout=0.05)
        # The other side's terms may have come before the constructor returned, or come now.
        with pytest.raises(weft.MismatchError, match="with another schema"), client.get() as connection:
            connection.recv()


def test_threads_may_accept_at_the_same_time():
    with weft.Listener() as listener:
        accepting = [Result(listener.accept, timeout=60) for _ in range(4)]
        clients = [weft.Client(listener.address) for _ in range(4)]
        for i, client in enumerate(clients):
            client.send(i)
        ends = [each.get() for each in accepting]
        assert sorted(end.recv() for end in ends) == [0, 1, 2, 3]
        for end in (*ends, *clients):
            end.close()


def test_forked_children_accept_from_the_same_backlog():
    with weft.Listener() as listener:

        def child(gate):
            gate.wait()
            with listener.accept() as accepted:
                accepted.send(os.getpid())
            listener.close()

        gate = FORK.Event()
        children = [FORK.Process(target=child, args=(gate,)) for _ in range(2)]
        for process in children:
            process.start()
        gate.set()
        heard = []
        for _ in children:
            with weft.Client(listener.address) as client:
                heard.append(client.recv())
        for process in children:
            process.join()
        assert sorted(heard) == sorted(process.pid for process in children)
        client, accepted = connect_to(listener)  # a child's close is its own
        client.close()
        accepted.close()


def test_too_many_files(monkeypatch):
    with weft.Listener() as listener, socket.socket(socket.AF_UNIX) as waiting:
        waiting.connect(listener.address)
        import resource

        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
        try:
            with pytest.raises(weft.SystemLimitError, match="too many files are open"):
                listener.accept(timeout=60)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)


# --- the end -------------------------------------------------------------------------------------------


def test_close():
    listener = weft.Listener()
    client, accepted = connect_to(listener)
    early = weft.Client(listener.address)
    listener.close()
    listener.close()
    assert listener.closed
    assert "closed" in repr(listener)
    for call in (listener.accept, listener.fileno):
        with pytest.raises(OSError, match="this listener is closed"):
            call()
    assert not os.path.exists(listener.address)
    client.send("goes on")
    assert accepted.recv() == "goes on"
    with pytest.raises(weft.ConnectionLostError):
        early.recv()
    for end in (client, accepted, early):
        end.close()


def test_close_ends_the_waits_of_threads():
    listener = weft.Listener()
    waiting = [Result(listener.accept), Result(listener.accept, timeout=60)]
    time.sleep(0.01)
    listener.close()
    for each in waiting:
        with pytest.raises(weft.ConnectionClosedError):
            each.get()


def test_a_dropped_listener_is_closed(path):
    listener = weft.Listener(path)
    assert listener.statistics().accepted == 0
    del listener
    gc.collect()
    assert not os.path.exists(path)


def test_the_end_of_a_program_removes_the_path(path):
    with start_program("listener = weft.Listener(sys.argv[1])", path) as program:
        program.finish()
    assert not os.path.exists(path)


def test_select_tells_of_clients():
    import select

    with weft.Listener() as listener:
        assert select.select([listener], [], [], 0)[0] == []
        client = weft.Client(listener.address)
        assert select.select([listener], [], [], 60)[0] == [listener]
        listener.accept(timeout=60).close()
        client.close()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"backlog": -1}, ValueError),
        ({"backlog": "1"}, TypeError),
        ({"authkey": b""}, ValueError),
        ({"authkey": 5}, TypeError),
        ({"max_message": 0}, ValueError),
        ({"max_message": 1 << 48}, ValueError),
        ({"max_connections": 0}, ValueError),
        ({"max_handshakes": 0}, ValueError),
        ({"handshake_timeout": 0}, ValueError),
        ({"handshake_timeout": None}, TypeError),
        ({"handshake_timeout": float("inf")}, ValueError),
        ({"frame_timeout": -1}, ValueError),
        ({"frame_timeout": float("nan")}, ValueError),
        ({"share_from": 0}, ValueError),
        ({"protocol": "http"}, ValueError),
        ({"protocol": "multiprocessing", "codec": "json"}, ValueError),
        ({"protocol": "multiprocessing", "type": int}, ValueError),
        ({"codec": "no such codec"}, ValueError),
        ({"ssl": "context"}, TypeError),
    ],
)
def test_bad_options(options, error):
    with pytest.raises(error):
        weft.Listener(**options)
    if not options.keys() & {"backlog", "max_connections", "max_handshakes"}:
        with pytest.raises(error):
            weft.Client("/nowhere", **options)


def test_dropped_peers_are_logged(caplog):
    caplog.set_level(logging.WARNING, "weft.sockets")
    with weft.Listener() as listener:
        with socket.socket(socket.AF_UNIX) as scanner:
            scanner.connect(listener.address)
            scanner.sendall(b"GET / HTTP/1.0\r\n\r\n" + bytes(100))
            with pytest.raises(TimeoutError):
                listener.accept(timeout=0.02)
        assert "does not speak weft's protocol" in caplog.text
        assert f"process {os.getpid()}" in caplog.text
        assert listener.statistics().failed == 1
