"""Arguments that several commands have."""

from __future__ import annotations

import argparse

from weft import errors
from weft.memory import namespaces
from weft.namespace import Namespace

__all__ = ["UsageError", "add_json", "add_namespace", "places"]


class UsageError(Exception):
    """Arguments that can't be."""


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help=f"for programs: {what}")


def add_namespace(parser: argparse.ArgumentParser, *, all_of_them: bool = False) -> None:
    """``--namespace``, and ``--all`` if asked for."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "-n",
        "--namespace",
        metavar="NAME",
        help="the namespace, by name or absolute path (default: that of WEFT_NAMESPACE, else 'default')",
    )
    if all_of_them:
        group.add_argument("-a", "--all", action="store_true", help="all namespaces of yours")


def places(arguments: argparse.Namespace) -> list[Namespace]:
    """The namespaces that are meant. One that was named must be there; the default need not."""
    try:
        if getattr(arguments, "all", False):
            return namespaces()
        place = Namespace(arguments.namespace)
    except ValueError as error:
        raise UsageError(error) from None
    if arguments.namespace is not None and not place.path.exists():
        known = ", ".join(repr(other.path.name) for other in namespaces())
        raise errors.NotFoundError(
            f"there is no namespace {place.path}: " + (f"yours are {known}" if known else "you have none so far")
        )
    return [place]
