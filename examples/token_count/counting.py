"""What is counted, by the workers and by the check alike."""

from __future__ import annotations

import contextlib
import sysconfig
import tokenize
from pathlib import Path

INSTALLED_BY_OTHERS = {"site-packages", "dist-packages"}


def standard_library(limit: int | None = None) -> list[str]:
    """The installed standard library's Python sources, or ``limit`` of them, spread evenly over all."""
    root = Path(sysconfig.get_path("stdlib"))
    found = sorted(
        str(path)
        for path in root.rglob("*.py")
        if path.is_file() and INSTALLED_BY_OTHERS.isdisjoint(path.relative_to(root).parts)
    )
    if limit is None or limit >= len(found):
        return found
    return [found[i * len(found) // limit] for i in range(limit)]


def count_tokens(path: str) -> int:
    """How many tokens the file has.

    Some of Python's own test data is broken on purpose: it counts up to the first fault.
    """
    count = 0
    with open(path, "rb") as file, contextlib.suppress(SyntaxError, ValueError, tokenize.TokenError):
        for _ in tokenize.tokenize(file.readline):
            count += 1
    return count
