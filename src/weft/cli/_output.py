"""What commands print: plain text, tables, JSON.

On a terminal, and where rich is installed, rich prints: colours, and tables that fit. Else it is plain text, and
nothing is cut off. Text from shared memory or from other programs goes through ``printable``, so that it can't
send commands to the terminal.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TextIO

from weft.memory._doctor import size_text

__all__ = ["Output", "Piece", "age_text", "note", "printable", "since_text", "size_text", "time_text"]

# A text and how it is meant: "", "strong", "dim", "good", "warning" or "bad".
Piece = tuple[str, str]

_STYLES = {"strong": "bold", "dim": "dim", "good": "green", "warning": "yellow", "bad": "bold red", "": ""}
_GAP = "  "


def printable(text: str) -> str:
    """The text with everything escaped that is not a visible character."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def age_text(seconds: float) -> str:
    """A time span as a person would say it."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(int(seconds), 0)} s"


def time_text(moment: float) -> str:
    """A moment, in local time."""
    return datetime.fromtimestamp(moment).isoformat(" ", "seconds")


def since_text(moment: float) -> str:
    """How long ago a moment was."""
    return age_text(time.time() - moment)


def note(text: str) -> None:
    """A remark beside the output."""
    text = f"weft: {printable(text)}"
    if sys.stderr.isatty():
        text = textwrap.fill(text, max(shutil.get_terminal_size().columns, 40), subsequent_indent="  ")
    print(text, file=sys.stderr)


class Output:
    """Where a command prints."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._console: Any = None
        self.width = 0  # of the terminal; 0: as wide as need be
        if stream.isatty():
            self.width = shutil.get_terminal_size().columns
            if os.environ.get("TERM") != "dumb":
                self._console = _console(stream)

    def json(self, value: Any) -> None:
        """One value as JSON."""
        print(json.dumps(value, indent=2), file=self._stream)

    def line(self, *pieces: Piece | str) -> None:
        """One line."""
        parts = [(piece, "") if isinstance(piece, str) else piece for piece in pieces]
        if self._console is None:
            print("".join(text for text, _ in parts).rstrip(), file=self._stream)
        else:
            self._print_styled(parts)

    def paragraph(self, head: str, text: str, style: str = "", head_style: str = "") -> None:
        """A head and a text beside it, which is broken into lines on a terminal."""
        for line in self.wrap(text, len(head)):
            self.line((head, head_style), (line, style))
            head = " " * len(head)

    def wrap(self, text: str, indent: int) -> list[str]:
        """The lines of a text that is to stand so far from the left, on a terminal; one line elsewhere."""
        return textwrap.wrap(text, max(self.width - indent, 30)) or [""] if self.width else [text]

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Piece | str]], indent: str = "") -> None:
        """A table; what is too wide for the terminal is taken from the widest columns.

        Args:
            columns: Their headings. One that begins with ``>`` is aligned to the right.
            rows: The cells.
            indent: What each line begins with.
        """
        right = [column.startswith(">") for column in columns]
        head: list[Piece] = [(column.removeprefix(">"), "dim") for column in columns]
        body = [[(cell, "") if isinstance(cell, str) else cell for cell in row] for row in rows]
        widths = [max(len(row[i][0]) for row in [head, *body]) for i in range(len(head))]
        if self.width:
            spare = self.width - len(indent) - len(_GAP) * (len(head) - 1) - sum(widths)
            while spare < 0 and max(widths) > 8:
                widths[widths.index(max(widths))] -= 1
                spare += 1
        for row in [head, *body]:
            pieces: list[Piece] = [(indent, "")]
            for i, (text, style) in enumerate(row):
                text = text if len(text) <= widths[i] else text[: widths[i] - 1] + "…"
                pieces.append((text.rjust(widths[i]) if right[i] else text.ljust(widths[i]), style))
                pieces.append((_GAP, ""))
            self.line(*pieces[:-1])

    def _print_styled(self, parts: Sequence[Piece]) -> None:
        from rich.text import Text

        text = Text.assemble(*((piece, _STYLES[style]) for piece, style in parts))
        text.rstrip()
        self._console.print(text, soft_wrap=True)


def _console(stream: TextIO) -> Any:
    """Rich's console, or None where rich is not installed."""
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(file=stream, highlight=False, markup=False, emoji=False)
