"""Sending: to whom it was meant, with its value, or an error; never to whoever has the pid now."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

import weft
from weft import signals
from weft._core import signals as native

from ..helpers import start_program

pytestmark = pytest.mark.alone

LISTENER = """
from weft import signals
with signals.blocked("USR1", "RTMIN", "RTMIN+1"):
    say("ready")
    while (event := signals.wait("USR1", "RTMIN", "RTMIN+1")).name != "SIGUSR1":
        say(event.name, event.value, event.pid)
    say("over", event.value, event.pid)
"""


def sleeper(**options):
    return subprocess.Popen(["sleep", "100"], **options)


def test_to_every_kind_of_target():
    with start_program(LISTENER) as program, signals.Process(program.pid) as held:
        program.expect("ready")
        targets = [program.pid, program.process, held, signals.Process(held), signals.Process(program.process)]
        for value, target in enumerate(targets):
            assert signals.send(target, "RTMIN", value) == signals.Delivery((program.pid,))
            program.expect(f"SIGRTMIN {value} {os.getpid()}")
            if isinstance(target, signals.Process):
                target.send("RTMIN+1", -value)
                program.expect(f"SIGRTMIN+1 {-value} {os.getpid()}")
                target.close()
        assert signals.send(program.pid, "USR1")
        program.expect(f"over None {os.getpid()}")
        program.finish()


def test_real_time_signal_without_a_value_is_queued_with_0():
    with start_program(LISTENER) as program:
        program.expect("ready")
        for _ in range(3):
            signals.send(program.pid, "RTMIN")
        for _ in range(3):
            program.expect(f"SIGRTMIN 0 {os.getpid()}")
        signals.send(program.pid, "USR1", 5)
        program.expect(f"over 5 {os.getpid()}")


def wait_for_ever(ready):
    ready.send(os.getpid())
    time.sleep(1000)


def test_multiprocessing():
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=wait_for_ever, args=(there,))
    with pytest.raises(ProcessLookupError, match="not been started"):
        signals.send(child, "TERM")
    child.start()
    assert here.recv() == child.pid
    assert signals.send(child, "TERM").delivered == (child.pid,)
    child.join()
    assert child.exitcode == -signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        signals.send(child, "TERM")
    for each in (here, there, child):
        each.close()
    from multiprocessing import resource_tracker

    resource_tracker._resource_tracker._stop()


@pytest.mark.parametrize("state", ["zombie", "reaped"])
@pytest.mark.parametrize("kind", ["pid", "Popen", "Process"])
def test_dead_process(state, kind):
    child = sleeper()
    with signals.Process(child) as held:
        child.kill()
        assert held.wait()
        if state == "reaped":
            child.wait()
        assert held.ended
        assert held.command == ""
        target = {"pid": child.pid, "Popen": child, "Process": held}[kind]
        with pytest.raises(ProcessLookupError):
            signals.send(target, "USR1")
    child.wait()


def test_process_is_waited_for_and_selected():
    with sleeper() as child, signals.Process(child.pid) as held:
        assert not held.wait(0)
        assert not held.wait(0.001)
        assert "sleep 100" in held.command
        held.send("KILL")
        assert held.wait(30)
    with pytest.raises(ValueError, match="closed"):
        held.send("USR1")


# --- Recycled pids ---------------------------------------------------------------------------------


RECYCLE = """
import os, subprocess, sys, time
from weft import signals
from weft.statistics import Participant

def take(pid):
    # The next process of this pid namespace gets that very pid.
    for _ in range(100):
        with open("/proc/sys/kernel/ns_last_pid", "w") as last:
            last.write(str(pid - 1))
        child = subprocess.Popen(["sleep", "100"])
        if child.pid == pid:
            return child
        child.kill()
        child.wait()
    raise SystemExit("this system does not give pids again")

