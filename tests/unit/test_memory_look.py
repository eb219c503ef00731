"""Looking at segments from outside: what is seen of the living, the hung and the dead, and that they don't notice."""

import os
import random
import signal
import threading

import pytest

import weft
from weft._core.look import Look
from weft._kinds import KINDS
from weft.memory import _look, _processes, inspect, namespaces, segments
from weft.testing import fault_points

from ..conftest import discard
from ..helpers import reserved_bytes, start_program, until
from ..segments import LEASES_AT, OBJECT_AT, TABLE_AT, forge, read_field

ROOT = os.geteuid() == 0
NOBODY = 65534

HOLD = """
    q = weft.Queue(sys.argv[1])
    say("ready")
    hear()
"""
LEASE = """
    q = weft.Queue(sys.argv[1])
    lease = q.lease()
    say("ready")
    hear()
"""


@pytest.fixture
def left(namespace):
    """A queue with two messages, left by a program that was killed."""
    with start_program("q = weft.Queue('left', capacity=1 << 20); q.put_many([1, 2]); say('ready'); hear()") as program:
        program.expect("ready")
    yield namespace / "left"
    (namespace / "left").unlink(missing_ok=True)


def one(name):
    return next(segment for segment in segments() if segment.name == name)


# --- what is seen ----------------------------------------------------------------------------------


def test_nothing(namespace):
    assert segments() == []
    assert segments(namespace / "missing") == []
    with pytest.raises(weft.NotFoundError, match="no object 'q'"):
        inspect("q")
    for name in ("", "..", "a/.."):
        with pytest.raises(weft.NotFoundError):
            inspect(name)


def test_queue_of_this_process(open_queue):
    queue = open_queue("jobs", maxsize=5, capacity=1 << 20)
    queue.put_many([b"x" * 100, b"y" * 50])
    seen = inspect("jobs")
    assert (seen.name, seen.kind, seen.condition, seen.problem) == ("jobs", "Queue", "sound", None)
    assert (seen.size, seen.reserved) == (1 << 20, reserved_bytes(queue.path))
    assert (seen.lifetime, seen.attached, seen.leftover) == ("attached", True, False)
    assert (seen.owner, seen.mode, seen.layout_version) == (
        os.geteuid(),
        0o600,
        read_field(queue.path, "layout_version"),
    )
    assert seen.path == queue.path
    assert seen.creator_pid == os.getpid()
    assert seen.identity == queue._identity
    (me,) = seen.participants
    assert (me.pid, me.alive, me.waiting) == (os.getpid(), True, {})
    assert me.state in ("running", "sleeping")
    assert abs(seen.created - me.started) < 60
    assert seen.pids == [os.getpid()]
    details = seen.details
    assert (details["depth"], details["depth_bytes"], details["sent"], details["maxsize"]) == (2, 150, 2, 5)
    assert details["locked"] == details["holding"] == details["notes"] == []


def test_the_counters_are_those_of_statistics(open_queue):
    queue = open_queue("q", max_deliveries=3)
    queue.put_many([b"a" * size for size in (1, 100, 9000, 70_000)])
    queue.get()
    queue.lease().release()
    lease = queue.lease()
    numbers, details = queue.statistics(), inspect("q").details
    for name in ("sent", "received", "depth", "leased", "depth_bytes", "redelivered", "dropped", "dead_lettered"):
        assert details[name] == getattr(numbers, name), name
    lease.release()
    assert inspect("q").details["depth_bytes"] == queue.statistics().depth_bytes > 9000


def test_anonymous_and_kept_and_several(open_queue, namespace):
    anonymous = open_queue()
    with weft.Queue("kept", lifetime="kept"):
        pass
    assert [segment.name for segment in segments()] == [anonymous.path.name, "kept"]
    kept = inspect(str(namespace / "kept"))
    assert (kept.lifetime, kept.attached, kept.leftover, kept.pids) == ("kept", False, False, [])
    assert inspect("kept", namespace) == kept
    discard(open_queue("kept"))


def test_left_by_the_dead(left):
    seen = one("left")
    assert (seen.leftover, seen.attached, seen.pids) == (True, False, [])
    (dead,) = seen.participants
    assert (dead.alive, dead.state) == (False, "dead")
    assert seen.details["depth"] == 2
    assert left.exists()


