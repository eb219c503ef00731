"""The job: a feeder and workers, and what befalls them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from progress import Progress

import weft

HERE = Path(__file__).parent


class Collector:
    """Makes sense of the workers' reports.

    A lease is delivered again when its holder died before it ended, and that may have been after the
    report: the same count can come twice. So counts are kept by path, where the second changes nothing.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.tokens = 0
        self.holding: dict[int, str] = {}
        self.redelivered: dict[str, int] = {}
        self.taken_again: dict[str, float] = {}
        self.reports: list[dict[str, Any]] = []

    def take(self, report: dict[str, Any]) -> None:
        self.reports.append(report)
        path, worker = report["path"], report["worker"]
        if report["redelivered"]:
            self.redelivered[path] = report["redelivered"]
            self.taken_again.setdefault(path, time.monotonic())
        if "tokens" not in report:
            self.holding[worker] = path
            return
        self.holding.pop(worker, None)
        if path not in self.counts:
            self.counts[path] = report["tokens"]
            self.tokens += report["tokens"]

    def workers(self) -> int:
        return len({report["worker"] for report in self.reports})


class Job:
    """One run over all files.

    One worker is killed while it holds a lease, after a fifth of the files; another joins after a third.

    Args:
        paths: What the feeder will find.
        workers: How many there are at the start.
        programs: Ends what is still running when the job is over, whatever the reason.
    """

    def __init__(self, paths: list[str], workers: int, programs: contextlib.ExitStack) -> None:
        self._total, self._programs = len(paths), programs
        self._progress = Progress("workers", len(paths))
        self._begin = time.monotonic()
        self.files, self.reports = weft.Queue("files"), weft.Queue("reports")
        self.seen = Collector()
        self._feeder = self._start("feeder.py", str(len(paths)))
        self._team = [self._start("worker.py") for _ in range(workers)]
        self._killed: subprocess.Popen[bytes] | None = None
        self._has_late_worker = False
        self.killed_at = 0.0
        self.killed_holding = ""
        self.seconds = 0.0

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        # In a process group of its own: Ctrl-C reaches the demo alone, and the demo ends the others.
        process = subprocess.Popen([sys.executable, str(HERE / program), *arguments], process_group=0)
        self._programs.callback(process.wait)
        self._programs.callback(process.kill)
        return process

    def run(self) -> None:
        """Takes reports until all workers have gone and nothing is left to take."""
        with contextlib.suppress(weft.ShutDown):
            while True:
                with contextlib.suppress(weft.Empty):
                    self._take(self.reports.get(timeout=0.1))
                self._intervene()
                if all(worker.poll() is not None for worker in self._team):
                    self.reports.shutdown()
        self._progress.end()
        self.seconds = time.monotonic() - self._begin

    def _take(self, report: dict[str, Any]) -> None:
        self.seen.take(report)
        working = sum(worker.returncode is None for worker in self._team)
        self._progress.show(len(self.seen.counts), f"{self.seen.tokens:,} tokens, {working} at work")

    def _intervene(self) -> None:
        done = len(self.seen.counts)
        if self._killed is None and done >= self._total // 5:
            self._try_to_kill(self._team[0])
        if not self._has_late_worker and done >= self._total // 3:
            self._has_late_worker = True
            self._team.append(self._start("worker.py"))
            self._progress.tell(f"worker {self._team[-1].pid} joins late")
        for process in (self._feeder, *self._team):
            if process is not self._killed and process.poll():
                raise ChildProcessError(f"{process.args} ended with status {process.returncode}")

    def _try_to_kill(self, victim: subprocess.Popen[bytes]) -> None:
        """Kills the worker if it holds a lease right now; otherwise lets it go on until the next report."""
        victim.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, victim.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        # It stands still, so that the last of its reports tells what it is at.
        with contextlib.suppress(weft.Empty):
            while True:
                self._take(self.reports.get_nowait())
        if victim.pid not in self.seen.holding:
            victim.send_signal(signal.SIGCONT)
            return
        self._killed, self.killed_holding = victim, self.seen.holding[victim.pid]
        self.killed_at = time.monotonic()
        victim.kill()
        victim.wait()
        self._progress.tell(f"worker {victim.pid} is killed while it holds {os.path.basename(self.killed_holding)}")
