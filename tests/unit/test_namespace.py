"""Namespaces: where names live, and who may come in."""

import fcntl
import os
import pickle
import select
import stat
from pathlib import Path

import pytest

import weft
from weft import namespace as module

from ..helpers import run_program, start_program


@pytest.fixture
def memory(spare, monkeypatch):
    """A stand-in for the memory file system, with no default set."""
    monkeypatch.setattr(module, "_MEMORY", spare)
    monkeypatch.delenv("WEFT_NAMESPACE")
    return spare


def test_default_is_the_users_own(memory):
    place = weft.Namespace()
    assert place.path == memory / f"weft-{os.geteuid()}" / "default"
    with weft.Queue("q") as queue:
        assert queue.path == place.path / "q"
    for path in (place.path, place.path.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_name(memory):
    shop = weft.Namespace("shop")
    with shop.Queue("q") as queue, weft.Queue("q") as other:
        assert queue.path == memory / f"weft-{os.geteuid()}" / "shop" / "q"
        queue.put("in the shop")
        assert other.empty()
        assert shop.Queue("q").get() == "in the shop"


def test_environment_names_another(memory, monkeypatch, tmp_path):
    monkeypatch.setenv("WEFT_NAMESPACE", "shop")
    assert weft.Namespace().path.name == "shop"
    monkeypatch.setenv("WEFT_NAMESPACE", str(tmp_path))
    assert weft.Namespace().path == tmp_path
    monkeypatch.setenv("WEFT_NAMESPACE", "")
    assert weft.Namespace().path.name == "default"


def test_path(spare):
    for path in (spare / "made", str(spare / "made too")):
        place = weft.Namespace(path)
        assert not Path(path).exists()  # nothing is made before it is needed
        with place.Queue("q"):
            assert Path(path, "q").is_file()


@pytest.mark.parametrize("name", ["shop", "a.b", "x" * 200])
def test_repr_and_equality(name):
    assert repr(weft.Namespace(name)) == f"weft.Namespace({name!r})"
    assert weft.Namespace(name) == weft.Namespace(name)
    assert hash(weft.Namespace(name)) == hash(weft.Namespace(name))
    assert weft.Namespace(name) != weft.Namespace("other")
    assert weft.Namespace(name) != name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../x", "x" * 201, "jöbs", ".hidden", "-x", "a b", "a\0", "/a\0"]
)
def test_name_that_cannot_be(name):
    with pytest.raises(ValueError, match="namespace"):
        weft.Namespace(name)


@pytest.mark.parametrize("name", ["nats://host:4222", "http://x"])
def test_beyond_this_machine(name):
    with pytest.raises(ValueError, match="beyond this machine"):
        weft.Namespace(name)


@pytest.mark.parametrize("name", [5, 1.5, b"shop", b"/dev/shm/x", [], object()])
def test_name_of_a_wrong_type(name):
    with pytest.raises(TypeError):
        weft.Namespace(name)


@pytest.mark.parametrize("mode", [0, 0o400, 0o077, 0o1700, -1])
def test_mode_that_cannot_be(mode):
    with pytest.raises(ValueError, match="mode"):
        weft.Namespace("shop", mode=mode)


def test_where_there_is_no_memory_file_system(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_MEMORY", tmp_path / "missing")
    with pytest.raises(weft.NotFoundError, match="WEFT_NAMESPACE"):
        weft.Namespace("shop")


def test_directory_above_is_missing(spare):
    with pytest.raises(weft.NotFoundError, match="missing"):
        weft.Namespace(spare / "missing" / "place").Queue("q")


@pytest.mark.parametrize("name", ["x" * 300, "y" * 255 + "/" + "x" * 10])
def test_path_that_the_system_refuses(spare, name):
    with pytest.raises(weft.WeftError, match=r"WEFT_NAMESPACE|namespace") as caught:
        weft.Queue("q", namespace=spare / name)
    assert isinstance(caught.value, OSError)
    assert list(spare.iterdir()) == []


@pytest.mark.parametrize("what", ["file", "link to a directory", "dangling link", "fifo"])
def test_what_is_no_directory(spare, what):
    path = spare / "place"
    match what:
        case "file":
            path.write_text("")
        case "link to a directory":
            (spare / "real").mkdir(0o700)
            path.symlink_to("real")
        case "dangling link":
            path.symlink_to("nowhere")
        case "fifo":
            os.mkfifo(path)
    with pytest.raises(weft.AccessError, match="not a directory"):
        weft.Namespace(path).Queue("q")


def test_pickle(spare):
    place = weft.Namespace(spare / "place", mode=0o770, group=os.getegid())
    again = pickle.loads(pickle.dumps(place))
    assert (again, again.mode, again.group) == (place, place.mode, place.group)


def test_pickle_finds_the_same_place_whatever_the_environment(memory, monkeypatch):
    data = pickle.dumps(weft.Namespace())
    monkeypatch.setenv("WEFT_NAMESPACE", "other")
    assert pickle.loads(data).path.name == "default"


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o770, 0o755])
def test_mode_of_what_is_made(spare, mode):
    place = weft.Namespace(spare / "place", mode=mode)
    before = os.umask(0o077)
    try:
        with place.Queue("q"):
            assert stat.S_IMODE(place.path.stat().st_mode) == mode
    finally:
        os.umask(before)
    with weft.Namespace(spare / "place", mode=mode).Queue("q"):
        pass
    if mode & 0o077:
        with pytest.raises(weft.AccessError, match="lets others in"):
            weft.Namespace(spare / "place").Queue("q")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a directory to a group")
