"""Alarms, timers and deadlines: never early, one beside the other, gone afterwards."""

import math
import os
import signal
import time

import pytest

import weft
from weft import signals

from ..helpers import start_program, until

pytestmark = pytest.mark.alone


@pytest.fixture(autouse=True)
def restored():
    numbers = (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF)
    before = [signal.getsignal(n) for n in numbers]
    yield
    assert [signal.getsignal(n) for n in numbers] == before
    with open("/proc/self/timers") as timers:
        assert timers.read() == ""


def timers():
    with open("/proc/self/timers") as file:
        return file.read().count("ID:")


def burn(until):
    while not until():
        pass


def test_alarm_calls_once_and_not_early():
    times = []
    begin = time.monotonic()
    alarm = signals.alarm(0.0305, lambda e: times.append(time.monotonic()))
    until(lambda: times)
    time.sleep(0.05)
    assert len(times) == 1
    assert times[0] - begin >= 0.0305
    assert alarm.left == 0
    alarm.cancel()


def test_alarm_without_a_handler_is_the_signal_that_others_handle():
    seen = []
    with signals.on("ALRM", seen.append), signals.alarm(0.01):
        until(lambda: seen)
    assert [(e.name, e.code) for e in seen] == [("SIGALRM", -2)]


def test_alarm_ends_a_program_that_has_bound_nothing():
    with start_program("from weft import signals\nsignals.alarm(0.01)\nhear()") as program:
        assert program.process.wait() == -signal.SIGALRM


def test_cancelled_alarm_does_not_come():
    seen = []
    with signals.alarm(0.02, seen.append) as alarm:
        assert 0 < alarm.left <= 0.02
    alarm.cancel()
    time.sleep(0.05)
    assert seen == []


def test_alarms_compose_with_each_other_and_with_the_standard_ones():
    seen = []
    former = signal.signal(signal.SIGALRM, lambda *_: seen.append("standard"))
    signal.setitimer(signal.ITIMER_REAL, 0.06)
    try:
        with signals.alarm(0.08, lambda e: seen.append("outer")):
            with signals.alarm(0.02, lambda e: seen.append("inner")):
                until(lambda: seen)
            assert signals.on("ALRM").active is False
            until(lambda: len(seen) == 3)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
    assert seen == ["inner", "standard", "outer"]


def test_many_alarms_come_in_the_order_of_their_times():
    took, alarms = 1.0, []
    while took > 0.002:  # else they are not as far apart as they were meant to be
        for alarm in alarms:
            alarm.cancel()
        seen = []
        begun = time.monotonic()
        alarms = [
            signals.alarm(0.01 + 0.002 * (i * 7 % 20), lambda e, i=i, seen=seen: seen.append(i * 7 % 20))
            for i in range(20)
        ]
        took = time.monotonic() - begun
    until(lambda: len(seen) == 20)
    assert seen == sorted(seen)
    for alarm in alarms:
        alarm.cancel()


@pytest.mark.parametrize(("ticks", "name"), [("real", "ALRM"), ("virtual", "VTALRM"), ("profiling", "PROF")])
def test_timer(ticks, name):
    events = []
    with signals.timer(0.005, events.append, ticks=ticks) as timer:
        burn(lambda: len(events) >= 5)
        assert timer.left > 0
    count = len(events)
    burn_until = time.process_time() + 0.03
    burn(lambda: time.process_time() > burn_until)
    assert len(events) == count
    assert {e.name for e in events} == {f"SIG{name}"}


def test_virtual_time_stands_still_while_asleep():
    events = []
    with signals.timer(0.02, events.append, ticks="virtual"):
        time.sleep(0.1)
    assert len(events) <= 1


def test_timer_counts_what_it_missed():
    events = []
    with signals.timer(0.005, events.append, first=0.001), signals.defer():
        time.sleep(0.05)
    assert sum(e.count for e in events) >= 5


def test_timer_without_a_handler_goes_to_those_that_are_bound():
    seen = []
    with signals.on("PROF", lambda signum, frame: seen.append(signum)), signals.timer(0.001, ticks="profiling"):
        burn(lambda: len(seen) > 3)
    assert set(seen) == {signal.SIGPROF}


