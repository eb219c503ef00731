"""Arguments that can't be: each raises in the caller, says which one, and makes nothing."""

import pytest

import weft

GOOD_NAMES = ["q", "Q", "0", "_", "a.b", "a-b", "jobs@host:1", "k=v,x+y", "x" * 200, "anonymous", "q.", "a.b.c"]
BAD_NAMES = [
    "", " ", "x" * 201, "jöbs", "作業", "a/b", "/a", "/", "a/", ".", "..", "a..b", "../a", "a/../b", "a\0b", "\0",
    ".hidden", "-dash", "a b", "a\n", "a\tb", "~", "a*", "a?b", "a%b", "\ud800", ".bell-0", "a\\b", "Ｑ",
]  # fmt: skip


def assert_nothing_made(namespace) -> None:
    assert list(namespace.iterdir()) == []


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_name(open_queue, name):
    queue = open_queue(name)
    assert queue.name == name
    assert weft.Namespace().names() == [name]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_name_that_cannot_be(namespace, name):
    with pytest.raises(ValueError, match="name") as caught:
        weft.Queue(name)
    assert not isinstance(caught.value, UnicodeError)
    with pytest.raises(ValueError, match="name"):
        weft.Queue(name=name, create=False)
    assert_nothing_made(namespace)


@pytest.mark.parametrize("rest", ["/x", "/../x", "\0", "x" * 300, "ö", "a b", "..", "\n", ""])
def test_name_of_a_queue_without_one_is_checked_too(namespace, rest):
    with pytest.raises(ValueError, match="name"):
        weft.Queue(f"anon-{rest}")
    assert_nothing_made(namespace)


@pytest.mark.parametrize("name", [b"q", 1.5, True, False, ["q"], ("q",), object(), weft.Queue])
def test_name_of_a_wrong_type(namespace, name):
    with pytest.raises(TypeError, match="name"):
        weft.Queue(name)
    assert_nothing_made(namespace)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("maxsize", ["10", 1.5, b"1", [], True]),
        ("capacity", ["1", 1e6, True, [], b""]),
        ("max_message", ["1", 1e6, True, []]),
        ("max_deliveries", ["1", 1.5, True, []]),
        ("mode", ["600", 0.5, None, True]),
        ("group", [1.5, b"root", [], True]),
        ("codec", [5, 1.5, [], object(), str]),
        ("namespace", [5, 1.5, [], b"x"]),
        ("dead_letter", [5, b"x", []]),
    ],
)
def test_wrong_type(namespace, option, values):
    for value in values:
        options = {"max_deliveries": 1, option: value} if option == "dead_letter" else {option: value}
        with pytest.raises(TypeError) as caught:
            weft.Queue("q", **options)
        if option != "namespace":
            assert option in str(caught.value)
    assert_nothing_made(namespace)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("maxsize", [1 << 29, 1 << 64]),
        ("capacity", [0, -1, 1, (32 << 10) - 1, (256 << 30) + 1, 1 << 64]),
        ("max_message", [0, -1, (64 << 20) + 1, 1 << 64]),
        ("max_deliveries", [0, -1, 1 << 32]),
        ("mode", [0, 0o400, 0o200, 0o1777, 0o10600, -1, 1 << 40]),
        ("group", ["no such group", "", -1, -5, 1 << 32, 1 << 40, (1 << 64) + 5]),
        ("codec", ["", "nonsense", "Default", "RAW"]),
        ("on_full", ["", "drop", "BLOCK", None, 0, []]),
        ("wait", ["", "fast", None, 1]),
        ("lifetime", ["", "for ever", 0, True]),
        ("dead_letter", ["", "a/b", "..", "x" * 201, "q"]),
    ],
)
def test_out_of_range(namespace, option, values):
    for value in values:
        options = {"max_deliveries": 1, option: value} if option == "dead_letter" else {option: value}
        with pytest.raises(ValueError) as caught:
            weft.Queue("q", **options)
        assert option.split("_")[0] in str(caught.value)
    assert_nothing_made(namespace)


def test_numbers_may_be_of_any_kind_that_is_one(open_queue):
    import numpy as np

    queue = open_queue("q", maxsize=np.int64(2), capacity=np.uint32(1 << 20), max_message=np.int16(1000))
    queue.put_many([1, 2])
    assert queue.full()