def test_dead_among_the_living(open_queue):
    queue = open_queue("q")
    queue.put_many(range(3))
    with start_program(LEASE, "q") as program:
        program.expect("ready")
        pid = program.pid
    seen = inspect("q")
    assert [(p.pid, p.alive) for p in seen.participants] == [(os.getpid(), True), (pid, False)]
    assert seen.pids == [os.getpid()]
    (holding,) = seen.details["holding"]
    assert (holding["process"].pid, holding["process"].alive, holding["leases"]) == (pid, False, 1)


def test_stopped_process_holds_lease_and_views(open_queue):
    queue = open_queue("q", capacity=1 << 22)
    queue.put(b"small")
    queue.put(b"v" * 50_000)
    with start_program(
        """
        q = weft.Queue("q", views=True)
        lease = q.lease()
        view = q.get()
        say("ready")
        hear()
        """
    ) as program:
        program.expect("ready")
        os.kill(program.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)
        seen = inspect("q")
        assert {p.pid: p.state for p in seen.participants}[program.pid] == "stopped"
        (holding,) = seen.details["holding"]
        assert holding["process"].pid == program.pid
        assert (holding["leases"], holding["views_bytes"], holding["loans_bytes"]) == (1, 53_248, 0)


def test_who_waits_for_what(open_queue):
    queue = open_queue("full", maxsize=1)
    queue.put(0)
    with (
        start_program("q = weft.Queue('full'); say('ready'); q.put(1); say('put')") as producer,
        start_program("q = weft.Queue('empty'); say('ready'); q.get()") as consumer,
    ):
        producer.expect("ready")
        consumer.expect("ready")
        until(lambda: one("full").details["waiting_producers"], producer)
        until(lambda: one("empty").details["waiting_consumers"], consumer)
        people = {p.pid: p.waiting for p in inspect("full").participants}
        assert people == {os.getpid(): {}, producer.pid: {"room": 1}}
        assert [p.waiting for p in inspect("empty").participants] == [{"messages": 1}]
        (note,) = inspect("full").details["notes"]
        assert str(os.getpid()) in note
        assert "maxsize" in note
        assert queue.get() == 0  # a woken producer goes on: nothing has been disturbed
        producer.expect("put")
    assert queue.get() == 1
    weft.Namespace().clean()  # the killed consumer's


@pytest.mark.skipif(not fault_points(), reason="needs the test build: make test")
def test_stopped_holder_of_a_lock_is_named(open_queue, monkeypatch):
    queue = open_queue("q")
    monkeypatch.setenv("WEFT_FAULT", "put_record_written:1:s")
    with start_program("q = weft.Queue('q'); q.put(1); say('put')") as program:
        os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)
        details = inspect("q").details
        assert [(entry["lock"], entry["process"].pid) for entry in details["locked"]] == [("producers", program.pid)]
        assert any(f"pid {program.pid} was stopped inside a call" in note for note in details["notes"])
        os.kill(program.pid, signal.SIGCONT)
        program.expect("put")
    assert queue.get() == 1


