"""Addresses: a path or an abstract name for Unix sockets, ``(host, port)`` for TCP.

What may be bound without further ado is what only this machine can reach. The sentences of errors about
addresses are here too, as the system's own say little.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import tempfile
from dataclasses import dataclass
from typing import Any

__all__ = ["FAMILIES", "Endpoint", "explain", "is_loopback", "resolve"]

FAMILIES = ("AF_UNIX", "AF_INET", "AF_INET6")
LOOPBACK = "127.0.0.1"
LOOPBACK6 = "::1"
# The kernel's sun_path, with the zero at the end of a path; an abstract name has its zero in front.
LONGEST_PATH = 107


@dataclass(frozen=True)
class Endpoint:
    """An address that has been checked.

    Attributes:
        family: ``"AF_UNIX"``, ``"AF_INET"`` or ``"AF_INET6"``; None if a name is still to be looked up.
        address: A path, an abstract name that begins with a zero, or ``(host, port)``.
        temporary: The directory that was made for it, to be removed with it.
    """

    family: str | None
    address: Any
    temporary: str | None = None

    @property
    def is_unix(self) -> bool:
        """Whether it is the address of a Unix socket."""
        return self.family == "AF_UNIX"

    @property
    def is_abstract(self) -> bool:
        """Whether it is a Unix socket's name that is not in the file system."""
        return self.is_unix and self.address.startswith("\0")

    def __str__(self) -> str:
        return show(self.address)


def show(address: Any) -> str:
    """An address as errors show it."""
    if isinstance(address, str):
        return "abstract " + repr(address[1:]) if address.startswith("\0") else repr(address)
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def resolve(address: Any, family: Any = None, *, listening: bool = False) -> Endpoint:
    """Checks an address and finds out its family.

    Args:
        address: As the standard library has it; None, if ``listening``, for one that nobody has.
        family: ``"AF_UNIX"``, ``"AF_INET"``, ``"AF_INET6"``, or None to tell from the address.
        listening: Whether it is to be bound.

    Raises:
        ValueError: An unknown family, or an address that is none, or not of that family.
        TypeError: The address is nothing that an address can be.
        OSError: A path is too long for a socket.
    """
    if family is not None and family not in FAMILIES:
        raise ValueError(f"the family {family!r} is not known here: use one of {', '.join(FAMILIES)}")
    if address is None:
        if not listening:
            raise TypeError("an address is needed: a path, or (host, port)")
        return _arbitrary(family or "AF_UNIX")
    if isinstance(address, tuple | list):
        return _tcp(address, family)
    if isinstance(address, str | bytes | os.PathLike):
        if family not in (None, "AF_UNIX"):
            raise ValueError(f"{family} takes (host, port), not {address!r}")
        return Endpoint("AF_UNIX", _unix(os.fsdecode(address)))
    raise TypeError(f"an address is a path, an abstract name or (host, port), not {type(address).__name__}")


def _arbitrary(family: str) -> Endpoint:
    if family != "AF_UNIX":
        return Endpoint(family, (LOOPBACK if family == "AF_INET" else LOOPBACK6, 0))
    directory = tempfile.mkdtemp(prefix="weft-")  # mode 0700: nobody else gets as far as the socket
    try:
        return Endpoint(family, _unix(os.path.join(directory, "listener")), directory)
    except BaseException:
        os.rmdir(directory)
        raise


def _unix(path: str) -> str:
    if path.startswith("\0"):
        if len(os.fsencode(path)) < 2:
            raise ValueError("an abstract name has at least one character behind the zero")
        if len(os.fsencode(path)) > LONGEST_PATH + 1:
            raise OSError(
                errno.ENAMETOOLONG,
                f"an abstract name of {len(os.fsencode(path))} bytes; the system allows {LONGEST_PATH + 1}",
            )
        return path
    if not path:
        raise ValueError("an empty path; None lets a listener choose an address")
    if "\0" in path:
        raise ValueError(f"a zero inside the path {path!r}; at the front, it makes an abstract name")
    whole = os.path.abspath(path)  # it is to mean the same after a chdir, and when it is removed
    size = len(os.fsencode(whole))
    if size > LONGEST_PATH:
        raise OSError(
            errno.ENAMETOOLONG,
            f"the path of a socket may have {LONGEST_PATH} bytes, and {whole!r} has {size}: use a directory "
            'nearer to the root, such as one in /run or /tmp, or an abstract name, "\\0name"',
        )
    return whole


