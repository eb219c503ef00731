"""List objects: kind, size, who has them open, lifetime, age.

Looking changes nothing, and works on programs that hang, are stopped or are dead. SIZE is what the object may grow
to, RESERVED the memory behind it now. ATTACHED are the processes that have it open; an object of lifetime
"attached" that nobody has open was left by processes that were killed, and is marked as a leftover.
"""

from __future__ import annotations

import argparse

from weft.cli._arguments import add_json, add_namespace, places
from weft.cli._output import Output, Piece, note, printable, since_text, size_text
from weft.cli._segments import as_json, attached_text, kind_text
from weft.memory import segments

EXAMPLES = """\
examples:
  weft ls                         objects of the default namespace
  weft ls --all                   of all your namespaces
  weft ls --namespace shop
  weft ls --json | jq -r '.[] | select(.leftover) | .path'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of ``weft ls``."""
    add_namespace(parser, all_of_them=True)
    add_json(parser, "a list of objects with all that is known of each; sizes in bytes, times since the epoch")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Lists."""
    there = places(arguments)
    found = [segment for place in there for segment in segments(place)]
    if arguments.json:
        output.json([as_json(segment) for segment in found])
        return 0
    if not found:
        note(f"nothing in {', '.join(str(place.path) for place in there)}" if there else "you have no namespaces")
        return 0
    rows: list[list[Piece | str]] = []
    for segment in found:
        row: list[Piece | str] = [
            printable(segment.name),
            kind_text(segment),
            size_text(segment.size),
            size_text(segment.reserved),
            attached_text(segment),
            segment.lifetime or "-",
            since_text(segment.created) if segment.created is not None else "-",
        ]
        rows.append([printable(segment.namespace), *row] if arguments.all else row)
    columns = ["NAME", "KIND", ">SIZE", ">RESERVED", "ATTACHED", "LIFETIME", ">AGE"]
    output.table(["NAMESPACE", *columns] if arguments.all else columns, rows)
    left = [segment for segment in found if segment.leftover]
    if left:
        size = size_text(sum(segment.reserved for segment in left))
        them = "1 object was" if len(left) == 1 else f"{len(left)} objects were"
        note(f"{them} left by dead processes, {size}: weft clean{' --all' * arguments.all} removes what nobody uses")
    return 0
