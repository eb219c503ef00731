"""Waiting for signals, keeping them off, letting them in."""

import math
import os
import select
import signal
import subprocess
import sys
import threading
import time

import pytest

from weft import signals

from ..helpers import start_program, until

# A watchdog that is a thread would get the signals that the main thread blocks.
pytestmark = [pytest.mark.alone, pytest.mark.timeout(60, method="signal")]
ME, USER = os.getpid(), os.getuid()


def strike(sig="USR1", value=None):
    signals.send(os.getpid(), sig, value)


def mask():
    return signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.fixture(autouse=True)
def mask_stays():
    before = mask()
    # An earlier test's watchdog may be about to end. Joining is not enough: the kernel's thread ends later.
    give_up = time.monotonic() + 5
    while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < give_up:
        time.sleep(0.001)
    yield
    assert mask() == before
    assert signals.pending() == frozenset()


# --- wait ------------------------------------------------------------------------------------------


def test_wait_takes_what_is_there():
    with signals.blocked("USR1", "RTMIN"):
        strike("RTMIN", 3)
        strike("RTMIN", 4)
        strike("USR1")
        taken = [signals.wait("USR1", "RTMIN", timeout=0) for _ in range(4)]
    assert taken[3] is None
    assert {e.name for e in taken[:3]} == {"SIGUSR1", "SIGRTMIN"}
    assert [e.value for e in taken[:3] if e.name == "SIGRTMIN"] == [3, 4]
    assert all((e.pid, e.uid) == (ME, USER) for e in taken[:3])


@pytest.mark.parametrize("timeout", [0.001, 0.05])
def test_wait_never_ends_early(timeout):
    begin = time.monotonic()
    assert signals.wait("USR1", timeout=timeout) is None
    assert time.monotonic() - begin >= timeout


@pytest.mark.parametrize(
    ("timeout", "error"), [(-1, ValueError), (math.nan, ValueError), ("1", TypeError), (-math.inf, ValueError)]
)
def test_wait_with_a_timeout_that_is_none(timeout, error):
    with pytest.raises(error):
        signals.wait("USR1", timeout=timeout)


@pytest.mark.parametrize("blocked", [False, True])
def test_wait_for_another_program(blocked):
    with start_program("from weft import signals\nhear(); signals.send(int(sys.argv[1]), 'RTMIN+1', 9)", ME) as program:
        with signals.blocked("RTMIN+1" if blocked else "USR2"):
            if blocked:
                program.say()
            else:  # it must not come before the wait
                threading.Timer(0.05, program.say).start()
            event = signals.wait("RTMIN+1")
        program.finish()
    assert event == signals.Event("RTMIN+1", 9, program.pid, USER, 1, -1)


def test_wait_without_a_timeout_is_ended_by_a_handler_that_raises():
    def handler(event):
        raise LookupError

    with signals.on("USR2", handler), signals.alarm(0.02, lambda e: strike("USR2")), pytest.raises(LookupError):
        signals.wait("USR1")


def test_wait_goes_on_after_handlers_with_what_is_left():
    ticks = []
    begin = time.monotonic()
    with signals.timer(0.005, ticks.append):
        assert signals.wait("USR1", timeout=0.1) is None
    assert time.monotonic() - begin >= 0.1
    assert len(ticks) > 2


def test_wait_in_a_thread_of_its_own():
    events = []
    with signals.blocked("USR1"):
        thread = threading.Thread(target=lambda: events.append(signals.wait("USR1")))
        thread.start()
        strike()
        thread.join()
    assert [e.name for e in events] == ["SIGUSR1"]


def test_no_handler_runs_for_what_is_waited_for():
    seen = []
    with signals.on("USR1", seen.append), signals.blocked("USR1"):
        strike()
        assert signals.wait("USR1").name == "SIGUSR1"
    assert seen == []


# --- blocked ---------------------------------------------------------------------------------------


def test_blocked_signals_come_afterwards():
    seen = []
    with signals.on("USR1", seen.append):
        with signals.blocked("USR1", "USR2"):
            strike()
            assert signals.pending() == {signal.SIGUSR1}
            assert mask() == {signal.SIGUSR1, signal.SIGUSR2}
            assert seen == []
        assert len(seen) == 1


def test_blocks_nest_and_are_left_by_errors():
    with pytest.raises(LookupError), signals.blocked("USR1"):
        with signals.blocked("USR1", "USR2"):
            pass
        assert mask() == {signal.SIGUSR1}
        raise LookupError
    assert mask() == set()


