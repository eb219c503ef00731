"""Compares the stubs of the native modules with what was built: names, parameters and their kinds."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = [
    "weft._core.cell",
    "weft._core.codec",
    "weft._core.handle",
    "weft._core.look",
    "weft._core.mapping",
    "weft._core.memory",
    "weft._core.queue",
    "weft._core.signals",
    "weft._core.sync",
]


def main() -> int:
    for module in MODULES:
        importlib.import_module(module)
    allow = ROOT / "ci/stubs_allowed.txt"
    return subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", *MODULES, "--allowlist", str(allow), "--ignore-unused-allowlist"],
        cwd=ROOT / "ci",
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
