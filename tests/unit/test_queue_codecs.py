"""Codecs as a queue uses them: what passes, what is refused, and what a message may do on arrival."""

import contextlib
import dataclasses
import datetime

import msgspec
import numpy as np
import pytest

import weft

from ..segments import forge

LARGE = 100_000


class Job(msgspec.Struct):
    number: int
    tags: list[str] = []


@dataclasses.dataclass
class Point:
    x: float
    y: float


class Anything:
    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return isinstance(other, Anything) and np.array_equal(self.value, other.value)


class Reversed:
    """A user's codec."""

    name = "reversed"

    def encode(self, obj):
        return obj.encode()[::-1]

    def decode(self, data):
        assert memoryview(data).readonly
        return bytes(data)[::-1].decode()


# --- raw -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, "u1")])
@pytest.mark.parametrize("size", [0, 1, 8192, 8193, LARGE])
def test_raw_passes_buffers_as_bytes(open_queue, make, size):
    queue = open_queue("q", codec="raw")
    queue.put(make(b"r" * size))
    taken = queue.get()
    assert type(taken) is bytes
    assert taken == b"r" * size


@pytest.mark.parametrize("message", ["text", 5, None, [b"x"], {}])
def test_raw_refuses_all_else(open_queue, message):
    queue = open_queue("q", codec="raw")
    with pytest.raises(TypeError):
        queue.put(message)
    assert queue.empty()


# --- pickle ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [Anything(5), Job(1), Point(1, 2), {1, 2}, range(3), datetime.UTC, int, b"p" * LARGE, Anything("x" * LARGE)],
)
def test_pickle_passes_anything(open_queue, message):
    queue = open_queue("q", codec="pickle")
    queue.put(message)
    assert queue.get() == message


def test_pickle_passes_buffers_out_of_band(open_queue):
    queue = open_queue("q", codec="pickle")
    message = Anything(np.arange(LARGE))
    queue.put({"one": message, "two": np.ones(LARGE)})
    taken = queue.get()
    assert taken["one"] == message
    assert taken["two"].sum() == LARGE
    queue.close()
    del queue
    assert taken["one"] == message


def test_pickle_refuses_what_cannot_be_pickled(open_queue):
    queue = open_queue("q", codec="pickle")
    with pytest.raises((TypeError, AttributeError)):
        queue.put(lambda: None)
    assert queue.empty()


# --- json, msgspec, types --------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["json", "msgspec"])
@pytest.mark.parametrize("message", [None, 5, -1.5, "text", [1, [2, {"a": None}]], {"k": "v" * LARGE}, {}])
def test_json_and_msgspec(open_queue, codec, message):
    queue = open_queue("q", codec=codec)
    queue.put_many([message, message])
    assert [queue.get(), queue.get()] == [message, message]


@pytest.mark.parametrize("codec", ["json", "msgspec"])
def test_json_and_msgspec_refuse_the_rest(open_queue, codec):
    queue = open_queue("q", codec=codec)
    with pytest.raises(TypeError):
        queue.put(object())
    assert queue.empty()


@pytest.mark.parametrize(
    ("type_", "good", "bad"),
    [
        (Job, [Job(1), Job(2, ["a"])], ["text", Point(1, 2), None, {"number": "x"}]),
        (Point, [Point(1.5, 2)], [Job(1), 5]),
        (int, [5, 0], ["5", None, 1.5]),
        (list[int], [[], [1, 2]], [["a"], 5, {}]),
        (dict[str, float], [{}, {"a": 1.5}], [{"a": "b"}, []]),
        (int | str, [5, "5"], [None, []]),
    ],
)
def test_typed_channel(open_queue, type_, good, bad):
    queue, other = open_queue("q", type=type_), open_queue("q", type=type_)
    for message in good:
        queue.put(message)
        taken = other.get()
        assert taken == message
        assert type(taken) is type(message)
    for message in bad:
        with pytest.raises(TypeError, match="channel"):
            queue.put(message)
    assert queue.empty()


def test_typed_messages_may_be_large(open_queue):
    queue = open_queue("q", type=Job)
    job = Job(1, ["tag"] * LARGE)
    queue.put(job)
    with queue.lease() as item:
        assert item == job


# --- user's codecs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 8192, 8193, LARGE])
def test_users_codec(open_queue, size):
    queue = open_queue("q", codec=Reversed())
    queue.put("ab" * size)
    assert queue.get() == "ab" * size
    queue.put("ab" * size)
    with queue.lease() as item:
        assert item == "ab" * size


def test_users_codec_is_known_by_its_name(open_queue):
    class Other(Reversed):
        pass

    queue = open_queue("q", codec=Reversed())
    open_queue("q", codec=Other()).put("same name")
    assert queue.get() == "same name"
    Other.name = "other"
    with pytest.raises(weft.MismatchError, match=r"user:other.*user:reversed"):
        weft.Queue("q", codec=Other())


@pytest.mark.parametrize("result", [None, 5, "text", ["x"], object()])
def test_encoder_that_returns_no_bytes(open_queue, result):
    class Wrong(Reversed):
        def encode(self, obj):
            return result

    queue = open_queue("q", codec=Wrong())
    with pytest.raises(TypeError):
        queue.put("x")
    assert queue.empty()


def test_encoder_that_raises(open_queue):
    queue = open_queue("q", codec=Reversed())
    with pytest.raises(AttributeError):
        queue.put(5)
    with pytest.raises(AttributeError) as caught:
        queue.put_many(["one", 5, "three"])
    assert caught.value.sent == 1
    assert queue.get_many() == ["one"]