def test_signals_of_others_are_passed_on_beside_a_timer():
    seen = []
    former = signal.signal(signal.SIGALRM, lambda *_: seen.append("theirs"))
    try:
        with signals.alarm(60, lambda e: seen.append("ours")):
            os.kill(os.getpid(), signal.SIGALRM)
    finally:
        signal.signal(signal.SIGALRM, former)
    assert seen == ["theirs"]


# --- deadline --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sleep", ["sleep", "queue", "wait", "loop"])
def test_deadline_ends_the_block(open_queue, sleep):
    queue = open_queue("q")
    begin = time.monotonic()
    with pytest.raises(TimeoutError, match=r"0\.02"), signals.deadline(0.02) as limit:
        match sleep:
            case "sleep":
                time.sleep(60)
            case "queue":
                queue.get()
            case "wait":
                signals.wait("USR1")
            case "loop":
                burn(lambda: False)
    assert time.monotonic() - begin >= 0.02
    assert limit.expired
    queue.put("intact")
    assert queue.get() == "intact"


def test_deadline_that_is_met():
    with signals.deadline(30) as limit:
        assert 0 < limit.left <= 30
    assert not limit.expired
    assert timers() == 0


@pytest.mark.parametrize("shorter", ["inner", "outer"])
def test_deadlines_nest(shorter):
    raised = []
    try:
        with signals.deadline(0.5 if shorter == "inner" else 0.02) as outer:
            try:
                with signals.deadline(0.02 if shorter == "inner" else 0.5) as inner:
                    time.sleep(60)
            except TimeoutError:
                raised.append(inner.expired)
    except TimeoutError:
        raised.append("outer")
    if shorter == "inner":
        assert raised == [True]
        assert not outer.expired
    else:
        assert raised == [False, "outer"]


def test_deadline_whose_error_nobody_saw_is_raised_at_the_end():
    reached = []
    with pytest.raises(TimeoutError), signals.deadline(0.01):
        try:
            time.sleep(60)
        except TimeoutError:
            reached.append(True)
    assert reached


def test_error_of_the_block_is_not_replaced():
    with pytest.raises(LookupError), signals.deadline(0.01) as limit:
        try:
            time.sleep(60)
        except TimeoutError:
            raise LookupError from None
    assert limit.expired


def test_deadline_of_nothing():
    with pytest.raises(TimeoutError), signals.deadline(0):
        time.sleep(60)


def test_deadline_and_the_end_of_the_block_at_the_same_time():
    """Whichever is first, the error comes out of the statement or not at all, and nothing is left."""
    outcomes = set()
    for i in range(3000):
        try:
            with signals.deadline(1e-6 * (i % 60 + 1)):
                pass
            outcomes.add("met")
        except TimeoutError:
            outcomes.add("expired")
    assert outcomes == {"met", "expired"}
    assert timers() == 0


def test_deadline_in_a_loop_of_queue_calls(open_queue):
    queue = open_queue("q", 1)
    for _ in range(20):
        with pytest.raises(TimeoutError), signals.deadline(0.002):
            while True:
                queue.put(1)
                queue.get()
    assert queue.qsize() in (0, 1)
    assert isinstance(queue.statistics(), weft.QueueStatistics)


def test_forked_child_has_no_timers():
    seen = []
    with signals.alarm(0.05, seen.append) as alarm:
        if (pid := os.fork()) == 0:
            os._exit(0 if alarm.left == 0 and not timers() else 1)
        assert os.waitpid(pid, 0)[1] == 0
        until(lambda: seen)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (0, ValueError), (-1, ValueError), (math.nan, ValueError), (math.inf, ValueError), (1e300, ValueError),
        ("1", TypeError), (None, TypeError), (True, TypeError), (1j, TypeError),
    ],
)  # fmt: skip
@pytest.mark.parametrize("what", ["alarm", "interval", "first", "deadline"])
def test_times_that_are_none(what, value, error):
    if (what, value) in (("deadline", 0), ("first", None)):
        pytest.skip("means something there")
    with pytest.raises(error):
        {
            "alarm": signals.alarm,
            "interval": signals.timer,
            "first": lambda seconds: signals.timer(1, first=seconds),
            "deadline": signals.deadline,
        }[what](value)


def test_ticks_that_are_none():
    with pytest.raises(ValueError, match="profiling"):
        signals.timer(1, ticks="cpu")
