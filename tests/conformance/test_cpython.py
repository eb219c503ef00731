"""CPython's own tests of locks, semaphores, conditions, events and barriers, as they are installed."""

import subprocess
import sys
from pathlib import Path

import pytest

import weft

pytest.importorskip("test._test_multiprocessing", reason="this Python comes without its tests")
HERE = Path(__file__).parent


def run(program, *arguments):
    done = subprocess.run(
        [sys.executable, str(HERE / program), *arguments],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    weft.Namespace().clean()
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-6000:]
    ran, skipped = done.stdout.split()[-3::2]
    return int(ran), int(skipped)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.timeout(300)
def test_multiprocessing(method):
    ran, skipped = run("cpython_multiprocessing.py", method)
    assert ran >= 25
    assert skipped <= 1


@pytest.mark.timeout(300)
def test_locks():
    ran, skipped = run("cpython_locks.py")
    assert ran >= 80
    assert skipped <= 4
