"""How two sides come to terms: the exchange of records, and a driver that never waits.

A dialogue is a generator that yields bytes to be sent, or how many bytes it wants to be given; it returns the
``Agreement``. It knows no sockets, so it is the same for threads, event loops and tests. ``Handshake`` runs
one over a socket, as far as it goes at once.
"""

from __future__ import annotations

import contextlib
import errno
import struct
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

from weft import errors
from weft.sockets import authentication as auth
from weft.sockets.framing import Hello, Refusal, Terms
from weft.sockets.stream import READ, WRITE, Stream

__all__ = ["Agreement", "Dialogue", "Handshake", "client_dialogue", "listener_dialogue", "standard_dialogue"]


@dataclass(frozen=True)
class Agreement:
    """What a handshake ends with.

    Attributes:
        max_message: The largest message that the other side takes, in bytes.
    """

    max_message: int


# It is sent None for the end of the stream.
Dialogue: TypeAlias = Generator[bytes | int, bytes | None, Agreement]


def _take(size: int, gone: Exception) -> Generator[int, bytes | None, bytes]:
    data = yield size
    if data is None:
        raise gone
    return data


def _went_away(who: str) -> errors.ConnectionLostError:
    return errors.ConnectionLostError(
        errno.ECONNRESET,
        f"the {who} closed the connection during the handshake: does it speak weft's protocol, "
        'or the standard library\'s (protocol="multiprocessing")?',
    )


def client_dialogue(key: bytes | None, terms: Terms) -> Dialogue:
    """The side that connects. Without a key it can say all it has to say at once."""
    hello = Hello.new(key is not None)
    mine = hello.pack()
    yield mine if key else mine + terms.pack()
    theirs = yield from _take(Hello.LAYOUT.size, _went_away("listener"))
    answer = Hello.unpack(theirs)
    if answer.refusal == Refusal.USER:
        raise errors.AccessError("the listener takes no connections of this user: name it in its allow_users=")
    if answer.wants_proof and key is None:
        raise errors.AuthenticationError("the listener wants an authkey: give the same one here")
    if key is not None:
        if not answer.wants_proof:
            raise errors.AuthenticationError("the listener has no authkey, so it can't prove itself: give it the same")
        yield auth.proof(key, auth.CLIENT, mine, theirs)
        rejected = errors.AuthenticationError("digest sent was rejected: the listener has another authkey")
        proof = yield from _take(auth.PROOF, rejected)
        if not auth.is_proof(proof, key, auth.LISTENER, mine, theirs):
            raise errors.AuthenticationError("the listener could not prove that it has this authkey")
        yield terms.pack()
    data = yield from _take(Terms.LAYOUT.size, _went_away("listener"))
    return _agree(terms, Terms.unpack(data))


def listener_dialogue(key: bytes | None, terms: Terms, refusal: int = Refusal.NONE) -> Dialogue:
    """The side that listens. Who has no proof learns the nonce, and whether one is wanted."""
    if refusal == Refusal.USER:
        yield Hello.new(key is not None, refusal).pack()
        raise errors.AccessError("a process of another user")
    theirs = yield from _take(Hello.LAYOUT.size, _went_away("client"))
    hello = Hello.unpack(theirs)
    mine = Hello.new(key is not None).pack()
    if key is None:
        if hello.wants_proof:
            yield mine
            raise errors.AuthenticationError("the client wants proof of an authkey, and this listener has none")
        yield mine + terms.pack(refusal)
    else:
        yield mine
        if not hello.wants_proof:
            raise errors.AuthenticationError("the client has no authkey, and this listener wants one")
        proof = yield from _take(auth.PROOF, _went_away("client"))
        if not auth.is_proof(proof, key, auth.CLIENT, theirs, mine):
            raise errors.AuthenticationError("digest received was wrong: the client has another authkey")
        yield auth.proof(key, auth.LISTENER, theirs, mine) + terms.pack(refusal)
    data = yield from _take(Terms.LAYOUT.size, _went_away("client"))
    if refusal == Refusal.FULL:
        raise _full()
    return _agree(terms, Terms.unpack(data))


def _full() -> ConnectionRefusedError:
    return ConnectionRefusedError(
        errno.ECONNREFUSED,
        "the listener has as many connections as it takes: try again later, or raise its max_connections=",
    )


def _agree(mine: Terms, theirs: Terms) -> Agreement:
    if theirs.refusal == Refusal.FULL:
        raise _full()
    if mine.digest != theirs.digest:
        same = " with another schema" if mine.name == theirs.name else ""
        raise errors.MismatchError(
            f"this side speaks the codec {mine.name!r}, the other one {theirs.name!r}{same}: "
            "give both the same codec= and type=",
            mine.name,
            theirs.name,
        )
    return Agreement(theirs.max_message)


