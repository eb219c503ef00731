"""What the command shows in each situation in which somebody would look: it must name the culprit."""

import json
import os
import signal
import subprocess
import textwrap

import pytest

import weft
from weft.testing import fault_points

from ..helpers import start_program, until
from ..segments import forge
from .weft_command import comparable, weft_as_user, weft_command

ROOT = os.geteuid() == 0
NOBODY = 65534


def expect(shown, wanted):
    assert shown.strip("\n") == textwrap.dedent(wanted).strip("\n")


def stop(program):
    os.kill(program.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)


@pytest.fixture
def left(namespace):
    """A queue of a producer that was killed."""
    with start_program("q = weft.Queue('left', capacity=1 << 20); q.put_many([1, 2]); say('ready'); hear()") as program:
        program.expect("ready")
    yield program.pid
    (namespace / "left").unlink(missing_ok=True)


def test_slow_consumer_keeps_producers_waiting(namespace):
    with (
        start_program("q = weft.Queue('jobs', maxsize=2); l = q.lease(); say('leased'); hear()") as consumer,
        start_program(
            "q = weft.Queue('jobs', maxsize=2); q.put_many('abc', timeout=30); say('full'); q.put('d')"
        ) as producer,
    ):
        consumer.expect("leased")
        producer.expect("full")
        until(lambda: weft.memory.inspect("jobs").details["waiting_producers"], producer)
        stop(consumer)
        shown = weft_command("inspect", "jobs")
        assert shown.status == 0
        names = {"consumer": consumer.pid, "producer": producer.pid, "dir": namespace}
        creator = weft.memory.inspect("jobs").creator_pid
        text = comparable(shown.out, **names)
        text = text.replace("by pid CONSUMER:", "by pid CREATOR:").replace("by pid PRODUCER:", "by pid CREATOR:")
        assert creator in (consumer.pid, producer.pid)
        first, second = sorted([("CONSUMER", consumer.pid), ("PRODUCER", producer.pid)], key=lambda entry: entry[1])
        rows = {
            "CONSUMER": "CONSUMER  1  stopped  -  AGE  PROGRAM",
            "PRODUCER": "PRODUCER  1  sleeping  room  AGE  PROGRAM",
        }
        _, _, rest = text.partition("  PID")
        order = [line.split()[0] for line in rest.splitlines()[1:3]]
        expect(
            text,
            f"""
            jobs
              kind  Queue
              file  DIR/jobs
              size  256 MiB, 84 KiB of memory reserved
              lifetime  attached
              made  AGE ago (WHEN) by pid CREATOR: PROGRAM
              permissions  0600, user USER, group GROUP
              layout  version 1, identity IDENTITY
              open in  2 processes

              PID  HANDLES  STATE  WAITS FOR  SINCE  COMMAND
              {rows[order[0]]}
              {rows[order[1]]}

              state  open
              maxsize  2
              max message  67,108,864
              codec  default
              depth  2
              depth in bytes  4 B
              sent  3
              received  0
              leased  1
              dropped  0
              redelivered  0
              dead lettered  0
              waiting producers  1
              waiting consumers  0

              holding
              PROCESS  LEASES  VIEWS  LOANS
              CONSUMER, stopped  1  0 B  0 B

              ! pid CONSUMER is stopped, and keeps what it holds: continue it (kill -CONT CONSUMER) or kill it
              ! producers wait for room: it has as many messages as maxsize allows, and none of the others (pid CONSUMER) takes fast enough
            """,
        )
        listed = weft_command("ls")
        expect(
            comparable(listed.out, **names),
            """
            NAME  KIND  SIZE  RESERVED  ATTACHED  LIFETIME  AGE
            jobs  Queue  256 MiB  84 KiB  CONSUMER stopped, PRODUCER  attached  AGE
            """,
        )
        refused = weft_command("clean", "jobs")
        assert refused.status == 1
        users = ", ".join(name for name, _ in (first, second))
        expect(
            comparable(refused.out, **names),
            f"""
            in use  jobs: by pid {users}
            0 removed, 0 B freed; 1 in use
            """,
        )
    weft.Namespace().clean()


