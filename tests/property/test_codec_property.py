"""The default codec on values of any shape, and on bytes that no encoder has made."""

import array
import datetime
import decimal
import struct
import uuid
import zoneinfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft._core import codec

try:
    import numpy
except ImportError:
    numpy = None

DEFAULT = codec.DefaultCodec()


class Corrupted(Exception):
    pass


@pytest.fixture(autouse=True, scope="module")
def errors():
    before = codec.set_errors(Corrupted)
    yield
    codec.set_errors(before)


def same(a, b):
    """Whether two values are equal, type for type, bit for bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(i, j) and same(a[i], b[j]) for i, j in zip(a, b, strict=True))
    if isinstance(a, (set, frozenset)):
        return len(a) == len(b) and all(any(same(i, j) for j in b) for i in a)
    if type(a) is float:
        return struct.pack("<d", a) == struct.pack("<d", b)
    if type(a) is complex:
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, decimal.Decimal):
        return a.as_tuple() == b.as_tuple()
    if isinstance(a, (datetime.datetime, datetime.time)):
        return repr(a) == repr(b)
    if isinstance(a, memoryview):
        return (a.format, a.shape, a.tobytes(), True) == (b.format, b.shape, b.tobytes(), b.readonly)
    if isinstance(a, array.array):
        return a.typecode == b.typecode and a.tobytes() == b.tobytes()
    if numpy and isinstance(a, (numpy.ndarray, numpy.generic)):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    return a == b


ZONES = st.one_of(
    st.none(),
    st.just(datetime.UTC),
    st.timedeltas(datetime.timedelta(hours=-23), datetime.timedelta(hours=23)).map(datetime.timezone),
    st.sampled_from(["Europe/Paris", "America/New_York", "Etc/GMT+5", "UTC"]).map(zoneinfo.ZoneInfo),
)
TEXT = st.text(st.characters(exclude_categories=()), max_size=80)
KEYS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    TEXT,
    st.binary(max_size=40),
    st.binary(max_size=20).map(memoryview),
    st.dates(),
    st.times(timezones=ZONES),
    st.datetimes(timezones=ZONES),
    st.timedeltas(),
    st.uuids(),
    st.decimals(allow_nan=False),
    st.builds(range, st.integers(), st.integers(), st.integers(min_value=1)),
)
LEAVES = [
    KEYS,
    st.decimals(),
    st.binary(min_size=8000, max_size=8400),
    st.binary(min_size=8000, max_size=8400).map(bytearray),
    st.builds(lambda text, times: text * times, TEXT, st.integers(0, 500)),
    st.builds(lambda items: memoryview(array.array("h", items)), st.lists(st.integers(-99, 99))),
    st.builds(array.array, st.sampled_from("bhilqfd"), st.lists(st.integers(-99, 99))),
]
if numpy:
    from hypothesis.extra import numpy as st_numpy

    DTYPES = st.one_of(
        st_numpy.scalar_dtypes(),
        st_numpy.unicode_string_dtypes(),
        st_numpy.byte_string_dtypes(),
        st_numpy.nested_dtypes(max_leaves=4, max_itemsize=64),
    ).filter(lambda dtype: not dtype.subdtype)
    SHAPES = st.lists(st.integers(0, 6), max_size=4).map(tuple)

    def filled(dtype, shape, order, data):
        items = numpy.zeros(shape, dtype, order)
        if items.nbytes and dtype.kind not in "U":
            repeated = data * (items.nbytes // len(data) + 1)
            items = numpy.ndarray(shape, dtype, bytearray(repeated[: items.nbytes]), 0, None, order)
        return items

    ARRAYS = st.builds(filled, DTYPES, SHAPES, st.sampled_from("CF"), st.binary(min_size=1, max_size=16))
    LEAVES += [
        ARRAYS,
        ARRAYS.filter(lambda items: items.ndim).map(lambda items: items[::-2]),
        ARRAYS.filter(lambda items: items.ndim == 0 and items.dtype.kind not in "U").map(lambda items: items[()]),
    ]

HASHABLE = st.recursive(
    KEYS,
    lambda inner: st.one_of(st.lists(inner, max_size=4).map(tuple), st.frozensets(inner, max_size=4)),
    max_leaves=6,
)
VALUES = st.recursive(
    st.one_of(LEAVES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=20),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(HASHABLE, inner, max_size=20),
        st.sets(HASHABLE, max_size=6),
        HASHABLE,
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(VALUES, st.booleans())
def test_what_was_put_comes_back(value, view):
    message, body_size = codec.encode_message(DEFAULT, value)
    assert same(value, codec.decode_message(DEFAULT, message, body_size, view=view))


@settings(deadline=None)
@given(st.one_of(KEYS, st.lists(st.integers()), st.dictionaries(TEXT, st.floats(allow_nan=False))))
def test_a_message_says_all_and_nothing_else(value):
    """Encoding again what came back gives the same message."""
    message, body_size = codec.encode_message(DEFAULT, value)
    assert codec.encode_message(DEFAULT, codec.decode_message(DEFAULT, message, body_size)) == (message, body_size)


def decode_anything(data, body_size):
    """Decodes to a value or to CorruptedError; the value can be looked at and sent on."""
    for view in (False, True):
        try:
            value = codec.decode_message(DEFAULT, data, body_size, view=view, views=view)
        except Corrupted:
            continue
        codec.encode_message(DEFAULT, value)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200), st.integers(0, 200))
def test_random_bytes(data, body_size):
    decode_anything(data, min(body_size, len(data)))
    decode_anything(data, len(data))


TAGGED = st.lists(
    st.one_of(
        st.integers(0xC0, 0xE4).map(lambda tag: bytes([tag])),
        st.integers(0, 0xFF).map(lambda byte: bytes([byte])),
        st.sampled_from([b"\x43<f8", b"\x43|u1", b"\x41B", b"\x41q", b"\x91\x02C", b"\x90C", b"\x92\x01\x02F"]),
        st.binary(max_size=12),
    ),
    max_size=24,
).map(b"".join)


@settings(deadline=None, max_examples=500)
@given(TAGGED)
def test_bytes_that_look_like_a_message(data):
    decode_anything(data, len(data))


@settings(deadline=None, max_examples=300)
@given(VALUES, st.data())
def test_damaged_messages(value, data):
    message, body_size = codec.encode_message(DEFAULT, value)
    damaged = bytearray(message)
    for _ in range(data.draw(st.integers(1, 4))):
        # Most of what decides is in the body, so most damage goes there.
        at = data.draw(st.integers(0, body_size - 1))
        damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    decode_anything(bytes(damaged), body_size)
    cut = data.draw(st.integers(0, len(message)))
    decode_anything(message[:cut], min(cut, body_size))
    decode_anything(bytes(damaged[:cut]), min(cut, body_size))
    decode_anything(message, data.draw(st.integers(0, len(message))))


@given(st.uuids(), st.binary(max_size=60))
def test_cached_keys_are_never_mistaken(identifier, data):
    """Keys of all lengths and of few distinct bytes, so that slots of the key cache collide."""
    keys = [data[:size].hex() for size in range(len(data))] + [str(identifier), uuid.UUID(int=0).hex]
    message = {key: size for size, key in enumerate(keys)}
    assert codec.decode_message(DEFAULT, *codec.encode_message(DEFAULT, message)) == message
