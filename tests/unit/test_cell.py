"""A cell: values, versions, views, waiting, opening, and what is refused."""

import datetime
import decimal
import os
import threading
from fractions import Fraction

import msgspec
import pytest

import weft

from ..helpers import run_program, start_program, until


class Pose(msgspec.Struct):
    x: float
    y: float = 0.0


@pytest.fixture
def cell():
    with weft.Cell("c") as cell:
        yield cell


# --- values ----------------------------------------------------------------------------------------

VALUES = [
    b"",
    b"x" * 64,
    b"x" * 4096,
    bytearray(b"abc"),
    "Grüße",
    None,
    10**30,
    -1.5,
    {"a": [1, (2, {3})], 4: b"5"},
    datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC),
    decimal.Decimal("1.50"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_what_is_set_is_got_type_for_type(cell, value):
    with weft.Cell("c") as other:
        cell.set(value)
        for _ in range(2):
            got = other.get()
            assert got == value
            assert type(got) is type(value)


def test_each_get_makes_a_new_object(cell):
    cell.set([1])
    cell.get().append(2)
    assert cell.get() == [1]


@pytest.mark.parametrize("size", [4097, 65_535, 65_536, 1 << 20])
@pytest.mark.parametrize("make", [bytes, bytearray])
def test_large_values(size, make):
    with weft.Cell("c", size=2 << 20) as cell:
        for turn in range(20):
            value = make([turn]) * size
            cell.set(value)
            assert cell.get() == value
            cell.set({"value": value, "again": value[:100]}) if size < 1 << 20 else None
            assert cell.get() == ({"value": value, "again": value[:100]} if size < 1 << 20 else value)


def test_nothing_before_the_first_value(cell):
    for get in (cell.get, cell.view):
        with pytest.raises(LookupError, match=r"nothing has been set in .* yet"):
            get()
    assert (cell.version, cell.seen) == (0, 0)


def test_versions_count_the_values(cell):
    with weft.Cell("c") as other:
        assert [(cell, other)[turn % 2].set(turn) for turn in range(100)] == list(range(1, 101))
        assert (cell.version, other.version, cell.seen) == (100, 100, 0)
        cell.get()
        other.set("newer")
        assert (cell.seen, cell.version, other.seen) == (100, 101, 0)


def test_what_cannot_be_set_changes_nothing(cell):
    cell.set("before")
    for value, error in (
        (Fraction(1), TypeError),
        (b"x" * 4097, weft.MessageTooLargeError),
        ({"a": object}, TypeError),
    ):
        with pytest.raises(error):
            cell.set(value)
    assert (cell.get(), cell.version) == ("before", 1)


def test_too_large_tells_sizes():
    with weft.Cell("c", size=10) as cell:
        cell.set(b"x" * 10)
        with pytest.raises(weft.MessageTooLargeError, match="make the cell with size=11 or more") as caught:
            cell.set(b"x" * 11)
        assert (caught.value.size, caught.value.limit) == (11, 10)
        with pytest.raises(weft.MessageTooLargeError):
            cell.set("x" * 11)


def test_typed():
    with weft.Cell("c", type=Pose) as cell, weft.Cell("c", type=Pose) as other:
        cell.set(Pose(1.5, 2))
        assert other.get() == Pose(1.5, 2)
        with pytest.raises(TypeError, match="this channel carries Pose"):
            cell.set({"z": 1})
        with pytest.raises(weft.MismatchError):
            weft.Cell("c")
        with pytest.raises(weft.MismatchError):
            weft.Cell("c", type=int)


@pytest.mark.parametrize("codec", ["raw", "json", "msgspec", "pickle"])
def test_codecs(codec):
    with weft.Cell("c", codec=codec, size=100_000) as cell:
        for value in (b"abc", b"x" * 10_000) if codec != "json" else ("abc", ["x"] * 5000):
            cell.set(value)
            assert cell.get() == value
        with pytest.raises(weft.MismatchError):
            weft.Cell("c")


def test_a_codec_that_comes_back_here():
    class Nested:
        def encode(self, obj):
            if obj:
                cell.set(obj - 1)
            return str(obj).encode()

        def decode(self, data):
            return int(bytes(data))

    with weft.Cell("c", codec=Nested()) as cell:
        cell.set(3)
        assert (cell.get(), cell.version) == (3, 4)


def test_handles_of_one_process_and_threads():
    with weft.Cell("c") as cell:
        cell.set((0, 0))

        def work(thread):
            for i in range(2000):
                cell.set((thread, i, bytes([thread]) * (i % 3000)))
                got = cell.get()
                assert got[2] == bytes([got[0]]) * (got[1] % 3000)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert cell.version == 8001


# --- views -----------------------------------------------------------------------------------------


def test_a_view_keeps_its_value(cell):
    cell.set(b"first")
    view = cell.view()
    assert cell.seen == 1
    for number in range(50):
        cell.set(b"%d" % number)
    assert view.readonly
    assert bytes(view) == b"first"
    assert cell.get() == b"49"


def test_views_outlive_handles():
    cell = weft.Cell("c", codec="raw", size=100_000)
    views = []
    for number in range(30):
        cell.set(bytes([number]) * 100_000)
        views.append(cell.view())
    cell.close()
    assert weft.Namespace().names() == ["c"]
    assert [bytes(view) == bytes([number]) * 100_000 for number, view in enumerate(views)] == [True] * 30
    views.clear()
    assert weft.Namespace().names() == []


def test_only_bytes_and_arrays_can_be_viewed(cell):
    cell.set({"a": 1})
    with pytest.raises(TypeError, match="use get"):
        cell.view()
    for _ in range(600):  # the refused ones hold nothing
        with pytest.raises(TypeError):
            cell.view()
    cell.set(b"x")
    assert bytes(cell.view()) == b"x"


def test_views_run_out_and_come_back(cell):
    cell.set(b"x")
    views = [cell.view() for _ in range(512)]
    with pytest.raises(weft.SystemLimitError, match="512 values"):
        cell.view()
    assert cell.get() == b"x"  # small values need no hold
    cell.set(b"y")
    views.pop()
    assert bytes(cell.view()) == b"y"


def test_memory_for_views_comes_back(cell):
    for number in range(2000):
        cell.set(b"%d" % number)
        view = cell.view()  # the one before goes
        assert bytes(view) == b"%d" % number
    assert cell.statistics().buffers <= 18


# --- waiting ---------------------------------------------------------------------------------------


def test_wait_newer_sees_what_was_set_before(cell):
    cell.set(1)
    assert cell.wait_newer(timeout=0) == 1
    with pytest.raises(TimeoutError, match="no value newer than version 1"):
        cell.wait_newer(timeout=0)
    cell.set(2)
    cell.set(3)
    assert (cell.wait_newer(timeout=0), cell.seen) == (3, 3)
    assert cell.wait_newer(2, timeout=0) == 3
    assert cell.wait_newer(0) == 3


@pytest.mark.parametrize("wait", ["latency", "balanced", "power"])
def test_wait_newer_follows_another_program(wait):
    with (
        weft.Cell("c", wait=wait) as cell,
        start_program("cell = weft.Cell('c')\nwhile number := hear(): cell.set(int(number))") as program,
    ):
        for number in range(1, 50):
            program.say(str(number))
            assert cell.wait_newer() == number
        program.say()
        program.finish()


def test_a_value_wakes_all_who_wait():
    code = "cell = weft.Cell('c', wait='power'); say('ready'); say(cell.wait_newer())"
    with weft.Cell("c") as cell, start_program(code) as one, start_program(code) as other:
        for program in (one, other):
            program.expect("ready")
        until(lambda: cell.statistics().waiting == 2, one, other)
        cell.set("news")
        assert [one.hear(), other.hear()] == ["news", "news"]
        one.finish(), other.finish()


def test_own_values_count_as_newer(cell):
    cell.set("mine")
    assert cell.wait_newer(timeout=0) == "mine"


def test_closing_ends_waits():
    cell, errors = weft.Cell("c", wait="power"), []

    def wait():
        try:
            cell.wait_newer()
        except weft.ClosedError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    with weft.Cell("c") as other:
        thread.start()
        until(lambda: other.statistics().waiting)
        cell.close()
        thread.join()
        assert len(errors) == 1
        assert other.statistics().attached == 1


@pytest.mark.parametrize(
    ("version", "error"), [(-1, ValueError), (1.0, TypeError), ("1", TypeError), (True, TypeError)]
)
def test_versions_that_cannot_be(cell, version, error):
    with pytest.raises(error, match="version must be"):
        cell.wait_newer(version, 0)


def test_a_version_of_the_far_future(cell):
    cell.set(1)
    with pytest.raises(TimeoutError):
        cell.wait_newer(1 << 100, 0.01)


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_timeouts_that_cannot_be(cell, timeout):
    with pytest.raises(ValueError, match="timeout must be"):
        cell.wait_newer(0, timeout)


def test_ctrl_c_ends_a_wait():
    said = run_program(
        """
        import os, signal, threading
        cell = weft.Cell("c", wait="power")
        with weft.Cell("c") as other:
            def interrupt():
                while not other.statistics().waiting:
                    pass
                os.kill(os.getpid(), signal.SIGINT)
            threading.Thread(target=interrupt).start()
            try:
                cell.wait_newer()
            except KeyboardInterrupt:
                say("interrupted")
        """
    )
    assert said == "interrupted\n"


# --- opening ---------------------------------------------------------------------------------------


def test_create_and_open():
    with pytest.raises(weft.NotFoundError, match="there is no Cell 'c'"):
        weft.Cell("c", create=False)
    with weft.Cell("c", create=True) as cell:
        with pytest.raises(weft.NameInUseError):
            weft.Cell("c", create=True)
        with weft.Cell("c", create=False) as other:
            other.set(1)
        assert cell.get() == 1
    assert weft.Namespace().names() == []


def test_kept_and_unlinked():
    weft.Cell("c", lifetime="kept").set("kept")
    with weft.Cell("c") as cell:
        assert cell.get() == "kept"
        with pytest.raises(weft.MismatchError, match="lifetime 'attached' was asked for and is 'kept'"):
            weft.Cell("c", lifetime="attached")
        cell.unlink()
        assert cell.get() == "kept"
        with weft.Cell("c") as new, pytest.raises(LookupError):
            new.get()


def test_another_size_or_kind_is_refused():
    with weft.Cell("c", size=100), weft.Queue("q"):
        with pytest.raises(weft.MismatchError, match="size 50 was asked for and is 100"):
            weft.Cell("c", size=50)
        with pytest.raises(weft.MismatchError, match="is a Cell, not a Queue") as caught:
            weft.Queue("c")
        assert (caught.value.expected, caught.value.found) == ("Queue", "Cell")
        with pytest.raises(weft.MismatchError, match="is a Queue, not a Cell"):
            weft.Cell("q")
        with weft.Cell("c") as cell:
            assert cell.statistics().size == 100


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"size": 0}, ValueError),
        ({"size": -1}, ValueError),
        ({"size": 1 << 40}, ValueError),
        ({"size": 1.5}, TypeError),
        ({"size": True}, TypeError),
        ({"codec": "none"}, ValueError),
        ({"codec": 5}, TypeError),
        ({"type": Pose, "codec": "json"}, ValueError),
        ({"type": Pose, "dtype": "u1"}, ValueError),
        ({"codec": "json", "shape": 3}, ValueError),
        ({"size": 10, "shape": 3}, ValueError),
        ({"wait": "never"}, ValueError),
        ({"lifetime": "eternal"}, ValueError),
        ({"create": 1}, TypeError),
        ({"mode": 0o7777}, ValueError),
        ({"color": "red"}, TypeError),
    ],
    ids=repr,
)
def test_arguments_that_cannot_be(options, error):
    with pytest.raises(error):
        weft.Cell("c", **options)
    assert weft.Namespace().names() == []


