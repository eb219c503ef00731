import weft

jobs, results = weft.Queue("jobs"), weft.Queue("results")
for job in jobs:
    results.put((job["name"], sum(job["values"])))
