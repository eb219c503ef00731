"""The default codec, type by type: what was put comes back."""

import array
import datetime
import decimal
import math
import os
import struct
import subprocess
import sys
import threading
import uuid
import zoneinfo

import pytest

from weft._core import codec

LARGE = 8192


@pytest.fixture(scope="module")
def default():
    return codec.DefaultCodec()


@pytest.fixture
def back(default):
    """Encodes and decodes an object: copied, as views, or both compared."""

    def back(obj, *, view=False, views=False):
        message, body_size = codec.encode_message(default, obj)
        return codec.decode_message(default, message, body_size, view=view, views=views)

    return back


INTS = [0, 1, 63, 64, 127, 128, 255, 256, -1, -128, -129, 2**15, -(2**15) - 1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1]
INTS += [2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**100, -(10**100), 1 << 100_000]


@pytest.mark.parametrize("number", INTS, ids=lambda number: f"{number.bit_length()} bits")
def test_int(back, number):
    result = back(number)
    assert type(result) is int
    assert result == number


@pytest.mark.parametrize("constant", [None, True, False])
def test_constants(back, constant):
    assert back(constant) is constant


@pytest.mark.parametrize(
    "bits",
    [0, 1, 1 << 63, 0x3FF8 << 48, 0x7FF0 << 48, 0x7FF8 << 48, 0xFFF8DEADBEEF0001, 0x7FF0000000000001],
)
def test_float_is_bit_exact(back, bits):
    (number,) = struct.unpack("<d", struct.pack("<Q", bits))
    result = back(number)
    assert type(result) is float
    assert struct.pack("<d", result) == struct.pack("<Q", bits)
    result = back(complex(number, -0.0))
    assert type(result) is complex
    assert struct.pack("<dd", result.real, result.imag) == struct.pack("<Qd", bits, -0.0)


TEXTS = ["", "x", "é", "日", "🙂", "\xff", "e\0", "a" * 63, "a" * 64, "é" * 32]
TEXTS += ["\ud800", "x\udfff\ud800", "\ud83d\ude42"]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
@pytest.mark.parametrize("times", [1, LARGE + 1])
def test_str(back, text, times):
    text *= times
    for view in (False, True):
        result = back(text, view=view, views=view)
        assert type(result) is str
        assert result == text


@pytest.mark.parametrize("size", [0, 1, 15, 16, 200, LARGE - 1, LARGE, LARGE + 1, 1 << 20])
def test_bytes_and_bytearray(back, size):
    data = bytes(i % 251 for i in range(size))
    for view in (False, True):
        for kind in (bytes, bytearray):
            result = back(kind(data), view=view)
            assert type(result) is kind
            assert result == data


def test_large_bytes_as_views_only_where_asked_for(back):
    message = [b"x" * LARGE, b"y" * (LARGE - 1)]
    large, small = back(message, view=True, views=True)
    assert type(large) is memoryview
    assert large.readonly
    assert large == message[0]
    assert type(small) is bytes
    assert type(back(message, view=False, views=True)[0]) is bytes  # nothing to have a view of


@pytest.mark.parametrize(
    "container",
    [
        [],
        (),
        {},
        set(),
        frozenset(),
        [1, [2, [3]]],
        (1, (2,), "x"),
        list(range(15)),
        list(range(16)),
        tuple(range(300)),
        {1, "a", (2, 3), frozenset({4})},
        frozenset(range(100)),
        {"a": 1, 2: "b", None: [], (1, "x"): {}, 1.5: (), b"k": 0, frozenset({1}): 1, True: False},
        {i: str(i) for i in range(1000)},
        {"é": 1, "x" * 40: 2, "": 3},
        range(0),
        range(3, 10**30, 7),
        range(10, -10, -3),
    ],
    ids=lambda container: type(container).__name__,
)
def test_containers(back, container):
    result = back(container)
    assert type(result) is type(container)
    assert result == container
    if isinstance(container, dict):
        assert list(result) == list(container)


def test_dict_keys_that_share_a_cache_slot_are_kept_apart(back):
    for _ in range(2):
        for length in range(40):
            for letter in "abcdefgh":
                message = {letter * length: 1, "z" + letter * length: 2}
                assert back(message) == message


ZONES = [
    None,
    datetime.UTC,
    datetime.timezone(datetime.timedelta(hours=-3, minutes=7, microseconds=1)),
    datetime.timezone(datetime.timedelta(0), "GMT"),
    zoneinfo.ZoneInfo("Europe/Berlin"),
]
NAIVE = [
    datetime.datetime.min,
    datetime.datetime.max,
    datetime.datetime(2024, 2, 29, 12, 34, 56, 789012),
    datetime.datetime(2024, 10, 27, 2, 30, fold=1),
]


@pytest.mark.parametrize("zone", ZONES, ids=str)
@pytest.mark.parametrize("naive", NAIVE, ids=str)
def test_datetime_and_time(back, naive, zone):
    for moment in (naive.replace(tzinfo=zone), naive.timetz().replace(tzinfo=zone)):
        result = back(moment)
        assert type(result) is type(moment)
        assert result.replace(tzinfo=None) == moment.replace(tzinfo=None)
        assert result.fold == moment.fold
        assert repr(result.tzinfo) == repr(zone)
    assert back(naive.date()) == naive.date()
    assert type(back(naive.date())) is datetime.date


