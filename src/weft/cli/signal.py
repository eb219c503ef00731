"""Send a signal to a process, by its pid or by the name that it has registered; list both.

TARGET is a pid, or the name under which a program has called weft.signals.register. The signal goes through a
descriptor of the process: if a name's process has ended, nobody else is hit. SIGNAL is a name, with or without SIG,
or a number; SIGTERM if left out.

The exit status is 1 if nobody got it.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from weft import signals
from weft.cli._arguments import UsageError, add_json, add_namespace, places
from weft.cli._output import Output, Piece, note, printable, since_text

EXAMPLES = """\
examples:
  weft signal worker-3 USR1            to the process that has this name
  weft signal 4711 RTMIN+1 --value 42  queued, with an integer
  weft signal worker-3 --tree          SIGTERM to it and its descendants
  weft signal --group 4711 HUP         to a process group
  weft signal worker-3 --end 10        SIGTERM; SIGKILL if it takes longer
  weft signal --list                   who has registered
  weft signal --table                  which signals there are
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of ``weft signal``."""
    parser.add_argument("target", metavar="TARGET", nargs="?", help="a pid or a registered name")
    parser.add_argument("signal", metavar="SIGNAL", nargs="?", help="which signal (default: TERM)")
    parser.add_argument("-v", "--value", metavar="N", type=int, help="an integer of 32 bits to go with it")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("-t", "--tree", action="store_true", help="to all descendants, too")
    how.add_argument("-g", "--group", action="store_true", help="to the process group that has this id")
    how.add_argument(
        "-e", "--end", metavar="SECONDS", type=float, help="wait until it has ended; SIGKILL after so long"
    )
    how.add_argument("-l", "--list", action="store_true", help="list the processes that have registered a name")
    how.add_argument("--table", action="store_true", help="list all signals")
    add_namespace(parser)
    add_json(parser, "what was done, or what is listed")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Sends or lists."""
    if arguments.list or arguments.table:
        if arguments.target is not None:
            raise UsageError("--list and --table take no target")
        return _list(arguments, output) if arguments.list else _table(arguments, output)
    if arguments.target is None:
        raise UsageError("whom to signal: weft signal TARGET SIGNAL (weft signal --list shows names)")
    try:
        sought = signals.number(arguments.signal or "TERM")
        if arguments.value is not None and (arguments.tree or arguments.group or arguments.end is not None):
            raise UsageError("--value goes to one process: not with --tree, --group or --end")
        return _send(arguments, sought, output)
    except (ValueError, OverflowError) as error:
        raise UsageError(error) from None


def _send(arguments: argparse.Namespace, sought: int, output: Output) -> int:
    target = int(arguments.target) if arguments.target.lstrip("-").isdecimal() else arguments.target
    place = places(arguments)[0]
    if arguments.end is not None:
        with signals.Process(target, namespace=place) as process:
            ended = signals.terminate(process, arguments.end, signal=sought)
        if arguments.json:
            output.json({"signal": None if ended.signal is None else ended.signal.name, "forced": ended.forced})
        else:
            output.line(str(ended))
        return 0
    if arguments.group:
        if not isinstance(target, int):
            raise UsageError("a group is meant by its id, a number")
        sent = signals.send(signals.group(target), sought)
    elif arguments.tree:
        sent = signals.send_tree(target, sought, namespace=place)
    else:
        sent = signals.send(target, sought, arguments.value, namespace=place)
    if arguments.json:
        output.json(asdict(sent))
    for pid in sent.not_permitted:
        note(f"process {pid} is another user's")
    return 0 if sent else 1


def _list(arguments: argparse.Namespace, output: Output) -> int:
    place = places(arguments)[0]
    found = signals.registered(place)
    if arguments.json:
        output.json([asdict(each) for each in found])
    elif not found:
        note(f"no process has registered in {place.path}")
    else:
        rows: list[list[Piece | str]] = [
            [printable(each.name), str(each.pid), since_text(each.since), printable(each.command)] for each in found
        ]
        output.table(["NAME", ">PID", ">AGE", "COMMAND"], rows)
    return 0


def _table(arguments: argparse.Namespace, output: Output) -> int:
    found = signals.table()
    if arguments.json:
        output.json([asdict(each) for each in found])
        return 0
    rows: list[list[Piece | str]] = [
        [str(each.number), each.name, each.action, "yes" if each.catchable else ("no", "warning"), each.meaning]
        for each in found
    ]
    output.table([">NUMBER", "NAME", "DEFAULT", "CAUGHT", "MEANING"], rows)
    return 0
