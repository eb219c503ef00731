"""NumPy arrays and scalars through the default codec."""

import os
import pickle
import subprocess
import sys
import textwrap

import pytest

from weft._core import codec

numpy = pytest.importorskip("numpy")

LARGE = 8192


@pytest.fixture(scope="module")
def default():
    return codec.DefaultCodec()


@pytest.fixture(params=[False, True], ids=["copied", "in place"])
def back(default, request):
    def back(obj):
        message, body_size = codec.encode_message(default, obj)
        return codec.decode_message(default, message, body_size, view=request.param)

    back.in_place = request.param
    return back


def same(result, expected):
    assert type(result) is type(expected)
    assert result.dtype == expected.dtype
    assert result.dtype.type is expected.dtype.type
    assert result.dtype.char == expected.dtype.char
    assert result.dtype.isalignedstruct == expected.dtype.isalignedstruct
    assert result.shape == expected.shape
    assert result.tobytes("A") == expected.tobytes("A")
    if expected.nbytes and (expected.flags.c_contiguous or expected.flags.f_contiguous):
        assert result.flags.c_contiguous == expected.flags.c_contiguous
        assert result.flags.f_contiguous == expected.flags.f_contiguous


NESTED = numpy.dtype([("a", "<i4"), ("b", [("x", ">f8"), ("y", "S3", (2, 2))]), ("c", "M8[us]")])
DTYPES = [
    *("?", "i1", "u1", "i2", ">u2", "<i4", ">i8", "u8", "l", "q", ">Q", "i", "I"),
    *("f2", "f4", ">f8", "g", "c8", ">c16", "G"),
    *("S1", "S7", "U3", ">U3", "V5", "M8[ns]", ">M8[D]", "m8[25s]"),
    NESTED,
    numpy.dtype([("a", "i1"), ("b", "f8")], align=True),
    numpy.dtype({"names": ["q", "r"], "formats": ["i2", "u1"], "offsets": [5, 1], "itemsize": 11}),
    numpy.dtype({"names": ["q"], "formats": ["i2"], "titles": ["Quality"]}),
    numpy.dtype((numpy.record, [("a", "i4")])),
    numpy.dtype([]),
]


def filled(shape, dtype, order="C"):
    dtype = numpy.dtype(dtype)
    array = numpy.empty(shape, dtype, order)
    if array.nbytes and dtype.kind != "U":
        data = numpy.arange(array.nbytes, dtype="u1") % (2 if dtype.kind == "b" else 251)
        array = numpy.ndarray(shape, dtype, bytearray(data.tobytes()), 0, None, order)
    elif dtype.kind == "U":
        array[...] = "héy"
    return array


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (0, 5), (3, 1, 2), (40, 50, 6)], ids=str)
def test_every_dtype_and_shape(back, dtype, shape):
    same(back(filled(shape, dtype)), filled(shape, dtype))
    same(back(filled(shape, dtype, "F")), filled(shape, dtype, "F"))


@pytest.mark.parametrize(
    "select",
    [lambda a: a[::2], lambda a: a[:, ::-1], lambda a: a.T[1:], lambda a: a[..., None], lambda a: a[:, :0]],
)
@pytest.mark.parametrize("dtype", ["u1", ">i4", "M8[s]", NESTED], ids=str)
def test_what_is_not_contiguous_is_packed(back, select, dtype):
    array = select(filled((20, 30), dtype))
    result = back(array)
    assert (result.shape, result.dtype, result.tobytes()) == (array.shape, array.dtype, array.tobytes())
    assert result.flags.forc


def test_broadcast_arrays_are_written_out(back):
    array = numpy.broadcast_to(numpy.arange(4.0), (3, 4))
    assert (back(array) == array).all()
    assert back(array).strides == (32, 8)


def test_large_arrays_come_back_as_readonly_views(back):
    large, small = back([numpy.zeros(LARGE, "u1"), numpy.zeros(LARGE - 1, "u1")])
    assert large.flags.writeable is not back.in_place
    assert small.flags.writeable


def test_a_view_keeps_the_message(default):
    message, body_size = codec.encode_message(default, numpy.arange(10_000))
    result = codec.decode_message(default, message, body_size, view=True)
    assert numpy.shares_memory(result, numpy.frombuffer(message, "u1"))
    del message
    assert (result == numpy.arange(10_000)).all()


SCALARS = [
    numpy.bool_(True),
    numpy.int8(-3),
    numpy.uint64(2**64 - 1),
    numpy.longlong(5),
    numpy.ulonglong(5),
    numpy.float16(1.5),
    numpy.float64(0.1),
    numpy.float64("nan"),
    numpy.longdouble(1) / 3,
    numpy.complex64(1 - 2j),
    numpy.datetime64("2024-01-01T12", "h"),
    numpy.datetime64("NaT", "s"),
    numpy.timedelta64(5, "25s"),
    numpy.void(b"abc"),
    filled((), NESTED)[()],
    filled((), numpy.dtype((numpy.record, [("a", "i4")])))[()],
]


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda scalar: type(scalar).__name__)
def test_scalars(back, scalar):
    result = back([scalar])[0]
    assert type(result) is type(scalar)
    assert result.dtype == scalar.dtype
    assert result.tobytes() == scalar.tobytes()


