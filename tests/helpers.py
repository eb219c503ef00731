"""Unrelated programs to talk to, and an account of what a test leaves behind."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import weft

LIMIT = 60  # seconds after which a program that should have ended says where it stands, and dies

PRELUDE = f"""\
import faulthandler, sys
faulthandler.dump_traceback_later({LIMIT}, exit=True)
def say(*words): print(*words, flush=True)
def hear(): return sys.stdin.readline().strip()
import weft
"""


class Program:
    """A Python program that shares nothing with the test but the environment.

    Its code may use ``weft``, ``say(*words)`` to write a line and ``hear()`` to wait for one.
    """

    def __init__(self, code: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(code), *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):  # its children too
            os.killpg(self.process.pid, signal.SIGKILL)
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self.process.wait()

    @property
    def pid(self) -> int:
        return self.process.pid

    def hear(self) -> str:
        """The next line it says."""
        line = self.process.stdout.readline()
        assert line, f"the program ended with status {self.process.wait()}"
        return line.rstrip("\n")

    def expect(self, words: str) -> None:
        """Waits for the line that it must say next."""
        heard = self.hear()
        assert heard == words, f"it said {heard!r} instead of {words!r}"

    def say(self, words: str = "") -> None:
        """Writes the line that it waits for."""
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()

    def finish(self) -> str:
        """Waits until it has ended well; the rest of what it said."""
        rest, _ = self.process.communicate(timeout=2 * LIMIT)
        assert self.process.returncode == 0, f"it ended with status {self.process.returncode}, having said {rest!r}"
        return rest


def start_program(code: str, *arguments: object) -> Program:
    """Starts a program: use it in a ``with`` block, which kills it if it has not ended."""
    return Program(code, *arguments)


def run_program(code: str, *arguments: object) -> str:
    """Runs a program to its end; what it said."""
    with start_program(code, *arguments) as program:
        return program.finish()


def until(condition: Callable[[], Any], *programs: Program) -> None:
    """Waits for what another thread, or one of the programs, is about to do; the test's watchdog bounds it."""
    while not condition():
        for program in programs:
            assert program.process.poll() is None or condition(), "the program ended before"
        time.sleep(0.001)


def reserved_bytes(path: Path) -> int:
    """Bytes of memory behind a file."""
    return path.stat().st_blocks * 512


def fill(place: weft.Namespace, leave: int = 0) -> None:
    """Takes all memory but so much of a tiny file system."""
    with open(place.path / ".ballast", "wb") as file:
        free = os.statvfs(place.path).f_bavail * 4096 - leave
        if free > 0:
            os.posix_fallocate(file.fileno(), 0, free)


def relieve(place: weft.Namespace) -> None:
    (place.path / ".ballast").unlink()


def check_no_space(error: weft.NoSpaceError, place: weft.Namespace) -> None:
    assert isinstance(error, MemoryError)
    assert isinstance(error, OSError)
    assert error.wanted > error.free >= 0
    assert error.place == str(place.path)
    for word in (str(error.wanted), str(error.free), str(place.path), "WEFT_NAMESPACE", "shm-size"):
        assert word in str(error)


class Belongings:
    """What this process, and a directory, have at one moment."""

    def __init__(self, directory: Path) -> None:
        self.files = set(os.listdir(directory))
        self.mappings = {line for line in Path("/proc/self/maps").read_text().splitlines() if str(directory) in line}
        self.descriptors = set(_descriptors())
        self.threads = {thread for thread in threading.enumerate() if thread.is_alive()}
        self.children = {pid for task in _read_all("/proc/self/task/*/children") for pid in task.split()}

    def added_since(self, before: "Belongings") -> dict[str, set[Any]]:
        """What has been added, by kind; empty if nothing."""
        added = {kind: now - getattr(before, kind) for kind, now in vars(self).items()}
        return {kind: things for kind, things in added.items() if things}


def _read_all(pattern: str) -> Iterator[str]:
    for path in Path("/").glob(pattern.lstrip("/")):
        try:
            yield path.read_text()
        except OSError:  # a thread that has just ended
            continue


def _descriptors() -> Iterator[tuple[int, str]]:
    for entry in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{entry}")
            if stat.S_ISDIR(os.stat(f"/proc/self/fd/{entry}").st_mode) and target.startswith("/proc/"):
                continue  # the listing's own
        except OSError:  # … once it is closed
            continue
        yield int(entry), target


def run_case(case: type[unittest.TestCase], name: str) -> None:
    """Runs one test of the standard library's; what it says of it is what pytest says."""
    result = unittest.TestResult()
    case(name).run(result)
    for _, trace in result.errors + result.failures:
        pytest.fail(trace, pytrace=False)
    for _, reason in result.skipped:
        pytest.skip(reason)
    case.doClassCleanups()
