"""Ending well: what asks for it, what forces it, and how others are ended."""

import asyncio
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
import time

import pytest
import trio

from weft import signals

from ..helpers import start_program

pytestmark = pytest.mark.alone

WORKER = """
from weft import signals
with signals.graceful(timeout={timeout}) as stop:
    say("ready")
    stop.wait()
    say("asked", stop.event.name, stop.requested)
    {then}
say("over")
"""


@pytest.mark.parametrize("sig", ["SIGINT", "SIGTERM"])
def test_first_signal_asks(sig):
    with start_program(WORKER.format(timeout=30, then="")) as program:
        program.expect("ready")
        signals.send(program.process, sig)
        program.expect(f"asked {sig} True")
        program.expect("over")
        program.finish()


@pytest.mark.parametrize(("first", "second"), [("SIGINT", "SIGINT"), ("SIGTERM", "SIGTERM"), ("SIGINT", "SIGTERM")])
def test_second_signal_forces(first, second):
    with start_program(WORKER.format(timeout=None, then="hear()")) as program:
        program.expect("ready")
        signals.send(program.process, first)
        program.expect(f"asked {first} True")
        signals.send(program.process, second)
        assert program.process.wait() == -signals.number(second)
        assert program.process.stdout.read() == ""


def test_time_limit_forces():
    with start_program(WORKER.format(timeout=0.05, then="hear()")) as program:
        program.expect("ready")
        program.process.terminate()
        program.expect("asked SIGTERM True")
        assert program.process.wait() == -signal.SIGTERM


def test_without_a_signal_nothing_happens_and_all_is_restored():
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    with signals.graceful() as stop:
        assert not stop.requested
        assert stop.wait(0) is False
        assert stop.wait(0.001) is False
        assert stop.event is None
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)] == before
    with pytest.raises(RuntimeError):
        stop.__enter__()


def test_request_ends_waits_in_all_threads_and_in_select():
    with signals.graceful() as stop:
        results = []
        threads = [threading.Thread(target=lambda: results.append(stop.wait())) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert select.select([stop], [], [], 0) == ([], [], [])
        os.kill(os.getpid(), signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert results == [True] * 3
        assert select.select([stop], [], [], 0)[0] == [stop]
        assert stop.wait(0) is True


def test_request_by_the_program_itself():
    with signals.graceful() as stop:
        stop.request()
        assert stop.wait()
        assert stop.event is None


@pytest.mark.parametrize("run", [lambda main: asyncio.run(main()), trio.run], ids=["asyncio", "trio"])
def test_request_is_awaited(run):
    async def main():
        with signals.graceful() as stop:
            assert not await stop.await_request(0.001)
            with signals.alarm(0.01, lambda e: os.kill(os.getpid(), signal.SIGTERM)):
                assert await stop
            assert await stop
            assert stop.event.name == "SIGTERM"

    run(main)


def test_other_signals_and_another_force():
    forced = []
    with signals.graceful(None, signals=("HUP",), on_force=forced.append) as stop:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.requested
    assert [e.name for e in forced] == ["SIGHUP", "SIGHUP"]


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_limits_that_are_none(timeout):
    with pytest.raises(ValueError):
        signals.graceful(timeout)


def test_a_queue_is_worked_off(open_queue):
    queue = open_queue("jobs")
    queue.put_many(range(10))
    with start_program(
        """
        from weft import signals
        queue = weft.Queue("jobs")
        with signals.graceful() as stop:
            say("ready")
            while not stop.requested:
                try:
                    with queue.lease(timeout=0.05) as job:
                        if job == 3:
                            say(job)
                            stop.wait()
                except weft.Empty:
                    pass
        say("over")
        """
    ) as program:
        program.expect("ready")
        program.expect("3")
        program.process.terminate()
        program.expect("over")
        program.finish()
    assert queue.get_many(100) == list(range(4, 10))


# --- terminate -------------------------------------------------------------------------------------

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(100)"


def stubborn():
    child = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE)
    child.stdout.readline()
    return child


def test_terminate_that_suffices():
    child = subprocess.Popen(["sleep", "100"])
    ended = signals.terminate(child)
    assert ended == signals.Termination(signal.SIGTERM, -signal.SIGTERM)
    assert not ended.forced
    assert str(ended) == "ended by SIGTERM"
    assert signals.terminate(child) == signals.Termination(None, -signal.SIGTERM)


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_terminate_that_takes_a_kill(timeout):
    with stubborn() as child:
        ended = signals.terminate(child, timeout)
        assert ended == signals.Termination(signal.SIGKILL, -signal.SIGKILL)
        assert ended.forced


def test_terminate_multiprocessing():
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,))
    child.start()
    assert signals.terminate(child).returncode == -signal.SIGTERM
    assert signals.terminate(child) == signals.Termination(None, -signal.SIGTERM)
    child.close()