first = subprocess.Popen(["sleep", "100"])
held = signals.Process(first)
seen = Participant(first.pid, "sleep 100", time.time())
name = subprocess.Popen([sys.executable, "-c", "from weft import signals; signals.register('named'); print(1, flush=True)\\nimport time; time.sleep(100)"], stdout=subprocess.PIPE)
name.stdout.readline()
known = [each.pid for each in signals.registered()]
assert known == [name.pid], known
for process in (first, name):
    os.kill(process.pid, 9)
    os.waitpid(process.pid, 0)          # behind the back of subprocess
time.sleep(1.1)
others = [take(first.pid), take(name.pid)]
assert [each.pid for each in others] == [first.pid, name.pid]
outcomes = []
for target in (held, seen, "named"):
    try:
        signals.send(target, "KILL")
        outcomes.append("sent")
    except ProcessLookupError:
        outcomes.append("gone")
print(outcomes, [other.poll() for other in others])
for other in others:
    other.kill()
    other.wait()
"""


def test_recycled_pid_hits_nobody():
    """In a pid namespace, where a process can be given any pid."""
    command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"namespaces are not to be had here: {error}")
    done = subprocess.run([*command, sys.executable, "-c", RECYCLE], capture_output=True, text=True, timeout=60)
    if "does not give pids again" in done.stderr or "ns_last_pid" in done.stderr:
        pytest.skip("pids can't be chosen here")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['gone', 'gone', 'gone'] [None, None]\n"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOSYS, weft.SystemLimitError),
        (errno.EMFILE, weft.SystemLimitError),
        (errno.ENOMEM, weft.SystemLimitError),
        (errno.ESRCH, ProcessLookupError),
        (errno.EINVAL, ProcessLookupError),
    ],
)
def test_without_a_descriptor_nothing_is_sent(monkeypatch, code, error):
    class Refused(signals.Process):
        def _open(self, pid):
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr("weft.signals.sending.Process", Refused)
    with sleeper() as child:
        with pytest.raises(error):
            signals.send(child, "TERM")
        with pytest.raises(error):
            signals.send(child.pid, "TERM")
        with pytest.raises(error):
            signals.send_tree(child.pid, "TERM")
        assert child.poll() is None
        child.kill()


def test_process_that_ended_between_its_holding_and_its_parents_knowing(monkeypatch):
    """The pid was held after it had been given away: its old owner's object says so."""
    with sleeper() as child:
        other = sleeper()
        other.kill()
        other.wait()
        other.pid = child.pid  # as if recycled
        with pytest.raises(ProcessLookupError):
            signals.send(other, "KILL")
        assert child.poll() is None
        child.kill()


def test_participant_whose_pid_another_has():
    with sleeper() as child:
        now = time.time()
        with pytest.raises(ProcessLookupError):
            signals.send(weft.Participant(child.pid, "", now - 3600), "KILL")
        assert child.poll() is None
        assert signals.send(weft.Participant(child.pid, "", now + 1), "TERM")
        assert child.wait() == -signal.SIGTERM


def test_descriptors_do_not_pile_up():
    before = len(os.listdir("/proc/self/fd"))
    with sleeper() as child:
        for _ in range(50):
            signals.send(child, "CONT")
            signals.send_tree(child, "CONT")
        child.kill()
    assert len(os.listdir("/proc/self/fd")) <= before


# --- Permission ------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="to be another user takes root")
def test_another_users_process():
    with sleeper() as target, start_program(
        """
        import os
        from weft import signals
        hear()
        os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
        target = int(sys.argv[1])
        for send in (signals.send, signals.send_tree):
            try:
                say(send(target, "USR1").not_permitted == (target,))
            except PermissionError as error:
                say(type(error).__name__, "belongs to user 0" in str(error))
        try:
            signals.terminate(target, 0)
        except PermissionError:
            say("not ended")
        """,
        target.pid,
    ) as program:  # fmt: skip
        program.say()
        program.expect("AccessError True")
        program.expect("True")
        program.expect("not ended")
        program.finish()
        assert target.poll() is None
        target.kill()


# --- Groups and trees ------------------------------------------------------------------------------


