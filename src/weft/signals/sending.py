"""Sending signals: to this very process, or to nobody.

A pid is a number that the system gives away again. Here it is turned into a descriptor of the process first
(``pidfd_open``), what is known of the process is compared while the descriptor holds it, and the signal goes through
the descriptor. Where that fails nothing is sent.
"""

from __future__ import annotations

import os
import select
import signal as _signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

from weft import errors
from weft._core.signals import Target
from weft.namespace import Namespace
from weft.signals.names import SignalLike, check_seconds, check_value, name, number
from weft.statistics import Participant

__all__ = ["Delivery", "Group", "Process", "group", "send", "send_tree"]

AnyProcess: TypeAlias = Any  # a pid, a name, a Process, or an object of subprocess, multiprocessing or weft
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Delivery:
    """What became of a signal that was sent: pids, by outcome. True if it reached anybody.

    Attributes:
        delivered: The kernel has handed it to these.
        gone: These had ended.
        not_permitted: These are other users'.
    """

    delivered: tuple[int, ...] = ()
    gone: tuple[int, ...] = ()
    not_permitted: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.delivered)


class Process(Target):
    """A process that is held by a descriptor: signals reach this very process, never one that got its pid later.

    The fastest way to send often. A context manager; ``fileno()`` is readable when the process has ended.

    Args:
        process: A pid, a registered name, or a process of ``subprocess`` or ``multiprocessing``.
        namespace: Where a name is looked up; None for the default.

    Attributes:
        pid: Its pid.

    Raises:
        ProcessLookupError: There is no such process.
        ValueError: The pid is not above 0.
        TypeError: It is not a process.
    """

    def __init__(self, process: AnyProcess, *, namespace: Namespace | str | None = None) -> None:
        if isinstance(process, str):
            from weft.signals.register import look_up

            look_up(self, process, namespace)
        elif isinstance(process, Target):
            self.hold(process.pid)
            if process.ended:  # while it is held it cannot have been replaced
                self._give_up(process.pid)
        elif isinstance(process, Participant):
            self.hold(process.pid)
            begun = _started(self)
            if begun is None or begun > process.started + 0.02:
                self._give_up(process.pid)
        else:
            self.hold(_pid_of(process))
            # Its parent has not been told of its end yet, so the pid could not be given away before it was held.
            if not isinstance(process, int) and _exit_code(process) is not None:
                self._give_up(self.pid)

    def hold(self, pid: int) -> None:
        """Opens the process that has the pid now."""
        try:
            self._open(pid)
        except OSError as error:
            raise _opening_error(pid, error) from None

    def _give_up(self, pid: int) -> None:
        self.close()
        raise ProcessLookupError(3, f"process {pid} has ended")

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it has ended, whoever its parent is; false when the time is up.

        It may be a zombie then, which its parent has to reap.
        """
        limit = None if timeout is None else check_seconds(timeout, "timeout", zero=True)
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        poll.poll(limit if limit is None else limit * 1000)
        return self.ended

    @property
    def command(self) -> str:
        """Its command line, with blanks between the words; empty when it has ended."""
        try:
            text = Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return ""
        return "" if self.ended else text.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")

    def __enter__(self) -> Process:
        self.fileno()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"weft.signals.Process({self.pid})"


@dataclass(frozen=True)
class Group:
    """A process group; see ``group``."""

    leader: int


def group(leader: AnyProcess = 0) -> Group:
    """A process group as the target of ``send``: all processes that belong to it.

    Args:
        leader: The group's id, which is the pid of its first process, or that process; 0 for this process's own.

    Raises:
        ValueError: The id is negative.
        ProcessLookupError: The process has ended and been reaped.
    """
    if isinstance(leader, int) and not isinstance(leader, bool):
        if leader < 0:
            raise ValueError(f"a group's id is above 0, or 0 for this process's own group, not {leader}")
        return Group(leader)
    return Group(os.getpgid(_pid_of(leader)))


def send(
    target: AnyProcess | Group,
    signal: SignalLike,
    value: int | None = None,
    *,
    namespace: Namespace | str | None = None,
) -> Delivery:
    """Sends a signal to a process or to a group.

    ::

        signals.send(process, "SIGTERM")               # of subprocess or multiprocessing
        signals.send("worker-3", "SIGRTMIN+1", 42)     # by the name that it has registered, with a value
        signals.send(signals.group(), "SIGHUP")        # this process's own group

    The signal goes through a descriptor of the process. A process object, a name or a participant that has ended is
    told by that, and whoever has its pid now is not hit. A bare pid says nothing of whom it meant: hold a ``Process``
    where it may have been given away since you learnt it.

    Real-time signals (SIGRTMIN to SIGRTMAX) are queued, in order, each with its value. Standard signals can carry a
    value, too, but while one waits to be handled others of the same number are merged into it.

    Args:
        target: A pid; a process of ``subprocess`` or ``multiprocessing``; a registered name; a ``Process``; a
            ``Participant``, which is an owner of some object of weft; or a ``Group``.
        signal: A name, number or member of ``signal.Signals``.
        value: An integer of 32 bits with a sign; not for a group.
        namespace: Where a name is looked up; None for the default.

    Returns:
        Who got it. True.

    Raises:
        ProcessLookupError: There is no such process, or no process in the group.
        PermissionError: It is another user's.
        BlockingIOError: The queue of real-time signals is full: the receiver does not keep up; try again.
        ValueError: There is no such signal, or the pid is 0 or negative (a group is asked for with ``group``).
        OverflowError: The value does not fit (also a ValueError).
        TypeError: The target is not a process.
    """
    sought = number(signal)
    if value is not None:
        check_value(value)
    if isinstance(target, Group):
        if value is not None:
            raise ValueError("a group can't be sent a value: send to each of its processes")
        return _send_group(target.leader, sought)
    if isinstance(target, Target):
        target.send(sought, value)
        return Delivery((target.pid,))
    with Process(target, namespace=namespace) as process:
        process.send(sought, value)
        return Delivery((process.pid,))


def _send_group(leader: int, sought: int) -> Delivery:
    try:
        os.killpg(leader, sought)
    except ProcessLookupError:
        raise ProcessLookupError(3, f"there is no process in group {leader}") from None
    except PermissionError:
        raise errors.AccessError(f"the processes of group {leader} are other users'") from None
    return Delivery((leader or os.getpgrp(),))


def send_tree(
    target: AnyProcess, signal: SignalLike, *, itself: bool = True, namespace: Namespace | str | None = None
) -> Delivery:
    """Sends a signal to a process and to all its descendants.

    All are held by descriptors before the first is sent anything, and looked for until no new one turns up; the
    process itself gets the signal first, then its children. A descendant whose parent had died before belongs to init
    and is not found.

    Args:
        target: See ``send``.
        signal: A name, number or member of ``signal.Signals``.
        itself: Whether the process itself gets it, too.
        namespace: Where a name is looked up.

    Returns:
        Who got it, who ended meanwhile, and who is another user's.

    Raises:
        ProcessLookupError: There is no such process.
        ValueError: No such signal, or the pid is 0 or negative.
        TypeError: The target is not a process.
    """
    sought = number(signal)
    delivered, gone, refused = [], [], []
    with Process(target, namespace=namespace) as root:
        tree = _descendants(root)
        try:
            for process in [root, *tree] if itself else tree:
                try:
                    process.send(sought)
                    delivered.append(process.pid)
                except ProcessLookupError:
                    gone.append(process.pid)
                except PermissionError:
                    refused.append(process.pid)
        finally:
            for process in tree:
                process.close()
    return Delivery(tuple(delivered), tuple(gone), tuple(refused))


def _descendants(root: Process) -> list[Process]:
    """All below, parents first, each held."""
    held: dict[int, Process] = {root.pid: root}
    try:
        grown = True
        while grown:
            grown = False
            for parent in list(held.values()):
                for pid in children_of(parent.pid):
                    if pid not in held and (child := _hold_child(pid, parent)) is not None:
                        held[pid] = child
                        grown = True
    except BaseException:
        for process in held.values():
            if process is not root:
                process.close()
        raise
    del held[root.pid]
    return list(held.values())


def _hold_child(pid: int, parent: Process) -> Process | None:
    try:
        child = Process(pid)
    except OSError:
        return None
    # That it is the child can be said once it is held, and as long as its parent lives.
    if status_of(pid).get("parent") == parent.pid and not child.ended:
        return child
    child.close()
    return None


def children_of(pid: int) -> list[int]:
    """The pids of a process's children at this moment."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text().split())
        except OSError:  # the thread has ended
            continue
    return found


