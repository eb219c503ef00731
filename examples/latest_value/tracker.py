"""A tracker: sets the pose far more often than anybody looks at it, and waits for nobody."""

import math

import weft

STEPS = 20_000

with weft.Cell("pose") as pose, weft.Cell("done") as done:
    for step in range(STEPS):
        angle = 2 * math.pi * step / STEPS
        pose.set({"step": step, "x": math.cos(angle), "y": math.sin(angle)})
    pose.set({"step": STEPS, "x": 1.0, "y": 0.0})
    print("values set:", pose.version)
    done.wait_newer()  # an "attached" cell goes with its last handle
