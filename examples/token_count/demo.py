"""Counts the tokens of the standard library's sources with programs that come, die and go on.

A feeder puts the paths of some thousand files on a weft.Queue. Workers, programs unrelated to each other,
open the queue by its name, take each path by lease, and report counts on a second queue. One worker is
killed with SIGKILL while it holds a lease; another joins late. In the end every file has been counted
once, and the counts are compared with those of a single process.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import transport
from counting import count_tokens, standard_library
from job import Job
from progress import Progress

MEMORY = Path("/dev/shm")
LEAST_FILES = 50  # below that the job could be over before there was something to kill


def count_alone(paths: list[str]) -> dict[str, int]:
    """The same work by this process."""
    progress = Progress("one process", len(paths))
    counts: dict[str, int] = {}
    tokens = 0
    for path in paths:
        counts[path] = count_tokens(path)
        tokens += counts[path]
        progress.show(len(counts), f"{tokens:,} tokens")
    progress.end()
    return counts


def check(job: Job, expected: dict[str, int]) -> None:
    """Compares what the workers counted with what one process counted, file by file."""
    counts = job.seen.counts
    wrong = sorted(path for path in expected.keys() | counts.keys() if expected.get(path) != counts.get(path))
    if wrong:
        shown = "\n".join(f"  {path}: {counts.get(path)} instead of {expected.get(path)}" for path in wrong[:10])
        fail(f"{len(wrong)} of {len(expected)} files were not counted as by a single process:\n{shown}")
    if not job.killed_holding:
        fail("the job was over before a worker could be killed: count more --files")
    if job.killed_holding not in job.seen.redelivered:
        fail(f"{job.killed_holding} was not delivered again, though the worker that held it was killed")


def summarize(job: Job, alone_seconds: float, speeds: dict[str, float]) -> None:
    """Prints what the run has shown; every number in it was measured or counted in this run."""
    seen, files = job.seen, job.files.statistics()
    again = ", ".join(f"{os.path.basename(path)} {n + 1} times" for path, n in sorted(seen.redelivered.items()))
    pause = 1000 * (seen.taken_again[job.killed_holding] - job.killed_at)
    ours, theirs = speeds["weft"], speeds["multiprocessing"]
    rows = {
        "counted": f"{len(seen.counts):,} files, {seen.tokens:,} tokens in {job.seconds:.1f} s "
        f"by {seen.workers()} workers, one of them killed, one late",
        "one process": f"the same count for every file, in {alone_seconds:.1f} s",
        "re-delivered": f"{files.redelivered} of {files.sent:,} paths ({again}), "
        f"taken up {pause:.0f} ms after the kill",
        "weft.Queue": f"{ours:>9,.0f} messages/s: the same paths and reports, from one process to another",
        "mp.Queue": f"{theirs:>9,.0f} messages/s: weft is {ours / theirs:.1f} times as fast",
    }
    print("\n".join(["", *(f"{name:<14}{text}" for name, text in rows.items())]))


def fail(message: str) -> NoReturn:
    sys.exit(f"\ntoken_count: {message}")


@contextlib.contextmanager
def private_namespace() -> Iterator[None]:
    """Names of our own: two demos at once do not meet, and nothing stays behind."""
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="weft-demo-", dir=memory) as place:
        os.environ["WEFT_NAMESPACE"] = place
        yield


def at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}")
        return int(text)

    return number


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--workers",
        type=at_least(2),
        default=min(max(2, os.cpu_count() or 2), 8),
        metavar="N",
        help="workers at the start, one of which is killed (default: one per processor, from 2 to 8)",
    )
    parser.add_argument(
        "--files",
        type=at_least(LEAST_FILES),
        metavar="N",
        help=f"count N files, spread evenly over the standard library (default: all; at least {LEAST_FILES})",
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    paths = standard_library(arguments.files)
    with private_namespace():
        with contextlib.ExitStack() as programs:
            job = Job(paths, arguments.workers, programs)
            job.run()
        begin = time.monotonic()
        expected = count_alone(paths)
        alone_seconds = time.monotonic() - begin
        check(job, expected)
        print("measuring how fast these messages travel", flush=True)
        summarize(job, alone_seconds, transport.compare(paths + job.seen.reports))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\ninterrupted: the other programs have been ended, nothing stays behind")
    except ChildProcessError as error:
        fail(str(error))
