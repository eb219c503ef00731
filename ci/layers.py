"""Checks the direction of imports and includes: arrows go down only.

Also: system headers and platform conditions stand in native/weft/platform alone, native code knows no
Python, and files stay short enough to be read in one sitting.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# From the top; a module may import what stands in a later row, and within its row only itself.
ROWS: list[set[str]] = [
    {"cli", "monitor", "testing", "multiprocessing", "cluster"},
    {"topic", "service", "dict", "message_queue"},
    {"_durability"},
    {"cell", "memory", "queue", "pipe", "sync", "signals", "sockets"},
    {"_journal", "_notification"},
    {"_aio", "_handle", "_loans", "_queue_look"},
    {"_opening"},
    {"namespace", "codecs", "_arrays"},
    {"_kinds"},
    {"statistics"},
    {"errors"},
    {"_core"},
]
LONGEST = 700
# What may stand above the platform: the standard library of C++.
SYSTEM_HEADER = re.compile(r"#include <([a-z_]+/|fcntl|unistd|pthread|sched|signal|time|errno)[a-z_/]*\.h>")
CONDITION = re.compile(r"#\s*if.*__(linux|APPLE|WIN32|FreeBSD)")


def row_of(module: str) -> int | None:
    return next((i for i, row in enumerate(ROWS) if module in row), None)


def python_imports(path: Path) -> list[str]:
    """The weft modules that a file imports when it runs, wherever in it; first part of the name."""
    package = ["weft", *path.relative_to(ROOT / "src/weft").parts[:-1]]
    found = []
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        names: list[str] = []
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        found += [name.split(".")[1] for name in names if name.startswith("weft.")]
        waiting += ast.iter_child_nodes(node)
    return found


def check_python() -> list[str]:
    problems = []
    for path in sorted((ROOT / "src/weft").rglob("*.py")):
        module = path.relative_to(ROOT / "src/weft").parts[0].removesuffix(".py")
        if module in ("__init__", "__main__"):
            continue
        mine = row_of(module)
        if mine is None:
            problems.append(f"{path}: the module has no place in ROWS")
            continue
        for other in python_imports(path):
            theirs = row_of(other)
            if other != module and (theirs is None or theirs <= mine):
                problems.append(f"{path}: imports weft.{other}, which does not stand below weft.{module}")
    for path in sorted((ROOT / "src/weft/_core").glob("*.p*")):
        for line in path.read_text().splitlines() if path.suffix != ".pyi" else []:
            if re.match(r"\s*(from|import) weft(\.(?!_core)|\s)", line):
                problems.append(f"{path}: native code imports from above: {line.strip()}")
    return problems


def check_native() -> list[str]:
    problems = []
    for path in sorted((ROOT / "native/weft").rglob("*.hpp")):
        text = path.read_text()
        if "Python.h" in text:
            problems.append(f"{path}: native code includes Python.h")
        if "platform" not in path.parts:
            problems += [
                f"{path}: system header {m.group(0)}" for m in SYSTEM_HEADER.finditer(text) if path.name != "fault.hpp"
            ]
            problems += [f"{path}: platform condition {m.group(0)}" for m in CONDITION.finditer(text)]
            problems += [f"{path}: includes {m}" for m in re.findall(r'#include "(platform/\w+/.*)"', text)]
    order = [
        "status",
        "fault",
        "platform",
        "layout",
        "segment",
        "participants",
        "look",
        "lock",
        "thread",
        "event",
        "waiting",
        "object",
        "memory",
        "pool",
        "queue_layout",
        "journal_record",
        "queue",
        "queue_home",
        "pipe_layout",
        "pipe",
        "cell_layout",
        "cell",
        "arena_layout",
        "arena",
        "semaphore",
        "sync_lock",
        "sync_rwlock",
        "sync_event",
        "sync_condition",
        "sync_barrier",
        "sync",
    ]

    def place_of(stem: str) -> int:
        if stem in order:
            return order.index(stem)
        return next(i for i in reversed(range(len(order))) if stem.startswith(order[i]))

    for path in sorted((ROOT / "native/weft").glob("*.hpp")):
        mine = place_of(path.stem)
        for included in re.findall(r'#include "(\w+)', path.read_text()):
            theirs = place_of(included)
            if theirs > mine:
                problems.append(f"{path}: includes {included}, which stands above it")
    return problems


def check_lengths() -> list[str]:
    files = [
        p
        for d in ("src", "native", "tests", "benchmarks", "examples", "ci")
        for e in ("py", "pyx", "pxi", "pxd", "hpp", "cpp")
        for p in (ROOT / d).rglob(f"*.{e}")
    ]
    return [f"{p}: {n} lines, {LONGEST} are allowed" for p in files if (n := len(p.read_text().splitlines())) > LONGEST]


def main() -> int:
    problems = check_python() + check_native() + check_lengths()
    print("\n".join(problems) or "layers: every arrow goes down")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