@pytest.mark.parametrize("group", [65534, "nogroup"])
def test_group_of_what_is_made(spare, group):
    place = weft.Namespace(spare / "place", mode=0o770, group=group)
    with place.Queue("q"):
        assert place.path.stat().st_gid == 65534


def test_names(spare):
    place = weft.Namespace(spare / "place")
    assert place.names() == []
    with place.Queue("b") as queue, place.Queue("a"), place.Queue():
        queue.fileno()
        assert place.names() == ["a", "b"]
    assert place.names() == []


def test_clean_removes_what_the_dead_left_and_nothing_else(spare):
    place = weft.Namespace(spare)
    run_program(
        """
        import os
        place = weft.Namespace(sys.argv[1])
        dead = [place.Queue("dead"), place.Queue(), place.Queue("kept", lifetime="kept")]
        for queue in dead:
            queue.fileno()
        os._exit(0)
        """,
        spare,
    )
    (spare / "foreign").write_text("not a segment")
    with place.Queue("alive") as alive:
        alive.fileno()
        assert len(place.clean()) == 2
        assert place.names() == ["alive", "foreign", "kept"]
        alive.put(1)
        assert place.Queue("alive").get() == 1
        with place.Queue("kept") as kept:
            kept.fileno()
            kept.unlink()
    assert place.clean() == []
    assert [path.name for path in spare.iterdir()] == ["foreign"]


def test_clean_leaves_the_doorbell_of_an_unlinked_queue_that_is_in_use(spare):
    place = weft.Namespace(spare)
    with place.Queue("q", lifetime="kept") as queue:
        queue.fileno()
        with start_program(
            """
            queue = weft.Namespace(sys.argv[1]).Queue("q", create=False)
            say("open")
            hear()
            queue.put(1)
            """,
            spare,
        ) as producer:
            producer.expect("open")
            queue.unlink()
            assert place.clean() == []
            producer.say()
            assert select.select([queue], [], [], 60)[0] == [queue]
            producer.finish()
        assert queue.get(timeout=0) == 1
    assert list(spare.iterdir()) == []


def test_clean_removes_what_was_to_become_a_queue(spare):
    place = weft.Namespace(spare)
    dead, in_the_making, other = (spare / name for name in (f".new-{1:016x}", f".new-{2:016x}", ".newspaper"))
    for path in (dead, in_the_making, other):
        path.write_bytes(bytes(100))
    with in_the_making.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert place.clean() == []
        assert sorted(spare.iterdir()) == [in_the_making, other]
    assert place.clean() == []
    assert list(spare.iterdir()) == [other]


def test_clean_where_there_is_nothing(spare):
    assert weft.Namespace(spare / "missing").clean() == []


def test_reclaim(spare):
    place = weft.Namespace(spare)
    run_program("import os; queue = weft.Namespace(sys.argv[1]).Queue('dead'); os._exit(0)", spare)
    assert place.reclaim("dead")
    assert not place.reclaim("dead")
    assert not place.reclaim("missing")
    with place.Queue("alive"):
        assert not place.reclaim("alive")


def test_nameless_leftovers_do_not_pile_up(namespace):
    for _ in range(4):
        run_program("import os; queues = [weft.Queue() for _ in range(10)]; os._exit(0)")
    for _ in range(40):
        with weft.Queue():
            pass
    assert list(namespace.iterdir()) == []


def test_thousands_of_lives_leave_nothing(namespace):
    for _ in range(2):
        run_program(
            """
            import os
            for i in range(250):
                if not os.fork():
                    queue = weft.Queue("q")
                    queue.put(bytes(20_000))
                    os.kill(os.getpid(), 9)
                os.wait()
            """
        )
        with weft.Queue("q", create=True) as queue:
            assert queue.empty()
    assert list(namespace.iterdir()) == []
