"""Signals: the round trip between two processes beside the same in C, and what a bound handler costs.

    python -m benchmarks.signals [--rounds N] [--trips N]

The program in C (``signals_c.c``: kill and sigwait) is compiled on demand. Rounds are interleaved, with the two
processes pinned alike: to one core, then to two. Ratios and differences are between what was measured in the same
round; the tables show their median.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, perf_counter_ns

from weft import signals

from . import machine

_SOURCE = Path(__file__).with_name("signals_c.c")
TRIP_BOUND, HANDLER_BOUND = 1.3, 2.0  # times C; microseconds beyond the standard library's


def main() -> None:
    """Measures, and prints tables in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.signals", description=__doc__)
    parser.add_argument("--rounds", metavar="N", type=int, default=5, help="rounds (default: %(default)s)")
    parser.add_argument("--trips", metavar="N", type=int, default=10_000, help="a round (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        program = compile_c(_SOURCE, Path(scratch))
        for cores in (1, 2):
            _print_trips(program, cores, options.rounds, options.trips)
    _print_handlers(options.rounds, options.trips)
    place = machine.describe()
    print(f"{place['cores']} cores of {place['cpu']}, Linux {place['kernel']}, {place['python']}.")


def compile_c(source: Path, directory: Path) -> Path:
    """Compiles a program in C into that directory."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        raise SystemExit("a C compiler is needed")
    program = directory / source.stem
    subprocess.run([compiler, "-O2", "-o", str(program), str(source)], check=True)
    return program


def in_c(program: Path, trips: int, here: int, there: int) -> float:
    """The median of the round trips in C, in microseconds."""
    command = [str(program), str(trips), str(here), str(there)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def in_python(way: str, trips: int, here: int, there: int) -> float:
    """The median of the round trips in Python, in microseconds.

    Args:
        way: ``"weft"`` (``Process.send`` and ``wait``) or ``"standard"`` (``os.kill`` and ``signal.sigwait``).
        trips: How many.
        here: Core of this process.
        there: Core of the other.
    """
    parent, allowed = os.getpid(), os.sched_getaffinity(0)
    with signals.blocked("SIGUSR1"):
        child = os.fork()
        other = child or parent
        os.sched_setaffinity(0, {here if child else there})
        if way == "weft":
            target = signals.Process(other)
            send, wait = partial(target.send, "SIGUSR1"), partial(signals.wait, "SIGUSR1")
        else:
            target = None
            send, wait = partial(os.kill, other, signal.SIGUSR1), partial(signal.sigwait, {signal.SIGUSR1})
        warm = trips // 10
        if not child:
            try:
                for _ in range(trips + warm):
                    wait()
                    send()
            finally:
                os._exit(0)
        times = []
        for _ in range(trips + warm):
            begin = perf_counter_ns()
            send()
            wait()
            times.append(perf_counter_ns() - begin)
        os.waitpid(child, 0)
        if target is not None:
            target.close()
    os.sched_setaffinity(0, allowed)
    return median(times[warm:]) / 1000


def _print_trips(program: Path, cores: int, rounds: int, trips: int) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    here, there = allowed[0], allowed[(cores - 1) % len(allowed)]
    found: dict[str, list[float]] = {"C": [], "weft": [], "standard": []}
    for _ in range(rounds):
        found["C"].append(in_c(program, trips, here, there))
        for way in ("weft", "standard"):
            found[way].append(in_python(way, trips, here, there))
    print(f"### Round trip of a signal, {'one core' if cores == 1 else 'two cores'}, us\n")
    print("| | min | median | max | x C | target |\n| --- | ---: | ---: | ---: | ---: | --- |")
    labels = {"C": "kill, sigwait in C", "weft": "weft: Process.send, wait", "standard": "os.kill, signal.sigwait"}
    for way, label in labels.items():
        times = median(mine / c for mine, c in zip(found[way], found["C"], strict=True))
        verdict = (f"<= {TRIP_BOUND}: {'yes' if times <= TRIP_BOUND else '**no**'}") if way == "weft" else ""
        row = [label, *(f"{each(found[way]):.2f}" for each in (min, median, max)), f"{times:.2f}", verdict]
        print(f"| {' | '.join(row)} |")
    print()


def handled(kind: str, count: int) -> float:
    """Microseconds for one signal that this process sends to itself and handles."""
    me, number = os.getpid(), signal.SIGUSR1
    seen = []

    def standard(signum: int, frame: object) -> None:
        seen.append(signum)

    former = signal.signal(number, standard)
    try:
        if kind == "standard":
            return _timed(count, me, number)
        handler = (lambda event: seen.append(event)) if kind == "event" else standard
        with signals.on(number, handler):
            return _timed(count, me, number)
    finally:
        signal.signal(number, former)
        if len(seen) != count:
            raise ValueError(f"{len(seen)} of {count} signals were handled")


def _timed(count: int, me: int, number: int) -> float:
    kill = os.kill
    begin = perf_counter()
    for _ in range(count):
        kill(me, number)
    return (perf_counter() - begin) / count * 1e6


def _print_handlers(rounds: int, count: int) -> None:
    kinds = {"standard": "signal.signal", "event": "weft, an event", "form": "weft, (signum, frame)"}
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    for _ in range(rounds):
        for kind in kinds:
            found[kind].append(handled(kind, count))
    os.sched_setaffinity(0, allowed)
    print("### A signal sent to oneself and handled, us\n")
    print("| | min | median | max | beyond the standard | target |\n| --- | ---: | ---: | ---: | ---: | --- |")
    for kind, label in kinds.items():
        more = median(mine - theirs for mine, theirs in zip(found[kind], found["standard"], strict=True))
        verdict = "" if kind == "standard" else f"<= {HANDLER_BOUND}: {'yes' if more <= HANDLER_BOUND else '**no**'}"
        row = [label, *(f"{each(found[kind]):.2f}" for each in (min, median, max)), f"{more:.2f}", verdict]
        print(f"| {' | '.join(row)} |")
    print()


if __name__ == "__main__":
    main()
