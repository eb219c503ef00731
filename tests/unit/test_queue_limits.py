"""No descriptors, no address space, no places: a typed error, and nothing lost."""

import subprocess
import sys

import pytest

import weft

from ..helpers import run_program

# --- descriptors -----------------------------------------------------------------------------------

FEW_FILES = """
import errno, os, resource
def use_up():
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    held = []
    try:
        while True:
            held.append(os.dup(1))
    except OSError:
        return held
def attempt(call):
    try:
        call()
        say("well")
    except weft.WeftError as error:
        say(type(error).__name__, "ulimit" in str(error), error.errno == errno.EMFILE)
"""


def run_with_few_files(code: str) -> str:
    return run_program(FEW_FILES + code)


@pytest.mark.parametrize("call", ["weft.Queue('other')", "weft.Queue('q')", "weft.Queue()", "weft.open(queue.token)"])
@pytest.mark.parametrize("spare", range(3))
def test_no_descriptors_to_open(call, spare):
    said = run_with_few_files(
        f"""
queue = weft.Queue("q")
held = use_up()
for fd in held[:{spare}]:
    os.close(fd)
attempt(lambda: {call})
for fd in held[{spare}:]:
    os.close(fd)
queue.put(1)
assert queue.get() == 1
with weft.Queue("other") as other:
    other.put(1)
    assert other.get() == 1
"""
    )
    assert said in ("well\n", "SystemLimitError True True\n")
    assert spare or said != "well\n"


@pytest.mark.parametrize("call", ["queue.fileno()", "queue.unlink()", "asyncio.run(queue.aget(0.1))"])
def test_no_descriptors_for_what_needs_one(call):
    said = run_with_few_files(
        f"""
import asyncio
queue = weft.Queue("q")
loop = asyncio.new_event_loop()
asyncio.run = loop.run_until_complete
held = use_up()
attempt(lambda: {call})
for fd in held:
    os.close(fd)
loop.close()
queue.put(1)
assert queue.get() == 1
assert queue.fileno() > 0
"""
    )
    assert said == "SystemLimitError True True\n"


def test_no_descriptors_for_ordinary_work():
    said = run_with_few_files(
        """
import threading
queue = weft.Queue("q", capacity=1 << 20)
held = use_up()
for size in (1, 5000, 20_000, 100_000):
    for _ in range(100):
        queue.put(bytes(size))
        queue.get()
    with queue.lease() if queue.put(bytes(size)) else queue.lease() as item:
        assert len(item) == size
queue.statistics()
thread = threading.Thread(target=queue.get)
thread.start()
queue.put(1)
thread.join()
for fd in held:
    os.close(fd)
say("well")
"""
    )
    assert said == "well\n"


def test_no_descriptors_to_close():
    said = run_with_few_files(
        """
queue, other = weft.Queue("q"), weft.Queue("q")
held = use_up()
queue.close()
other.close()
say(os.path.exists(other.path))
"""
    )
    assert said == "False\n"


def test_no_descriptors_after_a_fork():
    said = run_with_few_files(
        """
queue = weft.Queue("q")
held = use_up()
pid = os.fork()
if not pid:
    attempt(lambda: queue.put(1))
    os._exit(0)
os.waitpid(pid, 0)
queue.put(2)
say(queue.get())
"""
    )
    assert said in ("SystemLimitError True True\n2\n", "well\n1\n")


# --- address space and places ----------------------------------------------------------------------


def test_no_address_space(open_queue):
    open_queue("existing", capacity=1 << 30)
    said = run_program(
        """
        import resource
        with weft.Queue("before") as before:
            size = int(open("/proc/self/statm").read().split()[0]) * 4096
            resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20), resource.RLIM_INFINITY))
            for name in ("existing", "new", None):
                try:
                    weft.Queue(name, capacity=1 << 30)
                except weft.SystemLimitError as error:
                    say("capacity" in str(error), "RLIMIT_AS" in str(error))
            before.put(1)
            say(before.get())
            with weft.Queue("small", capacity=1 << 20) as small:
                small.put(2)
                say(small.get())
        """
    )
    assert said == "True True\nTrue True\nTrue True\n1\n2\n"
    assert weft.Namespace().names() == ["existing"]


def test_no_file_may_be_so_large(namespace):
    said = run_program(
        """
        import resource, signal
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        try:
            weft.Queue("q")
        except weft.WeftError as error:
            say(isinstance(error, OSError))
        """
    )
    assert said == "True\n"
    assert list(namespace.iterdir()) == []


def test_places_of_the_dead_are_free_again(open_queue):
    queue = open_queue("q")
    for _ in range(2):
        run_program(
            """
            import os
            queue = weft.Queue("q")
            for i in range(300):
                if not os.fork():
                    queue.put(i)
                    os._exit(0)
                os.wait()
            """
        )
        taken = [queue.get(timeout=0) for _ in range(300)]
        assert taken == list(range(300))
    assert queue.statistics().attached == 1


def test_numbers_of_processes_mean_nothing(open_queue):
    """The process that has a dead one's number is not taken for it."""
    queue = open_queue("q")
    queue.put("job")
    done = subprocess.run(
        ["unshare", "--pid", "--fork", sys.executable, "-c",
         "import os, weft; assert os.getpid() == 1; lease = weft.Queue('q').lease(); os._exit(0)"],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"may not make a namespace of processes here: {done.stderr.strip()}")
    assert queue.get(timeout=30) == "job"  # process 1 lives, but not that one
