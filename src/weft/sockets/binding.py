"""Binding an address, and giving it back.

A Unix socket's path stays behind when its listener is killed. It is replaced only if nobody listens there. That
look and what follows from it are one step for all of weft's listeners: they hold a lock on the directory
meanwhile, which the kernel releases if they die.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from weft.sockets.address import Endpoint, candidates, explain, is_loopback

__all__ = ["Bound", "bind", "unbind"]

_LOCK_TIME = 10.0
_PAUSE = 0.005


@dataclass(frozen=True)
class Bound:
    """A listening socket.

    Attributes:
        sock: It does not wait.
        endpoint: What was asked for.
        address: What clients connect to.
        identity: Device and inode of the path; None if there is none.
        pid: Of the process that bound it.
    """

    sock: socket.socket
    endpoint: Endpoint
    address: Any
    identity: tuple[int, int] | None
    pid: int


def bind(endpoint: Endpoint, backlog: int, mode: int, secured: bool) -> Bound:
    """Binds and listens.

    Args:
        endpoint: Where.
        backlog: Connections that the kernel keeps until they are accepted.
        mode: Permissions of a Unix socket's path.
        secured: Whether there is a key, or TLS.

    Raises:
        ValueError: Other machines could connect, and nothing is asked of them.
        OSError: It can't be bound; the sentence says why.
    """
    try:
        family, address = candidates(endpoint)[0]
        if not secured and not is_loopback(address):
            raise ValueError(
                f"{endpoint} can be reached from other machines: give authkey= or ssl=, or listen at 127.0.0.1"
            )
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if family != socket.AF_UNIX:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(address)
                sock.listen(backlog)
                return Bound(sock, endpoint, sock.getsockname()[:2], None, os.getpid())
            if endpoint.is_abstract:
                sock.bind(address)
                sock.listen(backlog)
                return Bound(sock, endpoint, address, None, os.getpid())
            return Bound(sock, endpoint, address, _bind_path(sock, address, backlog, mode), os.getpid())
        except BaseException:
            sock.close()
            raise
    except socket.gaierror:
        raise
    except OSError as error:
        raise explain(error, endpoint, "listening at") from error


def _bind_path(sock: socket.socket, path: str, backlog: int, mode: int) -> tuple[int, int]:
    with _locked(os.path.dirname(path)):
        _clear(path)
        os.fchmod(sock.fileno(), 0o600)  # what the path begins with, whatever the umask
        sock.bind(path)
        try:
            found = os.lstat(path)
            if mode != 0o600:
                os.chmod(path, mode)
            sock.listen(backlog)
        except BaseException:
            os.unlink(path)
            raise
    return found.st_dev, found.st_ino


def _clear(path: str) -> None:
    """Removes a socket that nobody listens at."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.ENOTSOCK, "not a socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except FileNotFoundError:
            return
        except BlockingIOError:  # its backlog is full
            pass
    raise OSError(errno.EADDRINUSE, "in use")


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Holds the lock on a directory. Others may have it for a moment; who keeps it is not waited for."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _LOCK_TIME
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TimeoutError(
                        errno.ETIMEDOUT, f"another program keeps the directory {directory!r} locked"
                    ) from None
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)


def unbind(bound: Bound) -> None:
    """Closes the socket, and removes its path if it is still its own. A forked child removes nothing."""
    bound.sock.close()
    if bound.pid != os.getpid():
        return
    path = bound.endpoint.address
    if bound.identity is not None:
        with contextlib.suppress(OSError), _locked(os.path.dirname(path)):
            found = os.lstat(path)
            if (found.st_dev, found.st_ino) == bound.identity:
                os.unlink(path)
    if bound.endpoint.temporary is not None:
        with contextlib.suppress(OSError):
            os.rmdir(bound.endpoint.temporary)