def test_dead_producers_leftovers(namespace, left):
    with weft.Queue("mailbox", lifetime="kept", capacity=1 << 20) as queue:
        queue.put("kept")
    listed = weft_command("ls")
    expect(
        comparable(listed.out),
        """
        NAME  KIND  SIZE  RESERVED  ATTACHED  LIFETIME  AGE
        left  Queue  1 MiB  84 KiB  nobody: leftover  attached  AGE
        mailbox  Queue  1 MiB  84 KiB  nobody  kept  AGE
        """,
    )
    assert listed.err == "weft: 1 object was left by dead processes, 84 KiB: weft clean removes what nobody uses\n"
    shown = comparable(weft_command("inspect", "left").out, dead=left)
    assert "DEAD  1  dead  -  AGE  PROGRAM" in shown
    assert "open in  no process: left by the dead" in shown
    assert "! it was to go with the last process that has it open, and all were killed: weft clean removes it" in shown
    expect(weft_command("clean", "--dry-run").out, "would go  left: 84 KiB\n1 would be removed, 84 KiB; 1 kept")
    assert (namespace / "left").exists()
    expect(weft_command("clean").out, "removed   left: 84 KiB\n1 removed, 84 KiB freed; 1 kept")
    expect(weft_command("clean").out, "0 removed, 0 B freed; 1 kept")
    expect(weft_command("clean", "mailbox").out, "removed   mailbox: 84 KiB\n1 removed, 84 KiB freed")
    assert os.listdir(namespace) == []


def test_dead_holder_among_the_living(open_queue):
    queue = open_queue("q", capacity=1 << 20)
    queue.put_many(range(3))
    with start_program("q = weft.Queue('q'); lease = q.lease(); say('ready'); hear()") as program:
        program.expect("ready")
    shown = comparable(weft_command("inspect", "q").out, dead=program.pid, me=os.getpid())
    assert "DEAD, dead  1  0 B  0 B" in shown
    assert "! pid DEAD was killed; what it held is given back by whoever uses the object next" in shown
    assert queue.get() == 0  # as it said


@pytest.mark.skipif(not fault_points(), reason="needs the test build: make test")
def test_process_stopped_inside_a_call(open_queue, monkeypatch):
    queue = open_queue("q")
    monkeypatch.setenv("WEFT_FAULT", "put_record_written:1:s")
    with start_program("q = weft.Queue('q'); q.put(1); say('put')") as program:
        os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)
        shown = comparable(weft_command("inspect", "q", env={"WEFT_FAULT": ""}).out, stuck=program.pid)
        assert "LOCK  PROCESS\n  producers  STUCK, stopped" in shown
        assert (
            "! pid STUCK was stopped inside a call and holds the lock of the producers: other producers wait" in shown
        )
        os.kill(program.pid, signal.SIGCONT)
        program.expect("put")
    assert queue.get() == 1


