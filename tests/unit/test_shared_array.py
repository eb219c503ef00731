"""SharedArray: shape and dtype by name, NumPy's interfaces, views that keep the memory."""

import gc
import itertools
import multiprocessing
import os
import pickle
import threading

import pytest

import weft

from ..helpers import run_program, start_program
from ..segments import forge
from .test_cell_arrays import DTYPES, some

np = pytest.importorskip("numpy")


@pytest.fixture
def grid():
    with weft.SharedArray("grid", (3, 4), "i4") as grid:
        yield grid


def test_two_programs_share_an_array(grid):
    grid.array[:] = np.arange(12).reshape(3, 4)
    said = run_program("""
        import numpy as np
        grid = weft.SharedArray("grid")
        say(grid.shape, grid.dtype, grid.array.sum())
        grid.array[2] += 1
        weft.SharedArray("grid", (3, 4), np.int32)[0, 0] = 50
    """)
    assert said == "(3, 4) int32 66\n"
    assert grid.array.tolist() == [[50, 1, 2, 3], [4, 5, 6, 7], [9, 10, 11, 12]]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 5)], ids=str)
def test_shape_dtype_and_order_are_those_of_the_creator(shape, dtype, order):
    content = some(shape, dtype)
    with weft.SharedArray("a", shape, dtype, order=order) as array, weft.SharedArray("a") as other:
        assert other.array.tobytes() == bytes(content.nbytes)  # zeros at the beginning
        array.array[...] = content
        assert (other.shape, other.dtype, other.nbytes) == (shape, np.dtype(dtype), content.nbytes)
        assert np.array_equal(other.array, content)
        assert other.array.flags["C_CONTIGUOUS" if order == "C" else "F_CONTIGUOUS"]


def test_default_dtype():
    with weft.SharedArray(shape=3) as array:
        assert (array.dtype, array.shape, len(array)) == (np.float64, (3,), 3)


def test_it_is_used_like_an_array(grid):
    grid[1] = 5
    grid[0, ::2] = [1, 2]
    assert grid[0].tolist() == [1, 0, 2, 0]
    assert [row.sum() for row in grid] == [3, 20, 0]
    assert len(grid) == 3
    assert grid.array is grid.array
    assert (grid.array + 1).max() == 6
    assert np.shares_memory(grid[1:, 1:], grid.array)


# --- what must be the same, and what can't be -------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "difference"),
    [
        (((4, 3), "i4"), {}, ("shape", (4, 3), (3, 4))),
        (((3, 4), "f4"), {}, ("dtype", "<f4", "<i4")),
        (((3, 4),), {}, ("dtype", "<f8", "<i4")),
        (((3, 4), "i4"), {"order": "F"}, ("order", "F", "C")),
        ((), {"order": "F"}, ("order", "F", "C")),
        ((), {"lifetime": "kept"}, ("lifetime", "kept", "attached")),
    ],
    ids=str,
)
def test_both_sides_of_a_mismatch_are_shown(grid, arguments, options, difference):
    key, asked, found = difference
    with pytest.raises(weft.MismatchError) as caught:
        weft.SharedArray("grid", *arguments, **options)
    assert f"{key} {asked!r} was asked for and is {found!r}" in str(caught.value)
    assert (caught.value.expected[key], caught.value.found[key]) == (asked, found)


def test_another_kind(grid):
    with weft.SharedMemory("m", create=True, size=48), weft.Queue("q"), weft.Cell("c"):
        for name in ("m", "q", "c"):
            with pytest.raises(weft.MismatchError, match="not a SharedArray"):
                weft.SharedArray(name)
        with pytest.raises(weft.MismatchError, match="is a SharedArray, not a SharedMemory"):
            weft.SharedMemory("grid")
        with pytest.raises(weft.MismatchError, match="is a SharedArray, not a Cell"):
            weft.Cell("grid")


