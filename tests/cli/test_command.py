"""The command line as a program: arguments, exit statuses, terminals, JSON, pipes."""

import json
import os
import signal
import subprocess
import sys
import unicodedata

import pytest

import weft
from weft.cli import COMMANDS

from ..helpers import LIMIT, start_program
from ..segments import forge
from .weft_command import WEFT, comparable, on_terminal, weft_command, without_colours

ESCAPE = "\x1b"


@pytest.fixture
def kept(namespace):
    with weft.Queue("kept", lifetime="kept", capacity=1 << 20) as queue:
        queue.put_many([1, 2, 3])
    yield namespace / "kept"
    (namespace / "kept").unlink(missing_ok=True)


# --- arguments -------------------------------------------------------------------------------------


def test_version_and_module():
    assert weft_command("--version").out == f"weft {weft.__version__}\n"
    done = subprocess.run([sys.executable, "-m", "weft", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"weft {weft.__version__}\n"


def test_without_a_command():
    result = weft_command()
    assert result.status == 2
    assert result.out == weft_command("--help").out
    for command in COMMANDS:
        assert f"\n    {command} " in result.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    result = weft_command(command, "--help", env={"COLUMNS": "80"})
    assert result.status == 0
    assert f"usage: weft {command}" in result.out
    assert "examples:\n  weft " in result.out
    assert "exit status" in result.out or command == "ls"
    assert max(map(len, result.out.splitlines())) <= 80


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"], ["ls", "extra"], ["ls", "--nonsense"], ["inspect"], ["ls", "-a", "-n", "x"], ["ls", "-n", "a/b"],
        ["ls", "-n", "nats://host"], ["doctor", "-n", "nats://host"], ["clean", "-n", ""[:0] + "a b"], ["put"], ["get"],
        ["clean", "--all", "name"], ["put", "a/b", "1"], ["get", ".."], ["get", "q", "--timeout", "-1"],
        ["get", "q", "--timeout", "nan"], ["get", "q", "-t", "x"], ["get", "q", "-c", "0"], ["get", "q", "-c", "x"],
        ["get", "q", "-c", "1", "-f"],
    ],
)  # fmt: skip
def test_wrong_arguments(arguments):
    result = weft_command(*arguments)
    assert (result.status, result.out) == (2, "")
    assert "weft" in result.err


def test_missing_things(namespace):
    missing = namespace / "missing"
    for command in (["ls"], ["inspect", "q"], ["clean"]):
        result = weft_command(*command, "-n", missing)
        assert (result.status, result.out) == (1, "")
        assert f"weft: there is no namespace {missing}" in result.err
    result = weft_command("inspect", "q", "r")
    assert (result.status, result.out) == (1, "")
    assert result.err.splitlines() == [f"weft: there is no object {name!r} in {namespace}" for name in "qr"]
    assert weft_command("get", "q").status == 1
    for path in (missing, missing / "q"):  # the default need not be there
        result = weft_command("ls", env={"WEFT_NAMESPACE": str(path)})
        assert (result.status, result.out, result.err) == (0, "", f"weft: nothing in {path}\n")
    (namespace / "file").touch()
    result = weft_command("ls", "-n", namespace / "file")
    assert (result.status, result.err) == (1, f"weft: {namespace / 'file'} is not a directory: a namespace is one\n")
    (namespace / "file").unlink()


def test_by_path_and_several(kept):
    result = weft_command("inspect", kept, "kept", "nix")
    assert result.status == 1
    assert result.out.count("lifetime") == 2
    assert "'nix'" in result.err


# --- for programs ----------------------------------------------------------------------------------


