"""Turns results into tables in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import TypeAlias

from .runner import NOT_INSTALLED, Result
from .stats import Rounds, best, best_of_all, ratio, spread
from .workloads import TARGETS, Target, Workload, workload

Cases: TypeAlias = dict[str, list[Result]]
"""The results of a workload by row, each in the order of the rounds."""


def render(workloads: Sequence[Workload], results: Iterable[Result]) -> str:
    """Renders a table for each workload, and one of the targets among them."""
    by_workload: dict[str, Cases] = {chosen.id: {} for chosen in workloads}
    for result in results:
        by_workload[result.workload].setdefault(result.row, []).append(result)
    tables = [_table(chosen, by_workload[chosen.id]) for chosen in workloads]
    return "\n\n".join([*tables, _target_table(by_workload)])


def number(value: float, unit: str) -> str:
    """Writes a value with about three digits, and thousands or millions of rates as such."""
    if unit == "us" or value < 1000:
        return f"{value:.3g}" if value < 100 else f"{value:,.0f}"
    if value < 10_000:
        return f"{value:,.0f}"
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.0f} k"


def _rounds(results: Sequence[Result] | None) -> Rounds:
    return [result.value for result in results or ()]


def _table(chosen: Workload, cases: Cases) -> str:
    details = sorted({name for row in cases.values() for r in row for name in r.details})
    reference = _rounds(cases.get(chosen.reference))
    heads = ["peer", "min", "median", "max", f"x {chosen.reference}", *details, "notes"]
    lines = [f"### {chosen.id}: {chosen.title}, {chosen.unit}", "", _line(heads)]
    lines.append(_line(["---", *["---:"] * (len(heads) - 2), "---"]))
    for row in chosen.rows:
        if row.label in cases:
            lines.append(_line(_row(chosen, row.label, cases[row.label], reference, details)))
    return "\n".join(lines)


def _row(chosen: Workload, label: str, results: list[Result], reference: Rounds, details: list[str]) -> list[str]:
    values = _rounds(results)
    seen = spread(values)
    if seen is None:
        cells = [""] * (4 + len(details))
    else:
        times = ratio(values, reference) if reference else None
        cells = [
            number(seen.least, chosen.unit),
            f"**{number(seen.middle, chosen.unit)}**",
            number(seen.greatest, chosen.unit),
            "" if times is None else f"{times:.3g}",
        ]
        for name in details:
            extra = [r.details[name] for r in results if name in r.details]
            cells.append(number(median(extra), chosen.unit) if extra else "")
    return [label, *cells, _failures(results)]


def _failures(results: list[Result]) -> str:
    reasons = Counter(result.failure for result in results if result.failure)
    if NOT_INSTALLED in reasons:
        return NOT_INSTALLED
    return "; ".join(f"failed {n} of {len(results)}: {why}" for why, n in reasons.items())


def _target_table(by_workload: dict[str, Cases]) -> str:
    lines = ["### Targets", "", _line(["target", "reached", "met"]), _line(["---", "---:", "---"])]
    for target in TARGETS:
        if target.workload in by_workload:
            reached = reached_ratio(target, by_workload[target.workload])
            shown = "not measured" if reached is None else f"{reached:.3g}"
            lines.append(_line([_name(target), shown, _verdict(target, reached)]))
    return "\n".join(lines)


def reached_ratio(target: Target, cases: Cases) -> float | None:
    """Computes the ratio that a target is about, or None if something needed for it is missing."""
    if not {target.row, *target.references} <= cases.keys():
        return None
    better = workload(target.workload).better
    reference = best([_rounds(cases[label]) for label in target.references], better)
    if target.best_of_all:
        reference = best_of_all(reference, better)
    return ratio(_rounds(cases[target.row]), reference)


def _name(target: Target) -> str:
    sign = "<=" if workload(target.workload).better is min else ">="
    against = " or ".join(target.references)
    if target.best_of_all:
        against = f"the best round of {against}"
    elif len(target.references) > 1:
        against = f"the better of {against}"
    return f"{target.workload}: {target.row} {sign} {target.bound:g} x {against}"


def _verdict(target: Target, reached: float | None) -> str:
    if reached is None:
        return ""
    less_is_better = workload(target.workload).better is min
    met = reached <= target.bound if less_is_better else reached >= target.bound
    return "yes" if met else "**no**"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
