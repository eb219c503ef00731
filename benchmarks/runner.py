"""Runs the cases in interleaved rounds, each in processes of its own."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from .peers import PEERS
from .workloads import LIMIT, Row, Workload

_ROOT = Path(__file__).resolve().parent.parent
NOT_INSTALLED = "not installed"


@dataclass
class Result:
    """One case of one round.

    Attributes:
        workload: Its workload's id.
        row: Its row's label.
        round: Counted from 0.
        value: In the workload's unit; None if the case failed.
        details: What else was measured.
        failure: Why there is no value.
        elapsed: Seconds that the case took in all.
    """

    workload: str
    row: str
    round: int
    value: float | None = None
    details: dict[str, float] = field(default_factory=dict)
    failure: str | None = None
    elapsed: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        workloads: Each with the rows that are wanted of it.
        rounds: How often.
        seconds: How long the clock runs in a case.
    """

    workloads: Sequence[tuple[Workload, Sequence[Row]]]
    rounds: int
    seconds: float

    @property
    def limit(self) -> float:
        """Seconds after which a case is taken to hang; most need little more than `seconds`."""
        return 20 + 10 * self.seconds

    def cases(self) -> Iterator[tuple[int, Workload, Row]]:
        """Yields the cases in the order of running.

        Rounds are outermost, so that a disturbance of the machine spoils a round of everything and
        not everything of one peer. In each round a workload's peers take turns in another order,
        or one would always follow the same other; the order is the same in every run.
        """
        for number in range(self.rounds):
            for workload, rows in self.workloads:
                shuffled = list(rows)
                random.Random(f"{number} {workload.id}").shuffle(shuffled)
                for row in shuffled:
                    yield number, workload, row


def run(plan: Plan, progress: Callable[[Result], None]) -> list[Result]:
    """Runs the plan.

    Args:
        plan: What to run.
        progress: Called with each result as it comes.

    Returns:
        All results. A case that failed has one too, and the run goes on.
    """
    results = []
    for number, workload, row in plan.cases():
        result = Result(workload.id, row.label, number)
        if row.peer == LIMIT or PEERS[row.peer].installed:
            start = monotonic()
            # Removed here, since a case that is killed can't.
            with TemporaryDirectory(prefix="benchmark-") as scratch:
                _run_case(result, plan, Path(scratch))
            result.elapsed = monotonic() - start
        else:
            result.failure = NOT_INSTALLED
        progress(result)
        results.append(result)
    return results


def _run_case(result: Result, plan: Plan, scratch: Path) -> None:
    # Files, not pipes: a pipe does not end while a partner of a dead case still has it open.
    output, errors = scratch / "output", scratch / "errors"
    with output.open("w") as out, errors.open("w") as err:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.case", result.workload, result.row),
                *("--seconds", str(plan.seconds), "--scratch", str(scratch)),
            ],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            process_group=0,
        )
    try:
        status = process.wait(plan.limit)
    except subprocess.TimeoutExpired:
        result.failure = f"hung: no end within {plan.limit:.0f} s"
        return
    finally:
        # Also after a normal end: a partner must not disturb the next case.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    outcome = _last_json(output.read_text())
    if "value" in outcome and status == 0:
        result.value = outcome.pop("value")
        result.details = outcome
    else:
        last_words = (errors.read_text().strip().splitlines() or [""])[-1]
        result.failure = outcome.get("failed") or f"exit status {status} {last_words}".strip()


def _last_json(output: str) -> dict[str, Any]:
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            outcome: dict[str, Any] = json.loads(line)
            return outcome
    return {}
