"""Runs the test suite: most tests in several processes at a time, beside them those that want one to themselves.

Arguments are passed on to pytest. A test that is marked `alone` sends signals to its own process, which may have no
thread that would take them, as the processes of a parallel run have. With `-n 0` all tests run one after the other.

What fails in company runs once more by itself: a busy machine can outlast a wait that the library limits. What fails
twice has failed; what passes then stands in the output, to be looked at.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

FAILED = 1  # pytest's status if tests have failed
NOTHING_SELECTED = 5  # pytest's status if no test was chosen
WORKERS = 2 * (os.cpu_count() or 1)  # tests of processes spend much of their time waiting for them


def main(arguments: list[str]) -> int:
    """Runs the two parts at the same time; 0 if both have passed."""
    pytest = [sys.executable, "-m", "pytest"]
    if any(word == "-n" or word.startswith("-n") for word in arguments):
        return subprocess.run([*pytest, *arguments], check=False).returncode
    apart = [*pytest, "-m", "alone and not slow", "-o", "cache_dir=.pytest_cache/alone"]
    with tempfile.TemporaryFile() as output:
        alone = subprocess.Popen(
            [*apart, *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            together = subprocess.run(
                [*pytest, "-m", "not alone and not slow", "-n", str(WORKERS), "--dist", "worksteal", *arguments],
                check=False,
            ).returncode
            if together == FAILED:
                print("── what has failed, once more by itself ──", flush=True)
                together = subprocess.run(
                    [*pytest, "-m", "not alone and not slow", "--lf", *arguments], check=False
                ).returncode
            status = alone.wait()
        finally:
            alone.kill()
            alone.wait()
        output.seek(0)
        sys.stdout.flush()
        if status != NOTHING_SELECTED:
            print("── tests that have a process to themselves ──", flush=True)
            sys.stdout.buffer.write(output.read())
            sys.stdout.flush()
    if status not in (0, NOTHING_SELECTED):  # a negative one: a signal has ended it
        print(f"── ended with status {status}: what has failed, once more by itself ──", flush=True)
        status = subprocess.run([*apart, "--lf", *arguments], stdin=subprocess.DEVNULL, check=False).returncode
    statuses = {together, status}
    if statuses == {NOTHING_SELECTED}:
        return NOTHING_SELECTED
    return int(bool(statuses - {0, NOTHING_SELECTED}))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
