"""A viewer: looks at each frame in place, without a copy, and lets go of it with the variable."""

import weft

with weft.Queue("frames", maxsize=4) as frames:
    for number, frame in enumerate(frames):
        print(f"frame {number}: {frame.shape} {frame.dtype}, from {frame.min()} to {frame.max()}")
    print("may be written to:", frame.flags.writeable)