def test_json(kept, open_queue):
    open_queue("used")
    (first, second) = json.loads(weft_command("ls", "--json").out)
    assert (first["name"], first["kind"], first["lifetime"], first["attached"]) == ("kept", "Queue", "kept", False)
    assert (first["path"], first["leftover"], first["size"]) == (str(kept), False, 1 << 20)
    assert second["pids"] == [os.getpid()]
    assert second["participants"][0]["pid"] == os.getpid()
    (inspected,) = json.loads(weft_command("inspect", "kept", "--json").out)
    assert inspected == first
    assert inspected["details"]["depth"] == 3
    results = json.loads(weft_command("clean", "--json", "--dry-run").out)
    assert [(entry["name"], entry["outcome"]) for entry in results] == [("kept", "kept"), ("used", "in use")]
    assert json.loads(weft_command("inspect", "nix", "--json").out) == []
    for check in json.loads(weft_command("doctor", "--json").out):
        assert set(check) == {"name", "status", "finding", "advice", "data"}


def test_json_with_holders_and_locks(open_queue):
    queue = open_queue("q")
    queue.put(1)
    lease = queue.lease()
    (entry,) = json.loads(weft_command("inspect", "q", "--json").out)
    (holding,) = entry["details"]["holding"]
    assert (holding["process"]["pid"], holding["leases"]) == (os.getpid(), 1)
    lease.ack()


def test_reader_that_goes_away(namespace, open_queue):
    for i in range(60):
        open_queue(f"q{i}")
    done = subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", f"{WEFT} ls | head -1; echo ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True, timeout=LIMIT,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] in ("0", "141")
    closed = subprocess.run(["/bin/bash", "-c", f"{WEFT} ls >/dev/full; echo $?"], capture_output=True, text=True)
    assert closed.stdout == "1\n"
    assert closed.stderr == "weft: [Errno 28] No space left on device\n"


