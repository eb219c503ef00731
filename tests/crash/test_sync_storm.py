"""Holders and waiters of locks killed at random moments: exact totals, nobody inside with another."""

import subprocess
import sys
from pathlib import Path

import pytest

import weft

PROGRAM = Path(__file__).with_name("sync_storm.py")
KINDS = ["Lock", "RLock", "repaired", "Semaphore", "BoundedSemaphore", "RWLock", "Condition"]


def run_storm(what, kills, seed, folder):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), what, str(kills), str(seed), str(folder)],
        capture_output=True, text=True, timeout=120 + kills, check=False,
    )  # fmt: skip
    weft.Namespace().clean()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    words = done.stdout.split()
    assert int(words[-3]) > kills  # work was done
    assert int(words[-1]) > 0  # and some died with it


@pytest.mark.parametrize("what", KINDS)
def test_storm(what, tmp_path):
    run_storm(what, 60, 1, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("what", KINDS)
def test_long_storm(what, seed, tmp_path):
    run_storm(what, 500, seed + 10, tmp_path)
