"""Looking after children: passing signals on to them, and reaping what ends."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from weft._core import signals as _native
from weft._core.signals import Event
from weft.signals.handlers import Binding, on
from weft.signals.names import SignalLike, check_catchable, check_main_thread, check_seconds
from weft.signals.sending import AnyProcess, Group, Process, children_of, each_process, send, status_of
from weft.signals.timers import alarm

__all__ = ["Forwarding", "Reaped", "forward", "reap", "supervise"]

# What a supervisor passes on: what is sent to a program from outside.
FORWARDED: tuple[SignalLike, ...] = (
    "SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGCONT",
)  # fmt: skip
_END = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")


class Forwarding:
    """What ``forward`` returns: a context manager, which stops on leaving.

    Attributes:
        last: The last event that was passed on, or None.
    """

    def __init__(self, numbers: tuple[int, ...], processes: list[AnyProcess | Group]) -> None:
        self.last: Event | None = None
        self._processes = processes
        self._binding: Binding = on(*numbers, self._pass_on)

    def _pass_on(self, event: Event) -> None:
        self.last = event
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                send(process, event.number, None if isinstance(process, Group) else event.value)

    def close(self) -> None:
        """Stops passing on. Can be repeated."""
        self._binding.remove()

    def __enter__(self) -> Forwarding:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def forward(*signals: SignalLike, to: Iterable[AnyProcess] | AnyProcess) -> Forwarding:
    """Passes signals on that come to this process, values included.

    ::

        with signals.forward("SIGTERM", "SIGHUP", to=workers):
            for worker in workers:
                worker.wait()

    Nothing else happens to this process for them. Processes that have ended are left out.

    Args:
        *signals: Names, numbers or members of ``signal.Signals``. By default SIGHUP, SIGINT, SIGQUIT, SIGTERM,
            SIGUSR1, SIGUSR2, SIGWINCH and SIGCONT.
        to: Processes or groups, see ``send``; a list is read again at each signal.

    Returns:
        The forwarding, a context manager.

    Raises:
        ValueError: No such signal, or SIGKILL or SIGSTOP.
        MainThreadError: This is not the main thread.
    """
    processes = to if isinstance(to, list) else each_process(to)
    return Forwarding(check_catchable(signals or FORWARDED), processes)


@dataclass(frozen=True)
class Reaped:
    """A child that had ended.

    Attributes:
        pid: Its pid.
        returncode: As of ``subprocess``: its status, or minus the signal that ended it.
    """

    pid: int
    returncode: int


def reap(*, keep: Iterable[AnyProcess] = ()) -> list[Reaped]:
    """Takes note of children that have ended, so that no zombies stay: without waiting.

    For the first process of a container, to which orphans are given. Children that somebody else waits for
    (``subprocess``, ``multiprocessing``) must be kept: the one who reaps gets the status, others get none.

    Args:
        keep: Processes to leave alone.

    Returns:
        Those that were reaped.
    """
    kept = {each if isinstance(each, int) else each.pid for each in keep}
    found = []
    for pid in children_of(os.getpid()):
        if pid in kept or status_of(pid).get("state") != "Z":
            continue
        with contextlib.suppress(ChildProcessError):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                found.append(Reaped(done, os.waitstatus_to_exitcode(status)))
    return found


def supervise(
    command: Sequence[str | os.PathLike[str]],
    *,
    forward_signals: Sequence[SignalLike] = FORWARDED,
    timeout: float | None = None,
    **options: Any,
) -> int:
    """Runs a program as the first process of a container would: passes signals on to it, and reaps zombies.

    Orphans among its descendants are given to this process while it runs, and reaped.

    Args:
        command: The program and its arguments.
        forward_signals: What is passed on.
        timeout: Seconds that the program has to end after the first SIGINT, SIGTERM, SIGHUP or SIGQUIT was passed on;
            then it gets SIGKILL. None: no limit.
        **options: As of ``subprocess.Popen``.

    Returns:
        Its status, as of ``subprocess``: minus the signal that ended it, if one did.

    Raises:
        OSError: It can't be started.
        ValueError: A signal can't be caught, or the time is 0 or negative.
        MainThreadError: This is not the main thread.
    """
    check_main_thread("supervise()")
    numbers = check_catchable(tuple(forward_signals))
    ends = set(check_catchable(_END))
    limit = None if timeout is None else check_seconds(timeout, "timeout")
    with contextlib.ExitStack() as stack:
        stack.enter_context(_adopting())
        child = stack.enter_context(subprocess.Popen(command, **options))
        held = stack.enter_context(Process(child))
        stack.enter_context(forward(*numbers, to=[held]))
        if limit is not None:
            stack.enter_context(on(*ends & set(numbers), lambda _: _give_up_later(stack, held, limit)))
        stack.enter_context(on("SIGCHLD", lambda _: reap(keep=[child]), keep=True))
        held.wait()
        status = int(child.wait())
        reap()
        return status


def _give_up_later(stack: contextlib.ExitStack, process: Process, limit: float) -> None:
    def end(_: Event) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send("SIGKILL")

    stack.enter_context(alarm(limit, end))


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """Has orphans below given to this process, as to init."""
    before = _native.adopt_orphans(True)
    try:
        yield
    finally:
        _native.adopt_orphans(before)
