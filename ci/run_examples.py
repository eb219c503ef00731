"""Runs every example and compares what it prints with its ``expected.txt``.

Such a file shows a session: ``$ python program.py`` or ``$ weft …`` runs a program of the example, with ``&`` at its
end in a terminal of its own beside those below, and the lines that follow are what the program prints; ``...`` stands
for any text. Each example gets a namespace of its own and must leave nothing in it.

    python ci/run_examples.py [NAME ...]
"""

from __future__ import annotations

import contextlib
import difflib
import doctest
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import weft

EXAMPLES = Path(__file__).parent.parent / "examples"
MEMORY = Path("/dev/shm")
TIME_LIMIT = 120.0
TIME_TO_CLEAN_UP = 5.0


@dataclass
class Command:
    """One program of a session and what it is to print."""

    words: list[str]
    in_background: bool
    expected: list[str] = field(default_factory=list)


def read_session(text: str) -> list[Command]:
    """Takes an ``expected.txt`` apart."""
    commands: list[Command] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            words = shlex.split(line[2:])
            in_background = words[-1] == "&"
            commands.append(Command(words[:-1] if in_background else words, in_background))
        else:
            commands[-1].expected.append(line)
    return commands


@contextlib.contextmanager
def started(command: Command, directory: Path, namespace: str) -> Iterator[subprocess.Popen[str]]:
    """The program, running; on leaving it has ended, with all that it started."""
    programs = {"python": sys.executable, "weft": str(Path(sys.executable).parent / "weft")}
    words = [programs.get(command.words[0], command.words[0]), *command.words[1:]]
    environment = os.environ | {"WEFT_NAMESPACE": namespace, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        words, cwd=directory, env=environment, text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            for number in (signal.SIGTERM, signal.SIGKILL):
                if process.poll() is None:
                    os.killpg(process.pid, number)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(TIME_TO_CLEAN_UP)


def finish(command: Command, process: subprocess.Popen[str], deadline: float) -> str:
    """Waits for the program's end; what is wrong with it, or nothing."""
    line = f"$ {shlex.join(command.words)}"
    try:
        printed, _ = process.communicate(timeout=max(deadline - time.monotonic(), 0))
    except subprocess.TimeoutExpired:
        return f"{line}  (not over in time)"
    expected = "".join(line + "\n" for line in command.expected)
    if process.returncode == 0 and doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS):
        return ""
    difference = difflib.unified_diff(command.expected, printed.splitlines(), "expected", "printed", lineterm="")
    return "\n".join([f"{line}  (status {process.returncode})", *difference])


def run_example(directory: Path) -> str:
    """Runs the session of one example; what is wrong with it, or nothing."""
    deadline = time.monotonic() + TIME_LIMIT
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="weft-example-", dir=memory) as namespace:
        faults = []
        with contextlib.ExitStack() as programs:
            beside = []
            for command in read_session((directory / "expected.txt").read_text()):
                process = programs.enter_context(started(command, directory, namespace))
                if command.in_background:
                    beside.append((command, process))
                else:
                    faults.append(finish(command, process, deadline))
            faults += [finish(command, process, deadline) for command, process in beside]
        place = weft.Namespace(namespace)
        place.clean()
        faults += [f"left behind: {name}" for name in place.names()]
    return "\n".join(filter(None, faults))


def main() -> int:
    """Runs the examples asked for, or all; 1 if one is not as expected."""
    names = sys.argv[1:] or sorted(path.parent.name for path in EXAMPLES.glob("*/expected.txt"))
    failed = 0
    for name in names:
        begin = time.monotonic()
        fault = run_example(EXAMPLES / name)
        failed += bool(fault)
        print(f"{'FAILED' if fault else 'ok':<8}{name:<20}{time.monotonic() - begin:>6.1f} s", flush=True)
        if fault:
            print(fault, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
