"""Takes jobs by lease: a job is done when its block is left, and somebody else's when this process dies."""

import os
import signal

import weft

jobs = weft.Queue("jobs")
while True:
    try:
        lease = jobs.lease()
    except weft.ShutDown:
        break
    with lease as job:
        if lease.redelivered < job["kills"]:
            os.kill(os.getpid(), signal.SIGKILL)  # what the kernel does when memory is short
        print(f"worker: {job['task']} done, deliveries: {lease.redelivered + 1}")
