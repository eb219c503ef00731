"""The command line: ``python -m benchmarks``, from the root of the repository."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from . import machine
from .peers import PEERS
from .report import number, render
from .runner import Plan, Result, run
from .workloads import LIMIT, WORKLOADS, Row, Workload, workload

_RESULTS = Path(__file__).resolve().parent / "results"

Choice: TypeAlias = list[tuple[Workload, list[Row]]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what the command line asks for.

    Failed cases and missed targets are results like others, and not errors of this program.

    Args:
        arguments: The command line; by default that of the process.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    chosen = _choose(options.only, options.peers)
    if not chosen:
        parser.error("no workload has any of these peers")
    if options.list:
        _list(chosen)
        return
    rounds, seconds = (2, 0.1) if options.quick else (options.rounds, options.seconds)
    plan = Plan(chosen, rounds, seconds)
    place = machine.describe()
    # Whoever ends this program ends the case that it runs, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = run(plan, _Progress(plan))
    path = options.json or _RESULTS / f"{place['time'].replace(':', '')}.json"
    _save(path, place, plan, results)
    print(render([each for each, _ in chosen], results))
    print(f"\n{_summary(place, plan)}")
    print(f"all rounds: {path}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures weft beside its peers in interleaved rounds, checks what arrives, "
        "and prints tables in Markdown. A whole run takes some ten minutes.",
    )
    parser.add_argument(
        "--only",
        metavar="WORKLOAD",
        action="append",
        choices=[each.id for each in WORKLOADS],
        help="run this workload only; can be given more than once",
    )
    parser.add_argument(
        "--peers",
        metavar="A,B",
        type=lambda text: text.split(","),
        help="run these peers only, named as by --list; a row of a table is meant by its name",
    )
    parser.add_argument("--rounds", metavar="N", type=int, default=5, help="rounds (default: %(default)s)")
    parser.add_argument(
        "--seconds",
        metavar="S",
        type=float,
        default=0.6,
        help="how long the clock runs in a case (default: %(default)s)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="2 rounds of 0.1 s: shows that everything works, not how fast it is",
    )
    parser.add_argument(
        "--json",
        metavar="FILE",
        type=Path,
        help="where to save all rounds (default: a new file in benchmarks/results)",
    )
    parser.add_argument("--list", action="store_true", help="list workloads, peers and rows, and run nothing")
    return parser


def _choose(only: list[str] | None, peers: list[str] | None) -> Choice:
    chosen = []
    for name in only or [each.id for each in WORKLOADS]:
        rows = [row for row in workload(name).rows if peers is None or row.peer in peers or row.label in peers]
        if rows:
            chosen.append((workload(name), rows))
    return chosen


def _list(chosen: Choice) -> None:
    for each, rows in chosen:
        print(f"{each.id}: {each.title}, {each.unit}")
        for row in rows:
            missing = "" if row.peer == LIMIT or PEERS[row.peer].installed else " (not installed)"
            print(f"    {row.peer}: {row.label}{missing}")


class _Progress:
    """Prints a line for each case as it ends."""

    def __init__(self, plan: Plan) -> None:
        self.done = 0
        self.total = plan.rounds * sum(len(rows) for _, rows in plan.workloads)

    def __call__(self, result: Result) -> None:
        self.done += 1
        unit = workload(result.workload).unit
        outcome = result.failure if result.value is None else f"{number(result.value, unit)} {unit}"
        print(
            f"[{self.done}/{self.total}] round {result.round + 1} {result.workload}: "
            f"{result.row}: {outcome} ({result.elapsed:.1f} s)",
            file=sys.stderr,
            flush=True,
        )


def _save(path: Path, place: dict[str, Any], plan: Plan, results: list[Result]) -> None:
    run = {"rounds": plan.rounds, "seconds": plan.seconds}
    saved = {"machine": place, "run": run, "results": [asdict(each) for each in results]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(saved, indent=1) + "\n")


def _summary(place: dict[str, Any], plan: Plan) -> str:
    versions = ", ".join(f"{name} {v}" for name, v in place["versions"].items() if v)
    commit = (place["commit"] or "no commit")[:12] + (", changed" if place["changed"] else "")
    return (
        f"{plan.rounds} rounds of {plan.seconds:g} s; {place['cores']} cores of {place['cpu']}, "
        f"Linux {place['kernel']}, {place['python']}; {versions}; commit {commit}."
    )


if __name__ == "__main__":
    main()
