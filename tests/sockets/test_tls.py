"""TLS on TCP, with certificates that the test makes."""

import ssl
import subprocess

import numpy as np
import pytest

import weft

from .pairs import Result

OPENSSL = [
    "openssl",
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "2",
]


def make_certificates(place):
    """Certificates and their keys, by name; each is its own authority."""
    for name in ("listener", "client", "stranger"):
        command = [*OPENSSL, "-keyout", place / f"{name}.key", "-out", place / f"{name}.pem", "-subj", f"/CN={name}"]
        command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        subprocess.run(list(map(str, command)), check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    place = tmp_path_factory.mktemp("certificates")
    make_certificates(place)
    return place


def listening(place, name="listener", clients=None):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(place / f"{name}.pem", place / f"{name}.key")
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(place / f"{clients}.pem")
    return context


def calling(place, trusted="listener", own=None):
    context = ssl.create_default_context(cafile=place / f"{trusted}.pem")
    if own:
        context.load_cert_chain(place / f"{own}.pem", place / f"{own}.key")
    return context


@pytest.fixture
def ends(authority):
    with weft.Listener(family="AF_INET", ssl=listening(authority)) as listener:
        client = Result(weft.Client, listener.address, ssl=calling(authority))
        accepted = listener.accept(timeout=60)
    with client.get() as connection, accepted:
        yield connection, accepted


def test_messages(ends):
    client, accepted = ends
    array = np.arange(300_000)
    for message in [1, {"a": [b"x" * 20_000]}, b"", "x" * 100_000]:
        client.send(message)
        assert accepted.recv() == message
        accepted.send(message)
        assert client.recv(timeout=60) == message
    for size in (0, 1, 16_383, 16_384, 70_000, 2_000_000):
        sending = Result(client.send_bytes, bytes(size))
        assert len(accepted.recv_bytes()) == size
        sending.get()
    sending = Result(client.send, array)
    assert (accepted.recv() == array).all()
    sending.get()


def test_both_ways_at_once(ends):
    sending = [Result(end.send_bytes, bytes(3_000_000)) for end in ends]
    taking = [Result(end.recv_bytes) for end in ends]
    assert [len(each.get()) for each in taking] == [3_000_000] * 2
    for each in sending:
        each.get()


def test_poll_timeouts_and_the_end(ends):
    client, accepted = ends
    assert not accepted.poll()
    assert not accepted.poll(0.01)
    with pytest.raises(TimeoutError):
        accepted.recv(timeout=0.01)
    client.send_bytes(b"one")
    client.send_bytes(b"two")
    assert accepted.poll(60)
    assert accepted.recv_bytes() == b"one"
    assert accepted.poll(60)
    assert accepted.recv_bytes() == b"two"
    assert not accepted.poll()
    client.close()
    assert accepted.poll(60)
    with pytest.raises(EOFError):
        accepted.recv()
    with pytest.raises(BrokenPipeError):
        accepted.send(1)


def test_a_connection_that_is_cut_is_no_normal_end(ends):
    """TLS alone does not tell, if the one who cuts it is polite; weft's goodbye does."""
    client, accepted = ends
    client.send(1)
    client._stream.sock.shutdown(2)
    assert accepted.recv() == 1
    with pytest.raises(weft.ConnectionLostError):
        accepted.recv()


def test_a_key_beside_tls(authority):
    with weft.Listener(family="AF_INET", ssl=listening(authority), authkey="key") as listener:
        client = Result(weft.Client, listener.address, ssl=calling(authority), authkey="key")
        with listener.accept(timeout=60) as accepted, client.get() as connection:
            connection.send(1)
            assert accepted.recv() == 1


def test_listening_wide_with_tls_alone(authority):
    with weft.Listener(("0.0.0.0", 0), ssl=listening(authority)) as listener:
        assert listener.address[0] == "0.0.0.0"


def test_a_client_with_a_certificate(authority):
    with weft.Listener(family="AF_INET", ssl=listening(authority, clients="client")) as listener:
        client = Result(weft.Client, listener.address, ssl=calling(authority, own="client"))
        with listener.accept(timeout=60) as accepted, client.get() as connection:
            assert dict(each[0] for each in accepted.peer.certificate["subject"])["commonName"] == "client"
            assert dict(each[0] for each in connection.peer.certificate["subject"])["commonName"] == "listener"


def test_a_client_without_the_certificate_that_is_wanted(authority, caplog):
    with weft.Listener(family="AF_INET", ssl=listening(authority, clients="client")) as listener:

        def call():  # in TLS 1.3 a client hears of it with the first bytes that it reads
            weft.Client(listener.address, ssl=calling(authority, own="stranger")).close()

        client = Result(call)
        with pytest.raises(TimeoutError):
            listener.accept(timeout=0.2)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client.get()
        assert listener.statistics().failed == 1


def test_a_certificate_that_is_not_trusted(authority):
    with weft.Listener(family="AF_INET", ssl=listening(authority)) as listener:
        accepting = Result(listener.accept, timeout=0.2)
        with pytest.raises(ssl.SSLCertVerificationError, match="load its authority into the context"):
            weft.Client(listener.address, ssl=calling(authority, "stranger"))
        with pytest.raises(TimeoutError):
            accepting.get()


def test_a_name_that_is_not_in_the_certificate(authority):
    with weft.Listener(family="AF_INET", ssl=listening(authority)) as listener:
        accepting = Result(listener.accept, timeout=0.2)
        with pytest.raises(ssl.SSLCertVerificationError):
            weft.Client(listener.address, ssl=calling(authority), server_hostname="example.org")
        with pytest.raises(TimeoutError):
            accepting.get()


def test_one_side_without_tls(authority):
    with weft.Listener(family="AF_INET", ssl=listening(authority)) as listener:
        accepting = Result(listener.accept, timeout=0.2)
        with pytest.raises((weft.CorruptedError, weft.ConnectionLostError)), weft.Client(listener.address) as client:
            client.wait_connected()
        with pytest.raises(TimeoutError):
            accepting.get()
    with weft.Listener(family="AF_INET") as listener:
        accepting = Result(listener.accept, timeout=0.2)
        with pytest.raises((ssl.SSLError, ConnectionError), match="does the listener speak TLS"):
            weft.Client(listener.address, ssl=calling(authority))
        with pytest.raises(TimeoutError):
            accepting.get()


def test_a_peer_that_says_nothing_is_not_waited_for(authority):
    import socket

    with weft.Listener(family="AF_INET", ssl=listening(authority), handshake_timeout=0.02) as listener:
        with socket.create_connection(listener.address) as idle:
            with pytest.raises(TimeoutError):
                listener.accept(timeout=0.2)
            assert idle.recv(100) == b""
        assert listener.statistics().failed == 1


def test_contexts_that_do_not_fit(authority):
    with pytest.raises(ValueError, match=r"for the other side: use .*Purpose.CLIENT_AUTH"):
        weft.Listener(family="AF_INET", ssl=calling(authority))
    with pytest.raises(ValueError, match=r"for the other side: use .*Purpose.SERVER_AUTH"):
        weft.Client(("127.0.0.1", 1), ssl=listening(authority))
    with pytest.raises(ValueError, match="TLS is for TCP"):
        weft.Listener(ssl=listening(authority))
    with pytest.raises(ValueError, match="server_hostname"):
        weft.Client(("127.0.0.1", 1), server_hostname="example.org")


def test_it_does_not_travel_or_pass_descriptors(ends):
    import pickle

    client, _ = ends
    with pytest.raises(TypeError, match="can't travel"):
        pickle.dumps(client)
    with pytest.raises(ValueError, match="Unix sockets"):
        client.send_handle(0)