@pytest.mark.parametrize("name", ["", "a/b", "..", "anon-1", "x" * 201, 5, b"c"])
def test_names_that_cannot_be(name):
    with pytest.raises((TypeError, ValueError)):
        weft.Cell(name)


def test_closed():
    cell = weft.Cell("c")
    cell.set(1)
    cell.close()
    cell.close()
    assert cell.closed
    for use in (
        cell.get,
        cell.view,
        cell.wait_newer,
        cell.fileno,
        cell.statistics,
        lambda: cell.set(b"x"),
        lambda: cell.set(1),
    ):
        with pytest.raises(weft.ClosedError):
            use()
    with pytest.raises(weft.ClosedError):
        _ = cell.version
    assert repr(cell) == "<weft.Cell 'c' closed>"


def test_what_a_cell_says_of_itself(cell, namespace):
    cell.set(1)
    assert repr(cell) == "<weft.Cell 'c' version 1>"
    assert (cell.name, cell.path, cell.closed) == ("c", namespace / "c", False)
    with weft.Cell() as anonymous:
        assert anonymous.name is None
        assert repr(anonymous) == "<weft.Cell 'anonymous' version 0>"


def test_statistics(cell):
    with weft.Cell("c"):
        cell.set(1)
        assert cell.statistics() == weft.CellStatistics(
            version=1, size=4096, buffers=16, reserved=16 * 4160, waiting=0, attached=2
        )


def test_of_a_namespace(namespace):
    place = weft.Namespace(namespace)
    with place.Cell("c", size=10) as cell, weft.Cell("c") as other:
        cell.set("x")
        assert other.get() == "x"


def test_permissions():
    with weft.Cell("c", mode=0o640) as cell:
        assert os.stat(cell.path).st_mode & 0o777 == 0o640


def test_is_not_initialised_twice(cell):
    with pytest.raises(RuntimeError):
        cell.__init__("c")


def test_no_memory_for_a_cell():
    room = os.statvfs(weft.Namespace().path.parent)
    with pytest.raises(weft.NoSpaceError) as caught:
        weft.Cell("c", size=min(room.f_bavail * room.f_frsize, 1 << 36))
    assert caught.value.wanted > caught.value.free
    assert weft.Namespace().names() == []