def test_zones_by_themselves(back):
    for zone in ZONES:
        result = back(zone)
        assert type(result) is type(zone)
        assert result == zone
    assert back(datetime.UTC) is datetime.UTC


@pytest.mark.parametrize(
    "delta", [datetime.timedelta.min, datetime.timedelta.max, datetime.timedelta(0), datetime.timedelta(-1, 3, 5)]
)
def test_timedelta(back, delta):
    assert type(back(delta)) is datetime.timedelta
    assert back(delta) == delta


@pytest.mark.parametrize(
    "text", ["0", "-0", "0E-7", "1.10", "-Infinity", "NaN123", "-sNaN7", "1E+999999", "1." + "3" * 10_000]
)
def test_decimal(back, text):
    with decimal.localcontext(prec=5):
        result = back(decimal.Decimal(text))
    assert type(result) is decimal.Decimal
    assert result.as_tuple() == decimal.Decimal(text).as_tuple()


def test_uuid(back):
    for safety in uuid.SafeUUID:
        identifier = uuid.UUID(int=0x0123456789ABCDEF0123456789ABCDEF, is_safe=safety)
        result = back(identifier)
        assert type(result) is uuid.UUID
        assert result == identifier
        assert result.is_safe is safety


@pytest.mark.parametrize("typecode", "bBhHiIlLqQfd")
@pytest.mark.parametrize("count", [0, 3, LARGE])
def test_array(back, typecode, count):
    items = array.array(typecode, [1, 2, 3][:count] if count < 4 else [5]) * max(1, count // 3)
    for view in (False, True):
        result = back(items, view=view)
        assert type(result) is array.array
        assert result.typecode == typecode
        assert result == items
        result.append(1)


@pytest.mark.parametrize("format", ["B", "c", "?", "h", "i", "q", "n", "f", "d", "P", "@i"])
@pytest.mark.parametrize("count", [0, 24, LARGE])
def test_memoryview(back, format, count):
    view = memoryview(bytes(count * struct.calcsize(format)))
    view = view.cast(format) if count else memoryview(view).cast("B")[:0]
    for in_place in (False, True):
        result = back(view, view=in_place)
        assert type(result) is memoryview
        assert result.readonly
        assert result.contiguous
        assert (result.format, result.shape, result.tobytes()) == (view.format, view.shape, view.tobytes())


def test_memoryview_keeps_its_shape_and_is_packed(back):
    data = memoryview(bytes(range(24)) * 512)
    shaped = data.cast("h", [2, 3, 4 * 256])
    for view in (shaped, data[::-2], data[1::3], data.cast("B", [24, 512]).cast("B")):
        for in_place in (False, True):
            result = back(view, view=in_place)
            assert result.tolist() == view.tolist()
            assert result.shape == view.shape
    with pytest.raises(TypeError):
        back(shaped)[0, 0, 0] = 1


def test_buffers_are_laid_out_at_multiples_of_64(default):
    parts = [b"a" * LARGE, bytearray(b"b" * (LARGE + 1)), "c" * LARGE]
    message, body_size = codec.encode_message(default, parts)
    first = -(-body_size // 64) * 64
    second = first + LARGE
    third = second + -(-(LARGE + 1) // 64) * 64
    assert len(message) == third + LARGE
    assert message[first:second] == parts[0]
    assert message[third:] == parts[2].encode()
    assert not any(message[body_size:first])
    assert not any(message[second + LARGE + 1 : third])
    assert codec.decode_message(default, message, body_size) == parts


def test_an_exporter_is_let_go_after_the_encode(default):
    data = bytearray(LARGE)
    codec.encode_message(default, [data])
    data.append(1)
    with pytest.raises(TypeError):
        codec.encode_message(default, [data, object()])
    data.append(1)


def test_repeated_short_messages_stay_short(default):
    assert len(codec.encode_message(default, {"id": 1, "name": "x", "xs": [1, 2, 3]})[0]) == 19


def test_codec_is_shared_by_threads(default):
    failures = []

    def work(number):
        message = {f"key{number}": [number] * 10, "shared": "x" * number, f"{number}": 1.5}
        for _ in range(300):
            if codec.decode_message(default, *codec.encode_message(default, message)) != message:
                failures.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_numpy_is_not_imported_to_tell_that_there_is_no_array():
    program = """if True:
        import sys
        from weft._core import codec
        default = codec.DefaultCodec()
        message = {"a": [1, 2.0, b"x", {3}], "b": ("x" * 10000, bytearray(9000), memoryview(b"x"))}
        assert codec.decode_message(default, *codec.encode_message(default, message)) == message
        try:
            codec.encode_message(default, object())
        except TypeError:
            pass
        print("numpy" in sys.modules)
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "False\n"


def test_nan_in_a_set_and_as_a_key(back):
    (result,) = back({math.nan})
    assert math.isnan(result)
    assert math.isnan(next(iter(back({math.nan: 1}))))