_LENGTH = struct.Struct("!i")


def standard_dialogue(key: bytes | None, max_message: int, listening: bool) -> Dialogue:
    """The exchange of ``multiprocessing.connection``: a challenge from each side if there is a key, else nothing."""
    if key is not None:
        for challenging in (listening, not listening):
            yield from _standard_challenge(key) if challenging else _standard_answer(key)
    return Agreement(max_message)


def _standard_challenge(key: bytes) -> Generator[bytes | int, bytes | None, None]:
    challenge = auth.standard_challenge()
    yield _standard_frame(challenge)
    if not auth.standard_is_answer(key, challenge, (yield from _standard_message())):
        yield _standard_frame(auth.FAILURE)
        raise errors.AuthenticationError("digest received was wrong: the other side has another authkey, or none")
    yield _standard_frame(auth.WELCOME)


def _standard_answer(key: bytes) -> Generator[bytes | int, bytes | None, None]:
    yield _standard_frame(auth.standard_answer(key, (yield from _standard_message())))
    if (yield from _standard_message()) != auth.WELCOME:
        raise errors.AuthenticationError("digest sent was rejected: the other side has another authkey")


def _standard_frame(message: bytes) -> bytes:
    return _LENGTH.pack(len(message)) + message


def _standard_message() -> Generator[bytes | int, bytes | None, bytes]:
    gone = errors.AuthenticationError("the other side went away during authentication: has it the same authkey?")
    head = yield from _take(_LENGTH.size, gone)
    (size,) = _LENGTH.unpack(head)
    if not 0 < size <= auth.LONGEST:
        raise errors.AuthenticationError(f"a message of {size} bytes where a challenge, or its answer, was expected")
    return (yield from _take(size, gone))


class Handshake:
    """Runs a dialogue over a socket, after TLS's own handshake if there is TLS.

    Attributes:
        agreement: What it ended with; None before.
    """

    def __init__(self, stream: Stream, dialogue: Dialogue, listening: bool) -> None:
        self._stream, self._dialogue, self._listening = stream, dialogue, listening
        self._shaking = stream.is_tls
        self._out, self._in, self._wanted = b"", b"", 0
        self.agreement: Agreement | None = None
        self._started = False

    @property
    def unsaid(self) -> bool:
        """Whether there is something that this side has still to send before it has to hear anything."""
        return self.agreement is None and (not self._started or bool(self._out))

    def advance(self) -> int:
        """Goes on as far as it goes without waiting.

        Returns:
            What to wait for before the next call, ``READ`` or ``WRITE``; 0 when it is done.

        Raises:
            AuthenticationError: One side could not prove itself.
            AccessError: The other side takes no connections of this user.
            MismatchError: The sides speak different codecs, or versions.
            CorruptedError: The other side speaks something else.
            ConnectionError: The other side has gone, or has no room.
            ssl.SSLError: TLS could not be agreed on.
        """
        if self.agreement is not None:
            return 0
        try:
            direction = READ
            if self._shaking:
                self._stream.shake(self._listening)
                self._shaking = False
            if not self._started:
                self._started = True
                self._feed(None)
            while self.agreement is None:
                direction = WRITE if self._out else READ
                if self._out:
                    self._send()
                else:
                    self._receive()
                if not self._out and len(self._in) == self._wanted:
                    data, self._in = self._in, b""
                    self._feed(data if self._wanted else None)
        except BlockingIOError:
            return self._stream.wanted(direction)
        return 0

    def _feed(self, data: bytes | None) -> None:
        try:
            wish = self._dialogue.send(data)
        except StopIteration as end:
            self.agreement = end.value
            return
        if isinstance(wish, bytes):
            self._out, self._wanted = wish, 0
        else:
            self._wanted = wish

    def _send(self) -> None:
        try:
            self._out = self._out[self._stream.send(self._out) :]
        except (BrokenPipeError, ConnectionResetError):
            self._out = b""  # what the other side has said before it went tells why

    def _receive(self) -> None:
        try:
            data = self._stream.recv(self._wanted - len(self._in))
        except ConnectionResetError:
            data = b""
        self._in += data
        if not data:
            self._feed(None)
            raise errors.ConnectionLostError(errno.ECONNRESET, "the other side went away during the handshake")

    def abandon(self) -> None:
        """Ends the dialogue; the socket is the caller's."""
        with contextlib.suppress(ValueError):
            self._dialogue.close()
