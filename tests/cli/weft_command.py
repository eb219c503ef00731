"""Running the command ``weft`` as users do, and making what it prints comparable."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WEFT = Path(sys.executable).parent / "weft"
LIMIT = 60


@dataclass
class Result:
    status: int
    out: str
    err: str


def weft_command(*arguments: object, input: bytes | str = "", env: dict[str, str] | None = None) -> Result:
    """Runs ``weft`` to its end; its output must be free of tracebacks."""
    return _run([str(WEFT), *map(str, arguments)], input, env)


def weft_as_user(uid: int, *arguments: object) -> Result:
    """The same as another user, who may not be able to enter the directory that it is installed in."""
    code = (
        "import importlib, os, sys; import weft.cli, rich.console\n"
        "for name in weft.cli.COMMANDS: importlib.import_module(f'weft.cli.{name}')\n"
        f"os.setgid({uid}); os.setuid({uid}); sys.exit(weft.cli.main())"
    )
    return _run([sys.executable, "-c", code, *map(str, arguments)], "", None)


def _run(command: list[str], input: bytes | str, env: dict[str, str] | None) -> Result:
    data = input.encode() if isinstance(input, str) else input
    environment = os.environ | (env or {})
    done = subprocess.run(command, input=data, capture_output=True, timeout=LIMIT, env=environment, check=False)
    result = Result(done.returncode, done.stdout.decode(errors="surrogateescape"), done.stderr.decode())
    assert "Traceback" not in result.err, result.err
    return result


def on_terminal(*arguments: object, columns: int, env: dict[str, str] | None = None) -> str:
    """What ``weft`` shows on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    surroundings = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "LINES")}
    process = subprocess.Popen(
        [str(WEFT), *map(str, arguments)], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env=surroundings | {"TERM": "xterm-256color"} | (env or {}),
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while data := os.read(ours, 65536):
            shown += data
    os.close(ours)
    process.wait(LIMIT)
    return shown.decode().replace("\r\n", "\n")


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def comparable(text: str, **names: Any) -> str:
    """With what differs from run to run replaced by words, and runs of blanks by two."""
    for name, value in sorted(names.items(), key=lambda item: -len(str(item[1]))):
        text = re.sub(rf"(?<![\w.]){re.escape(str(value))}(?!\w)", name.upper(), text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "WHEN", text)
    text = re.sub(r"\b\d+ (s|min)\b", "AGE", text)
    text = re.sub(r"\b[0-9a-f]{32}\b", "IDENTITY", text)
    text = re.sub(r"user \S+, group \S+", "user USER, group GROUP", text)
    text = re.sub(r"PROGRAM\S*.*", "PROGRAM", re.sub(rf"{re.escape(sys.executable)}.*", "PROGRAM", text))
    return "\n".join(re.sub(r" {2,}", "  ", line).rstrip() for line in text.splitlines())
