import weft

jobs, results = weft.Queue("jobs"), weft.Queue("results")
jobs.put({"name": "small", "values": [1, 2, 3]})
jobs.put({"name": "large", "values": [10**20, 1]})
print(results.get())
print(results.get())
jobs.shutdown()