def test_create_and_open(grid):
    with pytest.raises(weft.NameInUseError):
        weft.SharedArray("grid", (3, 4), "i4", create=True)
    for options in ({}, {"create": False}, {"shape": 3, "create": False}):
        with pytest.raises(weft.NotFoundError, match="there is no SharedArray 'other'"):
            weft.SharedArray("other", **options)
    with weft.SharedArray("grid", create=False) as other:
        assert other.shape == (3, 4)


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (("a", 3, "O"), {}, TypeError),
        (("a", 3, [("x", "O")]), {}, TypeError),
        (("a", 3, "nonsense"), {}, TypeError),
        (("a", -1), {}, ValueError),
        (("a", 0), {}, ValueError),
        (("a", (2, "3")), {}, TypeError),
        (("a", 1.5), {}, TypeError),
        (("a", 1 << 60), {}, ValueError),
        (("a",), {"dtype": "u1"}, ValueError),
        (("a",), {"create": True}, ValueError),
        ((), {}, ValueError),
        (("a", 3), {"order": "K"}, ValueError),
        (("a", 3), {"lifetime": "eternal"}, ValueError),
        (("a", 3), {"create": 1}, TypeError),
        (("a/b", 3), {}, ValueError),
        ((3,), {}, TypeError),
    ],
    ids=str,
)
def test_arguments_that_cannot_be(arguments, options, error):
    with pytest.raises(error):
        weft.SharedArray(*arguments, **options)
    assert weft.Namespace().names() == []


def test_no_space():
    room = os.statvfs(weft.Namespace().path.parent)
    with pytest.raises(weft.NoSpaceError) as caught:
        weft.SharedArray("a", 2 * room.f_blocks * room.f_frsize, "u1")
    assert caught.value.wanted > caught.value.free
    assert weft.Namespace().names() == []


# --- NumPy's interfaces ----------------------------------------------------------------------------


def test_asarray_shares_the_memory(grid):
    for shared in (np.asarray(grid), np.asanyarray(grid), np.array(grid, copy=False), np.from_dlpack(grid)):
        shared[0, 0] += 1
    assert grid.array[0, 0] == 4
    copy = np.array(grid)
    copy[0, 0] = 100
    assert grid.array[0, 0] == 4
    assert np.add(grid, 1).tolist() == (grid.array + 1).tolist()
    assert grid.__array__() is grid.array
    assert grid.__array__("f4").dtype == np.float32
    assert not np.shares_memory(grid.__array__(copy=True), grid.array)
    with pytest.raises(ValueError, match="without a copy"):
        grid.__array__("f4", copy=False)


def test_array_interface(grid):
    class Other:
        __array_interface__ = grid.__array_interface__

    grid.array[:] = 7
    shared = np.asarray(Other())
    assert (shared.shape, shared.dtype, shared.sum()) == ((3, 4), np.int32, 84)
    shared[0, 0] = 8
    assert grid.array[0, 0] == 8


def test_array_interface_keeps_the_memory(namespace):
    array = weft.SharedArray("a", 10_000, "u1")
    array.array[:] = 3
    interface = array.__array_interface__
    array.close()
    del array
    holder = type("Holder", (), {"__array_interface__": interface})()
    shared = np.asarray(holder)
    del holder, interface
    gc.collect()
    assert shared.sum() == 30_000
    del shared
    gc.collect()
    assert weft.Namespace().names() == []


def test_dlpack(grid):
    assert grid.__dlpack_device__() == (1, 0)
    capsule_array = np.from_dlpack(grid)
    assert np.shares_memory(capsule_array, grid.array)
    with weft.SharedArray("text", 3, "S4") as text, pytest.raises(BufferError):
        text.__dlpack__()


def test_structured_views(grid):
    with weft.SharedArray("s", 4, [("a", "i4"), ("b", "f8", (2,))]) as array:
        array.array["b"][:, 1] = 2.5
        with weft.SharedArray("s") as other:
            assert other.array["b"].sum() == 10