def test_block_is_entered_once():
    block = signals.blocked("USR1")
    with block, pytest.raises(RuntimeError, match="another"):
        block.__enter__()
    with block:
        assert mask() == {signal.SIGUSR1}


# The handler raises wherever it comes, in a callback of the collector's too, where nobody can catch it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_mask_is_restored_whenever_a_handler_raises():
    """At thousands of moments, those inside ``__enter__`` and ``__exit__`` included."""

    def handler(event):
        raise LookupError

    raised = 0
    with signals.on("ALRM", handler):
        for i in range(2000):
            try:
                with signals.alarm(1e-6 * (i % 40 + 1)):
                    for _ in range(3):
                        with signals.blocked("USR1", "ALRM"):
                            pass
            except LookupError:
                raised += 1
            assert mask() == set()
    assert raised > 0


def test_mask_is_of_the_thread():
    masks = []
    with signals.blocked("USR1"):
        pass
    with signals.blocked("USR2"):
        thread = threading.Thread(target=lambda: masks.append(mask()))
        thread.start()
        thread.join()
    assert masks == [{signal.SIGUSR2}]  # inherited at its start


# --- defer -----------------------------------------------------------------------------------------


def test_defer_holds_what_is_bound_and_lets_it_in_afterwards():
    seen = []
    with signals.on("USR1", seen.append), signals.on("RTMIN", seen.append):
        with signals.defer():
            strike("USR1")
            strike("RTMIN", 1)
            with signals.defer():
                strike("RTMIN", 2)
            assert seen == []
            assert mask() == set()
        assert sorted((e.name, e.value) for e in seen) == [("SIGRTMIN", 1), ("SIGRTMIN", 2), ("SIGUSR1", None)]


def test_defer_holds_ctrl_c():
    done = []
    with pytest.raises(KeyboardInterrupt), signals.defer():
        os.kill(ME, signal.SIGINT)
        done.append(True)
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_defer_holds_what_others_have_bound():
    seen = []
    former = signal.signal(signal.SIGUSR2, lambda signum, frame: seen.append(signum))
    try:
        with signals.defer("USR2"):
            os.kill(ME, signal.SIGUSR2)
            assert seen == []
        assert seen == [signal.SIGUSR2]
        os.kill(ME, signal.SIGUSR2)
        assert len(seen) == 2
    finally:
        signal.signal(signal.SIGUSR2, former)


@pytest.mark.parametrize("how", ["", "'TERM'"])
def test_defer_holds_the_default_action(how):
    with start_program(
        f"""
        import os, signal
        from weft import signals
        with signals.defer({how}):
            os.kill(os.getpid(), signal.SIGTERM)
            say("still here")
        say("not reached")
        """
    ) as program:
        program.expect("still here")
        assert program.process.wait() == -signal.SIGTERM
        assert program.process.stdout.read() == ""


def test_defer_is_left_by_errors_and_delivers_all_the_same():
    seen = []
    with signals.on("USR1", seen.append):
        with pytest.raises(LookupError), signals.defer():
            strike()
            raise LookupError
        assert len(seen) == 1
        strike()
        assert len(seen) == 2


def test_children_of_a_deferred_block_inherit_nothing():
    with signals.defer():
        code = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.getsignal(signal.SIGTERM))"
        printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "set() 0\n"


# --- signalfd --------------------------------------------------------------------------------------


def test_signalfd_in_select():
    with signals.signalfd("USR1", "RTMIN") as waiting:
        assert select.select([waiting], [], [], 0) == ([], [], [])
        assert waiting.read() is None
        strike("RTMIN", 5)
        strike("USR1")
        assert select.select([waiting], [], [], 0)[0] == [waiting]
        events = [waiting.read(), waiting.read()]
        assert waiting.read() is None
        assert sorted((e.name, e.value, e.pid) for e in events) == [("SIGRTMIN", 5, ME), ("SIGUSR1", None, ME)]
    waiting.close()
    for use in (waiting.read, waiting.fileno):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_signalfd_lets_in_what_was_not_read():
    seen = []
    with signals.on("USR1", seen.append):
        with signals.signalfd("USR1"):
            strike()
        assert len(seen) == 1


def test_pending_names_real_time_signals():
    with signals.blocked("RTMIN+4"):
        strike("RTMIN+4")
        assert signals.pending() == {signal.SIGRTMIN + 4}
        signals.wait("RTMIN+4")
    until(lambda: not signals.pending())
