"""Shared memory beside the standard library's: opening a segment that exists, and reading and writing slices.

Each round measures everything once. Ratios are between what was measured in the same round; the tables tell medians.
What the calls of the system alone take is measured in the same rounds, in C (``opening_c.c``, compiled on demand).
"""

from __future__ import annotations

import argparse
import mmap
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from multiprocessing import shared_memory
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any

from . import machine
from .processes import FORK
from .signals import compile_c

SIZES = (1, 64, 4096, 65536)
SIZE = 1 << 20
OPENING_BOUND, SLICE_BOUND = 3.0, 0.95  # times as fast as the standard
# What opening_c.c prints, and with which row it is compared.
CALLS = (
    ("open", "the least: open"),
    ("open", "as weft: open, two tries for a lock, facts, header"),
    ("open and close", "the least: open, close"),
    ("open and close", "as weft"),
    ("open, read one byte, close", "the least: open, map, touch one page, unmap, close"),
    ("open, read one byte, close", "as weft: two more locks, three pages touched"),
)

Rounds = dict[str, list[float]]


def main() -> None:
    """Measures what the command line asks for, and prints tables in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--rounds", metavar="N", type=int, default=15, help="rounds (default: %(default)s)")
    parser.add_argument("--seconds", metavar="S", type=float, default=0.02, help="of each measurement in a round")
    parser.add_argument("--only", choices=("opening", "slices"), help="measure this alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir="/dev/shm") as directory:
        os.environ["WEFT_NAMESPACE"] = directory
        if options.only != "slices":
            print_opening(options.rounds, options.seconds)
        if options.only != "opening":
            print_slices(options.rounds, options.seconds)
    place = machine.describe()
    print(
        f"medians of {options.rounds} rounds; ratio: how many times as fast weft is. {place['cores']} cores of "
        f"{place['cpu']}, Linux {place['kernel']}, {place['python']}; commit {(place['commit'] or 'unknown')[:12]}"
    )


def ratio(rounds: Rounds, slow: str, fast: str) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(rounds[slow], rounds[fast], strict=True))


def row(what: str, rounds: Rounds, standard: str, ours: str, bound: float) -> str:
    """A row of a table: both medians, the ratio, and whether it is what it should be."""
    times = ratio(rounds, standard, ours)
    shown = [f"{statistics.median(rounds[name]) * 1e6:.3f} µs" for name in (standard, ours)]
    verdict = f">= {bound}: {'yes' if times >= bound else '**no**'}"
    return f"| {what} | {' | '.join(shown)} | {times:.2f} | {verdict} |"


def cost(call: Callable[[], Any], seconds: float) -> float:
    """Seconds of one call, of as many as fit."""
    count, clock = 0, perf_counter
    start = now = clock()
    while now - start < seconds:
        for _ in range(200):
            call()
        count += 200
        now = clock()
    return (now - start) / count


def cost_of_opening(make: Callable[[str], Any], name: str, seconds: float) -> float:
    """Seconds of one opening, without its closing."""
    count = total = 0
    end = perf_counter() + seconds
    while perf_counter() < end:
        for _ in range(100):
            begin = perf_counter_ns()
            opened = make(name)
            total += perf_counter_ns() - begin
            opened.close()
        count += 100
    return total / count / 1e9


# --- opening ---------------------------------------------------------------------------------------


def print_opening(rounds: int, seconds: float) -> None:
    """Opening by name, in a process that has the segment open and in one that has not; and what the system takes."""
    import weft

    standard = shared_memory.SharedMemory("benchmark-standard", create=True, size=SIZE)
    ours = weft.SharedMemory("benchmark-weft", create=True, size=SIZE)
    kinds = {
        "standard": (shared_memory.SharedMemory, "benchmark-standard"),
        "weft": (weft.SharedMemory, "benchmark-weft"),
    }

    def elsewhere(answer: Any) -> None:
        ours.close()  # this process's own handle, so that each opening is its first
        with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
            program = compile_c(Path(__file__).with_name("opening_c.c"), Path(scratch))
            answer.send(measure_opening(kinds, rounds, seconds, [str(program), str(ours.path)]))

    here, there = FORK.Pipe(duplex=False)
    child = FORK.Process(target=elsewhere, args=(there,))
    child.start()
    first = here.recv()
    child.join()
    again = measure_opening(kinds, rounds, seconds)
    ours.close()
    standard.close()
    standard.unlink()
    whats = list(dict.fromkeys(what for what, _ in CALLS))
    print("| | standard | weft | ratio | target |\n| --- | ---: | ---: | ---: | --- |")
    for where, found in (("first in its process", first), ("where it is open already", again)):
        for what in whats:
            print(row(f"{what}, {where}", found, f"standard: {what}", f"weft: {what}", OPENING_BOUND))
    print("\n| the calls of the system alone, in C | | ratio: most there could be |\n| --- | ---: | ---: |")
    for what, calls in CALLS:
        key = f"{what}, {calls}"
        times = ratio(first, f"standard: {what}", key)
        print(f"| {what}; {calls} | {statistics.median(first[key]) * 1e6:.3f} µs | {times:.2f} |")
    print()


def measure_opening(
    kinds: dict[str, tuple[Callable[[str], Any], str]], rounds: int, seconds: float, in_c: list[str] | None = None
) -> Rounds:
    """Everything once in each round."""
    found: Rounds = {}
    for _ in range(rounds):
        for kind, (make, name) in kinds.items():
            found.setdefault(f"{kind}: open", []).append(cost_of_opening(make, name, seconds))
            for what, touch in (("open and close", False), ("open, read one byte, close", True)):
                found.setdefault(f"{kind}: {what}", []).append(cost(use(make, name, touch), seconds))
        if in_c is not None:
            said = subprocess.run(in_c, check=True, capture_output=True, text=True).stdout.split()
            for (what, calls), text in zip(CALLS, said, strict=True):
                found.setdefault(f"{what}, {calls}", []).append(float(text) / 1e6)
    return found


def use(make: Callable[[str], Any], name: str, touch: bool) -> Callable[[], None]:
    """Opens and closes, and reads a byte in between if asked to."""

    def call() -> None:
        opened = make(name)
        if touch:
            opened.buf[0]
        opened.close()

    return call


# --- slices ----------------------------------------------------------------------------------------


def print_slices(rounds: int, seconds: float) -> None:
    """Reading and writing parts of memory that is open."""
    import weft

    print("| | mmap.mmap | weft | ratio | target |\n| --- | ---: | ---: | ---: | --- |")
    with mmap.mmap(-1, SIZE) as plain, weft.mmap(-1, SIZE, "benchmark") as ours, weft.SharedMemory("benchmark") as shm:
        for name, memory in (("weft.mmap", ours), ("SharedMemory", shm)):
            for size in SIZES:
                data = bytes(size)
                for what, make in (("read", reader), ("write", writer)):
                    calls = {"standard": make(plain, data), "weft": make(memory, data)}
                    found: Rounds = {kind: [] for kind in calls}
                    for turn in range(rounds):
                        for kind in sorted(calls, reverse=turn % 2 == 0):
                            found[kind].append(cost(calls[kind], seconds))
                    print(row(f"{name}: {what} {size} B", found, "standard", "weft", SLICE_BOUND))
    print()


def reader(memory: Any, data: bytes) -> Callable[[], Any]:
    """Reads as many bytes."""
    end = 100 + len(data)
    return lambda: memory[100:end]


def writer(memory: Any, data: bytes) -> Callable[[], Any]:
    """Writes them."""
    end = 100 + len(data)

    def call() -> None:
        memory[100:end] = data

    return call


if __name__ == "__main__":
    main()
