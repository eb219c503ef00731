"""Removing what nobody has open, and never anything else."""

import os
import random
import select
import threading

import pytest

import weft
from weft.memory import clean, inspect

from ..conftest import discard
from ..helpers import start_program
from ..segments import forge

ROOT = os.geteuid() == 0
NOBODY = 65534


def leave(*names):
    """Queues of programs that were killed."""
    with start_program(
        "qs = [weft.Queue(n) for n in sys.argv[1:]]; [q.put(1) for q in qs]; say('ready'); hear()", *names
    ) as program:
        program.expect("ready")


def keep(name):
    with weft.Queue(name, lifetime="kept") as queue:
        queue.put("kept")


def outcomes(results):
    return {result.name: result.outcome for result in results}


def test_what_the_dead_left(namespace, open_queue):
    leave("a", "b")
    keep("kept")
    open_queue("used")
    (namespace / "notes.txt").write_text("mine")
    expected = {"a": "removed", "b": "removed", "kept": "kept", "notes.txt": "foreign", "used": "in use"}
    foreseen = {name: "removable" if outcome == "removed" else outcome for name, outcome in expected.items()}
    assert outcomes(clean(dry_run=True)) == foreseen
    assert sorted(os.listdir(namespace)) == sorted(expected)
    results = clean()
    assert outcomes(results) == expected
    by_name = {result.name: result for result in results}
    assert by_name["used"].pids == (os.getpid(),)
    assert by_name["a"].reserved > 0
    assert sorted(os.listdir(namespace)) == ["kept", "notes.txt", "used"]
    assert outcomes(clean(kept=True, dry_run=True))["kept"] == "removable"
    assert outcomes(clean(kept=True)) == {"kept": "removed", "notes.txt": "foreign", "used": "in use"}
    (namespace / "notes.txt").unlink()


def test_by_name(namespace, open_queue):
    open_queue("used")
    keep("kept")
    keep("later")
    forge(namespace / "later", layout_version=99)
    keep("damaged")
    os.truncate(namespace / "damaged", 5000)
    (namespace / "text").write_text("x")
    names = ["used", "kept", "later", "damaged", "text", "missing", "../escape", ".hidden", ""]
    expected = {
        "used": "in use", "kept": "removed", "later": "removed", "damaged": "removed", "text": "foreign",
        "missing": "missing", "../escape": "missing", ".hidden": "missing", "": "missing",
    }  # fmt: skip
    foreseen = {name: "removable" if outcome == "removed" else outcome for name, outcome in expected.items()}
    assert outcomes(clean(names, dry_run=True)) == foreseen
    assert outcomes(clean(names)) == expected
    assert sorted(os.listdir(namespace)) == ["text", "used"]
    (namespace / "text").unlink()


def test_unsound_ones_stay_unless_named(namespace):
    keep("later")
    forge(namespace / "later", layout_version=99)
    leave("damaged")
    os.truncate(namespace / "damaged", 80_000)
    expected = {"later": "other version", "damaged": "damaged"}
    for options in ({}, {"kept": True}):
        assert outcomes(clean(dry_run=True, **options)) == expected
        assert outcomes(clean(**options)) == expected
    assert outcomes(clean(["later", "damaged"])) == {"later": "removed", "damaged": "removed"}


def test_segment_of_another_version_or_damaged_in_use_stays(open_queue):
    for change in ({"layout_version": 9}, {"file_bytes": 1 << 40}):
        queue = open_queue("q")
        forge(queue.path, **change)
        (result,) = clean(["q"])
        assert (result.outcome, queue.path.exists()) == ("in use", True)
        discard(queue)


def test_in_use_by_a_stopped_process_and_by_a_forked_child(namespace):
    with start_program(
        """
        import os, signal
        q = weft.Queue("q")
        ready, go = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(go, b"x")
            signal.pause()
        os.read(ready, 1)
        say(child)
        os.kill(os.getpid(), signal.SIGSTOP)
        hear()
        """
    ) as program:
        child = int(program.hear())
        end_of_child = os.pidfd_open(child)
        os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)
        (result,) = clean(["q"])
        assert (result.outcome, result.pids) == ("in use", (program.pid, child))
        program.process.kill()
        program.process.wait()
        (result,) = clean(["q"])
        assert (result.outcome, result.pids) == ("in use", (child,))
    select.select([end_of_child], [], [])  # killed, but nobody's to wait for
    os.close(end_of_child)
    assert inspect("q").name == "q"
    assert weft.Namespace().clean() == ["q"]


