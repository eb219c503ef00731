"""The codecs that leave the work to others: raw bytes, pickle, two functions."""

import array
import json
import pickle

import pytest

from weft._core import codec

LARGE = 8192


class Corrupted(Exception):
    pass


@pytest.fixture(autouse=True)
def errors():
    before = codec.set_errors(Corrupted)
    yield
    codec.set_errors(before)


@pytest.fixture(scope="module")
def default():
    return codec.DefaultCodec()


def round_trip(other, obj, **options):
    return codec.decode_message(other, *codec.encode_message(other, obj), **options)


@pytest.mark.parametrize("size", [0, 10, LARGE])
def test_raw(size):
    raw = codec.RawCodec()
    data = bytes(range(256)) * (size // 256) or b"x" * size
    for obj in (data, bytearray(data), memoryview(data), array.array("b", data), memoryview(data * 2)[: len(data)]):
        assert codec.encode_message(raw, obj) == (data, len(data))
        result = round_trip(raw, obj, view=True)
        assert type(result) is bytes
        assert result == data
    assert type(round_trip(raw, data, view=True, views=True)) is memoryview
    assert type(round_trip(raw, data, views=True)) is bytes


def test_raw_refuses():
    raw = codec.RawCodec()
    for obj in ("text", 1, None, [b"x"]):
        with pytest.raises(TypeError, match=r"raw.*bytes-like"):
            codec.encode_message(raw, obj)
    with pytest.raises(BufferError):
        codec.encode_message(raw, memoryview(b"abcdef")[::2])
    with pytest.raises(Corrupted):
        codec.decode_message(raw, b"abc", 2)


class Job:
    def __init__(self, number):
        self.number = number

    def __eq__(self, other):
        return self.number == other.number


def test_pickle():
    pickling = codec.PickleCodec()
    for obj in (None, Job(3), [Job(i) for i in range(10_000)], {"a": bytearray(LARGE)}):
        for view in (False, True):
            assert round_trip(pickling, obj, view=view) == obj


@pytest.mark.parametrize("kind", [bytes, bytearray])
@pytest.mark.parametrize("view", [False, True])
def test_pickle_keeps_large_buffers_out_of_line(kind, view):
    pickling = codec.PickleCodec()
    parts = [kind(b"x" * LARGE), kind(b"y" * 100), kind(b"z" * (LARGE + 1))]
    wrapped = [pickle.PickleBuffer(part) for part in parts]
    message, body_size = codec.encode_message(pickling, wrapped)
    assert body_size < 300
    result = codec.decode_message(pickling, message, body_size, view=view)
    assert result == parts
    assert [type(part) for part in result] == ([memoryview, kind, memoryview] if view else [kind] * 3)
    assert not view or result[0].readonly


def test_pickle_corrupt():
    pickling = codec.PickleCodec()
    message, body_size = codec.encode_message(pickling, pickle.PickleBuffer(b"x" * LARGE))
    for body in (b"", b"\x80\x05", b"\0", b"\0\x7f", b"\0\x01\0\x03\x80\x05.", message[: body_size - 1]):
        with pytest.raises(Corrupted):
            codec.decode_message(pickling, body, len(body))
    for cut in (message[:-1], message + b"x"):
        with pytest.raises(Corrupted):
            codec.decode_message(pickling, cut, body_size)


def test_what_pickling_raises_is_let_through():
    with pytest.raises((pickle.PicklingError, AttributeError)):
        codec.encode_message(codec.PickleCodec(), lambda: 0)


def test_callable():
    jsonic = codec.CallableCodec("json", lambda obj: json.dumps(obj).encode(), json.loads)
    assert jsonic.name == "json"
    assert round_trip(jsonic, {"a": [1, None]}) == {"a": [1, None]}
    seen = codec.CallableCodec("own", bytearray, lambda data: data)
    assert type(round_trip(seen, b"x", view=True)) is bytes
    assert type(round_trip(seen, b"x", view=True, views=True)) is memoryview
    with pytest.raises(TypeError, match="'bad' returned str"):
        codec.encode_message(codec.CallableCodec("bad", str, bytes), 1)
    with pytest.raises(ZeroDivisionError):
        codec.encode_message(codec.CallableCodec("bad", lambda obj: 1 / 0, bytes), 1)
    with pytest.raises(TypeError):
        codec.CallableCodec("none", None, bytes)


def test_names():
    codecs = codec.DefaultCodec(), codec.RawCodec(), codec.PickleCodec()
    assert [each.name for each in codecs] == ["default", "raw", "pickle"]


def test_a_codec_can_use_a_codec(default):
    wrapping = codec.CallableCodec(
        "wrapping",
        lambda obj: codec.encode_message(default, obj)[0],
        lambda data: codec.decode_message(default, data, len(data)),
    )
    assert round_trip(wrapping, [1, {"a": (2,)}]) == [1, {"a": (2,)}]
