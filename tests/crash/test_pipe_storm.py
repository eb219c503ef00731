"""Either end of a pipe is killed at random moments, in messages of random size, again and again."""

import mmap
import os
import random
import signal
import struct
import time
from pathlib import Path

import pytest

import weft

from ..helpers import start_program, until
from . import pipe_kit
from .pipe_kit import CAPACITY, receive_all, send_all


def fork(work) -> int:
    """A child that does this and nothing else."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def run_storm(kills: int, seed: int) -> None:
    choose = random.Random(seed)
    counts = [0, 0]
    with mmap.mmap(-1, 4096) as shared:

        def note(number: int) -> None:
            struct.pack_into("<q", shared, 0, number + 1)

        for turn in range(kills):
            ends = weft.Pipe(capacity=CAPACITY)
            mine, theirs = ends if turn % 2 else ends[::-1]
            struct.pack_into("<q", shared, 0, 0)
            sends = choose.random() < 0.6
            # The child has the other end too, as forked children do.
            pid = fork(lambda: send_all(theirs, note) if sends else receive_all(theirs, note))
            theirs.close()
            # The moment of the kill is what the test varies: it stands for no event.
            killer = fork(lambda: (time.sleep(choose.uniform(0, 0.03)), os.kill(pid, signal.SIGKILL)))
            if sends:
                received = receive_all(mine)
                sent = struct.unpack_from("<q", shared)[0]
                assert sent <= received <= sent + 1
                counts[0] += received
            else:
                with pytest.raises(BrokenPipeError):
                    send_all(mine, lambda number: None)
                counts[1] += struct.unpack_from("<q", shared)[0]
                with pytest.raises(EOFError):
                    mine.recv()
            os.waitpid(pid, 0)
            os.waitpid(killer, 0)
            mine.close()
    assert min(counts) > kills
    weft.Namespace().clean()


def test_storm():
    run_storm(kills=220, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(2, 6))
def test_long_storm(seed):
    run_storm(kills=1000, seed=seed)


@pytest.mark.parametrize("sends", [True, False])
def test_unrelated_programs(sends):
    code = f"""
        import sys
        sys.path.insert(0, {os.path.dirname(pipe_kit.__file__)!r})
        from pipe_kit import receive_all, send_all
        end = weft.Pipe("storm")
        end.wait_connected()
        say("ready")
        {"send_all(end, lambda number: None)" if sends else "receive_all(end)"}
    """
    for delay in (0, 0.01, 0.05):
        with weft.Pipe("storm", capacity=CAPACITY) as end, start_program(code) as program:
            program.expect("ready")
            killer = fork(lambda pid=program.pid, delay=delay: (time.sleep(delay), os.kill(pid, signal.SIGKILL)))
            if sends:
                receive_all(end)
            else:
                with pytest.raises(BrokenPipeError):
                    send_all(end, lambda number: None)
            os.waitpid(killer, 0)


def test_a_stopped_process_is_alive():
    one, two = weft.Pipe(capacity=CAPACITY)
    pid = fork(lambda: send_all(two, lambda number: None))
    two.close()
    try:
        assert one.poll(None)
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        with pytest.raises(TimeoutError):
            while True:
                one.recv_bytes(timeout=0.1)
        one.send("are you there?")
        os.kill(pid, signal.SIGCONT)
        one.recv_bytes()
    finally:
        kill(pid)
    with pytest.raises(EOFError):
        while True:
            one.recv_bytes()
    one.close()
    weft.Namespace().clean()


def test_inherited_ends_hide_no_death():
    """Children that have an end and never use it, of the dead and of others, are no life."""
    one, two = weft.Pipe()
    bystanders = [fork(signal.pause), fork(signal.pause)]

    def work() -> None:
        fork(signal.pause)  # … one of its own, too
        two.send(os.getpid())
        signal.pause()

    pid = fork(work)
    try:
        assert one.recv() == pid
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        kill(pid)
        with pytest.raises(EOFError):
            one.recv()
        with pytest.raises(BrokenPipeError):
            one.send(1)
        for child in children:
            os.kill(child, signal.SIGKILL)
            until(lambda child=child: is_gone(child))
    finally:
        for bystander in bystanders:
            kill(bystander)
        one.close()
        two.close()
    weft.Namespace().clean()


def test_inherited_ends_hide_no_close():
    """The user of an end has closed it: children that have it and never used it, the reader itself too, are no life."""
    one, two = weft.Pipe()
    reader = fork(lambda: [two.send(message) for message in two])
    two.close()
    bystander = fork(signal.pause)
    one.send("ping")
    assert one.recv() == "ping"
    one.close()
    os.waitpid(reader, 0)  # it has seen the end
    kill(bystander)
    weft.Namespace().clean()


def test_a_child_goes_on_with_an_end_that_its_parent_closes():
    one, two = weft.Pipe()
    pid = fork(lambda: (two.recv(), two.send("from the child")))
    two.close()
    one.send("go")
    assert one.recv() == "from the child"
    os.waitpid(pid, 0)
    with pytest.raises(EOFError):
        one.recv()
    one.close()
    weft.Namespace().clean()


def test_a_death_wakes_sleepers_and_select():
    import select

    for wait in (lambda end: end.recv(), lambda end: select.select([end], [], []), lambda end: end.poll(None)):
        one, two = weft.Pipe()
        pid = fork(lambda two=two: (two.send(1), signal.pause()))
        two.close()
        one.recv()
        killer = fork(lambda one=one, pid=pid: (until_asleep(one), os.kill(pid, signal.SIGKILL)))
        try:
            wait(one)
        except EOFError:
            pass
        with pytest.raises(EOFError):
            one.recv()
        os.waitpid(pid, 0)
        os.waitpid(killer, 0)
        one.close()
    weft.Namespace().clean()


def is_gone(pid: int) -> bool:
    """Whether a process that is somebody else's child has nothing open any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def until_asleep(end) -> None:
    """Until the parent has been asleep for some time: then it waits for the kernel's word."""
    time.sleep(0.05)
    until(lambda: Path(f"/proc/{os.getppid()}/stat").read_text().rsplit(")", 1)[1].split()[0] == "S")
