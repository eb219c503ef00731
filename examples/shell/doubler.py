"""Doubles the numbers that the shell has put into a queue, and leaves the results for it."""

import weft

results = weft.Queue("results", lifetime="kept")
with weft.Queue("numbers", create=False) as numbers:
    while not numbers.empty():
        with numbers.lease() as number:
            results.put({"number": number, "doubled": 2 * number})
results.close()