def test_forked_child_that_has_not_used_its_handle(namespace):
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
        hear()
        """
    ) as program:
        child = int(program.hear())
        seen = inspect("q")
        assert [p.pid for p in seen.participants] == [program.pid]
        assert seen.others == (child,)
        os.kill(program.pid, signal.SIGKILL)
        until(lambda: not any(p.alive for p in inspect("q").participants))
        seen = one("q")
        assert (seen.attached, seen.leftover, seen.pids) == (True, False, [child])
    until(lambda: one("q").leftover)
    assert weft.Namespace().clean() == ["q"]


def test_handles_of_one_process_are_told_apart(open_queue):
    queues = [open_queue("q") for _ in range(3)]
    seen = inspect("q")
    assert len(seen.participants) == 3
    assert seen.pids == [os.getpid()]
    assert len({q.path for q in queues}) == 1


def test_all_participants_there_can_be(open_queue):
    handles = [open_queue("q") for _ in range(200)]
    assert len(inspect("q").participants) == len(handles)


def test_namespaces(namespace, monkeypatch):
    assert namespaces()[0:] == sorted(namespaces(), key=lambda place: place.path)
    assert weft.Namespace(namespace) in namespaces()
    monkeypatch.delenv("WEFT_NAMESPACE")
    own = weft.Namespace("weft-test-of-namespaces")
    own.ensure()
    try:
        assert own in namespaces()
    finally:
        own.path.rmdir()


# --- not disturbing --------------------------------------------------------------------------------


def test_looking_leaves_no_trace(open_queue, namespace):
    queue = open_queue("q")
    queue.put(1)
    before = (queue.path.read_bytes(), queue.path.stat().st_mtime_ns, queue.path.stat().st_blocks)
    for _ in range(10):
        segments()
        inspect("q")
    assert (queue.path.read_bytes(), queue.path.stat().st_mtime_ns, queue.path.stat().st_blocks) == before
    assert os.listdir(namespace) == ["q"]
    assert queue.statistics().attached == 1


@pytest.mark.parametrize("how", ["by the kernel's list", "by trying"])
def test_the_last_one_out_removes_the_file_while_others_look(namespace, monkeypatch, how):
    """Who looks is never taken for one who stays, and sees no leftover where there is none."""
    if how == "by trying":
        monkeypatch.setattr(_processes, "flocked_files", lambda: None)
    elif _processes.flocked_files() is None:
        pytest.skip("not in the first pid namespace")
    stop = threading.Event()
    wrong = []

    def look():
        while not stop.is_set():
            for segment in segments():
                # By trying, one moment is left in which the last one out may take us for somebody who stays.
                if segment.condition != "sound" or (how != "by trying" and segment.leftover):
                    wrong.append(segment)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for turn in range(1500):
            with weft.Queue("q") as queue:
                assert queue.statistics().sent == 0
                queue.put(turn)
                assert queue.get() == turn
    finally:
        stop.set()
        thread.join()
    assert wrong == []
    weft.Namespace().clean()
    assert os.listdir(namespace) == []


def test_attached_is_told_without_the_kernels_list(open_queue, left, monkeypatch):
    monkeypatch.setattr(_processes, "flocked_files", lambda: None)
    open_queue("q")
    assert {segment.name: segment.attached for segment in segments()} == {"q": True, "left": False}
    assert weft.Queue("left").qsize() == 0  # the probe's lock has been given back


def test_a_forked_child_inherits_no_lock_of_a_look(open_queue, namespace):
    """A look that tries for the lock holds off forks, and gives the lock back before."""
    with weft.Queue("kept", lifetime="kept"):
        pass
    stop = threading.Event()
    look = Look(os.fsencode(namespace), b"kept")

    def probe():
        while not stop.is_set():
            look.is_attached()

    thread = threading.Thread(target=probe)
    thread.start()
    children = []
    try:
        for _ in range(50):
            pid = os.fork()
            if pid == 0:
                signal.pause()
                os._exit(0)
            children.append(pid)
        stop.set()
        thread.join()
        assert not look.is_attached()
        assert [result.outcome for result in weft.memory.clean(["kept"])] == ["removed"]
    finally:
        stop.set()
        thread.join()
        look.close()
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


# --- pids of elsewhere -----------------------------------------------------------------------------


def test_a_pid_that_means_somebody_else_here(open_queue, monkeypatch):
    queue = open_queue("q")
    monkeypatch.setattr(
        _processes.Surroundings, "is_attached", lambda self, pid, file: False
    )  # as for a process of another container
    (person,) = inspect("q").participants
    assert (person.alive, person.state) == (True, None)
    assert not queue.closed


@pytest.mark.skipif(not ROOT, reason="needs root, to make a pid namespace")
def test_from_another_pid_namespace(left):
    """There the kernel's list of locks is not whole, and pids are others; what is attached is known all the same."""
    with start_program(HOLD, "q") as program:
        program.expect("ready")
        with start_program(
            """
            import ctypes, os
            if ctypes.CDLL(None).unshare(0x20000000 | 0x00020000):  # pid and mount namespaces
                say("refused")
                sys.exit()
            child = os.fork()
            if child == 0:
                os.system("mount --make-rprivate / && mount -t proc proc /proc")
                from weft.memory import _processes
                assert _processes.flocked_files() is None
                for s in weft.memory.segments():
                    say(s.name, s.attached, s.leftover, [p.state for p in s.participants if p.alive])
                os._exit(0)
            os.waitpid(child, 0)
            """
        ) as other:
            said = other.finish().splitlines()
        if said == ["refused"]:
            pytest.skip("the system makes no pid namespaces")
        assert said == ["left False True []", "q True False [None]"]
    weft.Namespace().clean()


