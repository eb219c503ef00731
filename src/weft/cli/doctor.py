"""Check what this machine allows, before a long job starts.

Memory and its limits, the file system by trying it, limits of the process, what logging out deletes, containers,
the permissions of the namespaces' directories, and what dead programs left. Each check is ok, a warning or a
problem, with what to do about it. It changes nothing.

The exit status is 1 if there is a problem; warnings do not count.
"""

from __future__ import annotations

import argparse
import dataclasses

from weft.cli._arguments import UsageError, add_json, add_namespace
from weft.cli._output import Output, printable
from weft.memory import doctor
from weft.namespace import Namespace

EXAMPLES = """\
examples:
  weft doctor
  weft doctor --namespace /mnt/shared
  weft doctor --json | jq -r '.[] | select(.status != "ok") | .advice'
"""

_STYLES = {"ok": "good", "warning": "warning", "problem": "bad"}
_NAME = 15


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of ``weft doctor``."""
    add_namespace(parser)
    add_json(parser, "a list of checks with name, status, finding, advice and data")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Checks."""
    try:
        place = Namespace(arguments.namespace) if arguments.namespace is not None else None
    except ValueError as error:
        raise UsageError(error) from None
    checks = doctor(place)
    count = {status: sum(check.status == status for check in checks) for status in _STYLES}
    if arguments.json:
        output.json([dataclasses.asdict(check) for check in checks])
        return int(count["problem"] > 0)
    for check in checks:
        head = f"{check.status:<8} {check.name:<{_NAME}} "
        output.paragraph(head, printable(check.finding), head_style=_STYLES[check.status])
        if check.advice:
            output.paragraph(f"{'→ ':>{len(head)}}", printable(check.advice), "strong")
    words = [f"{n} {what}{'s' * (n != 1)}" for what, n in count.items() if what != "ok"]
    output.line((", ".join(words), "dim"))
    return int(count["problem"] > 0)