def test_group():
    leader = sleeper(process_group=0)
    member = sleeper(process_group=leader.pid)
    assert signals.group(leader) == signals.group(leader.pid) == signals.Group(leader.pid)
    assert signals.send(signals.group(member), "TERM")
    assert leader.wait() == member.wait() == -signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        signals.send(signals.Group(leader.pid), "TERM")


def test_own_group():
    seen = []
    with start_program(
        """
        from weft import signals
        seen = []
        with signals.on("USR1", seen.append):
            signals.send(signals.group(), "USR1")
            signals.send(signals.group(0), "USR1")
        say(len(seen))
        """
    ) as program:
        assert program.finish() == "2\n"
    assert seen == []


def test_group_takes_no_value_and_no_negative_id():
    with pytest.raises(ValueError, match="value"):
        signals.send(signals.group(), "USR1", 1)
    with pytest.raises(ValueError, match="group"):
        signals.group(-1)


TREE = """
import os, sys, time
depth = int(sys.argv[1])
for _ in range(2 if depth else 0):
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-c", sys.argv[2], str(depth - 1), sys.argv[2]])
os.write(1, b"x")
time.sleep(100)
"""


def test_tree():
    root = subprocess.Popen([sys.executable, "-Sc", TREE, "2", TREE], stdout=subprocess.PIPE)
    assert len(root.stdout.read(7)) == 7
    delivery = signals.send_tree(root, "CONT", itself=False)
    assert (len(delivery.delivered), root.pid in delivery.delivered) == (6, False)
    delivery = signals.send_tree(root.pid, "KILL")
    assert len(delivery.delivered) == len(set(delivery.delivered)) == 7
    assert delivery.delivered[0] == root.pid
    assert root.wait() == -signal.SIGKILL
    assert root.stdout.read() == b""  # all of them are gone
    root.stdout.close()


# --- Bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize("send", [signals.send, signals.send_tree])
@pytest.mark.parametrize(
    ("target", "error"),
    [
        (0, ValueError), (-1, ValueError), pytest.param(-os.getpid(), ValueError, id="own-group"), (1 << 40, ValueError),
        (True, TypeError), (1.5, TypeError), (None, TypeError), (object(), TypeError), ([1], TypeError),
        ("no such name", ValueError), ("nobody", ProcessLookupError), (999_999_99, ProcessLookupError),
    ],
)  # fmt: skip
def test_targets_that_are_none(send, target, error):
    with pytest.raises(error):
        send(target, "USR1")


def test_thread_that_is_no_process():
    import threading

    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    with pytest.raises(ProcessLookupError):
        signals.send(thread.native_id, "USR1")
    stop.set()
    thread.join()


@pytest.mark.parametrize(
    ("value", "error"),
    [(2**31, OverflowError), (-(2**31) - 1, ValueError), (10**40, OverflowError), ("1", TypeError), (1.0, TypeError),
     (True, TypeError)],
)  # fmt: skip
def test_values_that_do_not_fit(value, error):
    with pytest.raises(error):
        signals.send(os.getpid(), "RTMIN", value)
    with signals.Process(os.getpid()) as me, pytest.raises(error):
        me.send("RTMIN", value)


def test_full_queue_of_real_time_signals():
    with start_program(
        """
        import resource
        from weft import signals
        with signals.blocked("RTMIN"):
            resource.setrlimit(resource.RLIMIT_SIGPENDING, (20, 20))
            say("ready")
            hear()
            count = 0
            while signals.wait("RTMIN", timeout=0):
                count += 1
            say(count)
            hear()
            say(signals.wait("RTMIN").value)
        """
    ) as program:
        program.expect("ready")
        sent = 0
        with pytest.raises(BlockingIOError, match="does not keep up"):
            while sent < 100:
                signals.send(program.process, "RTMIN", sent)
                sent += 1
        program.say()
        program.expect(str(sent))
        signals.send(program.process, "RTMIN", 77)
        program.say()
        program.expect("77")


def test_target_is_opened_once():
    process = signals.Process(os.getpid())
    assert repr(process) == f"weft.signals.Process({os.getpid()})"
    process.close()
    process.close()
    assert issubclass(signals.Process, native.Target)
