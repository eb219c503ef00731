"""What the default codec does not carry: each is refused by its name and its place."""

import datetime
import decimal
import enum
import pickle
import sysconfig
import uuid
from collections import OrderedDict, namedtuple

import pytest

from weft._core import codec


@pytest.fixture(scope="module")
def default():
    return codec.DefaultCodec()


class Plus(datetime.tzinfo):
    def utcoffset(self, when):
        return datetime.timedelta(hours=1)


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    pass


class Dictionary(dict):
    pass


REFUSED = [
    object(),
    Colour.RED,
    Text("x"),
    Dictionary(),
    OrderedDict(a=1),
    namedtuple("Point", "x y")(1, 2),
    slice(1),
    Ellipsis,
    len,
    int,
    Plus(),
    datetime.datetime(2024, 1, 1, tzinfo=Plus()),
    type("Day", (datetime.date,), {})(2024, 1, 1),
    type("Number", (decimal.Decimal,), {})(1),
    pickle.PickleBuffer(b"x"),
]


@pytest.mark.parametrize("obj", REFUSED, ids=lambda obj: type(obj).__name__)
def test_other_types_are_refused_by_name_and_place(default, obj):
    name = type(getattr(obj, "tzinfo", None) or obj).__qualname__
    with pytest.raises(TypeError, match=name + ".*codec='pickle'.*type=.*convert"):
        codec.encode_message(default, obj)
    with pytest.raises(TypeError, match=r" at \['a'\]\[3\]\[0\]: "):
        codec.encode_message(default, {"b": 1, "a": [1, "x", (), (obj,)]})


def test_places_in_keys_sets_and_depth(default):
    for obj, place in [
        ({1: {(2, Plus): 3}}, r"\[1\]\{key\}\[1\]"),
        ([{Plus}], r"\[0\]\{element\}"),
        ({"k" * 100: Plus}, r"\['k+\.\.\.\]"),
    ]:
        with pytest.raises(TypeError, match=f"at {place}: "):
            codec.encode_message(default, obj)


def test_memoryviews_of_other_formats_are_refused(default):
    numpy = pytest.importorskip("numpy")
    for items in (numpy.zeros(3, "S5"), numpy.zeros(3, "i4,f8"), numpy.zeros(3, "c16")):
        with pytest.raises(TypeError, match="memoryview of the format"):
            codec.encode_message(default, memoryview(items))


def test_depth(default):
    def nested(depth, wrap, inner=0):
        for _ in range(depth):
            inner = wrap(inner)
        return inner

    moment = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1), "x"))
    for wrap in (lambda x: [x], lambda x: (x,), lambda x: {"k": x}, lambda x: frozenset({x})):
        deepest = nested(200, wrap, moment)
        message, body_size = codec.encode_message(default, deepest)
        assert codec.decode_message(default, message, body_size) == deepest
        with pytest.raises(ValueError, match="200 deep"):
            codec.encode_message(default, nested(201, wrap))
    loop = []
    loop += [loop, loop]
    with pytest.raises(ValueError, match=r"contains itself: at \[0\]\[0\]"):
        codec.encode_message(default, loop)


@pytest.mark.skipif(bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="a private copy is encoded there")
def test_a_container_that_changes_during_encode_is_an_error(default, monkeypatch):
    """Encoding a UUID reads `int`, which can be made a property here that runs Python code."""
    for make, change in [
        (lambda item: [item, 1], lambda holder: holder.clear()),
        (lambda item: [item, 1], lambda holder: holder.extend(range(100))),
        (lambda item: {"a": item, "b": 1}, lambda holder: holder.clear()),
        (lambda item: {"a": item, "b": 1}, lambda holder: holder.update({i: i for i in range(100)})),
        (lambda item: {(item,): "x" * 100, "b": 1}, lambda holder: holder.clear()),
    ]:
        holder = make(uuid.uuid4())
        with monkeypatch.context() as patch:
            patch.setattr(uuid.UUID, "int", property(lambda self, do=change, it=holder: do(it) or 7))
            with pytest.raises(RuntimeError, match="changed size"):
                codec.encode_message(default, holder)