def test_encoder_that_uses_the_queue_itself(open_queue):
    class Chatty(Reversed):
        def encode(self, obj):
            if obj == "outer":
                queue.put("inner")
                queue.put_many(["inner"] * 3)
            return super().encode(obj)

    queue = open_queue("q", codec=Chatty())
    queue.put("outer")
    queue.put_many(["outer", "last"])
    taken = queue.get_many(100)
    assert sorted(taken) == ["inner"] * 8 + ["last", "outer", "outer"]
    assert taken[4] == "outer"


def test_encoder_that_closes_the_queue(open_queue):
    class Closing(Reversed):
        def encode(self, obj):
            queue.close()
            return b"x" * len(obj)

    watch = open_queue("q", codec=Closing())
    for put, message in (("put", "x"), ("put", "x" * LARGE), ("put_many", ["x", "y"])):
        queue = open_queue("q", codec=Closing())
        with contextlib.suppress(weft.ClosedError):
            getattr(queue, put)(message)
        assert queue.closed
        while not watch.empty():
            watch.get()


def test_decoder_that_closes_the_queue(open_queue):
    class Closing(Reversed):
        def decode(self, data):
            queue.close()
            return super().decode(data)

    for take in ("get", "get_many", "lease"):
        for size in (1, LARGE):
            queue = open_queue("q", codec=Closing())
            queue.put("x" * size)
            taken = getattr(queue, take)()
            taken = taken[0] if take == "get_many" else taken
            assert (taken.item if take == "lease" else taken) == "x" * size
            if take == "lease":
                taken.ack()


@pytest.mark.parametrize("take", ["get", "lease_many"])
def test_what_cannot_be_decoded_takes_nothing_else_along(open_queue, take):
    queue = open_queue("q", codec=Reversed())
    raw = open_queue("q", codec=type("Raw", (Reversed,), {"encode": lambda self, obj: obj})())
    raw.put_many([b"1", b"2", b"\xff", b"4", b"5"])
    taken = []
    for _ in range(5):
        try:
            result = getattr(queue, take)(timeout=0)
        except UnicodeDecodeError:
            continue
        except weft.Empty:
            break
        if take == "lease_many":
            with result as items:
                taken += items
        else:
            taken.append(result)
    assert taken == ["1", "2", "4", "5"]


def test_get_many_hands_over_what_can_be_decoded_with_the_error(open_queue):
    queue = open_queue("q", codec=Reversed())
    raw = open_queue("q", codec=type("Raw", (Reversed,), {"encode": lambda self, obj: obj})())
    raw.put_many([b"1", b"2", b"\xff", b"4", b"\xfe"])
    raw.put(b"x" * LARGE)
    with pytest.raises(UnicodeDecodeError) as caught:
        queue.get_many()
    assert caught.value.messages == ["1", "2", "4"]
    assert caught.value.object == b"\xff"
    assert queue.get_many() == ["x" * LARGE]
    raw.put(b"1")
    raw.put(b"\xff" * LARGE)
    with pytest.raises(UnicodeDecodeError) as caught:
        queue.get_many()
    assert caught.value.messages == ["1"]
    assert queue.empty()


def test_get_many_interrupted_in_a_decoder_keeps_the_others(open_queue):
    class Interrupted(Reversed):
        def decode(self, data):
            if data == b"stop":
                raise KeyboardInterrupt
            return super().decode(data)

    queue = open_queue("q", codec=Interrupted())
    raw = open_queue("q", codec=type("Raw", (Reversed,), {"encode": lambda self, obj: obj})())
    raw.put_many([b"1", b"stop", b"3"])
    with pytest.raises(KeyboardInterrupt) as caught:
        queue.get_many()
    assert caught.value.messages == ["1", "3"]
    with pytest.raises(weft.Empty) as caught:
        queue.get_many(timeout=0)
    assert not hasattr(caught.value, "messages")


# --- messages that no encoder made -----------------------------------------------------------------

GARBAGE = [
    b"",
    b"garbage",
    b"\x93\x01",
    b"\x80\x05.",
    b"\xc1" * 100,
    b"\xdb\xff\xff\xff\xff",
    b"[" * 5000,
    b"\x91" * 5000,
]


@pytest.mark.parametrize("codec", ["json", "msgspec", "pickle"])
@pytest.mark.parametrize("size", ["inline", "block"])
@pytest.mark.parametrize("take", ["get", "lease"])
def test_garbage(open_queue, codec, size, take):
    with open_queue("q", codec="raw", lifetime="kept") as queue:
        for garbage in GARBAGE:
            queue.put(garbage + b"\xc1" * (9000 if size == "block" else 0))
    config = b'{"codec": "%s"}' % codec.encode()
    forge(queue.path, config=config, config_bytes=len(config))
    queue = open_queue("q", codec=codec)
    for _ in GARBAGE:
        with pytest.raises(weft.CorruptedError):
            getattr(queue, take)(timeout=0)
    assert queue.empty()
    assert queue.statistics().leased == 0
    queue.put([1])
    assert queue.get() == [1]


def test_typed_channel_that_carries_another_type(open_queue):
    with open_queue("q", codec="msgspec", lifetime="kept") as queue:
        queue.put_many([{"number": "five"}, {"number": 5}])
    typed = open_queue("typed", type=Job)
    config = typed._attachment.header()["config"].encode()
    forge(queue.path, config=config, config_bytes=len(config))
    queue = open_queue("q", type=Job)
    with pytest.raises(weft.CorruptedError):
        queue.get()
    assert queue.get() == Job(5)
