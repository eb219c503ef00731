"""Tests that nobody here wrote: those of the interpreter for what weft's classes replace.

They are run from where the interpreter has them; one without its ``test`` package has none.
"""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def has(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


pytestmark = pytest.mark.skipif(
    not (has("test.test_mmap") and has("test._test_multiprocessing")), reason="this Python came without its tests"
)


def run(program, *arguments, directory):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", HERE / program, *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    counts = re.search(r"Ran (\d+) tests?.*?\n\nOK(?: \(skipped=(\d+)\))?", done.stderr, re.DOTALL)
    return int(counts[1]) - int(counts[2] or 0)


def test_mmap(tmp_path):
    passed = run("standard_mmap.py", directory=tmp_path)
    # What the standard's passes, less test_repr and with test_tagname: 34 of 3.11.7, 29 of 3.12.1, 36 of 3.13.0.
    assert passed >= 29


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_shared_memory(method, tmp_path):
    passed = run("standard_shared_memory.py", method, directory=tmp_path)
    assert passed >= 9