def status_of(pid: int) -> dict[str, Any]:
    """What the system tells of a process: ``state``, ``parent``, ``started`` in ticks; empty if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return {}
    fields = text[text.rindex(")") + 2 :].split()
    return {"state": fields[0], "parent": int(fields[1]), "started": int(fields[19])}


def _started(process: Process) -> float | None:
    """When it started, in seconds since the epoch."""
    ticks = status_of(process.pid).get("started")
    if ticks is None or process.ended:
        return None
    up = time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time() - up + float(ticks) / _TICKS


def _pid_of(process: Any) -> int:
    if isinstance(process, bool):
        raise TypeError("a process is a pid, a name or a process object, not a bool")
    if isinstance(process, int):
        if process <= 0:
            raise ValueError(
                f"{process} is no pid: a group of processes is asked for by group(), and all processes at once never"
            )
        if process > 1 << 30:
            raise ValueError(f"{process} can't be a pid: it is too large")
        return process
    pid = getattr(process, "pid", None)
    if hasattr(process, "pid") and pid is None:
        raise ProcessLookupError(3, f"{process!r} has not been started")
    if not isinstance(pid, int) or isinstance(pid, bool):
        raise TypeError(f"a process is a pid, a name or a process object, not {type(process).__name__}")
    return _pid_of(pid)


def _exit_code(process: Any) -> int | None:
    for attribute in ("returncode", "exitcode"):  # of subprocess and asyncio; of multiprocessing, which looks
        if hasattr(process, attribute):
            code: int | None = getattr(process, attribute)
            return code
    return None


def _opening_error(pid: int, error: OSError) -> OSError:
    if error.errno in (2, 3, 22):  # no process; a thread that is not its process's first
        return ProcessLookupError(3, f"there is no process {pid}")
    if error.errno == 38:
        return errors.SystemLimitError(38, "signals are sent through pidfd_open, which needs Linux 5.3 or later")
    if error.errno == 24:
        return errors.SystemLimitError(
            24, f"process {pid} can't be held: too many open files (ulimit -n, RLIMIT_NOFILE)"
        )
    return errors.SystemLimitError(error.errno, f"process {pid} can't be held: {error.strerror}")


def error_of(pid: int, sought: int, code: int) -> OSError:
    """The error that an errno means, in words."""
    if code == 1:
        try:
            whose = f"belongs to user {os.stat(f'/proc/{pid}').st_uid}, not to you ({os.geteuid()})"
        except OSError:
            whose = "belongs to another user"
        return errors.AccessError(f"{name(sought)} can't be sent to process {pid}: it {whose}")
    if code == 3:
        return ProcessLookupError(3, f"process {pid} has ended")
    if code == 11:
        return BlockingIOError(
            11,
            f"{name(sought)} can't be queued for process {pid}: as many signals wait already as may (ulimit -i, "
            "RLIMIT_SIGPENDING); it does not keep up: try again later",
        )
    return OSError(code, f"sending {name(sought)} to process {pid}: {os.strerror(code)}")


def each_process(processes: Iterable[AnyProcess] | AnyProcess) -> list[AnyProcess]:
    """One process or several, as a list."""
    if isinstance(processes, Iterable) and not isinstance(processes, str):
        return list(processes)
    return [processes]


KILL = int(_signal.SIGKILL)
