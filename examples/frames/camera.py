"""A camera: each frame is made where the viewer will read it, in shared memory."""

import numpy as np

import weft

HEIGHT, WIDTH, FRAMES = 720, 1280, 10

# Whichever program comes first makes the queue, so both name its size: four frames, then the camera waits.
with weft.Queue("frames", maxsize=4) as frames:
    ramp = np.linspace(0, 100, WIDTH, dtype="u1")[:, None]
    for number in range(FRAMES):
        with frames.loan_array((HEIGHT, WIDTH, 3), "u1") as frame:
            np.add(ramp, 10 * number, out=frame, casting="unsafe")
    frames.shutdown()
