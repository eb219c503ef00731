"""Names of processes: found by all, gone with the process, in nobody's way."""

import json
import os
import signal
import subprocess
import sys

import pytest

import weft
from weft import signals

from ..helpers import start_program

pytestmark = pytest.mark.alone

WORKER = """
from weft import signals
with signals.blocked("RTMIN", "USR1"), signals.register(sys.argv[1]) as name:
    say("ready")
    say(signals.wait("RTMIN").value)
    hear()
say("over")
hear()
"""


def test_sent_by_name():
    with start_program(WORKER, "worker-3") as worker:
        worker.expect("ready")
        assert signals.send("worker-3", "RTMIN", 42).delivered == (worker.pid,)
        worker.expect("42")
        [found] = signals.registered()
        assert (found.name, found.pid) == ("worker-3", worker.pid)
        assert "python" in found.command
        with signals.Process("worker-3") as held:
            assert held.pid == worker.pid
        worker.say()
        worker.expect("over")
        with pytest.raises(ProcessLookupError, match="no process has registered"):
            signals.send("worker-3", "RTMIN")
        assert signals.registered() == []


@pytest.mark.parametrize("how", ["SIGKILL", "exit"])
def test_name_goes_with_its_process(namespace, how):
    with start_program(WORKER, "worker") as worker:
        worker.expect("ready")
        if how == "SIGKILL":
            worker.process.kill()
        else:
            signals.send("worker", "RTMIN")
            worker.say()
            worker.say()
        worker.process.wait()
    with pytest.raises(ProcessLookupError):
        signals.send("worker", "RTMIN")
    assert os.listdir(namespace) == []


def test_killed_ones_name_is_taken_at_once():
    with start_program(WORKER, "worker") as worker:
        worker.expect("ready")
        with pytest.raises(weft.NameInUseError, match=f"process {worker.pid}"):
            signals.register("worker")
        worker.process.kill()
        worker.process.wait()
        with signals.register("worker"):
            assert [each.pid for each in signals.registered()] == [os.getpid()]


def test_name_is_no_object_and_survives_the_cleaner(open_queue):
    queue = open_queue("worker")
    with signals.register("worker"):
        assert weft.Namespace().names() == ["worker"]
        assert weft.Namespace().clean() == []
        assert [each.name for each in signals.registered()] == ["worker"]
        with pytest.raises(weft.NotFoundError):
            weft.Queue("other", create=False)
    queue.put(1)
    assert queue.get() == 1


def test_cleaner_removes_what_the_dead_left(namespace):
    with start_program(WORKER, "worker") as worker:
        worker.expect("ready")
        worker.process.kill()
        worker.process.wait()
    assert os.listdir(namespace) == [".process-worker"]
    weft.Namespace().clean()
    assert os.listdir(namespace) == []


def test_forked_child_does_not_have_the_name_and_does_not_keep_it():
    with start_program(
        """
        import os
        from weft import signals
        name = signals.register("parent")
        if os.fork() == 0:
            assert name.closed
            assert [each.pid for each in signals.registered()] == [os.getppid()]
            name.close()
            signals.register("child")
            os.close(0)
            say("child")
            import time; time.sleep(1000)
        hear()
        os.kill(os.getpid(), 9)
        """
    ) as program:
        program.expect("child")
        assert {each.name for each in signals.registered()} == {"parent", "child"}
        program.say()
        program.process.wait()
        assert [each.name for each in signals.registered()] == ["child"]
        with signals.Process("child") as child:
            child.send("KILL")
            assert child.wait()
    assert signals.registered() == []


def test_several_names_and_namespaces(spare):
    with signals.register("a"), signals.register("b"), signals.register("a", namespace=weft.Namespace(spare)):
        assert [each.name for each in signals.registered()] == ["a", "b"]
        assert [each.name for each in signals.registered(str(spare))] == ["a"]
        seen = []
        with signals.on("RTMIN", seen.append):
            signals.send("a", "RTMIN", 1, namespace=str(spare))
            signals.send("b", "RTMIN", 2)
        assert [e.value for e in seen] == [1, 2]


def test_registration_closes_once():
    name = signals.register("x")
    assert repr(name) == f"<process {os.getpid()} as 'x'>"
    name.close()
    name.close()
    assert name.closed
    assert signals.registered() == []


@pytest.mark.parametrize("name", ["", "a/b", "..", "x" * 201, "anon-1", 5, None])
def test_names_that_are_none(name):
    with pytest.raises((ValueError, TypeError)):
        signals.register(name)


def test_racing_programs_get_a_name_once():
    code = """
    from weft import signals
    hear()
    try:
        name = signals.register("only")
        say("got it")
    except weft.NameInUseError:
        say("too late")
    hear()
    """
    programs = [start_program(code) for _ in range(8)]
    try:
        for program in programs:
            program.say()
        assert sorted(program.hear() for program in programs) == ["got it", *["too late"] * 7]
    finally:
        for program in programs:
            program.__exit__()
    assert signals.registered() == []


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b"[]", b"\xff", b"[" * 3000, b'{"pid": -1}', b'{"pid": 1e3}', b"0" * 5000, None],
)
def test_damaged_file_is_told(namespace, text):
    with signals.register("x") as name:
        path = namespace / ".process-x"
        facts = json.loads(path.read_bytes())
        if text is None:
            text = json.dumps(facts | {"pid": 0}).encode()
        path.write_bytes(text)
        with pytest.raises(weft.CorruptedError):
            signals.send("x", "KILL")
        assert signals.registered() == []
        name.close()


@pytest.mark.parametrize("what", ["started", "system", "pid"])
def test_file_that_tells_of_another_process_hits_nobody(namespace, what):
    other = subprocess.Popen(["sleep", "100"])
    with signals.register("x"):
        path = namespace / ".process-x"
        facts = json.loads(path.read_bytes())
        lie = {"started": facts["started"] - 1, "system": "elsewhere", "pid": other.pid}[what]
        path.write_text(json.dumps(facts | {what: lie}))
        with pytest.raises(ProcessLookupError):
            signals.send("x", "KILL")
        assert other.poll() is None
    other.kill()
    other.wait()


def test_name_in_another_pid_namespace_is_told():
    command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"namespaces are not to be had here: {error}")
    code = (
        "import sys; from weft import signals; n = signals.register('inside'); print(1, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [*command, sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        program.stdout.readline()
        with pytest.raises(ProcessLookupError, match="container"):
            signals.send("inside", signal.SIGKILL)
        program.stdin.close()
        program.wait()
