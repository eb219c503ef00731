"""Storms: real-time signals arrive all, in order, exactly once; standard ones are counted."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from weft import signals

from ..helpers import start_program, until

pytestmark = pytest.mark.alone

COUNT = 100_000
SENDER = """
from weft import signals
with signals.Process(int(sys.argv[1])) as target:
    for value in range(int(sys.argv[2])):
        while True:
            try:
                target.send("RTMIN+5", value)
                break
            except BlockingIOError:
                import time; time.sleep(0.0005)
"""
RECEIVER = """
import os, time
from weft import signals
count, way = int(sys.argv[1]), sys.argv[2]
values, inside = [], False
def collect(event):
    assert event.count == 1
    values.append(event.value)
    if way == "slow" and event.value % 1000 == 0:
        time.sleep(0.002)
    global inside
    if inside and event.value % 10 == 0:
        inside = False
        raise LookupError
if way == "wait":
    with signals.blocked("RTMIN+5"):
        say("ready")
        while len(values) < count:
            collect(signals.wait("RTMIN+5"))
elif way == "signalfd":
    import select
    with signals.signalfd("RTMIN+5") as waiting:
        say("ready")
        while len(values) < count:
            select.select([waiting], [], [])
            while event := waiting.read():
                collect(event)
elif way == "stream":
    import asyncio
    async def main():
        with signals.stream("RTMIN+5") as events:
            say("ready")
            async for event in events:
                collect(event)
                if len(values) == count:
                    break
    asyncio.run(main())
else:
    queue = weft.Queue("never")
    with signals.on("RTMIN+5", collect):
        said = False
        while len(values) < count:
            try:
                if not said:
                    said = True
                    say("ready")
                if way == "busy":
                    sum(range(10_000_000)) if len(values) < 10 else sum(range(1000))
                elif way == "deferred":
                    with signals.defer():
                        time.sleep(0.01)
                else:
                    inside = way == "raising"
                    queue.get(timeout=0.05)
                    inside = False
            except (weft.Empty, LookupError):
                inside = False
say(values == list(range(count)))
"""


@pytest.mark.parametrize("way", ["handler", "slow", "raising", "busy", "deferred", "wait", "signalfd", "stream"])
def test_real_time_signals_arrive_all_in_order_once(way):
    with start_program(RECEIVER, COUNT, way) as receiver:
        receiver.expect("ready")
        with start_program(SENDER, receiver.pid, COUNT) as sender:
            receiver.expect("True")
            sender.finish()
        receiver.finish()


def test_thread_handlers_get_all_once():
    """In order, too, where no thread but one takes the signal: here the kernel may choose among two."""
    with start_program(
        """
        from weft import signals
        values, stop = [], []
        def collect(event):
            values.append(event.value)
        with signals.on("RTMIN+5", collect, thread=True):
            say("ready")
            while len(values) < int(sys.argv[1]):
                sum(range(10000))
        say(sorted(values) == list(range(len(values))))
        """,
        COUNT,
    ) as receiver:
        receiver.expect("ready")
        with start_program(SENDER, receiver.pid, COUNT) as sender:
            receiver.expect("True")
            sender.finish()
        receiver.finish()


def test_handler_in_thread_that_is_held_up_loses_nothing():
    """More than its ring holds: the rest stays in the kernel's queue until there is room."""
    gate, values = threading.Event(), []

    def collect(event):
        gate.wait()
        values.append(event.value)

    count = 80_000
    with signals.on("RTMIN+5", collect, thread=True):
        with signals.Process(os.getpid()) as me:
            sent = 0
            while sent < count:
                try:
                    me.send("RTMIN+5", sent)
                    sent += 1
                except BlockingIOError:
                    gate.set()
                if sent == 70_000:
                    gate.set()
        gate.set()
        until(lambda: len(values) == count)
    assert sorted(values) == list(range(count))


def test_standard_signals_are_counted_as_far_as_they_can_be():
    """What the kernel has merged nobody can count: never more than were sent, never nothing."""
    sent = 20_000
    with start_program(
        """
        from weft import signals
        total, events = 0, 0
        def handler(event):
            global total, events
            total, events = total + event.count, events + 1
        done = []
        with signals.on("USR1", handler), signals.on("USR2", done.append):
            say("ready")
            while not done:
                sum(range(100_000))
        say(total, events)
        """
    ) as receiver:
        receiver.expect("ready")
        with signals.Process(receiver.process) as target:
            for _ in range(sent):
                target.send("USR1")
            target.send("USR2")
        total, events = map(int, receiver.hear().split())
        receiver.finish()
    assert 0 < events <= total <= sent


