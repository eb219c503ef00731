"""Opening queues for commands that pass messages."""

from __future__ import annotations

import argparse
import contextlib
import math
import os

from weft import errors
from weft.cli._arguments import UsageError, places
from weft.memory import inspect
from weft.namespace import Namespace, check_name
from weft.queue import Queue

__all__ = ["add_timeout", "open_or_make", "open_queue"]


def add_timeout(parser: argparse.ArgumentParser, what: str) -> None:
    """``--timeout``."""
    parser.add_argument("-t", "--timeout", metavar="SECONDS", type=_seconds, help=what)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def open_queue(arguments: argparse.Namespace) -> Queue:
    """The queue that is meant, with the codec it has.

    Raises:
        NotFoundError: There is none.
        MismatchError: It is no queue, or its messages can't be had without its program.
    """
    return _open(_check_name(arguments.queue), _as_it_is(places(arguments)[0]))


def open_or_make(arguments: argparse.Namespace) -> Queue:
    """The same; a missing one is made, to be kept."""
    name, place = _check_name(arguments.queue), _place(arguments)
    while True:
        try:
            return _open(name, place)
        except errors.NotFoundError:
            pass
        codec = "raw" if arguments.raw else None
        try:
            return Queue(name, create=True, lifetime="kept", namespace=place, codec=codec)
        except errors.NameInUseError:  # somebody was faster
            continue


def _place(arguments: argparse.Namespace) -> Namespace:
    try:
        return _as_it_is(Namespace(arguments.namespace))
    except ValueError as error:
        raise UsageError(error) from None


def _as_it_is(place: Namespace) -> Namespace:
    """The user's own directory may let others in; another user's is refused when it is used."""
    with contextlib.suppress(OSError):
        found = place.path.stat()
        if found.st_uid == os.geteuid():
            return Namespace(place.path, mode=0o700 | found.st_mode & 0o077)
    return place


def _check_name(name: str) -> str:
    try:
        return check_name(name, "QUEUE")
    except ValueError as error:
        raise UsageError(error) from None


def _open(name: str, place: Namespace) -> Queue:
    seen = inspect(name, place)
    codec, type_ = seen.details.get("codec"), seen.details.get("type")
    if seen.kind == "Queue" and codec not in ("default", "raw", "json", "msgspec", None):
        raise errors.MismatchError(
            f"queue {name!r} has the codec {codec!r}: a program that knows it is needed"
            + (", since to decode it is to run what a message says" if codec == "pickle" else "")
        )
    if type_:
        raise errors.MismatchError(f"queue {name!r} carries {type_}: a program that has this type is needed")
    return Queue(name, create=False, namespace=place, codec=codec)
