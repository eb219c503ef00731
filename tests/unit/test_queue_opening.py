"""Opening: create or find, the same or another, attached or kept."""

import gc
import os
import stat
import threading
from pathlib import Path

import msgspec
import pytest

import weft

from ..helpers import reserved_bytes, run_program, start_program


class Job(msgspec.Struct):
    number: int


class OtherJob(msgspec.Struct):
    number: str


class Mine:
    def encode(self, obj):
        return obj

    def decode(self, data):
        return bytes(data)


class Yours(Mine):
    pass


# --- create ----------------------------------------------------------------------------------------


def test_create_true_must_create(open_queue):
    open_queue("q", create=True)
    with pytest.raises(weft.NameInUseError, match=r"'q'.*unlink") as caught:
        weft.Queue("q", create=True)
    assert isinstance(caught.value, FileExistsError)


def test_create_false_must_exist(open_queue, namespace):
    with pytest.raises(weft.NotFoundError, match="'q'") as caught:
        weft.Queue("q", create=False)
    assert isinstance(caught.value, FileNotFoundError)
    assert list(namespace.iterdir()) == []
    made = open_queue("q")
    open_queue("q", create=False).put(1)
    assert made.get() == 1


def test_create_false_makes_no_directory(spare):
    with pytest.raises(weft.NotFoundError):
        weft.Queue("q", create=False, namespace=spare / "new")
    assert not (spare / "new").exists()


def test_create_none_does_either(open_queue):
    first, second = open_queue("q", create=None), open_queue("q", create=None)
    first.put(1)
    assert second.get() == 1


def test_nameless_cannot_be_found():
    with pytest.raises(ValueError, match="name"):
        weft.Queue(create=False)


@pytest.mark.parametrize("create", [0, 1, "yes", 2, []])
def test_create_of_a_wrong_type(create):
    with pytest.raises(TypeError, match="create"):
        weft.Queue("q", create=create)


def test_racing_creators_get_the_same_queue():
    code = """
        while name := hear():
            queue = weft.Queue(name)
            queue.put(sys.argv[1])
            say("put")
            hear()
            queue.close()
            say("closed")
    """
    with start_program(code, "a") as one, start_program(code, "b") as two, start_program(code, "c") as three:
        programs = (one, two, three)
        for i in range(50):
            for program in programs:
                program.say(f"q{i}")
            for program in programs:
                program.expect("put")
            with weft.Queue(f"q{i}", create=False) as queue:
                assert queue.statistics().attached == 4
                assert sorted(queue.get_many()) == ["a", "b", "c"]
            for program in programs:
                program.say()
            for program in programs:
                program.expect("closed")
        for program in programs:
            program.say()
            program.finish()


def test_racing_threads_of_which_one_may_create(open_queue):
    for _ in range(20):
        made, refused, start = [], [], threading.Barrier(4)

        def race(made=made, refused=refused, start=start):
            start.wait()
            try:
                made.append(weft.Queue("q", create=True))
            except weft.NameInUseError:
                refused.append(1)

        threads = [threading.Thread(target=race) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(made), len(refused)) == (1, 3)
        made.pop().close()


# --- lifetime --------------------------------------------------------------------------------------


def test_attached_goes_with_its_last_handle(namespace):
    one, two = weft.Queue("q"), weft.Queue("q")
    one.close()
    assert two.path.exists()
    two.close()
    assert list(namespace.iterdir()) == []


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM", "SIGSEGV"])
def test_attached_goes_with_its_last_process_however_it_dies(signal, namespace):
    with start_program("queue = weft.Queue('q'); queue.put(1); queue.fileno(); say('ready'); hear()") as program:
        program.expect("ready")
        assert len(list(namespace.iterdir())) == 2
        run_program("import os, signal; os.kill(int(sys.argv[1]), getattr(signal, sys.argv[2]))", program.pid, signal)
        program.process.wait()
    with pytest.raises(weft.NotFoundError):
        weft.Queue("q", create=False)
    assert list(namespace.iterdir()) == []


