"""From rounds to numbers: medians, and ratios that are taken within a round.

Machines drift, by a factor of two within minutes on a shared one.  What two peers did in the same
round is comparable; what they did in different rounds is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

Rounds: TypeAlias = Sequence[float | None]
"""One value per round; None where the case failed."""


@dataclass(frozen=True)
class Spread:
    """Least, middle and greatest of the rounds that succeeded."""

    least: float
    middle: float
    greatest: float


def spread(rounds: Rounds) -> Spread | None:
    """Sums up the rounds of a case, or returns None if all failed."""
    values = [value for value in rounds if value is not None]
    return Spread(min(values), median(values), max(values)) if values else None


def best(peers: Sequence[Rounds], choose: Callable[[Sequence[float]], float]) -> list[float | None]:
    """Picks in each round the best of several peers.

    Args:
        peers: The rounds of each peer.
        choose: `max` where more is better, `min` where less is.

    Returns:
        One value per round, None where all of them failed.
    """
    picked: list[float | None] = []
    for values in zip(*peers, strict=True):
        present = [value for value in values if value is not None]
        picked.append(choose(present) if present else None)
    return picked


def best_of_all(rounds: Rounds, choose: Callable[[Sequence[float]], float]) -> list[float | None]:
    """Puts the best round in the place of every round, for a reference at its very best."""
    present = [value for value in rounds if value is not None]
    return [choose(present) if present else None] * len(rounds)


def ratio(rounds: Rounds, reference: Rounds) -> float | None:
    """Returns the median over the rounds of the ratio to the reference in the same round.

    Rounds in which either failed do not count; None if no round is left.
    """
    ratios = [value / base for value, base in zip(rounds, reference, strict=True) if value is not None and base]
    return median(ratios) if ratios else None
