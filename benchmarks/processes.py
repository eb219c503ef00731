"""The processes of a case: forked, pinned, and ended together when one of them fails."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, NoReturn

FORK = multiprocessing.get_context("fork")

_partners: list[BaseProcess] = []


def report(outcome: dict[str, Any]) -> None:
    """Prints what the runner reads."""
    print(json.dumps(outcome), flush=True)


def fail(reason: str) -> NoReturn:
    """Reports a failure and ends the whole case.

    The partner is likely to wait for a message that never comes, in a call that may not be
    interruptible: only a kill of the process group is sure to end it.
    """
    report({"failed": reason})
    sys.stderr.flush()
    os.killpg(0, signal.SIGKILL)
    raise AssertionError("unreachable")


def guarded(work: Callable[..., Any], *args: Any) -> Any:
    """Calls `work`; any exception in it is a failure of the case."""
    try:
        return work(*args)
    except Exception as error:
        traceback.print_exc()
        fail(f"{type(error).__name__}: {error}")


def partner(work: Callable[..., Any], *args: Any) -> BaseProcess:
    """Forks a process that does `work`; its death fails the case."""
    signal.signal(signal.SIGCHLD, _look_after_partners)
    process = FORK.Process(target=guarded, args=(work, *args))
    process.start()
    _partners.append(process)
    return process


def stop(process: BaseProcess) -> None:
    """Kills a partner that waits for more when all has been done."""
    _partners.remove(process)
    process.kill()
    process.join()


def _look_after_partners(signum: int, frame: FrameType | None) -> None:
    for process in _partners:
        if process.exitcode:
            fail(f"a partner died with exit status {process.exitcode}")


def meet(other: Connection) -> None:
    """Waits until the process at the other end calls this too."""
    other.send(None)
    other.recv()


def lead_group() -> None:
    """Makes this process the leader of its group, so that `fail` ends nothing else."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)


def prefer() -> None:
    """Asks for priority over other jobs of the machine, where that is permitted."""
    try:
        os.nice(-10)
    except OSError:
        pass


def pin(cores: int, role: int) -> None:
    """Binds this process to a core.

    Args:
        cores: 0 binds nothing, 1 puts all roles on one core, 2 puts each on its own.
        role: 0 for the case's own process, 1 for its partner.
    """
    if not cores:
        return
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < cores:
        raise RuntimeError(f"needs {cores} cores, has {len(allowed)}")
    os.sched_setaffinity(0, {allowed[role % cores]})
