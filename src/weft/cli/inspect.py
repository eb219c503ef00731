"""Show all that is known of an object, from outside.

Who has it open and what they do, who was killed with it, memory, lifetime, creator; and what its kind has to tell:
of a queue the counters, who holds leases, views or a lock, and who keeps whom waiting. Looking changes nothing, and
works on programs that hang, are stopped or are dead.

NAME is an object's name, or the path of its file. The exit status is 1 if one is missing or not sound.
"""

from __future__ import annotations

import argparse
import grp
import pwd
from collections.abc import Callable, Iterable
from typing import Any

from weft import errors
from weft.cli._arguments import add_json, add_namespace, places
from weft.cli._output import Output, Piece, note, printable, since_text, size_text, time_text
from weft.cli._segments import as_json, kind_text
from weft.memory import SegmentInfo, inspect
from weft.statistics import AttachedProcess

EXAMPLES = """\
examples:
  weft inspect jobs
  weft inspect /dev/shm/weft-1000/default/jobs
  watch -n1 weft inspect jobs
  weft inspect jobs --json | jq '.[0].details.depth'
"""

_LABEL = 19  # how far values stand from their names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of ``weft inspect``."""
    parser.add_argument("names", metavar="NAME", nargs="+", help="the objects")
    add_namespace(parser)
    add_json(parser, "a list with one item for each object found")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Shows."""
    found, status = [], 0
    for name in arguments.names:
        try:
            found.append(inspect(name, None if "/" in name else places(arguments)[0]))
        except errors.NotFoundError as error:
            note(str(error))
            status = 1
    if arguments.json:
        output.json([as_json(segment) for segment in found])
    else:
        for i, segment in enumerate(found):
            if i:
                output.line()
            _show(segment, output)
    return status or int(any(segment.condition != "sound" for segment in found))


def _show(segment: SegmentInfo, output: Output) -> None:
    output.line((printable(segment.name), "strong"))
    for name, (text, style) in _facts(segment):
        output.paragraph(f"  {name:<{_LABEL}}", printable(text), style)
    if segment.participants:
        output.line()
        _show_people(segment.participants, output)
    _show_details(segment.details, output)
    notes = [*_notes(segment), *segment.details.get("notes", ())]
    if notes:
        output.line()
    for text in notes:
        output.paragraph("  ! ", printable(text), "warning", "warning")


def _facts(segment: SegmentInfo) -> Iterable[tuple[str, Piece]]:
    yield "kind", kind_text(segment)
    if segment.problem:
        yield "problem", (segment.problem, "bad")
    yield "file", (str(segment.path), "")
    yield "size", (f"{size_text(segment.size)}, {size_text(segment.reserved)} of memory reserved", "")
    if segment.lifetime:
        yield "lifetime", (segment.lifetime, "")
    if segment.created is not None:
        moment = f"{since_text(segment.created)} ago ({time_text(segment.created)})"
        yield "made", (f"{moment} by pid {segment.creator_pid}: {segment.creator}", "")
    user, group = _name(pwd.getpwuid, segment.owner), _name(grp.getgrgid, segment.group)
    yield "permissions", (f"{segment.mode:04o}, user {user}, group {group}", "")
    if segment.layout_version is not None:
        identity = f", identity {segment.identity}" if segment.identity else ""
        yield "layout", (f"version {segment.layout_version}{identity}", "dim")
    yield "open in", _open_in(segment)


def _open_in(segment: SegmentInfo) -> Piece:
    if segment.attached is None:
        return ("unknown", "dim")
    if not segment.attached:
        return ("no process: left by the dead" if segment.leftover else "no process", "")
    pids = segment.pids
    text = f"{len(pids)} process{'es' * (len(pids) != 1)}" if pids else "a process that can't be seen from here"
    if segment.others:
        text += f", of which {', '.join(map(str, segment.others))} without taking part"
    return (text, "")


def _name(lookup: Callable[[int], Any], number: int) -> str:
    try:
        return str(lookup(number)[0])
    except (KeyError, OverflowError):
        return str(number)


def _show_people(people: Iterable[AttachedProcess], output: Output) -> None:
    rows: dict[tuple[int, bool], list[Any]] = {}
    for person in people:
        row = rows.setdefault((person.pid, person.alive), [person, 0, {}])
        row[1] += 1
        for what, count in person.waiting.items() if person.alive else ():
            row[2][what] = row[2].get(what, 0) + count
    output.table(
        [">PID", ">HANDLES", "STATE", "WAITS FOR", ">SINCE", "COMMAND"],
        [
            [
                str(person.pid),
                str(handles),
                (person.state or "not seen from here", {"stopped": "warning", "dead": "bad"}.get(person.state, "")),
                ", ".join(f"{what} ({count})" if count > 1 else what for what, count in waiting.items()) or "-",
                since_text(person.started),
                printable(person.command),
            ]
            for person, handles, waiting in rows.values()
        ],
        indent="  ",
    )


def _show_details(details: dict[str, Any], output: Output) -> None:
    plain = {name: value for name, value in details.items() if not isinstance(value, (list, dict))}
    if plain:
        output.line()
    for name, value in plain.items():
        if value is not None:
            output.paragraph(f"  {_words(name):<{_LABEL}}", printable(_text(name, value)))
    for name, value in details.items():
        if name != "notes" and isinstance(value, list) and value:
            output.line()
            output.line((f"  {_words(name)}", "strong"))
            columns = list(value[0])
            output.table(
                [_words(column).upper() for column in columns],
                [[printable(_text(column, row.get(column))) for column in columns] for row in value],
                indent="  ",
            )


def _words(name: str) -> str:
    return name.removesuffix("_bytes").replace("_", " ") if name != "depth_bytes" else "depth in bytes"


def _text(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, AttachedProcess):
        return f"{value.pid}, {value.state or 'not seen from here'}"
    if isinstance(value, int) and not isinstance(value, bool):
        return size_text(value) if name.endswith("_bytes") else f"{value:,}"
    return str(value)


def _notes(segment: SegmentInfo) -> Iterable[str]:
    """What is true of every kind."""
    if segment.condition == "other version":
        yield f"use one version of weft for all, or, when nobody has it open, remove it: weft clean {segment.name}"
    elif segment.condition == "damaged":
        yield f"weft clean {segment.name} removes it when nobody has it open"
    if segment.leftover:
        yield "it was to go with the last process that has it open, and all were killed: weft clean removes it"
    for person in segment.participants:
        if not person.alive and segment.attached:
            yield f"pid {person.pid} was killed; what it held is given back by whoever uses the object next"
    for pid in dict.fromkeys(p.pid for p in segment.participants if p.alive and p.state == "stopped"):
        yield f"pid {pid} is stopped, and keeps what it holds: continue it (kill -CONT {pid}) or kill it"