def test_storm_on_a_queue_in_use(open_queue):
    """Signals at full speed while messages pass: all messages, all signals."""
    queue = open_queue("q", 50)
    with start_program(
        """
        from weft import signals
        values, got = [], []
        queue = weft.Queue("q", 50)
        with signals.on("RTMIN+5", lambda event: values.append(event.value)):
            say("ready")
            for item in queue:
                got.append(item)
            while len(values) < 20_000:
                sum(range(1000))
        say(got == list(range(20_000)), values == list(range(20_000)))
        """
    ) as receiver:
        receiver.expect("ready")
        with start_program(SENDER, receiver.pid, 20_000) as sender:
            for i in range(20_000):
                queue.put(i)
            queue.shutdown()
            sender.finish()
        receiver.expect("True True")
        receiver.finish()


# --- The standard library's own tests --------------------------------------------------------------

TESTS = """
import os, sys, unittest
import weft.signals as signals
for number in ("USR1", "ALRM", "INT", "RTMIN"):
    with signals.on(number, lambda event: None), signals.on(number, lambda event: None, thread=True):
        if number != "ALRM":
            signals.send(os.getpid(), number)
with signals.alarm(60, print), signals.deadline(60), signals.blocked("USR2"), signals.defer():
    pass
import test.test_signal
if sys.argv[1] == "brief":
    del test.test_signal.SiginterruptTest.test_siginterrupt_off    # waits for half a minute
suite = unittest.defaultTestLoader.loadTestsFromModule(test.test_signal)
result = unittest.TextTestRunner(verbosity=0).run(suite)
sys.exit(not result.wasSuccessful())
"""


@pytest.mark.parametrize("extent", ["brief", pytest.param("whole", marks=pytest.mark.slow)])
def test_the_standard_librarys_tests_pass_beside_it(extent):
    try:
        import test.test_signal  # noqa: F401
    except ImportError:
        pytest.skip("this Python comes without its tests")
    done = subprocess.run(
        [sys.executable, "-c", TESTS, extent], capture_output=True, text=True, timeout=110, start_new_session=True
    )
    assert done.returncode == 0, done.stderr


def test_classic_program():
    """Bind SIGTERM and SIGUSR1, print the pid in a loop, be signalled, go on; Ctrl-C, an alarm and a kill."""
    with start_program(
        """
        import os, time
        from weft import signals
        for name in ("TERM", "USR1", "ALRM"):
            signals.on(name, lambda event: say(event.name))
        signals.alarm(0.05)
        try:
            signals.on("KILL", print)
        except ValueError as error:
            say("no process can catch SIGKILL" in str(error))
        try:
            while True:
                say(os.getpid())
                time.sleep(0.01)
        except KeyboardInterrupt:
            say("bye")
        """
    ) as program:
        program.expect("True")
        seen = []
        for sig in ("TERM", "USR1"):
            program.expect(str(program.pid)) if not seen else None
            signals.send(program.process, sig)
            while program_line(program, seen) != f"SIG{sig}":
                pass
        while "SIGALRM" not in seen:
            program_line(program, seen)
        program_line(program, seen)
        program.process.send_signal(signal.SIGINT)
        while program_line(program, seen) != "bye":
            pass
        program.finish()
    assert set(seen) == {"SIGTERM", "SIGUSR1", "SIGALRM", str(program.pid), "bye"}


def program_line(program, seen):
    seen.append(program.hear())
    return seen[-1]


@pytest.mark.slow
def test_hundred_thousand_from_four_senders():
    with start_program(
        """
        from weft import signals
        values = {}
        def collect(event):
            values.setdefault(event.pid, []).append(event.value)
        with signals.on("RTMIN+5", collect):
            say("ready")
            while sum(map(len, values.values())) < int(sys.argv[1]):
                sum(range(10_000))
        say(all(each == list(range(len(each))) for each in values.values()), len(values))
        """,
        COUNT,
    ) as receiver:
        receiver.expect("ready")
        senders = [start_program(SENDER, receiver.pid, COUNT // 4) for _ in range(4)]
        try:
            receiver.expect("True 4")
        finally:
            for sender in senders:
                sender.__exit__()
        receiver.finish()
