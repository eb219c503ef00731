"""Renders what the console asks for, until it hangs up."""

import os
import signal

import numpy as np

import weft

with weft.Pipe("engine") as end:
    for command in end:
        match command:
            case {"do": "render", "shade": shade}:
                with end.loan_array((1080, 1920, 3), "u1") as picture:  # written where it is sent from
                    picture[:] = shade
            case {"do": "brightness", "of": picture}:  # a view of what the console has: nothing is copied
                end.send(float(np.mean(picture)))
            case {"do": "save", "as": name}:
                file = end.recv_handle()  # the console's own open file
                os.write(file, f"saved {name}".encode())
                os.close(file)
                end.send("done")
            case {"do": "crash"}:
                os.kill(os.getpid(), signal.SIGKILL)