def test_process_state():
    assert _processes.process_state(os.getpid()) in ("running", "sleeping")
    assert _processes.process_state(1 << 30) is None
    assert _processes.Surroundings().is_attached(1 << 30, (0, 0)) is False


def test_who_only_looks_is_not_taken_for_one_attached(open_queue, namespace):
    queue = open_queue("q")
    with start_program(
        """
        from weft._core.look import Look
        look = Look(sys.argv[1].encode(), b"q")
        say(look.fileno() >= 0)
        hear()
        """,
        namespace,
    ) as program:
        program.expect("True")
        assert inspect("q").pids == [os.getpid()]
        assert (
            _processes.Surroundings().is_attached(program.pid, (queue.path.stat().st_dev, queue.path.stat().st_ino))
            is False
        )


def test_cell(namespace):
    import numpy as np

    with weft.Cell("c", shape=(100, 100), dtype="f8") as cell:
        seen = inspect("c")
        assert (seen.kind, seen.size, seen.details["version"]) == ("Cell", 80_000, 0)
        cell.set(np.ones((100, 100)))
        view = cell.view()
        with start_program(
            "c = weft.Cell('c', create=False, shape=(100, 100), dtype='f8'); c.get(); say('go'); c.wait_newer()"
        ) as program:
            program.expect("go")
            until(lambda: any(p.waiting for p in inspect("c").participants), program)
            seen = inspect("c")
            assert {p.pid: p.waiting for p in seen.participants} == {os.getpid(): {}, program.pid: {"a newer value": 1}}
            (viewing,) = seen.details["viewing"]
            assert (viewing["process"].pid, viewing["values"]) == (os.getpid(), 1)
            cell.set(np.zeros((100, 100)))
            program.finish()
        assert inspect("c").details["version"] == 2
        assert view[0, 0] == 1
        del view
        assert inspect("c").details["viewing"] == []
        forge(namespace / "c", geometry=(1 << 60, 0, 0, 0, 0, 0, 0, 0))
        assert inspect("c").condition == "damaged"


def test_shared_memory():
    with weft.SharedMemory("m", create=True, size=10_001) as memory:
        seen = inspect("m")
        assert (seen.kind, seen.size, seen.condition, seen.attached) == ("SharedMemory", 10_001, "sound", True)
        assert seen.pids == [os.getpid()]
        memory.resize(20_002)
        assert (inspect("m").size, inspect("m").details) == (20_002, {"resizes": 1})
        with start_program("m = weft.SharedMemory('m'); say('open'); hear(); m[0] = 1; say('used'); hear()") as program:
            program.expect("open")  # opened, but not mapped yet: it takes no part
            assert inspect("m").pids == sorted([os.getpid(), program.pid])
            program.say()
            program.expect("used")
            seen = inspect("m")
            assert seen.others == ()
            assert seen.pids == sorted([os.getpid(), program.pid])


# --- what is no sound segment ----------------------------------------------------------------------


def test_damaged_other_version_foreign(left, namespace):
    content = left.read_bytes()
    (namespace / "cut").write_bytes(content[:100_000])
    (namespace / "short").write_bytes(content[:50])
    (namespace / "changed").write_bytes(content[:40] + b"\xff" + content[41:])
    (namespace / "text").write_text("hello")
    (namespace / "empty").touch()
    (namespace / "folder").mkdir()
    os.mkfifo(namespace / "pipe")
    (namespace / "link").symlink_to(left)
    (namespace / "later").write_bytes(content)
    forge(namespace / "later", layout_version=9)
    (namespace / "alien").write_bytes(content)
    forge(namespace / "alien", kind=4711)
    found = {segment.name: segment for segment in segments()}
    conditions = {name: segment.condition for name, segment in found.items()}
    assert conditions == {
        "alien": "sound", "changed": "damaged", "cut": "damaged", "empty": "foreign", "folder": "foreign",
        "later": "other version", "left": "sound", "link": "foreign", "pipe": "foreign", "short": "damaged",
        "text": "foreign",
    }  # fmt: skip
    assert found["alien"].kind == "kind 4711"
    assert found["alien"].size == len(content)
    assert found["later"].layout_version == 9
    assert "version 9" in found["later"].problem
    assert "shorter" in found["cut"].problem
    assert "cut off" in found["short"].problem
    for name in ("cut", "short", "changed", "later"):
        assert (found[name].attached, found[name].kind, found[name].leftover) == (False, None, False)
    assert found["folder"].attached is None
    (namespace / "folder").rmdir()
    for name in set(found) - {"folder", "left"}:
        (namespace / name).unlink()


