"""Cells of NumPy arrays."""

import gc
import itertools

import pytest

import weft

from ..helpers import run_program

np = pytest.importorskip("numpy")

STRUCTURED = np.dtype([("time", "M8[us]"), ("pose", "f4", (3,)), ("name", "S8"), ("inner", [("a", ">i2"), ("b", "?")])])
DTYPES = ["u1", "i8", ">f8", "f2", "c16", "?", "M8[ns]", "m8[s]", "S5", "U3", "V7", STRUCTURED]
try:
    np.lib.format.dtype_to_descr(np.dtype("V7"))
except ValueError:  # pragma: no cover
    DTYPES.remove("V7")


def some(shape, dtype):
    """An array of no particular content."""
    kind = np.dtype(dtype)
    count = int(np.prod(shape, dtype=int)) * kind.itemsize
    data = np.arange(count, dtype="u1") % 2 if kind.kind in "?V" else np.arange(count, dtype="u1") % 64
    if kind.kind == "U":
        return np.full(shape, "aü", kind)
    return data.view(kind).reshape(shape)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4), (2, 3, 5)])
def test_arrays_come_back_as_they_were(shape, dtype):
    with weft.Cell("c", shape=shape, dtype=dtype) as cell, weft.Cell("c") as other:
        for turn in range(3):
            array = np.roll(some(shape, dtype), turn) if shape else some(shape, dtype)
            assert cell.set(array) == turn + 1
            for got in (other.get(), other.view()):
                # NumPy's scalars have the machine's byte order, and text its own width.
                assert got.dtype == np.dtype(dtype) or not shape
                assert got.shape == shape
                assert np.array_equal(got, array)
        assert not other.view().flags.writeable
        if shape:
            assert other.get().flags.writeable


@pytest.mark.parametrize("size", [600, 5_000, 70_000, 2_000_000])
def test_of_all_sizes(size):
    with weft.Cell("c", shape=size, dtype="u1") as cell:
        for turn in range(20):
            cell.set(np.full(size, turn, "u1"))
            assert np.array_equal(cell.get(), np.full(size, turn, "u1"))


def test_default_dtype_and_scalars():
    with weft.Cell(shape=3) as cell:
        cell.set([1, 2, 3])
        assert cell.get().dtype == "f8"
    with weft.Cell(dtype="i4") as cell:
        cell.set(5)
        assert (cell.get(), type(cell.get())) == (5, np.int32)
        assert cell.view().shape == ()


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.arange(24, dtype="i4").reshape(4, 6)[:, ::2],
        lambda: np.asfortranarray(np.arange(12, dtype="i4").reshape(4, 3)),
        lambda: np.arange(12, dtype="i2").reshape(4, 3),
        lambda: np.arange(12, dtype=">i4").reshape(4, 3),
        lambda: np.arange(12).reshape(4, 3).tolist(),
        lambda: np.ma.masked_array(np.arange(12, dtype="i4").reshape(4, 3)),
    ],
)
def test_whatever_makes_such_an_array_is_set(make):
    with weft.Cell("c", shape=(4, 3), dtype="i4") as cell:
        cell.set(make())
        assert np.array_equal(cell.get(), np.asarray(make()))


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (np.zeros((3, 4), "i4"), ValueError),
        (np.zeros(12, "i4"), ValueError),
        (5, ValueError),
        (np.zeros((4, 3), "f4"), TypeError),
        ("text", ValueError),
        (None, (TypeError, ValueError)),
        ([[object()] * 3] * 4, (TypeError, ValueError)),
    ],
    ids=["transposed", "flat", "scalar", "float", "text", "none", "objects"],
)
def test_another_shape_or_kind_is_refused(value, error):
    with weft.Cell("c", shape=(4, 3), dtype="i4") as cell:
        cell.set(np.ones((4, 3), "i4"))
        with pytest.raises(error):
            cell.set(value)
        assert cell.version == 1
        assert cell.get().sum() == 12


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"dtype": "O"}, TypeError),
        ({"dtype": [("a", "i4"), ("b", "O")]}, TypeError),
        ({"dtype": "nonsense"}, TypeError),
        ({"shape": (-1,)}, ValueError),
        ({"shape": (0,)}, ValueError),
        ({"shape": (1 << 40,)}, ValueError),
        ({"shape": "ab"}, TypeError),
        ({"shape": 1.5}, TypeError),
        ({"shape": (1,) * 33}, ValueError),
        ({"dtype": "S0"}, ValueError),
        ({"dtype": {"names": ["a", "b"], "formats": ["i4", "i4"], "offsets": [0, 2]}}, TypeError),
    ],
    ids=repr,
)
def test_layouts_that_cannot_be(options, error):
    with pytest.raises(error):
        weft.Cell("c", **options)
    assert weft.Namespace().names() == []


def test_arrays_of_arrays_are_of_more_dimensions():
    with weft.Cell("c", shape=3, dtype=("f4", (2, 2))) as cell:
        cell.set(np.ones((3, 2, 2)))
        with weft.Cell("c", shape=(3, 2, 2), dtype="f4") as other:
            assert other.get().shape == (3, 2, 2)


def test_what_is_there_must_be_what_was_asked_for():
    with weft.Cell("c", shape=(2, 3), dtype="f4"), weft.Cell("d"):
        with pytest.raises(weft.MismatchError, match=r"shape \(2, 2\) was asked for and is \(2, 3\)") as caught:
            weft.Cell("c", shape=(2, 2), dtype="f4")
        assert caught.value.expected == {"shape": (2, 2)}
        assert caught.value.found == {"shape": (2, 3)}
        with pytest.raises(weft.MismatchError, match="dtype '<f8' was asked for and is '<f4'"):
            weft.Cell("c", shape=(2, 3))
        for options in ({"codec": "raw"}, {"codec": "default"}, {"type": int}):
            with pytest.raises(weft.MismatchError, match="is 'array'"):
                weft.Cell("c", **options)
        with pytest.raises(weft.MismatchError, match="codec 'array' was asked for and is 'default'"):
            weft.Cell("d", dtype="f4")


def test_untyped_cells_take_arrays_too():
    with weft.Cell("c", size=300_000) as cell:
        for array in (np.arange(10), np.arange(20_000.0).reshape(100, 200), np.asfortranarray(np.ones((100, 100)))):
            cell.set({"array": array, "again": array[::2]})
            got = cell.get()
            assert np.array_equal(got["array"], array)
            assert np.array_equal(got["again"], array[::2])
            got["array"][0] = 5  # the caller's own


def test_views_in_any_order_of_deletion():
    for order in itertools.permutations(range(4)):
        cell = weft.Cell("c", shape=1000, dtype="i4")
        parts = []
        for number in range(2):
            cell.set(np.full(1000, number, "i4"))
            view = cell.view()
            parts += [view, view[10:20].reshape(2, 5)]
        del view
        parts.append(cell)
        cell.close()
        del cell
        for number in order:
            assert all(part is None or part.max() == index // 2 for index, part in enumerate(parts[:4]))
            parts[number] = None
        parts.clear()
        gc.collect()
        assert weft.Namespace().names() == []


def test_without_numpy():
    said = run_program(
        """
        sys.modules["numpy"] = None
        with weft.Cell("c") as cell:
            cell.set({"a": 1})
            assert cell.get() == {"a": 1}
        try:
            weft.Cell("a", shape=3)
        except ImportError as error:
            say(error)
        """
    )
    assert said == "an array needs NumPy: install it (pip install numpy)\n"
