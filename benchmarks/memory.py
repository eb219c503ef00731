"""Shared memory beside the standard library's: opening a segment that exists, and reading and writing slices.

Each round measures everything once; the table tells medians of the rounds and weft's ratio to the standard.
"""

from __future__ import annotations

import argparse
import mmap
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing import shared_memory
from typing import Any

from . import machine
from .processes import FORK

SIZES = (1, 64, 4096, 65536)
SIZE = 1 << 20

Measured = dict[str, list[float]]


def main() -> None:
    """Measures what the command line asks for, and prints a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--rounds", metavar="N", type=int, default=15, help="rounds (default: %(default)s)")
    parser.add_argument("--seconds", metavar="S", type=float, default=0.02, help="of each measurement in a round")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir="/dev/shm") as directory:
        os.environ["WEFT_NAMESPACE"] = directory
        rows = opening(options.rounds, options.seconds) + slices(options.rounds, options.seconds)
    print("| | standard | weft | ratio |\n| --- | ---: | ---: | ---: |")
    for what, standard, ours in rows:
        print(f"| {what} | {standard * 1e6:.3f} µs | {ours * 1e6:.3f} µs | {standard / ours:.2f} |")
    place = machine.describe()
    print(
        f"\nmedians of {options.rounds} rounds; ratio: how many times as fast weft is. {place['cores']} cores of "
        f"{place['cpu']}, Linux {place['kernel']}, {place['python']}; commit {(place['commit'] or 'unknown')[:12]}"
    )


def cost(call: Callable[[], Any], seconds: float) -> float:
    """Seconds of one call, of as many as fit."""
    count, clock = 0, time.perf_counter
    start = now = clock()
    while now - start < seconds:
        for _ in range(200):
            call()
        count += 200
        now = clock()
    return (now - start) / count


def interleaved(calls: dict[str, Callable[[], Any]], rounds: int, seconds: float) -> dict[str, float]:
    """The median cost of each, all measured in every round."""
    measured: Measured = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            measured[name].append(cost(call, seconds))
    return {name: statistics.median(costs) for name, costs in measured.items()}


def opening(rounds: int, seconds: float) -> list[tuple[str, float, float]]:
    """Opening and closing by name, in a process that has the segment open and in one that has not."""
    import weft

    standard = shared_memory.SharedMemory("benchmark-standard", create=True, size=SIZE)
    ours = weft.SharedMemory("benchmark-weft", create=True, size=SIZE)

    def use(make: Callable[[str], Any], name: str, touch: bool) -> Callable[[], None]:
        def call() -> None:
            opened = make(name)
            if touch:
                opened.buf[0]
            opened.close()

        return call

    calls = {
        (what, touch): use(make, name, touch)
        for what, make, name in (
            ("standard", shared_memory.SharedMemory, "benchmark-standard"),
            ("weft", weft.SharedMemory, "benchmark-weft"),
        )
        for touch in (False, True)
    }
    named = {f"{what} {touch}": call for (what, touch), call in calls.items()}

    def elsewhere(answer: Any) -> None:
        ours.close()  # this process's own handle, so that each opening is its first
        answer.send(interleaved(named, rounds, seconds))

    here, there = FORK.Pipe(duplex=False)
    child = FORK.Process(target=elsewhere, args=(there,))
    child.start()
    first = here.recv()
    child.join()
    again = interleaved(named, rounds, seconds)
    ours.close()
    standard.close()
    standard.unlink()
    return [
        (f"open and close{words}, {where}", found[f"standard {touch}"], found[f"weft {touch}"])
        for touch, words in ((False, ""), (True, ", one byte read"))
        for where, found in (("first in its process", first), ("where it is open already", again))
    ]


def slices(rounds: int, seconds: float) -> list[tuple[str, float, float]]:
    """Reading and writing parts of memory that is open."""
    import weft

    rows = []
    with mmap.mmap(-1, SIZE) as plain, weft.mmap(-1, SIZE, "benchmark") as ours, weft.SharedMemory("benchmark") as shm:
        for name, memory in (("weft.mmap", ours), ("SharedMemory", shm)):
            for size in SIZES:
                data = bytes(size)
                for what, make in (("read", reader), ("write", writer)):
                    found = interleaved({"standard": make(plain, data), "weft": make(memory, data)}, rounds, seconds)
                    rows.append((f"{name}: {what} {size} B", found["standard"], found["weft"]))
    return rows


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
