"""Runs the code that the pages show, and compares what it prints.

``pycon`` blocks are doctests and ``python`` blocks are run, both in order and with one set of variables for
the page. A ``python`` block that begins with a comment like ``# worker.py`` is a file of that name, in a
directory of the page's own. A ``console`` block is a session in that directory: a line ``$ command`` runs it,
with ``&`` at its end beside those below, and the lines that follow are what it prints, where ``...`` stands
for any text. Other blocks are for reading. Each page gets a namespace of its own and must leave nothing in it.

    python docs/check_pages.py [PAGE ...]
"""

from __future__ import annotations

import contextlib
import doctest
import faulthandler
import gc
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
MEMORY = Path("/dev/shm")
TIME_LIMIT = 60
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\w+\.py)\n")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass
class Command:
    """One command of a session."""

    text: str
    expected: str = ""
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Starts it in a process group of its own."""
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", "exec " + self.text.removesuffix("&").strip()], text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def finish(self) -> str:
        """Waits for its end; what is wrong with what it printed, or nothing."""
        try:
            printed, _ = self.process.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            return "not over in time"
        if self.process.returncode == -signal.SIGKILL:
            printed += "Killed\n"  # as a shell tells it
        matches = doctest.OutputChecker().check_output(self.expected, printed, doctest.ELLIPSIS)
        if matches and self.process.returncode in (0, -signal.SIGKILL):
            return ""
        return f"printed (status {self.process.returncode}):\n{printed}"

    def end(self) -> None:
        """Ends what is left of it."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def run_session(text: str) -> None:
    commands: list[Command] = []
    for line in text.splitlines(keepends=True):
        if line.startswith("$ "):
            commands.append(Command(line[2:].strip()))
        else:
            commands[-1].expected += line
    faults = []
    try:
        for command in commands:
            command.start()
            if not command.text.endswith("&"):
                faults.append((command, command.finish()))
        faults += [(command, command.finish()) for command in commands if command.text.endswith("&")]
    finally:
        for command in commands:
            command.end()
    wrong = [f"$ {command.text}\n{fault}" for command, fault in faults if fault]
    if wrong:
        raise AssertionError("\n".join(wrong))


def run_block(kind: str, text: str, place: str, line: int, variables: dict[str, Any]) -> None:
    if kind == "pycon":
        test = doctest.DocTestParser().get_doctest(text, variables, place, place, line)
        test.globs = variables  # doctest makes a copy
        report: list[str] = []
        if doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append, clear_globs=False).failed:
            raise AssertionError("".join(report))
    elif kind == "console":
        run_session(text)
    elif kind == "python":
        code = compile("\n" * line + text, place, "exec")
        if name := FILE.match(text):
            Path(name[1]).write_text(text)
        else:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(code, variables)


def check_page(page: Path) -> int:
    """Runs the page's blocks in this process; how many are wrong."""
    text, variables, failed = page.read_text(), {"__name__": "page"}, 0
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        faulthandler.dump_traceback_later(TIME_LIMIT + 5, exit=True)
        try:
            run_block(match[1], match[2], str(page), line, variables)
        except BaseException:
            failed += 1
            print(f"{page.relative_to(DOCS)}:{line}:\n{traceback.format_exc(limit=-3)}", flush=True)
    variables.clear()
    gc.collect()

    import weft

    place = weft.Namespace()
    place.clean()
    left = sorted(os.listdir(place.path)) if place.path.exists() else []
    if left:
        print(f"{page.relative_to(DOCS)}: leaves {left}")
    return failed + bool(left)


def main() -> int:
    """Checks the pages asked for, or all, each in a process of its own."""
    if sys.argv[1:2] == ["--here"]:
        return check_page(Path(sys.argv[2])) != 0
    pages = [Path(name).resolve() for name in sys.argv[1:]]
    pages = pages or sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
    failed = 0
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    for page in pages:
        with tempfile.TemporaryDirectory(prefix="weft-docs-", dir=memory) as own:
            files = Path(own) / "files"
            files.mkdir()
            environment = os.environ | {
                "WEFT_NAMESPACE": str(Path(own) / "names"),
                "PYTHONUNBUFFERED": "1",
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            }
            status = subprocess.run([sys.executable, __file__, "--here", page], cwd=files, env=environment).returncode
        failed += bool(status)
        print(f"{'FAILED' if status else 'ok':<8}{page.relative_to(DOCS)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