# --- read-only -------------------------------------------------------------------------------------


def test_readonly(grid):
    with weft.SharedArray("grid", readonly=True) as reader:
        grid.array[:] = 4
        assert reader.array.sum() == 48
        assert not reader.array.flags.writeable
        for use in (
            lambda: reader.__setitem__(0, 1),
            lambda: np.asarray(reader).fill(1),
            lambda: reader.array.setflags(write=True),
        ):
            with pytest.raises(ValueError):
                use()
        holder = type("Holder", (), {"__array_interface__": reader.__array_interface__})()
        assert not np.asarray(holder).flags.writeable
        with pickle.loads(pickle.dumps(reader)) as again, weft.open(reader.token) as third:
            assert not again.array.flags.writeable
            assert not third.array.flags.writeable


def test_readonly_needs_no_permission_to_write():
    with weft.SharedArray("a", 3, "u1", mode=0o644) as array:
        os.chmod(array.path, 0o444)
        with weft.SharedArray("a", readonly=True) as reader:
            array.array[:] = 5
            assert reader.array.sum() == 15


# --- lifetime --------------------------------------------------------------------------------------


def test_views_in_any_order_of_deletion():
    for order in itertools.permutations(range(5)):
        array = weft.SharedArray("a", (10, 10), "i4")
        array.array[:] = 7
        parts = [array, array.array, array[2:5], array[1:].T, np.asarray(array)[::2].reshape(-1)[3:].view("u4")]
        del array
        for number in order:
            if number == 0 and number % 2:
                parts[0].close()
            assert all(part is None or np.asarray(part).max() == 7 for part in parts)
            parts[number] = None
        gc.collect()
        assert weft.Namespace().names() == []


def test_closing_never_fails_and_leaves_views():
    array = weft.SharedArray("a", 1000, "u1")
    view, memory = array.array[10:20], memoryview(array.array)
    array.close()
    array.close()
    assert array.closed
    view[:] = 9
    assert bytes(memory[9:12]) == b"\0\x09\x09"
    for use in (
        lambda: array.array,
        lambda: array[0],
        lambda: len(array),
        lambda: array.shape,
        array.statistics,
        array.unlink,
    ):
        with pytest.raises(weft.ClosedError):
            use()
    with pytest.raises(weft.ClosedError):
        np.asarray(array)
    assert repr(array) == "<weft.SharedArray 'a' closed>"
    with weft.SharedArray("a") as again:  # the views keep it in being
        assert again.array[10] == 9


def test_kept_and_unlinked():
    with weft.SharedArray("a", 3, "u1", lifetime="kept") as array:
        array.array[:] = 1
    with weft.SharedArray("a") as array:
        assert array.array.sum() == 3
        array.unlink()
        array.array[:] = 2
        assert array.array.sum() == 6
        with pytest.raises(weft.NotFoundError):
            weft.SharedArray("a")


def test_a_killed_user_leaves_nothing():
    code = "array = weft.SharedArray('a', 1000); array.array[:] = 1; say('ready'); hear()"
    with start_program(code) as program:
        program.expect("ready")
        program.process.kill()
        program.process.wait()
    with weft.SharedArray("a", 5, "u1") as array:  # another one: the former has gone with its user
        assert array.array.sum() == 0


# --- travelling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["grid", None])
def test_pickle_and_token(name):
    with weft.SharedArray(name, (2, 2), "u1") as array:
        with pickle.loads(pickle.dumps(array)) as again, weft.open(array.token) as third:
            again.array[0] = 3
            third.array[1] = 4
            assert array.array.tolist() == [[3, 3], [4, 4]]
            assert again.name == array.name
        said = run_program("say(weft.open(sys.argv[1]).array.sum())", array.token)
        assert said == "14\n"


