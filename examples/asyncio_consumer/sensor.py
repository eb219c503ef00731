"""A sensor: an ordinary program without asyncio. It waits when a reader is a measurement behind."""

import weft

with weft.Queue("temperature", maxsize=1) as temperature, weft.Queue("pressure", maxsize=1) as pressure:
    for step in range(5):
        temperature.put(20 + step)
        pressure.put(1013.0 - step / 2)
    temperature.shutdown()
    pressure.shutdown()
