"""Mutual proof that both sides know a key, without saying it.

Each side sends a nonce; each side's proof is HMAC-SHA256, under the key, of its role and both whole hellos.
A proof sent back to its maker is of the wrong role, and one that was heard before is of other nonces. The
client proves first: a listener tells those that can't prove anything nothing that a key could be guessed
with. ``standard_*`` are the challenges of ``multiprocessing.connection``, as bytes in and out.
"""

from __future__ import annotations

import hmac
import os
from typing import Any

from weft import errors

__all__ = ["check_key", "is_proof", "proof", "standard_answer", "standard_challenge", "standard_is_answer"]

PROOF = 32
CLIENT, LISTENER = b"client", b"listener"

# Of multiprocessing.connection, whose messages in this exchange have at most LONGEST bytes.
CHALLENGE, WELCOME, FAILURE = b"#CHALLENGE#", b"#WELCOME#", b"#FAILURE#"
LONGEST = 256
_DIGESTS = (b"md5", b"sha256", b"sha384", b"sha3_256", b"sha3_384")
_PLAIN = (16, 20)  # messages of these sizes are of the time when there was only MD5


def check_key(key: Any) -> bytes | None:
    """The key as bytes.

    Raises:
        TypeError: It is neither bytes nor a str.
        ValueError: It is empty.
    """
    if key is None:
        return None
    if isinstance(key, str):
        key = key.encode()
    if not isinstance(key, bytes | bytearray | memoryview):
        raise TypeError(f"authkey must be bytes or a str, not {type(key).__name__}")
    found = bytes(key)
    if not found:
        raise ValueError("authkey is empty, which proves nothing: make one with secrets.token_bytes(32)")
    return found


def proof(key: bytes, role: bytes, client_hello: bytes, listener_hello: bytes) -> bytes:
    """What the side of that role sends."""
    return hmac.digest(key, b"weft 1 " + role + b"\0" + client_hello + listener_hello, "sha256")


def is_proof(data: bytes, key: bytes, role: bytes, client_hello: bytes, listener_hello: bytes) -> bool:
    """Whether the side of that role knows the key."""
    return hmac.compare_digest(data, proof(key, role, client_hello, listener_hello))


def standard_challenge() -> bytes:
    """What to send; peers that know nothing but MD5 answer with that."""
    return CHALLENGE + b"{sha256}" + os.urandom(40)


def standard_answer(key: bytes, message: bytes) -> bytes:
    """The answer to a challenge.

    Raises:
        AuthenticationError: It is none.
    """
    if not message.startswith(CHALLENGE) or len(message) < len(CHALLENGE) + 20:
        raise errors.AuthenticationError(f"a challenge was expected, and came {message[:20]!r}: has it an authkey too?")
    message = message[len(CHALLENGE) :]
    name, _ = _digest_of(message)
    mac = hmac.new(key, message, (name or b"md5").decode()).digest()
    return b"{%s}%s" % (name, mac) if name else mac


def standard_is_answer(key: bytes, challenge: bytes, answer: bytes) -> bool:
    """Whether it answers our challenge."""
    try:
        name, mac = _digest_of(answer)
        expected = hmac.new(key, challenge[len(CHALLENGE) :], (name or b"md5").decode()).digest()
    except (errors.AuthenticationError, ValueError):  # ValueError: the system forbids MD5
        return False
    return hmac.compare_digest(mac, expected)


def _digest_of(message: bytes) -> tuple[bytes, bytes]:
    if len(message) in _PLAIN:
        return b"", message
    name, brace, rest = message[1:].partition(b"}")
    if not message.startswith(b"{") or not brace or name not in _DIGESTS:
        raise errors.AuthenticationError("the other side wants a digest that is not known here")
    return name, rest