def _tcp(address: Any, family: str | None) -> Endpoint:
    if family == "AF_UNIX":
        raise ValueError(f"AF_UNIX takes a path or an abstract name, not {address!r}")
    if len(address) != 2:
        raise ValueError(f"a TCP address is (host, port), not {address!r}")
    host, port = address
    if not isinstance(host, str) or isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"a TCP address is (host, port), a str and an int, not {address!r}")
    if not 0 <= port <= 0xFFFF:
        raise ValueError(f"a port is between 0 and 65535, not {port}")
    if not host:
        raise ValueError(f'no host in {address!r}: say "127.0.0.1" for this machine alone, "0.0.0.0" for all networks')
    return Endpoint(family or ("AF_INET6" if ":" in host else None), (host, port))


def candidates(endpoint: Endpoint) -> list[tuple[int, Any]]:
    """What to bind or connect to, in this order: pairs of a family and an address as the system takes it.

    Waits for the system's look-up if the host is a name.

    Raises:
        OSError: The name means nothing (``socket.gaierror``).
    """
    if endpoint.is_unix:
        return [(socket.AF_UNIX, endpoint.address)]
    host, port = endpoint.address
    family = getattr(socket, endpoint.family) if endpoint.family else socket.AF_UNSPEC
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise socket.gaierror(error.errno, f"the host {host!r} is not known ({error.strerror})") from None
    # IPv4 first, as the standard library's listeners have nothing else.
    return sorted(((int(each[0]), each[4]) for each in found), key=lambda pair: pair[0] != socket.AF_INET)


def is_numeric(host: str) -> bool:
    """Whether the host is an address, which needs no look-up."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def is_loopback(bound: Any) -> bool:
    """Whether an address that has been looked up can be reached from this machine alone."""
    if isinstance(bound, str | bytes):
        return True
    return ipaddress.ip_address(bound[0].partition("%")[0]).is_loopback


def explain(error: OSError, endpoint: Endpoint, doing: str) -> OSError:
    """The same error with a sentence that says what to do; the builtin type follows from its number."""
    host = None if endpoint.is_unix else endpoint.address[0]
    match error.errno:
        case errno.EADDRINUSE:
            hint = "somebody listens there already: choose another, or end the other listener"
        case errno.EADDRNOTAVAIL:
            hint = f"no interface of this machine has the address {host!r}"
        case errno.ECONNREFUSED:
            hint = "nobody listens there: start the listener first, and compare the addresses"
        case errno.ENOENT:
            hint = (
                "there is no such directory: make it first"
                if doing == "listening at"
                else "there is no such socket: start the listener first, and compare the addresses"
            )
        case errno.ENOTDIR:
            hint = "a part of the path is not a directory"
        case errno.ENOTSOCK:
            hint = "what has that name is not a socket, and is left alone: remove it, or choose another path"
        case errno.EACCES | errno.EPERM:
            hint = (
                "the system does not permit it: look at the modes of the directories and the socket"
                if endpoint.is_unix
                else "the system does not permit it: ports below 1024 are the administrator's"
            )
        case errno.EROFS:
            hint = "the file system is read-only"
        case errno.EMFILE | errno.ENFILE:
            hint = "too many files are open: close some, or raise the limit (ulimit -n)"
        case errno.EAGAIN | errno.ETIMEDOUT:
            hint = "no answer: the listener is overloaded, stopped, or not to be reached"
        case _:
            hint = error.strerror or str(error)
    return OSError(error.errno, f"{doing} {endpoint} failed: {hint}")