def test_terminate_pid_and_name():
    with start_program("from weft import signals\nsignals.register('w')\nsay(1)\nhear()") as program:
        program.expect("1")
        assert signals.terminate("w").signal == signal.SIGTERM
        program.process.wait()
    with pytest.raises(ProcessLookupError):
        signals.terminate("w")
    with pytest.raises(ProcessLookupError):
        signals.terminate(program.pid)
    with pytest.raises(ValueError):
        signals.terminate(program.process, -1)


# --- Supervising -----------------------------------------------------------------------------------

CHILD = """
import os, sys, time
from weft import signals
with signals.blocked("TERM", "HUP", "RTMIN"):
    print("child", flush=True)
    while (event := signals.wait("TERM", "HUP", "RTMIN")).name != "SIGTERM":
        print(event.name, event.value, flush=True)
sys.exit(7)
"""


def test_supervisor_passes_signals_on_and_returns_the_status():
    with start_program(
        f"""
        import sys
        from weft import signals
        status = signals.supervise([sys.executable, "-c", {CHILD!r}], forward_signals=["TERM", "HUP", "RTMIN"])
        say("status", status)
        """
    ) as program:
        program.expect("child")
        signals.send(program.process, "HUP")
        program.expect("SIGHUP None")
        signals.send(program.process, "RTMIN", 9)
        program.expect("SIGRTMIN 9")
        program.process.terminate()
        program.expect("status 7")
        program.finish()


def test_supervisor_kills_what_does_not_end():
    with start_program(
        f"""
        import sys
        from weft import signals
        say("status", signals.supervise([sys.executable, "-c", {STUBBORN!r}], timeout=0.05))
        """
    ) as program:
        program.expect("")
        program.process.terminate()
        assert program.finish() == "status -9\n"


def test_supervisor_as_the_first_process():
    """As in a container: what nobody waits for is reaped, and a signal from outside reaches the program."""
    command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("may not make a pid namespace here")
    child = """
import os, signal, subprocess, sys
subprocess.run(["sh", "-c", "sh -c 'exit 3' & exit 0"])          # an orphan, which is process 1's now
while open("/proc/1/task/1/children").read().split() != [str(os.getpid())]:
    pass
print("ready", flush=True)
signal.pause()
"""
    code = f"""
import os, sys
from weft import signals
status = signals.supervise([sys.executable, "-c", {child!r}])
print(os.getpid(), status, open("/proc/1/task/1/children").read().split())
"""
    with subprocess.Popen([*command, sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as outer:
        assert outer.stdout.readline() == "ready\n"
        with open(f"/proc/{outer.pid}/task/{outer.pid}/children") as children:
            first = int(children.read())
        signals.send(first, "TERM")
        assert outer.stdout.read() == "1 -15 []\n"


def test_supervisor_adopts_and_reaps_orphans():
    with start_program(
        """
        import os
        from weft import signals
        from weft.signals import supervising
        reaped, plain = [], supervising.reap
        def noting(**options):
            reaped.extend(plain(**options))
        supervising.reap = noting
        say(signals.supervise(["sh", "-c", "(sh -c 'sleep 0.01; exit 3' &); sleep 0.5; exit 4"]))
        say([each.returncode for each in reaped])
        say(open(f"/proc/self/task/{os.getpid()}/children").read().split())
        """
    ) as program:
        assert program.finish() == "4\n[3]\n[]\n"


def test_forward_in_a_block():
    with stubborn() as one, subprocess.Popen(["sleep", "100"]) as other:
        workers = [one, other]
        with signals.forward("USR1", to=workers) as passing:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert passing.last.name == "SIGUSR1"
            assert one.wait() == other.wait() == -signal.SIGUSR1
            os.kill(os.getpid(), signal.SIGUSR1)  # they are gone: nobody is hit


def test_reap_leaves_alone_what_is_kept():
    kept = subprocess.Popen(["true"])
    loose = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 3"], {})
    with signals.Process(kept) as first, signals.Process(loose) as second:
        first.wait()
        second.wait()
    assert signals.reap(keep=[kept]) == [signals.Reaped(loose, 3)]
    assert kept.wait() == 0
    assert signals.reap() == []
