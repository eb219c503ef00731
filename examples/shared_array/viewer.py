"""A viewer: knows the plate by its name alone, and reads it where it stands."""

import weft

with weft.Queue("steps") as steps:
    plate = None
    for _ in steps:
        if plate is None:
            plate = weft.SharedArray("plate", readonly=True)
            print("a plate of", plate.shape, plate.dtype)
    row = plate[:, 100]
    plate.close()  # the row keeps its memory
    print("warm at the top:", row[1] > 90, "- cold at the bottom:", row[-2] < 1e-6)
    print("may be written to:", row.flags.writeable)
