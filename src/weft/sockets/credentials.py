"""Who is at the other end: what the kernel says of it on Unix sockets, the certificate with TLS."""

from __future__ import annotations

import os
import pwd
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from weft import errors

__all__ = ["Peer", "check_users", "peer_of", "refuse_others"]

_UCRED = struct.Struct("=iII")  # struct ucred: pid, uid, gid


@dataclass(frozen=True)
class Peer:
    """The process at the other end of a connection.

    Attributes:
        address: Its address, for TCP; None on Unix sockets, whose clients have none.
        pid: Its process id when it connected, or when it began to listen; None through TCP. For display: the
            process may have ended since, another may have its id, and 0 is one of another container.
        uid: Its user's id then, which the kernel vouches for; None through TCP.
        gid: Its group's id then; None through TCP.
        certificate: Its certificate as ``ssl.SSLSocket.getpeercert`` tells it, if TLS asked for one.
    """

    address: Any = None
    pid: int | None = None
    uid: int | None = None
    gid: int | None = None
    certificate: Any = field(default=None, compare=False)

    def __str__(self) -> str:
        if self.uid is None:
            return f"{self.address[0]}:{self.address[1]}" if self.address else "an unknown peer"
        return f"process {self.pid} of user {user_name(self.uid)}"


def peer_of(sock: socket.socket, certificate: Any = None) -> Peer:
    """Asks the kernel who is at the other end."""
    if sock.family == socket.AF_UNIX:
        pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return Peer(pid=pid, uid=uid, gid=gid)
    try:
        return Peer(address=sock.getpeername()[:2], certificate=certificate)
    except OSError:  # it has gone
        return Peer(certificate=certificate)


def user_name(uid: int) -> str:
    """What to call a user in an error."""
    try:
        return f"{pwd.getpwuid(uid).pw_name!r} ({uid})"
    except KeyError:
        return str(uid)


def check_users(users: Any) -> frozenset[int] | None:
    """The ids of the users whose processes may be at the other end; None if all may.

    Args:
        users: None for this process's own user alone, ``"any"``, or names and ids.

    Raises:
        ValueError: There is no such user.
        TypeError: Something else.
    """
    if users is None:
        return frozenset((os.geteuid(),))
    if users == "any":
        return None
    if isinstance(users, str | bytes | int) or not isinstance(users, Iterable):
        raise TypeError(f'allow_users takes "any" or a list of names and ids, not {users!r}')
    return frozenset(_user_id(user) for user in users)


def _user_id(user: Any) -> int:
    if isinstance(user, int) and not isinstance(user, bool) and user >= 0:
        return user
    if isinstance(user, str):
        try:
            return pwd.getpwnam(user).pw_uid
        except KeyError:
            raise ValueError(f"allow_users: there is no user {user!r}") from None
    raise TypeError(f"allow_users takes names and ids of users, not {user!r}")


def refuse_others(peer: Peer, users: frozenset[int] | None) -> None:
    """Lets the processes of the allowed users pass.

    Raises:
        AccessError: It belongs to another user.
    """
    if users is not None and peer.uid is not None and peer.uid not in users:
        raise errors.AccessError(
            f"{peer} is at the other end; only {', '.join(map(user_name, sorted(users))) or 'nobody'} may be: "
            "name others in allow_users="
        )
