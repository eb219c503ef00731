"""A progress bar on a terminal; elsewhere a line for every fifth."""

from __future__ import annotations

import shutil
import sys
import time

BAR = 28
REDRAW_SECONDS = 0.05


class Progress:
    """Shows how far one stage is.

    Args:
        label: What the stage does.
        total: How many steps it has.
    """

    def __init__(self, label: str, total: int) -> None:
        self._label, self._total = label, total
        self._is_tty = sys.stdout.isatty()
        self._line = ""
        self._drawn_at = 0.0
        self._fifth = 0

    def show(self, done: int, note: str) -> None:
        """Tells that ``done`` steps are done."""
        if self._is_tty:
            now = time.monotonic()
            if now - self._drawn_at < REDRAW_SECONDS and done < self._total:
                return
            self._drawn_at = now
            full = BAR * done // self._total
            columns = shutil.get_terminal_size().columns - 1
            self._line = f"{self._label:<12}{'█' * full}{'░' * (BAR - full)} {self._numbers(done, note)}"[:columns]
            print(f"\r{self._line}\x1b[K", end="", flush=True)
        elif done * 5 // self._total > self._fifth:
            self._fifth = done * 5 // self._total
            print(f"{self._label:<12}{self._numbers(done, note)}", flush=True)

    def tell(self, event: str) -> None:
        """Prints something that happened, above the bar."""
        if self._is_tty:
            print(f"\r{event}\x1b[K\n{self._line}", end="", flush=True)
        else:
            print(event, flush=True)

    def end(self) -> None:
        """Leaves the bar as it is and goes on below it."""
        if self._is_tty:
            print()

    def _numbers(self, done: int, note: str) -> str:
        return f"{done:,}/{self._total:,} files, {note}"
