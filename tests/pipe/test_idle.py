"""Who waits at a pipe sleeps, also where it listens to the other end's processes."""

import contextlib

import weft

from ..helpers import start_program

# name: (the waiting call, wake-ups a second): as for queues, in tests/unit/test_queue_idle.py.
WAYS = {
    "recv": ("end.recv(timeout=SECONDS)", 4),
    "recv-power": ("end.recv(timeout=SECONDS)", 4),
    "poll": ("end.poll(SECONDS)", 4),
    "select": ("select.select([end], [], [], SECONDS)", 1),
    "send-full": ("fill(end)", 4),
    "arecv": ("asyncio.run(receive(end))", 4),
}
WAIT = """
import asyncio, contextlib, resource, select, time
SECONDS = 2
name = sys.argv[1]
end = weft.Pipe(name, wait="power" if name.endswith("power") else "balanced")
end.recv()

def fill(end):
    while True:
        end.send(bytes(20_000), timeout=SECONDS)

async def receive(end):
    await end.arecv(timeout=SECONDS)

def usage():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_nvcsw, used.ru_utime + used.ru_stime, time.monotonic()

with contextlib.suppress(TimeoutError):
    fill(end) if name.endswith("full") else None
before = usage()
with contextlib.suppress(TimeoutError):
    {way}
say(*(after - start for after, start in zip(usage(), before)))
"""


def test_blocked_calls_sleep():
    with contextlib.ExitStack() as stack:
        running = {}
        for name, (way, _) in WAYS.items():
            end = stack.enter_context(weft.Pipe(name, capacity=1 << 20))
            end.send("begin")
            running[name] = stack.enter_context(start_program(WAIT.replace("{way}", way), name))
        for name, program in running.items():
            wake_ups, cpu, seconds = map(float, program.finish().split())
            assert wake_ups <= WAYS[name][1] * seconds + 25, name
            assert cpu <= seconds / 10, name
    weft.Namespace().clean()