def test_hidden_files_go_too(namespace):
    os.mkfifo(namespace / (".bell-" + "0" * 32))
    (namespace / (".new-" + "0" * 16)).touch()
    (namespace / ".mine").touch()
    clean(dry_run=True)
    assert len(os.listdir(namespace)) == 3
    assert clean() == []
    assert os.listdir(namespace) == [".mine"]
    (namespace / ".mine").unlink()


def test_doorbell_goes_with_its_queue(namespace):
    with start_program("q = weft.Queue('q', lifetime='kept'); q.fileno(); say('ready'); hear()") as program:
        program.expect("ready")
    assert len(os.listdir(namespace)) == 2
    assert outcomes(clean(["q"])) == {"q": "removed"}
    assert os.listdir(namespace) == []


def test_missing_namespace(namespace):
    assert clean(namespace=namespace / "missing") == []


@pytest.mark.skipif(not ROOT, reason="needs root, to become another user")
def test_no_permission(namespace):
    keep("mine")
    leave("left")
    (namespace / "mine").chmod(0o666)
    namespace.chmod(0o755)
    with start_program(
        """
        import os
        os.setuid(int(sys.argv[1]))
        for result in weft.memory.clean(["mine", "left"]):
            say(result.name, result.outcome, result.problem)
        """,
        NOBODY,
    ) as program:
        said = program.finish().splitlines()
    assert said == [
        "mine failed removing the name: Permission denied",
        "left failed opening the file: Permission denied",
    ]
    namespace.chmod(0o700)
    assert outcomes(clean(kept=True)) == {"mine": "removed", "left": "removed"}


@pytest.mark.parametrize("seed", range(2))
def test_cleaning_beside_heavy_use_removes_nothing_live(namespace, seed):
    """Programs open, use and close queues, and are killed, while others clean all the time."""
    stop = threading.Event()
    removed = []

    def sweep(kept):
        while not stop.is_set():
            removed.extend(r.name for r in clean(kept=kept) if r.outcome == "removed")

    threads = [threading.Thread(target=sweep, args=(kept,)) for kept in (False, True)]
    for thread in threads:
        thread.start()
    try:
        with (
            start_program(USE, seed) as first,
            start_program(USE, seed + 100) as second,
            start_program(USE, seed + 200) as third,
        ):
            assert first.finish() == "fine\n"
            assert second.finish() == "fine\n"
            third.process.kill()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert removed  # the race has been run
    clean(kept=True)
    assert os.listdir(namespace) == []


# While a handle is open the name leads to its file, whoever cleans, and what was put is there.
USE = """
    import os, random, signal
    rng = random.Random(int(sys.argv[1]))
    for turn in range(400):
        name = f"q{rng.randrange(4)}"
        q = weft.Queue(name, lifetime="attached" if turn % 2 else None)
        mine = os.stat(q.path)
        other = weft.Queue(name)
        assert os.path.samestat(mine, os.stat(other.path)), "the name leads elsewhere"
        q.put(turn)
        other.get(timeout=30)
        assert os.path.samestat(mine, os.stat(q.path)), "the name leads elsewhere"
        if rng.random() < 0.05:
            child = os.fork()
            if child == 0:
                k = weft.Queue(f"k{os.getpid()}", lifetime=rng.choice(["attached", "kept"]))
                k.put(turn)
                os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(child, 0)
        q.close()
        other.close()
    say("fine")
"""


def test_random_namespaces_are_foreseen(namespace, open_queue):
    """A dry run tells what a run would do."""
    rng = random.Random(5)
    for i in range(12):
        match rng.randrange(4):
            case 0:
                open_queue(f"n{i}")
            case 1:
                keep(f"n{i}")
            case 2:
                leave(f"n{i}")
            case _:
                (namespace / f"n{i}").write_bytes(rng.randbytes(100))
    foreseen = outcomes(clean(kept=True, dry_run=True))
    done = outcomes(clean(kept=True))
    assert done == {n: "removed" if o == "removable" else o for n, o in foreseen.items()}
    for name, outcome in done.items():
        if outcome == "foreign":
            (namespace / name).unlink()