def test_damaged_and_of_another_version_and_foreign(namespace, left):
    content = (namespace / "left").read_bytes()
    (namespace / "cut").write_bytes(content[:100_000])
    (namespace / "later").write_bytes(content)
    forge(namespace / "later", layout_version=9)
    (namespace / "notes.txt").write_text("hello")
    size = f"{len(content) / (1 << 20):.1f} MiB"
    listed = comparable(weft_command("ls").out)
    assert "cut  (damaged)  97.7 KiB  100 KiB  nobody  -  -" in listed
    assert f"later  (layout 9)  {size}  {size}  nobody  -  -" in listed
    assert "notes.txt  (no segment)  5 B  4 KiB  unknown  -  -" in listed
    shown = weft_command("inspect", "cut", "later", "notes.txt")
    assert shown.status == 1
    text = comparable(shown.out)
    assert "problem  it is damaged: the file is shorter than its header says" in text
    assert "! weft clean cut removes it when nobody has it open" in text
    assert "problem  it was made with layout version 9, this weft has 1" in text
    assert "! use one version of weft for all, or, when nobody has it open, remove it: weft clean later" in text
    assert "problem  it is no segment of weft" in text
    cleaned = weft_command("clean", "cut", "later", "notes.txt", "nix")
    assert cleaned.status == 1
    expect(
        cleaned.out,
        f"""
        removed   cut: 100 KiB
        removed   later: {size}
        stays     notes.txt: it is no segment of weft: remove it by hand
        stays     nix: there is no such object
        2 removed, {(len(content) + 102_400) / (1 << 20):.1f} MiB freed; 1 not weft's; 1 missing
        """,
    )
    (namespace / "notes.txt").unlink()


@pytest.mark.skipif(not ROOT, reason="needs root, to mount a file system")
def test_full_tiny_tmpfs(tmp_path):
    place = tmp_path / "tiny"
    place.mkdir(0o700)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", place], check=False).returncode:
        pytest.skip("the system mounts nothing")
    try:
        with weft.Queue("q", namespace=place, capacity=1 << 20) as queue:
            assert "warning  memory" in comparable(weft_command("doctor", "-n", place).out)
            with (place / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
                while True:
                    file.write(b"x" * 4096)
            with pytest.raises(weft.NoSpaceError):
                queue.put(bytes(200_000))
            checked = weft_command("doctor", "-n", place)
            assert checked.status == 1
            text = comparable(checked.out, dir=place)
            assert "problem  memory  DIR is on tmpfs, 2 MiB large, 0 B free" in text
            assert "→ enlarge it: mount -o remount,size=8G DIR; in a container: --shm-size=8g" in text
            assert (
                "problem  filesystem  DIR can't do all that is needed: reserving memory (fallocate): No space left"
                in text
            )
            listed = comparable(weft_command("ls", "-n", place).out, me=os.getpid())
            assert "q  Queue  1 MiB  84 KiB  ME  attached  AGE" in listed
            assert weft_command("inspect", "-n", place, "q").status == 0
            assert weft_command("put", "-n", place, "other", "1").status == 1
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.skipif(not ROOT, reason="needs root, to become another user")
def test_another_users_directory(namespace, open_queue):
    open_queue("q")
    for arguments in (["ls"], ["inspect", "q"], ["clean"], ["clean", "q"], ["get", "q"], ["put", "q", "1"]):
        result = weft_as_user(NOBODY, *arguments)
        assert (result.status, result.out) == (1, ""), arguments
        assert result.err.startswith("weft: ")
        assert str(namespace) in result.err
    assert f"it belongs to user {os.geteuid()}, mode 0o700" in weft_as_user(NOBODY, "ls").err
    checked = weft_as_user(NOBODY, "doctor", "--json")
    assert checked.status == 1
    problems = {check["name"]: check for check in json.loads(checked.out) if check["status"] == "problem"}
    assert f"belongs to user {os.geteuid()}" in problems["namespace"]["finding"]
    assert "WEFT_NAMESPACE" in problems["namespace"]["advice"]
    assert "filesystem" in problems


def test_several_namespaces(namespace, monkeypatch, left):
    everything = weft_command("ls", "--all")
    assert everything.status == 0
    assert f"{namespace}  left" in comparable(everything.out)
    assert "weft clean --all removes what nobody uses" in everything.err
    names = {entry["namespace"] for entry in json.loads(weft_command("ls", "--all", "--json").out)}
    assert str(namespace) in names
    cleaned = json.loads(weft_command("clean", "--all", "--dry-run", "--json").out)
    assert {"left"} == {entry["name"] for entry in cleaned if entry["namespace"] == str(namespace)}
