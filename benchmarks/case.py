"""One peer in one workload, once, in this process and its partners: prints one line of JSON."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import gettempdir

from . import durable, flow, latest, limits, many, roundtrip
from .peers import PEERS
from .peers.base import Channel, Setup
from .processes import guarded, lead_group, prefer, report
from .workloads import LIMIT, Row, Workload, workload


def main() -> None:
    """Runs the case that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.case", description=__doc__)
    parser.add_argument("workload")
    parser.add_argument("row")
    parser.add_argument("--seconds", type=float, default=0.6)
    parser.add_argument("--scratch", type=Path, default=Path(gettempdir()))
    arguments = parser.parse_args()
    chosen = workload(arguments.workload)
    lead_group()
    prefer()
    row = chosen.row(arguments.row)
    report(guarded(_run, chosen, row, arguments.seconds, arguments.scratch))


def _run(chosen: Workload, row: Row, seconds: float, scratch: Path) -> dict[str, float]:
    load = chosen.load()
    if row.peer == LIMIT:
        return limits.run(load, seconds, **row.options)
    setup = Setup(load, chosen.slots, chosen.producers, scratch)

    def channel() -> Channel:
        return PEERS[row.peer].open(setup, dict(row.options))

    if chosen.way == "roundtrip":
        there, back = channel(), channel()
        outcome = roundtrip.run(there, back, load, seconds, row.cores)
        back.close()
        there.close()
        return outcome
    only = channel()
    if chosen.way == "many":
        outcome = many.run(only, load, seconds, chosen.producers, chosen.producers)
    elif chosen.way == "durable":
        outcome = durable.run(only, load, seconds)
    elif chosen.unit in ("reads/s", "writes/s"):
        outcome = latest.run(only, load, seconds, chosen.way)
    else:
        outcome = flow.run(only, load, seconds)
    only.close()
    return outcome


if __name__ == "__main__":
    main()
