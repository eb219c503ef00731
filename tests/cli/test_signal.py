"""``weft signal``: to pids and names, what it tells, what it refuses."""

import json
import signal

import pytest

from ..helpers import start_program
from .weft_command import weft_command

pytestmark = pytest.mark.alone

LISTENER = """
from weft import signals
with signals.blocked("USR1", "RTMIN+1"), signals.register("worker-3"):
    say("ready")
    while event := signals.wait("USR1", "RTMIN+1"):
        say(event.name, event.value)
"""


def test_by_name_and_by_pid_with_a_value():
    with start_program(LISTENER) as program:
        program.expect("ready")
        assert weft_command("signal", "worker-3", "USR1").status == 0
        program.expect("SIGUSR1 None")
        assert weft_command("signal", program.pid, "rtmin+1", "--value", "-7").status == 0
        program.expect("SIGRTMIN+1 -7")
        listed = weft_command("signal", "--list")
        assert "worker-3" in listed.out
        assert str(program.pid) in listed.out
        [found] = json.loads(weft_command("signal", "--list", "--json").out)
        assert (found["name"], found["pid"]) == ("worker-3", program.pid)
        sent = json.loads(weft_command("signal", "worker-3", "CONT", "--tree", "--json").out)
        assert sent == {"delivered": [program.pid], "gone": [], "not_permitted": []}
        assert weft_command("signal", "--group", program.pid, "CONT").status == 0
        assert weft_command("signal", "worker-3", "--end", "5").out == "ended by SIGTERM\n"
        assert program.process.wait() == -signal.SIGTERM
    gone = weft_command("signal", "worker-3", "USR1")
    assert gone.status == 1
    assert "worker-3" in gone.err


def test_table():
    table = weft_command("signal", "--table").out
    assert "SIGKILL" in table
    assert "SIGRTMIN+1" in table
    parsed = json.loads(weft_command("signal", "--table", "--json").out)
    assert {each["name"]: each["catchable"] for each in parsed}["SIGKILL"] is False


def test_nobody_has_registered():
    listed = weft_command("signal", "--list")
    assert (listed.status, listed.out) == (0, "")
    assert "no process" in listed.err


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ([], 2), (["1", "FOO"], 2), (["0", "USR1"], 2), (["--", "-1", "USR1"], 2), (["a/b", "USR1"], 2),
        (["nobody", "USR1"], 1), (["99999999", "USR1"], 1), (["x", "--list"], 2), (["x", "-g"], 2),
        (["1", "RTMIN", "-v", "4294967296"], 2), (["1", "RTMIN", "-v", "x"], 2), (["1", "-t", "-v", "1"], 2),
        (["1", "--end", "-1"], 2),
    ],
)  # fmt: skip
def test_what_is_refused(arguments, status):
    done = weft_command("signal", *arguments)
    assert done.status == status
    assert done.err
