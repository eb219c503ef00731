"""Compares the offsets and sizes in ``explanation/segment.md`` and its neighbours with the C++ headers.

A heading with a type's name in backquotes and its size in parentheses is followed by a table of its fields:
offset, bytes, field. Each becomes a ``static_assert``, and so does that a type has no other fields. A row with
a constant's or function's name in backquotes and a number in backquotes beside it is compared as well.

    python docs/check_layout.py
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "docs/explanation" / name for name in ("segment.md", "pipe.md", "cell.md", "memory.md")]
HEADING = re.compile(r"^#+ `(\w+)`.*\((\d+) bytes\)$")
FIELD = re.compile(r"^\| `(0x[0-9a-f]+|\d+)` \| (\d+) \| `(\w+)` \|")
CONSTANT = re.compile(r"^\| `(k\w+|\w+::k\w+)` \| `(0x[0-9a-f]+|\d+)` \|")


def assertions(text: str) -> list[str]:
    """What the pages say, as C++."""
    found: list[str] = []
    fields: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading = HEADING.match(line)
            name = heading[1] if heading else ""
            if heading:
                fields[name] = []
                found.append(f"static_assert(sizeof({name}) == {heading[2]});")
        elif name and (row := FIELD.match(line)):
            offset, size, member = row.groups()
            fields[name].append(member)
            found.append(f"static_assert(offsetof({name}, {member}) == {offset});")
            found.append(f"static_assert(sizeof({name}::{member}) == {size});")
        elif constant := CONSTANT.match(line):
            found.append(f"static_assert({constant[1]} == {constant[2]});")
    for kind, members in fields.items():
        names = ", ".join(f"f{i}" for i in range(len(members)))
        found.append(f"void all_fields_of({kind}& it) {{ auto& [{names}] = it; }}")
    return found


def main() -> int:
    """Lets the compiler judge."""
    checks = assertions("\n".join(page.read_text() for page in PAGES))
    source = (
        "#include <cstddef>\n"
        + "".join(f"#include <weft/{name}.hpp>\n" for name in ("cell", "memory", "pipe", "queue_home"))
        + "namespace weft {\n"
        + "\n".join(checks)
        + "\n}\n"
    )
    command = ["c++", "-std=c++20", "-fsyntax-only", f"-I{ROOT / 'native'}", "-x", "c++", "-"]
    status = subprocess.run(command, input=source, text=True).returncode
    print(f"{len(checks)} statements about the layout: {'not all hold' if status else 'all hold'}")
    return 1 if status or len(checks) < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
