"""How an end gets to another process: by pickling, in whatever way the processes are started."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
from multiprocessing import reduction
from typing import Any

from weft import _handle
from weft.namespace import Namespace
from weft.pipe._handles import Mail

__all__ = ["reduce"]


def reduce(end: Any) -> tuple[Any, ...]:
    """Sends the address of an end, and an opening that has it until the other process does.

    So this one may be closed at once, as with ``multiprocessing``. Where descriptors can't go along (another family
    of processes), the address alone has to do, and this end has to stay open until the other has arrived.
    """
    opening = reduction.DupFd(end._send_off())
    mail = end._mail.sock if end._mail is not None else None
    return (
        _arrive,
        (
            opening,
            reduction.DupFd(mail.fileno()) if mail is not None else None,
            end._place,
            end._attachment_name,
            _handle.identity(end),
            end._options,
        ),
    )


def _arrive(opening: Any, mail: Any, place: Namespace, name: str, identity: str, options: dict[str, Any]) -> Any:
    descriptor, socket_ = _detach(opening), _detach(mail)
    try:
        end = _handle._reopen(6, place, name, identity, options)
    except BaseException:
        if socket_ is not None:
            os.close(socket_)
        raise
    finally:
        if descriptor is not None:
            os.close(descriptor)
    if socket_ is not None:
        if end._mail is not None:
            end._mail.close()
        end._mail = Mail(socket.socket(fileno=socket_))
    return end


def _detach(duplicate: Any) -> int | None:
    """The descriptor that has come along, or None if it could not."""
    with contextlib.suppress(OSError, EOFError, multiprocessing.AuthenticationError):
        return None if duplicate is None else int(duplicate.detach())
    return None