def fill(array, value):
    array.array[:] = value


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_every_start_method(method):
    code = """
    import multiprocessing
    from tests.unit.test_shared_array import fill
    if __name__ == "__main__":
        array = weft.SharedArray(None, 4, "u1")
        process = multiprocessing.get_context(sys.argv[1]).Process(target=fill, args=(array, 5))
        process.start()
        process.join()
        say(array.array.sum(), process.exitcode)
        array.close()
    """
    assert method in multiprocessing.get_all_start_methods()
    assert run_program(code, method) == "20 0\n"


def test_a_forked_child_takes_part():
    said = run_program("""
        import os
        array = weft.SharedArray("a", 4, "u1")
        view = array.array[1:]
        pid = os.fork()
        if not pid:
            array.array[0] = 1
            view[:] = 2
            assert array.statistics().attached == 2
            sys.stdout.flush()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        say(array.array.tolist(), array.statistics().attached)
        array.close()
        del view
        sys.stdout.flush()
        os._exit(0)
    """)
    assert said == "[1, 2, 2, 2] 1\n"


# --- the rest --------------------------------------------------------------------------------------


def test_statistics_and_words(grid, namespace):
    with weft.Namespace(namespace).SharedArray("grid", (3, 4), "i4"):
        numbers = grid.statistics()
        assert (numbers.size, numbers.attached) == (48, 2)
        assert numbers.reserved >= 48
    assert repr(grid) == "<weft.SharedArray 'grid' shape=(3, 4) dtype=int32>"
    assert (grid.name, grid.path) == ("grid", namespace / "grid")
    assert weft.memory.inspect("grid").size == 48
    assert weft.memory.inspect("grid").details["dtype"] == "<i4"


def test_opened_once(grid):
    with pytest.raises(RuntimeError):
        grid.__init__("grid")


def test_threads_open_and_close():
    def work():
        for _ in range(100):
            with weft.SharedArray("a", (4, 4), "i8") as array:
                view = array.array[1:]
            view += 1

    with weft.SharedArray("a", (4, 4), "i8") as array:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert array.array.max() <= 400


@pytest.mark.parametrize(
    "fields",
    [
        {"geometry": (49,) + (0,) * 7},
        {"geometry": (1 << 60,) + (0,) * 7},
        {"config": b"{}".ljust(2048, b"\0"), "config_bytes": 2},
        {"config": b'{"shape":"3,4","dtype":"<i4","order":"X"}'.ljust(2048, b"\0"), "config_bytes": 41},
        {"config": b'{"shape":"3,5","dtype":"<i4","order":"C"}'.ljust(2048, b"\0"), "config_bytes": 41},
        {"config": b'{"shape":"-3,-4","dtype":"<i4","order":"C"}'.ljust(2048, b"\0"), "config_bytes": 43},
        {"config": b'{"shape":"3,4","dtype":"O","order":"C"}'.ljust(2048, b"\0"), "config_bytes": 39},
    ],
    ids=["size", "huge", "empty", "order", "shape", "negative", "objects"],
)
def test_forged_headers(fields):
    weft.SharedArray("a", (3, 4), "i4", lifetime="kept").close()
    path = weft.Namespace().path / "a"
    forge(path, **fields)
    with pytest.raises(weft.CorruptedError):
        weft.SharedArray("a")
    path.unlink()


def test_a_file_that_has_been_cut_off():
    weft.SharedArray("a", 100_000, "u1", lifetime="kept").close()
    path = weft.Namespace().path / "a"
    os.truncate(path, 0x12000 + 4096)
    with pytest.raises(weft.CorruptedError):
        weft.SharedArray("a")
    path.unlink()


def test_without_numpy():
    said = run_program("""
        sys.modules["numpy"] = None
        try:
            weft.SharedArray("a", 3)
        except ImportError as error:
            say(error)
        say(weft.Namespace().names())
    """)
    assert said == "SharedArray needs NumPy: install it (pip install numpy)\n[]\n"
