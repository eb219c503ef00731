"""What waiting costs: processes blocked in ``get()`` of one queue, and the CPU time that they use meanwhile."""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from . import machine
from .processes import FORK

_WAITS = ("latency", "balanced", "power")


def main() -> None:
    """Measures what the command line asks for, and prints one line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle", description=__doc__)
    parser.add_argument("--processes", metavar="N", type=int, default=100, help="consumers (default: %(default)s)")
    parser.add_argument("--seconds", metavar="S", type=float, default=30, help="how long (default: %(default)s)")
    parser.add_argument("--wait", choices=_WAITS, default="balanced", help="as of Queue (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir="/dev/shm") as directory:
        used = measure(Path(directory), options.processes, options.seconds, options.wait)
    cpu, switches = [each[0] for each in used], [each[1] for each in used]
    share = 100 * sum(cpu) / options.seconds
    place = machine.describe()
    print(
        f"{len(used)} processes blocked for {options.seconds:g} s (wait={options.wait!r}): "
        f"{sum(cpu):.3f} s of CPU time in all, {share:.2f} % of one core; "
        f"{1000 * sum(cpu) / len(used):.2f} ms each, {1000 * max(cpu):.2f} ms at most; "
        f"{sum(switches) / len(used) / options.seconds:.1f} wake-ups a second each.\n"
        f"{place['cores']} cores of {place['cpu']}, Linux {place['kernel']}, {place['python']}; "
        f"commit {(place['commit'] or 'unknown')[:12]}{', changed' if place['changed'] else ''}."
    )


def measure(directory: Path, processes: int, seconds: float, wait: str) -> list[tuple[float, int]]:
    """Blocks processes for a time and asks each what that has cost it.

    Args:
        directory: An empty one, the queue's namespace.
        processes: How many.
        seconds: How long all of them are blocked.
        wait: How the queue waits.

    Returns:
        CPU seconds and voluntary context switches of each process, from before ``get`` to its end by
        ``shutdown()``.
    """
    import weft

    queue = weft.Namespace(directory).Queue("idle", wait=wait)
    ends, children = [], []
    for _ in range(processes):
        here, there = FORK.Pipe(duplex=False)
        child = FORK.Process(target=_wait, args=(directory, wait, there), daemon=True)
        child.start()
        there.close()
        ends.append(here)
        children.append(child)
    while queue.statistics().waiting_consumers < processes:
        if not all(child.is_alive() for child in children):
            raise ChildProcessError("a consumer has ended before it could wait")
        time.sleep(0.01)
    time.sleep(seconds)
    queue.shutdown()
    used: list[tuple[float, int]] = [here.recv() for here in ends]
    for child in children:
        child.join()
    queue.close()
    return used


def _wait(directory: Path, wait: str, report: Connection) -> None:
    import weft

    queue = weft.Namespace(directory).Queue("idle", wait=wait)
    before, switches = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    try:
        queue.get()
    except weft.ShutDown:
        report.send((time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - switches))


if __name__ == "__main__":
    main()
