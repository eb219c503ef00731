"""Runs jobs by a worker that may die: what it held goes to the next one, but not for ever."""

import subprocess
import sys
from pathlib import Path

import weft

WORKER = Path(__file__).with_name("worker.py")

jobs = weft.Queue("jobs", max_deliveries=2, dead_letter="given-up")
jobs.put({"task": "resize", "kills": 0})
jobs.put({"task": "upload", "kills": 1})
jobs.put({"task": "poison", "kills": 9})
jobs.put({"task": "notify", "kills": 0})
jobs.shutdown()

while (status := subprocess.run([sys.executable, WORKER]).returncode) != 0:
    print(f"runner: the worker ended with {status}, here is the next")

given_up = weft.Queue("given-up")
while not given_up.empty():
    print("runner: given up:", given_up.get()["task"])
print("runner: delivered again:", jobs.statistics().redelivered)
