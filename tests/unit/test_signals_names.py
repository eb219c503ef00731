"""What signals are called, what is known of them, and what is refused."""

import os
import signal
import subprocess
import sys

import pytest

import weft
from weft import signals

# A watchdog that is a thread would get the signals that the main thread blocks.
pytestmark = [pytest.mark.alone, pytest.mark.timeout(60, method="signal")]


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ("SIGUSR1", signal.SIGUSR1),
        ("USR1", signal.SIGUSR1),
        ("usr1", signal.SIGUSR1),
        (" SigUsr1 ", signal.SIGUSR1),
        (signal.SIGUSR1, signal.SIGUSR1),
        (int(signal.SIGUSR1), signal.SIGUSR1),
        ("10", 10),
        ("SIGPOLL", signal.SIGIO),
        ("SIGCLD", signal.SIGCHLD),
        ("SIGIOT", signal.SIGABRT),
        ("SIGRTMIN", signal.SIGRTMIN),
        ("RTMIN+3", signal.SIGRTMIN + 3),
        ("SIGRTMAX", signal.SIGRTMAX),
        ("SIGRTMAX-2", signal.SIGRTMAX - 2),
    ],
)
def test_number(given, number):
    assert signals.number(given) == number


@pytest.mark.parametrize("number", sorted(signal.valid_signals()))
def test_names_and_numbers_are_inverse(number):
    assert signals.number(signals.name(number)) == number
    described = signals.describe(number)
    assert described.number == number
    assert signals.name(number) in str(described)
    assert described.catchable == (number not in (signal.SIGKILL, signal.SIGSTOP))
    assert described.real_time == (number >= signal.SIGRTMIN)


def test_table_is_of_all():
    assert [each.number for each in signals.table()] == sorted(signal.valid_signals())


@pytest.mark.parametrize("each", signals.table(), ids=lambda each: each.name)
def test_default_action_is_what_the_kernel_does(each):
    """Sent to a program that has bound nothing."""
    if each.number == signal.SIGCONT:
        pytest.skip("goes on without having stopped: the same as ignoring it")
    with subprocess.Popen(
        [sys.executable, "-Sc", "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
         "import signal\n"
         "for n in signal.valid_signals() - {9, 19}: signal.signal(n, signal.SIG_DFL)\n"
         "print(flush=True); import time; time.sleep(60)"],
        stdout=subprocess.PIPE, process_group=0,  # a group whose parents have gone can't be stopped from a terminal
    ) as child:  # fmt: skip
        try:
            child.stdout.readline()
            child.send_signal(each.number)
            if each.action in ("terminate", "core"):
                assert child.wait() == -each.number
            elif each.action == "stop":
                _, status = os.waitpid(child.pid, os.WUNTRACED)
                assert os.WSTOPSIG(status) == each.number
            else:
                assert each.action == "ignore"
                child.send_signal(signal.SIGTERM)
                assert child.wait() == -signal.SIGTERM
        finally:
            child.kill()


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("SIGFOO", ValueError, "no signal"),
        ("USR3", ValueError, "did you mean 'SIGUSR"),
        ("", ValueError, "no signal"),
        ("SIG", ValueError, "no signal"),
        ("SIGRTMIN+99", ValueError, "real-time"),
        ("SIGRTMAX+1", ValueError, "real-time"),
        ("SIGRTMIN-1", ValueError, "real-time"),
        (0, ValueError, "no signal 0"),
        (-1, ValueError, "no signal -1"),
        (32, ValueError, "C library"),
        (65, ValueError, "no signal 65"),
        (10**30, ValueError, "no signal"),
        (True, TypeError, "not True"),
        (10.0, TypeError, "not 10.0"),
        (None, TypeError, "not None"),
        (signal.SIG_IGN, TypeError, "signal.signal"),
    ],
)
@pytest.mark.parametrize("use", [signals.number, signals.describe, signals.blocked, signals.wait, signals.signalfd])
def test_what_is_no_signal(use, given, error, words):
    for number in (1, 10):  # known by now: what is equal to them is not the same
        with signals.Process(os.getpid()) as me, signals.blocked(number):
            me.send(number)
            assert signals.wait(number, timeout=0) is not None
    with pytest.raises(error, match=words):
        use(given)
    with pytest.raises(error, match=words):
        signals.send(os.getpid(), given)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSTOP"])
@pytest.mark.parametrize(
    "use",
    [
        lambda name: signals.on(name, print),
        lambda name: signals.on("USR1", name, handler=print, thread=True),
        signals.on,
        signals.wait,
        signals.blocked,
        signals.signalfd,
        signals.defer,
        signals.stream,
        lambda name: signals.graceful(signals=(name,)),
        lambda name: signals.forward(name, to=[]),
    ],
)
def test_what_no_process_can_catch(use, name):
    with pytest.raises(ValueError, match="no process can catch"):
        use(name)


def test_events_compare_travel_and_show():
    import pickle

    event = signals.Event("RTMIN+1", value=-5, pid=7, uid=0, count=2)
    assert pickle.loads(pickle.dumps(event)) == event
    assert hash(event) == hash(pickle.loads(pickle.dumps(event)))
    assert repr(event) == "Event(SIGRTMIN+1, value=-5, pid=7, uid=0, count=2)"
    assert (event.number, event.signal, event.name) == (signal.SIGRTMIN + 1, signal.SIGRTMIN + 1, "SIGRTMIN+1")
    assert signals.Event("USR1").signal is signal.SIGUSR1
    assert signals.Event("USR1") != signals.Event("USR2")


def test_errors_are_in_the_tree():
    for error in (signals.MainThreadError, signals.ValueRangeError):
        assert issubclass(error, weft.WeftError)
    assert issubclass(signals.MainThreadError, ValueError)
    assert issubclass(signals.ValueRangeError, OverflowError)
