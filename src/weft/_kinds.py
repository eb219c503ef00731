"""The kinds of objects: the number in a segment's header, the name, and who opens one.

A module of a kind registers its class; whoever opens by token, by pickle or from a namespace finds it
here, and no module below needs to know those above.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weft._core.look import Look
    from weft.statistics import AttachedProcess

__all__ = ["KINDS", "OTHERS", "Kind", "kind_called", "register"]


@dataclass(frozen=True)
class Kind:
    """One kind of object.

    Attributes:
        number: In the segment's header.
        name: Of its class, and in tokens.
        open: Makes a handle: ``open(name, namespace=…, create=…, **options)``.
        to_text: What a token carries of a handle's options, as text.
        from_text: The options that a token's text stands for; raises ValueError if it is not such text.
        inspect: What to tell of an object to who looks from outside, given the file and, by owner word, who takes
            part: values by name, of JSON's types or an ``AttachedProcess``. A list of dicts is shown as a table;
            numbers whose name ends with ``_bytes`` as sizes; the list ``notes`` as sentences. ``size`` is the
            size that its user asked for, where that is not the file's. Raises CorruptedError for what can't be.
        waits: What the two counters of threads asleep in a participant's slot wait for.
    """

    number: int
    name: str
    open: Callable[..., Any]
    to_text: Callable[[dict[str, Any]], dict[str, str]]
    from_text: Callable[[dict[str, str]], dict[str, Any]]
    inspect: Callable[[Look, Mapping[int, AttachedProcess]], dict[str, Any]] | None = None
    waits: tuple[str, str] = ("room", "messages")


KINDS: dict[int, Kind] = {}
# What a namespace offers beside kinds: classes built on one.
OTHERS: dict[str, Callable[..., Any]] = {}


def register(kind: Kind) -> Kind:
    """Makes a kind known."""
    KINDS[kind.number] = kind
    return kind


def kind_called(name: str) -> Kind | None:
    """The kind of that name."""
    return next((kind for kind in KINDS.values() if kind.name == name), None)


def kind_name(number: int) -> str:
    """What to call a kind in an error, known or not."""
    return KINDS[number].name if number in KINDS else f"kind {number}"
