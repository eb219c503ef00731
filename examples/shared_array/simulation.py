"""A simulation: heat spreads in a plate that other programs look at while it does."""

import time

import weft

with weft.SharedArray("plate", (200, 200), "f8") as plate, weft.Queue("steps") as steps:
    heat = plate.array
    heat[0] = 100.0  # the upper edge is hot
    for step in range(1, 301):
        inner = heat[:-2, 1:-1] + heat[2:, 1:-1] + heat[1:-1, :-2] + heat[1:-1, 2:]
        heat[1:-1, 1:-1] = inner / 4
        if step % 100 == 0:
            steps.put(step)
    steps.shutdown()
    while not steps.empty():  # the plate goes with the last program that has it open
        time.sleep(0.01)
