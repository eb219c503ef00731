"""A worker: a program by itself. It knows the names of two queues, and nothing of who else is at work."""

from __future__ import annotations

import os

from counting import count_tokens

import weft


def main() -> None:
    files, reports = weft.Queue("files"), weft.Queue("reports")
    while True:
        try:
            lease = files.lease()
        except weft.ShutDown:
            return
        with lease as path:
            report = {"path": path, "worker": os.getpid(), "redelivered": lease.redelivered}
            reports.put(report)
            # The count goes out before the lease ends. The other way round, a worker that dies in between
            # would take the file along uncounted; this way somebody may count it again: see Collector.
            reports.put(report | {"tokens": count_tokens(path)})


if __name__ == "__main__":
    main()