def test_what_does_not_go_together():
    for options, words in (
        ({"dead_letter": "dead"}, "max_deliveries"),
        ({"capacity": 1 << 20, "max_message": (1 << 18) + 1}, "capacity"),
        ({"type": int, "codec": "pickle"}, "type"),
        ({"type": object()}, "type"),
        ({"type": lambda: 1}, "type"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            weft.Queue("q", **options)


def test_unknown_argument(namespace):
    with pytest.raises(TypeError, match="size"):
        weft.Queue("q", size=5)
    with pytest.raises(TypeError):
        weft.Queue("q", 5, 6)
    with pytest.raises(TypeError):
        weft.Queue(10, 10)
    assert_nothing_made(namespace)


def test_type_with_a_name_too_long_for_the_header(namespace):
    import msgspec

    long = msgspec.defstruct("J" * 3000, [("number", int)])
    with pytest.raises(ValueError, match="too long"):
        weft.Queue("q", type=long)
    assert_nothing_made(namespace)


def test_the_widest_ranges(open_queue):
    assert open_queue("a", capacity=32 << 10).statistics().capacity == 32 << 10
    assert not open_queue("b", maxsize=(1 << 29) - 1).full()
    assert open_queue("c", capacity=256 << 30, max_message=64 << 30).statistics().capacity == 256 << 30
    queue = open_queue("d", max_deliveries=(1 << 32) - 1)
    queue.put(1)
    queue.lease().release()
    assert queue.get() == 1


@pytest.mark.parametrize("count", [0, -1, -(1 << 40)])
@pytest.mark.parametrize("take", ["get_many", "lease_many"])
def test_count_out_of_range(open_queue, take, count):
    queue = open_queue("q")
    queue.put(1)
    with pytest.raises(ValueError, match="max_messages"):
        getattr(queue, take)(count)
    assert queue.get() == 1


@pytest.mark.parametrize("count", ["1", None, 1.5, []])
@pytest.mark.parametrize("take", ["get_many", "lease_many"])
def test_count_of_a_wrong_type(open_queue, take, count):
    queue = open_queue("q")
    queue.put(1)
    with pytest.raises(TypeError):
        getattr(queue, take)(count)
    assert queue.get() == 1


@pytest.mark.parametrize("count", [1 << 31, 1 << 32, (1 << 32) + 1, 1 << 62])
@pytest.mark.parametrize("take", ["get_many", "lease_many"])
def test_count_that_is_huge(open_queue, take, count):
    queue = open_queue("q")
    queue.put_many(range(300))
    if take == "get_many":
        assert queue.get_many(count) == list(range(300))
    else:
        with queue.lease_many(count) as items:
            assert items == list(range(300))


@pytest.mark.parametrize("items", [None, 5, object()])
def test_put_many_of_what_is_no_iterable(open_queue, items):
    queue = open_queue("q")
    with pytest.raises(TypeError):
        queue.put_many(items)
    assert queue.empty()


@pytest.mark.parametrize(
    "call",
    [
        lambda queue: queue.put(),
        lambda queue: queue.put(1, True, None, 4),
        lambda queue: queue.get(True, None, 3),
        lambda queue: queue.get(wait=True),
        lambda queue: queue.lease(1, 2),
        lambda queue: queue.put_nowait(),
        lambda queue: queue.get_nowait(1),
        lambda queue: queue.close(1),
        lambda queue: queue.shutdown(True, True),
    ],
)
def test_wrong_number_of_arguments(open_queue, call):
    queue = open_queue("q")
    with pytest.raises(TypeError):
        call(queue)
    assert queue.empty()


def test_use_before_opening():
    queue = weft.Queue.__new__(weft.Queue)
    for method in ("get", "qsize", "statistics", "fileno", "unlink", "shutdown"):
        with pytest.raises(weft.ClosedError):
            getattr(queue, method)()
    with pytest.raises(weft.ClosedError):
        queue.put(1)
    for attribute in ("name", "path", "token"):
        with pytest.raises(weft.ClosedError):
            getattr(queue, attribute)
    queue.close()
    assert queue.closed


def test_failed_opening_leaves_an_object_that_says_so():
    queue = weft.Queue.__new__(weft.Queue)
    with pytest.raises(weft.NotFoundError):
        queue.__init__("nowhere", create=False)
    assert queue.closed
    assert "not open" in repr(queue)
    queue.close()
