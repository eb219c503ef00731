"""Whoever waits sleeps: what blocked calls cost, in wake-ups and in CPU time."""

import contextlib

from ..helpers import start_program

# name: (the waiting call, wake-ups a second). Sleepers look after the dead every 250 ms, every 25 ms while
# leases are out; main threads once more, after the first 40 ms; tasks that wait for room look every 20 ms.
WAYS = {
    "get": ("queue.get(timeout=SECONDS)", 4),
    "get-power": ("queue.get(timeout=SECONDS)", 4),
    "get-latency": ("queue.get(timeout=SECONDS)", 4),
    "get-thread": ("in_thread(queue.get, True, SECONDS)", 4),
    "get-leased": ("queue.get(timeout=SECONDS)", 40),
    "get_many": ("queue.get_many(timeout=SECONDS)", 4),
    "lease": ("queue.lease(timeout=SECONDS)", 4),
    "put-full": ("queue.put('more', timeout=SECONDS)", 4),
    "aget": ("asyncio.run(run(queue.aget, SECONDS))", 4),
    "aput-full": ("asyncio.run(run(queue.aput, 'more', SECONDS))", 50),
}
WAIT = """
import asyncio, concurrent.futures, resource, time
SECONDS = 2
name = sys.argv[1]
wait = name.partition("-")[2]
queue = weft.Queue(name, 1, wait=wait if wait in ("power", "latency") else "balanced")

async def run(function, *arguments):
    await function(*arguments)

def in_thread(function, *arguments):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments).result()

def usage():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_nvcsw, used.ru_utime + used.ru_stime, time.monotonic()

def wait():
    try:
        {way}
    except (weft.Empty, weft.Full):
        return
    raise AssertionError("it did not wait")

before = usage()
wait()
say(*(after - start for after, start in zip(usage(), before)))
"""


def test_blocked_calls_sleep(open_queue):
    """Asserted of counts, and of CPU time as a part of the time measured: a slow machine makes both smaller."""
    with contextlib.ExitStack() as programs:
        running = {}
        for name, (way, _) in WAYS.items():
            queue = open_queue(name, 1)
            if name.endswith("-full"):
                queue.put("all it takes")
            if name.endswith("-leased"):
                queue.put("job")
                programs.enter_context(queue.lease())
            program = start_program(WAIT.replace("{way}", way), name)
            running[name] = programs.enter_context(program)
        for name, program in running.items():
            wake_ups, cpu, seconds = map(float, program.finish().split())
            assert wake_ups <= WAYS[name][1] * seconds + 25, name
            assert cpu <= seconds / 10, name