def test_segment_of_another_version_in_use(open_queue):
    queue = open_queue("q")
    forge(queue.path, layout_version=7)
    seen = inspect("q")
    assert (seen.condition, seen.attached, seen.others) == ("other version", True, (os.getpid(),))


def test_queue_with_settings_that_cant_be(left):
    forge(left, config=b"[]" + bytes(2046), config_bytes=2)
    seen = one("left")
    assert seen.condition == "damaged"
    assert "settings" in seen.problem
    forge(left, config=b'{"codec": "default"}'.ljust(2048, b"\0"), config_bytes=20, geometry=(3, 0, 1, 0, 0, 0, 0, 0))
    assert one("left").condition == "damaged"


@pytest.mark.parametrize("seed", range(40))
def test_hostile_content(left, seed):
    """Random bytes anywhere behind the header: whatever is told, it is told in time and without a crash."""
    rng = random.Random(seed)
    with left.open("r+b") as file:
        for start, size in ((4096, 4096), (OBJECT_AT, 512), (LEASES_AT, 4096), (TABLE_AT, 4096)):
            if rng.random() < 0.7:
                file.seek(start)
                file.write(rng.randbytes(size))
    for segment in (one("left"), inspect("left")):
        assert segment.condition in ("sound", "damaged")
        assert all(isinstance(p.command, str) for p in segment.participants)


def test_file_cut_off_while_it_is_looked_at(left):
    size = left.stat().st_size
    stop = threading.Event()

    def cut():
        while not stop.is_set():
            for length in (0, 100, 5000, OBJECT_AT + 100, TABLE_AT, size):
                os.truncate(left, length)

    content = left.read_bytes()
    thread = threading.Thread(target=cut)
    thread.start()
    try:
        for _ in range(300):
            for segment in segments():
                assert segment.condition in ("sound", "damaged", "foreign")
    finally:
        stop.set()
        thread.join()
    left.write_bytes(content)


def test_inspect_hook_of_another_kind(left, monkeypatch):
    """A kind tells what it will; one that has nothing to tell is seen as any other."""
    kind = KINDS[1]
    seen = {}

    def tell(look, people):
        seen["people"] = people
        seen["head"] = look.read(0, 8)
        assert look.read(left.stat().st_size - 4, 8) is None
        return {"size": 42, "colour": "green"}

    monkeypatch.setitem(KINDS, 1, type(kind)(1, "Queue", kind.open, kind.to_text, kind.from_text, tell))
    found = one("left")
    assert (found.size, found.details) == (42, {"colour": "green"})
    assert seen["head"] == b"WEFTEG01"
    assert [p.alive for p in seen["people"].values()] == [False]
    monkeypatch.setitem(KINDS, 1, type(kind)(1, "Queue", kind.open, kind.to_text, kind.from_text))
    found = one("left")
    assert (found.size, found.details) == (left.stat().st_size, {})


# --- other users -----------------------------------------------------------------------------------


@pytest.mark.skipif(not ROOT, reason="needs root, to become another user")
def test_another_users(namespace, open_queue):
    open_queue("mine")
    open_queue("shared", mode=0o666)
    script = """
        import os
        os.setuid(int(sys.argv[1]))
        try:
            for s in weft.memory.segments():
                say(s.name, s.condition, s.attached, s.details.get("depth"))
        except weft.AccessError as error:
            say(error)
    """
    with start_program(script, NOBODY) as program:
        assert f"(it belongs to user {os.geteuid()}, mode 0o700)" in program.finish()
    namespace.chmod(0o755)
    with start_program(script, NOBODY) as program:
        assert program.finish().splitlines() == ["mine unreadable None None", "shared sound True 0"]
    namespace.chmod(0o700)


def test_conditions_are_all_known():
    assert set(_look._CONDITIONS.values()) | {_look.UNREADABLE} == {
        "sound", "damaged", "other version", "foreign", "unreadable",
    }  # fmt: skip