def test_interrupted(namespace):
    with weft.Queue("q", lifetime="kept"):
        pass
    process = subprocess.Popen([str(WEFT), "get", "q"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while not weft.memory.inspect("q").details.get("waiting_consumers"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, out, err) == (130, "", "")
    assert weft_command("clean", "q").status == 0


# --- on a terminal ---------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_fits_the_terminal(kept, open_queue, columns):
    open_queue("a-queue-with-a-rather-long-name-that-takes-all-the-room-there-is-on-a-line-of-most-terminals")
    for arguments in (["ls"], ["inspect", "kept"], ["clean", "--dry-run"], ["doctor"]):
        shown = without_colours(on_terminal(*arguments, columns=columns))
        lines = shown.splitlines()
        assert lines
        if columns >= 80:
            assert max(map(len, lines)) <= columns, shown
    assert "…" in without_colours(on_terminal("ls", columns=80))
    assert "…" not in weft_command("ls").out


def test_colours_only_on_a_terminal(kept):
    assert ESCAPE in on_terminal("ls", columns=80)
    assert ESCAPE not in on_terminal("ls", columns=80, env={"TERM": "dumb"})
    for arguments in (["ls"], ["inspect", "kept"], ["doctor"], ["--help"]):
        result = weft_command(*arguments)
        assert ESCAPE not in result.out + result.err


def test_no_color(kept):
    for arguments in (["ls"], ["doctor"], ["clean", "--dry-run"]):
        coloured = on_terminal(*arguments, columns=100, env={"NO_COLOR": "1"})
        assert not any(f"\x1b[{code}m" in coloured for code in (31, 32, 33)), coloured


def test_without_rich(kept, tmp_path):
    """It says the same, plainly."""
    (tmp_path / "rich.py").write_text("raise ImportError('as if it were not there')")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    for arguments in (["ls"], ["inspect", "kept"]):
        plain = on_terminal(*arguments, columns=80, env={"PYTHONPATH": path})
        assert ESCAPE not in plain
        assert comparable(plain) == comparable(without_colours(on_terminal(*arguments, columns=80)))


def test_content_sends_no_commands_to_the_terminal(kept, namespace):
    """What stands in a segment, or in a file's name, is anybody's."""
    evil = b"\x1b]0;owned\x07\x1b[2J\r\n\xe2\x80\xaeabc"
    forge(kept, creator=evil.ljust(128, b"\0"))
    with kept.open("r+b") as file:
        file.seek(4096 + 24)
        file.write(evil)
        file.seek(4096)
        file.write((1 << 16 | 1).to_bytes(4, "little"))
    (namespace / "na\x1b[31mme\n").write_bytes(b"x")
    (namespace / os.fsdecode(b"\xff\xfe")).write_bytes(b"x")
    names = ["kept", "na\x1b[31mme\n", os.fsdecode(b"\xff\xfe")]
    for arguments in (["ls"], ["inspect", *names], ["clean", "--dry-run", *names], ["doctor"]):
        result = weft_command(*arguments)
        for text in (result.out, result.err):
            assert all(c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs") for c in text), text
    assert "\\x1b]0;owned" in weft_command("inspect", "kept").out
    shown = on_terminal("inspect", "kept", columns=100)
    assert "\x1b]" not in shown
    assert "\x1b[2J" not in shown
    json.loads(weft_command("ls", "--json").out)
    for name in names[1:]:
        (namespace / name).unlink()


# --- put and get -----------------------------------------------------------------------------------


def test_put_and_get(namespace):
    assert weft_command("put", "q", '{"id": 1}', "[1, null, 2.5]", '"ä"').status == 0
    assert weft_command("put", "q", input='{"id": 2}\n\n 7 \n' + str(10**30)).status == 0
    assert weft.memory.inspect("q").lifetime == "kept"
    result = weft_command("get", "q", "--count", 2)
    assert (result.status, result.out) == (0, '{"id":1}\n[1,null,2.5]\n')
    with weft.Queue("q", create=False) as queue:
        assert queue.get() == "ä"
    assert weft_command("get", "q").out == '{"id":2}\n'
    assert weft_command("get", "q", "--follow", "-t", 0).out == f"7\n{10**30}\n"
    result = weft_command("get", "q", "--timeout", 0)
    assert (result.status, result.out, result.err) == (1, "", "weft: queue 'q': the time is over\n")
    weft_command("clean", "q")
    assert os.listdir(namespace) == []


def test_raw_and_whole(namespace):
    data = os.urandom(100_000) + b"\n\0"
    assert weft_command("put", "--raw", "--whole", "q", input=data).status == 0
    assert weft_command("put", "--raw", "q", input=b"one\ntwo\n\nthree").status == 0
    whole = subprocess.run([str(WEFT), "get", "--raw", "--whole", "q"], capture_output=True, timeout=LIMIT, check=True)
    assert whole.stdout == data
    assert weft_command("get", "--raw", "q", "-f", "-t", 0).out == "one\ntwo\n\nthree\n"
    refused = weft_command("put", "q", "5")
    assert refused.status == 1
    assert "bytes" in refused.err
    weft_command("clean", "q")


def test_what_python_programs_put(open_queue):
    import datetime
    import decimal
    import uuid

    queue = open_queue("q")
    values = {
        "(1, 2)": (1, 2), "[3]": {3}, '"text"': b"text", '"\\\\xff"': b"\xff", '{"1":2}': {1: 2}, '"1.50"': decimal.Decimal("1.50"),
        '"2026-01-02T03:04:05"': datetime.datetime(2026, 1, 2, 3, 4, 5), "null": None, '"(1+2j)"': 1 + 2j,
        '"00000000-0000-0000-0000-000000000007"': uuid.UUID(int=7),
    }  # fmt: skip
    import numpy as np

    queue.put_many([*values.values(), np.arange(4).reshape(2, 2), {(1, 2): 3}, {"big": 2**100}])
    lines = weft_command("get", "q", "-f", "-t", 0).out.splitlines()
    expected = [json.loads(text if not text.startswith("(") else "[1, 2]") for text in values]
    assert [json.loads(line) for line in lines] == [*expected, [[0, 1], [2, 3]], {"(1, 2)": 3}, {"big": 2**100}]


def test_what_is_not_json_stops_and_says_where(namespace):
    result = weft_command("put", "q", input="1\n2\nthree\n4\n")
    assert result.status == 1
    assert "message 3 is not JSON" in result.err
    assert "2 messages put before" in result.err
    assert weft_command("get", "q", "-f", "-t", 0).out == "1\n2\n"
    weft_command("clean", "q")


def test_full_and_shut_down(open_queue):
    queue = open_queue("q", maxsize=2)
    result = weft_command("put", "q", 1, 2, 3, "--timeout", 0)
    assert (result.status, result.err) == (1, "weft: queue 'q' is full; 2 messages put before\n")
    queue.shutdown()
    result = weft_command("put", "q", 4)
    assert (result.status, result.err) == (1, "weft: queue 'q' has been shut down; 0 messages put before\n")
    result = weft_command("get", "q", "-c", 3)
    assert (result.status, result.out) == (1, "1\n2\n")
    assert "shut down and is empty after 2 messages" in result.err
    assert weft_command("get", "q", "--follow").status == 0


def test_a_message_that_cant_be_printed_is_not_lost(open_queue):
    queue = open_queue("q")
    queue.put_many([{"a": 1}, 2])
    refused = weft_command("get", "q", "--raw")
    assert refused.status == 1
    assert "the message is in the queue still" in refused.err
    done = subprocess.run(
        ["/bin/bash", "-c", f"{WEFT} get q -f >/dev/full"], capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 1
    assert queue.get_many() == [{"a": 1}, 2]


def test_codecs_and_types(open_queue):
    for codec in ("json", "msgspec", "raw"):
        with weft.Queue(codec, lifetime="kept", codec=codec):
            pass
        arguments = ["--raw"] if codec == "raw" else []
        assert weft_command("put", codec, "12", *arguments).status == 0
        assert weft_command("get", codec, *arguments).out == "12\n"
        weft_command("clean", codec)
    open_queue("pickled", codec="pickle").put(1)
    result = weft_command("get", "pickled")
    assert result.status == 1
    assert "to decode it is to run what a message says" in result.err
    open_queue("typed", type=dict[str, int]).put({"a": 1})
    result = weft_command("get", "typed")
    assert result.status == 1
    assert "a program that has this type is needed" in result.err


def test_get_follows_a_program(namespace):
    with start_program(
        "q = weft.Queue('q'); say('ready'); hear(); q.put_many([1, 2]); hear(); q.shutdown()"
    ) as program:
        program.expect("ready")
        process = subprocess.Popen([str(WEFT), "get", "q", "--follow"], stdout=subprocess.PIPE, text=True)
        program.say()
        assert [process.stdout.readline() for _ in range(2)] == ["1\n", "2\n"]
        program.say()
        assert process.stdout.read() == ""
        assert process.wait(LIMIT) == 0
        process.stdout.close()
        program.finish()


def test_a_directory_of_ones_own_that_lets_others_in(namespace):
    namespace.chmod(0o770)
    assert weft_command("put", "q", 1).status == 0
    assert weft_command("get", "q").out == "1\n"
    weft_command("clean", "q")
    namespace.chmod(0o700)


def test_without_an_output(kept):
    done = subprocess.run(["/bin/bash", "-c", f"{WEFT} ls >&-; echo $?"], capture_output=True, text=True, timeout=LIMIT)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_racing_puts_make_one_queue(namespace):
    processes = [subprocess.Popen([str(WEFT), "put", "q", str(i)]) for i in range(6)]
    assert [process.wait(LIMIT) for process in processes] == [0] * 6
    lines = weft_command("get", "q", "-f", "-t", 0).out.split()
    assert sorted(lines) == [str(i) for i in range(6)]
    weft_command("clean", "q")
