"""Tests of the arithmetic; part of the default suite."""

# ruff: noqa: D103, the names of tests say what they show

from __future__ import annotations

from benchmarks.stats import Spread, best, best_of_all, ratio, spread


def test_spread_ignores_failed_rounds() -> None:
    assert spread([3.0, None, 1.0, 8.0]) == Spread(1.0, 3.0, 8.0)
    assert spread([None, None]) is None


def test_ratio_is_taken_within_the_round() -> None:
    # The machine ran at half speed in the second round, for both.
    assert ratio([20.0, 10.0, 30.0], [10.0, 5.0, 10.0]) == 2.0


def test_ratio_counts_only_rounds_that_both_finished() -> None:
    assert ratio([4.0, None, 9.0], [2.0, 1.0, None]) == 2.0
    assert ratio([None, 1.0], [1.0, None]) is None


def test_best_chooses_in_each_round() -> None:
    assert best([[1.0, 5.0, None], [2.0, None, None]], max) == [2.0, 5.0, None]
    assert best([[1.0, 5.0], [2.0, 4.0]], min) == [1.0, 4.0]


def test_best_of_all_stands_in_every_round() -> None:
    assert best_of_all([4.0, None, 3.0], min) == [3.0, 3.0, 3.0]
    assert ratio([1.0, 2.0, 3.0], best_of_all([10.0, 20.0, 40.0], min)) == 0.2