def test_what_was_left_is_found_by_nobody(open_queue, namespace):
    run_program("import os; queue = weft.Queue('q'); queue.put(1); say(); os._exit(0)")
    assert [path.name for path in namespace.iterdir()] == ["q"]
    queue = open_queue("q", create=True)
    assert queue.empty()


def test_what_was_left_goes_by_cleaning(namespace):
    run_program("import os; queues = weft.Queue('q'), weft.Queue(); queues[0].fileno(); os._exit(0)")
    assert len(list(namespace.iterdir())) == 3
    assert "q" in weft.Namespace().clean()
    assert list(namespace.iterdir()) == []


def test_kept_stays_until_it_is_unlinked(open_queue):
    with open_queue("q", lifetime="kept") as queue:
        queue.put_many([1, b"2" * 100_000])
    run_program("weft.Queue('q', create=False).put(3)")
    with open_queue("q", create=False) as queue:
        assert [queue.get() for _ in range(3)] == [1, b"2" * 100_000, 3]
        queue.unlink()
    with pytest.raises(weft.NotFoundError):
        weft.Queue("q", create=False)


def test_kept_stays_whoever_dies(open_queue):
    run_program("import os; queue = weft.Queue('q', lifetime='kept'); queue.put_many([1, 2]); os._exit(0)")
    assert weft.Namespace().clean() == []
    queue = open_queue("q", create=False)
    assert queue.get_many() == [1, 2]


def test_lease_of_the_last_process_comes_back_in_a_kept_queue(open_queue):
    run_program(
        """
        import os
        queue = weft.Queue('q', lifetime='kept')
        queue.put_many([1, b"2" * 100_000])
        leases = queue.lease_many()
        os._exit(0)
        """
    )
    queue = open_queue("q", create=False)
    assert [queue.get(timeout=0), queue.get(timeout=0)] == [1, b"2" * 100_000]


# --- unlink ----------------------------------------------------------------------------------------


def test_unlink_takes_the_name_alone(open_queue):
    queue, other = open_queue("q"), open_queue("q")
    queue.unlink()
    assert not queue.path.exists()
    queue.put(1)
    assert other.get() == 1
    fresh = open_queue("q", create=True)
    assert fresh.empty()
    with pytest.raises(weft.NotFoundError):
        queue.unlink()
    other.close()
    queue.close()
    assert fresh.path.exists()


def test_file_removed_from_outside_harms_nobody(open_queue):
    queue, other = open_queue("q"), open_queue("q")
    queue.path.unlink()
    queue.put(1)
    assert other.get() == 1
    fresh = open_queue("q")
    assert fresh.empty()
    other.close()
    queue.close()
    fresh.put(2)
    assert open_queue("q").get() == 2


def test_closing_the_last_handle_of_a_queue_without_a_name_does_not_warn(open_queue):
    queue = open_queue("q")
    queue.put(1)
    queue.unlink()
    queue.close()


