"""``weft locks``: who holds what, and who waits."""

import json
import subprocess
import sys

import weft

from ..helpers import start_program, until


def locks(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "weft", "locks", *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_locks(namespace):
    lock, permits = weft.Lock("db"), weft.Semaphore("gpus", 2)
    with lock, permits, start_program("weft.Lock('db').acquire()") as waiter:
        until(lambda: lock.statistics().waiters == 1)
        rows = {row["name"]: row for row in json.loads(locks("--json"))}
        assert rows["db"]["waiting"][0]["pid"] == waiter.pid
        assert rows["db"]["owner"]["command"]
        assert rows["gpus"]["shares"][0]["count"] == 1
        assert str(waiter.pid) in locks()
    assert "free" in locks()
