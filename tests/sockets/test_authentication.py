"""Keys: both sides prove that they have it, say nothing before, and learn nothing from a proof."""

import hashlib
import hmac
import multiprocessing
import pickle
import socket

import pytest

import weft
from weft.sockets import authentication as auth
from weft.sockets.framing import Hello, Terms
from weft.sockets.handshake import client_dialogue, listener_dialogue

from .pairs import FAMILIES, Result, connect_to

TERMS = Terms.of({"codec": "default"}, 1000)
HELLO, PROOF, TERMS_SIZE = Hello.LAYOUT.size, auth.PROOF, Terms.LAYOUT.size


def drive(client, listener):
    """Runs two dialogues against each other; what each side said, and how each ended."""
    sides, said, ends = {"client": client, "listener": listener}, {"client": b"", "listener": b""}, {}
    inbox = {"client": b"", "listener": b""}
    wishes = {name: next(side) for name, side in sides.items()}

    def step(name, data):
        try:
            wishes[name] = sides[name].send(data)
        except StopIteration as end:
            ends[name] = end.value
        except Exception as error:
            ends[name] = error

    while len(ends) < 2:
        before = (dict(said), dict(inbox), dict(ends))
        for name, other in (("client", "listener"), ("listener", "client")):
            if name in ends:
                continue
            wish = wishes[name]
            if isinstance(wish, bytes):
                said[name] += wish
                inbox[other] += wish
                step(name, None)
            elif len(inbox[name]) >= wish:
                data, inbox[name] = inbox[name][:wish], inbox[name][wish:]
                step(name, data)
            elif other in ends:
                step(name, None)
        assert before != (said, inbox, ends), "both wait for ever"
    return said, ends


@pytest.mark.parametrize("key", [None, b"key"])
def test_both_come_to_terms(key):
    said, ends = drive(client_dialogue(key, TERMS), listener_dialogue(key, TERMS))
    assert ends["client"] == ends["listener"]
    assert ends["client"].max_message == 1000
    for side in said.values():
        assert len(side) == HELLO + TERMS_SIZE + (PROOF if key else 0)


@pytest.mark.parametrize(
    ("mine", "theirs", "client_says", "listener_says"),
    [
        (b"one", b"two", "digest sent was rejected", "digest received was wrong"),
        (None, b"two", "wants an authkey", "the client has no authkey"),
        (b"one", None, "the listener has no authkey", "this listener has none"),
    ],
)
def test_keys_that_differ(mine, theirs, client_says, listener_says):
    said, ends = drive(client_dialogue(mine, TERMS), listener_dialogue(theirs, TERMS))
    assert client_says in str(ends["client"])
    assert listener_says in str(ends["listener"])
    for error in ends.values():
        assert isinstance(error, multiprocessing.AuthenticationError)
        assert isinstance(error, weft.WeftError)
    # No side with a key has said anything but its hello and the proof that was asked for.
    assert len(said["listener"]) == HELLO
    assert len(said["client"]) == HELLO + (TERMS_SIZE if mine is None else PROOF if theirs else 0)


def test_a_proof_is_bound_to_its_role_and_to_both_hellos():
    one, two = Hello.new(True).pack(), Hello.new(True).pack()
    mine = auth.proof(b"key", auth.CLIENT, one, two)
    assert auth.is_proof(mine, b"key", auth.CLIENT, one, two)
    assert not auth.is_proof(mine, b"key", auth.LISTENER, one, two)
    assert not auth.is_proof(mine, b"key", auth.CLIENT, two, one)
    assert not auth.is_proof(mine, b"other", auth.CLIENT, one, two)
    assert not auth.is_proof(mine[:-1], b"key", auth.CLIENT, one, two)
    assert mine == hmac.new(b"key", b"weft 1 client\0" + one + two, hashlib.sha256).digest()


def test_what_a_client_says_sent_back_to_it_proves_nothing():
    client = client_dialogue(b"key", TERMS)
    hello = next(client)
    assert client.send(None) == HELLO
    proof = client.send(hello)
    assert len(proof) == PROOF
    assert client.send(None) == PROOF
    with pytest.raises(weft.AuthenticationError, match="could not prove"):
        client.send(proof)


def test_what_a_listener_heard_once_proves_nothing_again():
    """The whole of a good client's words, recorded and said again."""
    said, ends = drive(client_dialogue(b"key", TERMS), listener_dialogue(b"key", TERMS))
    assert ends["listener"].max_message == 1000
    listener = listener_dialogue(b"key", TERMS)
    assert next(listener) == HELLO
    listener.send(said["client"][:HELLO])
    assert listener.send(None) == PROOF
    with pytest.raises(weft.AuthenticationError, match="digest received was wrong"):
        listener.send(said["client"][HELLO : HELLO + PROOF])


def test_a_listener_that_asks_another_listener_learns_no_proof():
    """A man in the middle without the key may only pass on what both say; changed, it fails."""
    client, listener = client_dialogue(b"key", TERMS), listener_dialogue(b"key", TERMS)
    hello = next(client)
    assert next(listener) == HELLO
    answer = listener.send(hello[:-1] + bytes((hello[-1] ^ 1,)))
    assert listener.send(None) == PROOF
    client.send(None)
    proof = client.send(answer)
    with pytest.raises(weft.AuthenticationError):
        listener.send(proof)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("key", [b"\0\xff key", "schlüssel", bytearray(b"key")])
def test_connections_with_a_key(family, key):
    with weft.Listener(family=family, authkey=key) as listener:
        client, accepted = connect_to(listener, authkey=key.encode() if isinstance(key, str) else bytes(key))
        client.send("proved")
        assert accepted.recv() == "proved"
        client.close()
        accepted.close()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("key", [b"wrong", None])
def test_accept_raises_for_another_key_and_goes_on(family, key, caplog):
    with weft.Listener(family=family, authkey=b"right") as listener:

        def call():
            with weft.Client(listener.address, authkey=key) as client:
                client.recv()

        wrong = Result(call)
        with pytest.raises(multiprocessing.AuthenticationError) as refused:
            listener.accept(timeout=60)
        assert isinstance(refused.value, weft.AuthenticationError)
        with pytest.raises(weft.AuthenticationError):
            wrong.get()
        client, accepted = connect_to(listener, authkey=b"right")
        client.close()
        accepted.close()
        assert listener.statistics().refused == 1
    assert "authkey" in caplog.text


def test_what_is_received_is_never_unpickled_before_or_after():
    ran = []

    class Bomb:
        def __reduce__(self):
            return (ran.append, (1,))

    with weft.Listener() as listener:
        client, accepted = connect_to(listener)
        client.send_bytes(pickle.dumps(Bomb()))
        with pytest.raises(weft.CorruptedError):
            accepted.recv()
        client.close()
        accepted.close()
    assert not ran


def test_a_key_says_nothing_to_what_is_no_listener():
    """Before the other side has said hello, it hears a nonce."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = Result(weft.Client, server.getsockname(), authkey=b"secret", handshake_timeout=0.05)
        other, _ = server.accept()
        with other:
            assert len(other.recv(1000)) == HELLO
            with pytest.raises(TimeoutError):
                client.get()
            assert other.recv(1000) == b""