# --- mismatches ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "asked", "key", "found"),
    [
        ({"maxsize": 5}, {"maxsize": 6}, "maxsize", 5),
        ({}, {"maxsize": 6}, "maxsize", 0),
        ({"capacity": 1 << 20}, {"capacity": 2 << 20}, "capacity", 1 << 20),
        ({"max_message": 1000}, {"max_message": 1001}, "max_message", 1000),
        ({"max_deliveries": 2}, {"max_deliveries": 3}, "max_deliveries", 2),
        ({}, {"max_deliveries": 3}, "max_deliveries", None),
        ({"lifetime": "kept"}, {"lifetime": "attached"}, "lifetime", "kept"),
        ({"lifetime": "attached"}, {"lifetime": "kept"}, "lifetime", "attached"),
        ({"codec": "raw"}, {"codec": "pickle"}, "codec", "raw"),
        ({"codec": "raw"}, {}, "codec", "raw"),
        ({}, {"codec": "raw"}, "codec", "default"),
        ({"codec": Mine()}, {"codec": Yours()}, "codec", "user:Mine"),
        ({"type": Job}, {}, "type", "Job"),
        ({}, {"type": Job}, "type", None),
        ({"type": Job}, {"type": OtherJob}, "type", "Job"),
        ({"type": int}, {"type": str}, "type", "int"),
        ({"max_deliveries": 2, "dead_letter": "a"}, {"max_deliveries": 2, "dead_letter": "b"}, "dead_letter", "a"),
    ],
)
def test_mismatch_shows_both_sides(open_queue, made, asked, key, found):
    queue = open_queue("q", **made)
    with pytest.raises(weft.MismatchError) as caught:
        weft.Queue("q", **asked)
    assert isinstance(caught.value, ValueError)
    assert caught.value.found[key] == found
    wanted = caught.value.expected[key]
    if key in asked and key not in ("codec", "type"):
        assert wanted == asked[key]
    for side in (key, repr(wanted), repr(found), str(os.getpid())):
        assert side in str(caught.value)
    del caught  # its traceback holds what was opened to compare
    gc.collect()
    assert queue.statistics().attached == 1


def test_type_of_the_same_name_but_another_shape(open_queue):
    def make(kind):
        return msgspec.defstruct("Job", [("number", kind)])

    open_queue("q", type=make(int))
    open_queue("q", type=make(int))
    with pytest.raises(weft.MismatchError) as caught:
        weft.Queue("q", type=make(str))
    assert set(caught.value.expected) == {"schema"}


@pytest.mark.parametrize(
    "made",
    [
        {"maxsize": 5, "max_deliveries": 3, "dead_letter": "dead"},
        {"capacity": 1 << 20, "max_message": 1000, "lifetime": "kept"},
    ],
)
def test_what_is_not_asked_for_is_found(open_queue, made):
    first, second = open_queue("q", **made), open_queue("q")
    assert first.statistics().capacity == second.statistics().capacity
    if "maxsize" in made:
        second.put_many(range(5))
        assert first.full()


def test_capacity_is_rounded_up_to_pages(open_queue):
    assert open_queue("q", capacity=100_000).statistics().capacity == 102_400
    open_queue("q", capacity=100_001)


# --- what a queue costs, and who may see it --------------------------------------------------------


def test_costs_little_more_than_what_it_has_reserved(open_queue):
    queue = open_queue("q")
    assert reserved_bytes(queue.path) <= queue.statistics().reserved + (64 << 10)
    queue.put_many([bytes(20_000)] * 500)
    assert reserved_bytes(queue.path) <= queue.statistics().reserved + (64 << 10)
    while not queue.empty():
        queue.get()


def test_descriptors_of_a_handle(open_queue):
    before = len(os.listdir("/proc/self/fd"))
    queue = open_queue("q")
    queue.put_many(range(1000))
    queue.get_many()
    with queue.lease():
        pass
    assert len(os.listdir("/proc/self/fd")) - before <= 2
    while not queue.empty():
        queue.get_many()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o660, 0o666])
def test_mode(open_queue, spare, mode):
    before = os.umask(0o077)
    try:
        queue = open_queue("q", mode=mode, namespace=spare)
        queue.fileno()
        assert {stat.S_IMODE(path.stat().st_mode) for path in spare.iterdir()} == {mode}
    finally:
        os.umask(before)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file to a group")
def test_group(open_queue):
    queue = open_queue("q", mode=0o660, group=65534)
    queue.fileno()
    assert {path.stat().st_gid for path in queue.path.parent.iterdir()} == {65534}


def test_descriptors_are_not_inherited(open_queue):
    queue = open_queue("q")
    queue.fileno()
    with start_program("say('ready'); hear()") as program:
        program.expect("ready")
        links = [os.readlink(path) for path in Path(f"/proc/{program.pid}/fd").iterdir()]
        assert not [link for link in links if str(queue.path.parent) in link]
        program.say()
        program.finish()
