"""Show locks: who holds what since when, and who waits.

HELD BY names the owner of a lock, the writer of an RWLock, and how many permits or readers each process has. The
time is at least that long: it counts from when somebody first met the owner. A marked lock is one whose owner
died, and nobody has repaired what it guards.
"""

from __future__ import annotations

import argparse
import dataclasses

from weft.cli._arguments import add_json, add_namespace, places
from weft.cli._output import Output, Piece, note, printable
from weft.statistics import Participant
from weft.sync import LockState, survey

EXAMPLES = """\
exit status: 0, also if there are none

examples:
  weft locks
  weft locks --namespace shop
  weft locks --json | jq '.[] | select(.marked)'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of ``weft locks``."""
    add_namespace(parser, all_of_them=True)
    add_json(parser, "a list of locks with all that is known of each; times in seconds")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Shows them."""
    found = [state for place in places(arguments) for state in survey(place)]
    if arguments.json:
        output.json([_as_json(state) for state in found])
        return 0
    if not found:
        note("no locks")
        return 0
    rows: list[list[Piece | str]] = [[printable(s.name), s.kind, _state(s), _holders(s), _waiters(s)] for s in found]
    output.table(["NAME", "KIND", "STATE", "HELD BY", "WAITING"], rows)
    return 0


def _person(who: Participant) -> str:
    return f"{who.pid}" + (f"/{who.thread}" if who.thread else "")


def _state(state: LockState) -> str:
    return "marked" if state.marked else "held" if state.owner or state.shares else "free"


def _holders(state: LockState) -> str:
    held = [f"{_person(state.owner)} for {state.held_for:.1f} s"] if state.owner else []
    return printable(", ".join(held + [f"{_person(who)}: {count}" for who, count in state.shares.items()]) or "-")


def _waiters(state: LockState) -> str:
    return printable(", ".join(f"{_person(who)} for {since:.1f} s" for who, since in state.waiting) or "-")


def _as_json(state: LockState) -> dict[str, object]:
    return {
        "name": state.name,
        "kind": state.kind,
        "marked": state.marked,
        "owner": dataclasses.asdict(state.owner) if state.owner else None,
        "held_for": state.held_for,
        "shares": [dataclasses.asdict(who) | {"count": count} for who, count in state.shares.items()],
        "waiting": [dataclasses.asdict(who) | {"seconds": since} for who, since in state.waiting],
    }
