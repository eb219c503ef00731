"""Remove what nobody has open.

Without names: what dead processes left, objects of lifetime "attached" that nobody has open any more, and hidden
files of theirs. With --kept, objects of lifetime "kept" that nobody has open as well, whatever is in them. With
names: these, also if they were to be kept, are damaged, or were made by another version of weft.

What anybody has open stays, always, and it is said who has. It may be run at any time beside programs at work.

The exit status is 1 if an object named was not removed.
"""

from __future__ import annotations

import argparse
import dataclasses

from weft.cli._arguments import UsageError, add_json, add_namespace, places
from weft.cli._output import Output, Piece, printable, size_text
from weft.cli._segments import pids_text
from weft.memory import CleanResult, clean

EXAMPLES = """\
examples:
  weft clean                      what the dead left in the default namespace
  weft clean --all --dry-run      what would be removed from all your namespaces
  weft clean mailbox              this one, though it was to be kept
  weft clean --kept -n shop       everything in 'shop' that nobody has open
"""

_REASONS = {
    "kept": "it was to be kept: name it, or use --kept",
    "damaged": "it is damaged: name it to remove it",
    "other version": "another version of weft made it: name it to remove it",
    "foreign": "it is no segment of weft: remove it by hand",
    "missing": "there is no such object",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of ``weft clean``."""
    parser.add_argument("names", metavar="NAME", nargs="*", help="the objects; without: all that the dead left")
    parser.add_argument("-k", "--kept", action="store_true", help='without names: also those of lifetime "kept"')
    parser.add_argument("--dry-run", action="store_true", help="remove nothing, say what would be")
    add_namespace(parser, all_of_them=True)
    add_json(parser, "a list with the outcome for each object")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Cleans."""
    if arguments.names and arguments.all:
        raise UsageError("--all goes without names: the same name may be in several namespaces")
    names = arguments.names or None
    results = [
        result
        for place in places(arguments)
        for result in clean(names, namespace=place, kept=arguments.kept, dry_run=arguments.dry_run)
    ]
    gone = [result for result in results if result.outcome in ("removed", "removable")]
    if arguments.json:
        output.json([dataclasses.asdict(result) for result in results])
    else:
        for result in results:
            if names or result in gone or result.outcome == "failed":
                _show(result, output, arguments.all)
        _sum_up(results, gone, output, arguments.dry_run)
    return int(any(result.outcome == "failed" or (names and result not in gone) for result in results))


def _show(result: CleanResult, output: Output, everywhere: bool) -> None:
    where = f"{result.namespace}/{result.name}" if everywhere else result.name
    match result.outcome:
        case "removed" | "removable":
            word: Piece = ("removed" if result.outcome == "removed" else "would go", "good")
            reason = size_text(result.reserved)
        case "in use":
            word = ("in use", "warning")
            reason = (
                f"by pid {pids_text(result.pids, 8)}" if result.pids else "by a process that can't be seen from here"
            )
        case _:
            word = ("stays", "warning")
            reason = result.problem or _REASONS.get(result.outcome, result.outcome)
    output.line((f"{word[0]:<8}", word[1]), f"  {printable(where)}: {printable(reason)}")


def _sum_up(results: list[CleanResult], gone: list[CleanResult], output: Output, dry_run: bool) -> None:
    freed = size_text(sum(result.reserved for result in gone))
    words = [f"{len(gone)} would be removed, {freed}" if dry_run else f"{len(gone)} removed, {freed} freed"]
    for outcome, text in (
        ("in use", "in use"),
        ("kept", "kept"),
        ("damaged", "damaged"),
        ("other version", "of another version"),
        ("foreign", "not weft's"),
        ("missing", "missing"),
        ("failed", "failed"),
    ):
        count = sum(result.outcome == outcome for result in results)
        if count:
            words.append(f"{count} {text}")
    output.paragraph("", "; ".join(words), "dim")