@pytest.mark.parametrize("text", ["", "abc", "é日", "a\0", "x" * LARGE])
def test_text_scalars(back, text):
    for scalar in (numpy.str_(text), numpy.bytes_(text.encode())):
        result = back(scalar)
        assert type(result) is type(scalar)
        assert len(result) == len(scalar)
        assert result == scalar


def test_scalars_as_keys(back):
    message = {numpy.float64(1.5): 1, numpy.str_("a"): 2, numpy.int64(7): 3, numpy.datetime64("2024"): 4}
    result = back(message)
    assert result == message
    assert [type(key) for key in result] == [type(key) for key in message]


def refused():
    yield numpy.array([object()])
    yield numpy.array([(1, None)], [("a", "i4"), ("b", "O")])
    yield numpy.zeros((2, 2)).view(numpy.matrix)
    yield numpy.ma.masked_array([1, 2], [True, False])
    yield numpy.zeros(3, "i4,f8").view(numpy.recarray)
    yield type("Sub", (numpy.ndarray,), {})((2,))
    yield type("Sub", (numpy.float64,), {})(1.0)
    yield type("Sub", (numpy.str_,), {})("x")
    yield numpy.dtype({"names": ["q"], "formats": ["i2"], "titles": [(1, 2)]}).type
    yield numpy.zeros(1, {"names": ["q"], "formats": ["i2"], "titles": [(1, 2)]})
    yield numpy.dtype("i4")
    if hasattr(numpy.dtypes, "StringDType"):
        yield numpy.array(["x"], numpy.dtypes.StringDType())


@pytest.mark.parametrize("obj", list(refused()), ids=lambda obj: type(obj).__name__)
def test_what_numpy_has_besides_is_refused(default, obj):
    for _ in range(2):
        with pytest.raises(TypeError, match=r" at \['k'\]: use codec='pickle'"):
            codec.encode_message(default, {"k": obj})


def test_dtypes_that_compare_equal_are_kept_apart(back):
    fields = {"names": ["a", "b"], "formats": ["i4", "i4"], "offsets": [0, 4], "itemsize": 8}
    plain, aligned = numpy.dtype(fields), numpy.dtype(fields, align=True)
    record = numpy.dtype((numpy.record, plain))
    outer = [numpy.dtype([("f", inner)]) for inner in (plain, aligned, record, "l", "q")]
    for dtype in (plain, aligned, record, numpy.dtype("q"), numpy.dtype("l"), plain, *outer):
        result = back(filled((2,), dtype))
        same(result, filled((2,), dtype))
        if dtype in outer:
            assert result["f"].dtype.type is dtype["f"].type
            assert result["f"].dtype.char == dtype["f"].char


def test_more_dtypes_than_are_remembered(back):
    for size in range(1, 600):
        same(back(filled((1,), f"S{size}")), filled((1,), f"S{size}"))


def test_pickle_codec_gives_views(default):
    pickling = codec.PickleCodec()
    for array in (numpy.arange(10_000), numpy.asfortranarray(numpy.ones((100, 200)))):
        message, body_size = codec.encode_message(pickling, {"a": array, "b": numpy.arange(3)})
        assert body_size < 1000
        for view in (False, True):
            result = codec.decode_message(pickling, message, body_size, view=view)
            same(result["a"], array)
            assert result["a"].flags.writeable is not view
            assert result["b"].flags.writeable
    strided = pickle.PickleBuffer(numpy.zeros((200, 200))[:, ::2])
    with pytest.raises(pickle.PicklingError):
        codec.encode_message(pickling, strided)


def test_a_receiver_without_numpy_gets_memoryviews(default):
    arrays = [
        numpy.arange(6, dtype="<i4").reshape(2, 3),
        numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3)),
        numpy.array([True, False]),
        numpy.array([1, 2], "M8[s]"),
        numpy.array(["ab", "c"]),
        numpy.zeros(3, NESTED),
        numpy.array(1, ">u2"),
        numpy.array(1, "q"),
        numpy.float64(2.5),
        numpy.str_("text"),
        numpy.zeros((0, 4), "c8"),
        numpy.arange(LARGE, dtype="f4"),
    ]
    message, body_size = codec.encode_message(default, arrays)
    program = f"""
        import sys
        sys.modules["numpy"] = None
        from weft._core import codec
        message = sys.stdin.buffer.read()
        parts = codec.decode_message(codec.DefaultCodec(), message, {body_size}, view=True)
        print([p if isinstance(p, str) else (p.format, p.shape, p.nbytes, p.readonly) for p in parts])
        print(parts[0].tolist(), parts[1].tolist(), parts[8].tolist())
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        input=message,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    formats, values = result.stdout.decode().splitlines()
    item = NESTED.itemsize
    big = ">H" if sys.byteorder == "little" else "H"
    assert eval(formats) == [
        ("i", (2, 3), 24, True),
        ("d", (2, 3), 48, True),
        ("?", (2,), 2, True),
        ("q", (2,), 16, True),
        ("8s", (2,), 16, True),
        (f"{item}s", (3,), 3 * item, True),
        (big, (), 2, True),
        ("q", (), 8, True),
        ("d", (), 8, True),
        "text",
        ("8s", (0, 4), 0, True),
        ("f", (LARGE,), 4 * LARGE, True),
    ]
    assert values == "[[0, 1, 2], [3, 4, 5]] [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]] 2.5"
