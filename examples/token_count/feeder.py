"""The feeder: a program by itself. It puts the paths on a queue, ends the stream, and is done."""

from __future__ import annotations

import sys

from counting import standard_library

import weft


def main() -> None:
    limit = int(sys.argv[1]) if len(sys.argv) > 1 else None
    with weft.Queue("files") as files:
        for path in standard_library(limit):
            files.put(path)
        files.shutdown()


if __name__ == "__main__":
    main()
