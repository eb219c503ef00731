"""What stands in the place of a queue and is none: each opening is a typed error, and changes nothing."""

import json
import os
import random
import shutil
import socket
import struct

import pytest

import weft

from ..helpers import run_program, start_program
from ..segments import CHECKSUM_AT, FIELDS, OBJECT_AT, TABLE_AT, checksum, forge, read_field

ROOT = os.geteuid() == 0
NOBODY = 65534
FOR_DISPLAY = ("id", "created_ns", "creator_pid", "creator")


@pytest.fixture
def place(spare):
    return weft.Namespace(spare)


@pytest.fixture
def segment(place, spare):
    """The file of a kept queue with three messages, which nobody has open."""
    with place.Queue("q", lifetime="kept", capacity=1 << 20) as queue:
        queue.put_many([1, "two", b"3" * 100_000])
    return spare / "q"


def refuse(place, *errors, **options):
    """Opens ``q`` in every way, which must raise one of the errors; the last."""
    for create in (None, False):
        with pytest.raises(errors or weft.CorruptedError) as caught:
            place.Queue("q", create=create, **options)
        assert isinstance(caught.value, weft.WeftError)
        assert "/q" in str(caught.value) or "'q'" in str(caught.value)
    return caught.value


# --- no segments -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"x", b"hello\n" * 1000, b"\0" * OBJECT_AT, b"\xff" * 200_000, random.Random(1).randbytes(1 << 20)],
    ids=["empty", "NUL", "byte", "text", "zeros", "ones", "random"],
)
def test_file_that_is_no_segment(place, spare, content):
    (spare / "q").write_bytes(content)
    refuse(place)
    with pytest.raises(weft.NameInUseError):
        place.Queue("q", create=True)
    assert (spare / "q").read_bytes() == content
    assert place.clean() == []


def test_directory_in_the_names_place(place, spare):
    (spare / "q").mkdir()
    refuse(place)


def test_fifo_in_the_names_place(place, spare):
    os.mkfifo(spare / "q")
    refuse(place)


def test_socket_in_the_names_place(place, spare):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(spare / "q"))
        refuse(place)


@pytest.mark.skipif(not ROOT, reason="needs root, to make a device")
def test_device_in_the_names_place(place, spare):
    os.mknod(spare / "q", 0o666 | 0o020000, os.makedev(1, 3))  # /dev/null
    refuse(place)


@pytest.mark.parametrize("target", ["another queue", "itself", "nowhere", "/dev/zero"])
def test_symbolic_link_in_the_names_place(place, spare, open_queue, target):
    other = open_queue("other", namespace=place)
    targets = {"another queue": other.path, "itself": spare / "q", "nowhere": spare / "x"}
    (spare / "q").symlink_to(targets.get(target, target))
    refuse(place)
    with pytest.raises(weft.WeftError):
        place.Queue("q", create=True)
    assert (spare / "q").is_symlink()


def test_bell_that_is_none(place, segment, spare):
    victim = spare / "victim"
    victim.write_bytes(b"untouched")
    with place.Queue("q") as queue:
        (low, high) = read_field(segment, "id")
        (spare / f".bell-{low:016x}{high:016x}").symlink_to(victim)
        with pytest.raises(weft.WeftError):
            queue.fileno()
        assert queue.get() == 1
    assert victim.read_bytes() == b"untouched"


# --- damaged segments ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [0, 1, 2311, 2312, 4096, 8192, OBJECT_AT - 1, OBJECT_AT, OBJECT_AT + 1, TABLE_AT, -4096, -1]
)
def test_truncated(place, segment, size):
    os.truncate(segment, size if size >= 0 else segment.stat().st_size + size)
    refuse(place)


@pytest.mark.parametrize("extra", [1, 4096, 1 << 30])
def test_extended(place, segment, extra):
    os.truncate(segment, segment.stat().st_size + extra)
    refuse(place)


@pytest.mark.parametrize("field", [*FIELDS, "checksum"])
@pytest.mark.parametrize("seed", range(3))
def test_random_bytes_in_a_field(place, segment, field, seed):
    offset, form = FIELDS.get(field, (CHECKSUM_AT, "<Q"))
    with segment.open("r+b") as file:
        file.seek(offset)
        file.write(random.Random(seed).randbytes(struct.calcsize(form)))
    refuse(place, weft.CorruptedError, weft.MismatchError)


@pytest.mark.parametrize("field", [field for field in FIELDS if field not in FOR_DISPLAY])
@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_in_a_field_with_a_checksum_that_is_right(place, segment, field, seed):
    _, form = FIELDS[field]
    forge(segment, **{field: struct.unpack(form, random.Random(seed).randbytes(struct.calcsize(form)))})
    refuse(place, weft.CorruptedError, weft.MismatchError)


@pytest.mark.parametrize("field", FOR_DISPLAY)
def test_random_bytes_in_what_is_for_display_only(place, segment, field):
    _, form = FIELDS[field]
    forge(segment, **{field: struct.unpack(form, random.Random(7).randbytes(struct.calcsize(form)))})
    with place.Queue("q") as queue:
        assert [queue.get() for _ in range(3)] == [1, "two", b"3" * 100_000]
        with pytest.raises(weft.MismatchError):
            place.Queue("q", maxsize=5)


@pytest.mark.parametrize("bit", range(0, CHECKSUM_AT * 8, 487))
def test_every_flipped_bit_is_seen(place, segment, bit):
    with segment.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0] ^ 1 << bit % 8
        file.seek(bit // 8)
        file.write(bytes([byte]))
    refuse(place, weft.CorruptedError, weft.MismatchError)


def units(count: int, maxsize: int = 0, max_message: int = 4096, deliveries: int = 0) -> tuple[int, ...]:
    return (count, maxsize, max_message, deliveries, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "geometry",
    [
        units(0), units(1), units(7), units(255), units(257), units(1 << 26), units((1 << 26) + 1), units(1 << 52),
        units((1 << 64) - 1), units(256, 1 << 30), units(256, (1 << 64) - 1), units(256, 0, (1 << 20) + 1),
        units(256, 0, (1 << 64) - 1), units(256, 0, 0), units(256, 0, 4096, 1 << 32),
    ],
)  # fmt: skip
def test_geometry_that_no_queue_has(place, segment, geometry):
    forge(segment, geometry=geometry)
    refuse(place)


def test_sizes_that_agree_with_each_other_but_with_no_queue(place, segment):
    for count in (0, 1, 7):
        size = TABLE_AT + 4096 + count * 4096
        os.truncate(segment, size)
        forge(segment, geometry=units(count), file_bytes=size)
        refuse(place)


@pytest.mark.parametrize(
    "config",
    [
        b"", b"{", b"null", b"[]", b"5", b'"codec"', b"\xff\xfe", b"{}", b'{"codec": 5}', b'{"codec": null}',
        b'{"codec": ["default"]}', b"[" * 2048, b'{"a":' * 400, b'{"codec": "nonsense"}', b'{"codec": "user:"}',
        b"1" * 2048, b'{"codec": "default"} x', b"NaN",
        b'{"codec": "default", "dead_letter": "../x"}', b'{"codec": "default", "dead_letter": "q"}',
    ],
)  # fmt: skip
def test_settings_that_weft_does_not_write(place, segment, config):
    forge(segment, config=config, config_bytes=len(config))
    refuse(place, weft.CorruptedError, weft.MismatchError)


def test_dead_letter_queues_in_a_ring(place, spare, segment):
    shutil.copy(segment, spare / "other")
    for name, other in (("q", "other"), ("other", "q")):
        config = json.dumps({"codec": "default", "dead_letter": other}).encode()
        forge(spare / name, config=config, config_bytes=len(config))
    refuse(place, weft.WeftError)


def test_other_kind(place, segment):
    forge(segment, kind=77)
    error = refuse(place, weft.MismatchError)
    assert error.expected == "Queue"
    assert "77" in error.found


@pytest.mark.parametrize("version", [0, 2, 1 << 31])
def test_other_layout_version(place, segment, version):
    forge(segment, layout_version=version)
    error = refuse(place, weft.MismatchError)
    assert (error.expected, error.found) == (1, version)


def test_header_is_as_these_tests_have_it(segment):
    assert read_field(segment, "magic") == 0x31304745_54464557
    assert read_field(segment, "file_bytes") == segment.stat().st_size
    assert read_field(segment, "creator_pid") == os.getpid()
    header = segment.read_bytes()[: CHECKSUM_AT + 8]
    assert struct.unpack_from("<Q", header, CHECKSUM_AT) == (checksum(header),)


def test_damage_after_opening_does_not_concern_those_attached(open_queue):
    queue, producer = open_queue("q"), open_queue("q")
    with queue.path.open("r+b") as file:
        file.write(b"\xff" * 4096)
    producer.put("still here")
    assert queue.get() == "still here"
    with pytest.raises(weft.CorruptedError):
        weft.Queue("q")


# --- other users -----------------------------------------------------------------------------------

AS_NOBODY = f"import os; os.setgroups([]); os.setegid({NOBODY}); os.seteuid({NOBODY})\n"


@pytest.mark.skipif(not ROOT, reason="needs root, to be two users")
def test_another_users_directory(spare):
    os.chown(spare, NOBODY, NOBODY)
    with pytest.raises(weft.AccessError, match=f"{NOBODY}.*WEFT_NAMESPACE") as caught:
        weft.Queue("q", namespace=spare)
    assert isinstance(caught.value, PermissionError)
    os.chown(spare, 0, 0)


@pytest.mark.skipif(not ROOT, reason="needs root, to be two users")
def test_a_directory_that_lets_nobody_in(spare):
    said = run_program(
        AS_NOBODY
        + """
for create in (None, True, False):
    try:
        weft.Queue("q", create=create, namespace=sys.argv[1])
    except weft.AccessError as error:
        say("WEFT_NAMESPACE" in str(error))
""",
        spare,
    )
    assert said == "True\nTrue\nTrue\n"


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o755, 0o750, 0o701, 0o720, 0o1777])
def test_directory_too_open(spare, mode):
    spare.chmod(mode)
    with pytest.raises(weft.AccessError, match=rf"{mode:#o}.*chmod") as caught:
        weft.Queue("q", namespace=spare)
    assert isinstance(caught.value, PermissionError)
    assert list(spare.iterdir()) == []


@pytest.mark.skipif(not ROOT, reason="needs root, to be two users")
@pytest.mark.parametrize("create", ["None", "True", "False"])
def test_directory_that_cannot_be_written(spare, create):
    mine = spare / "mine"
    mine.mkdir(0o500)
    os.chown(mine, NOBODY, NOBODY)
    spare.chmod(0o711)
    try:
        said = run_program(
            AS_NOBODY
            + """
try:
    weft.Queue("q", create=eval(sys.argv[2]), namespace=sys.argv[1])
except weft.WeftError as error:
    say(type(error).__name__, "/mine" in str(error))
""",
            mine, create,
        )  # fmt: skip
    finally:
        spare.chmod(0o700)
    assert said == ("NotFoundError True\n" if create == "False" else "AccessError True\n")


@pytest.mark.skipif(not ROOT, reason="needs root, to be two users")
def test_file_of_another_user_in_a_directory_for_both(spare):
    spare.chmod(0o777)
    place = weft.Namespace(spare, mode=0o777)
    with place.Queue("mine"):
        said = run_program(
            AS_NOBODY
            + """
try:
    weft.Namespace(sys.argv[1], mode=0o777).Queue("mine")
except weft.AccessError as error:
    say("mode=" in str(error))
""",
            spare,
        )
        assert said == "True\n"


@pytest.mark.skipif(not ROOT, reason="needs root, to be two users")
def test_queue_shared_by_two_users_of_a_group(open_queue, spare):
    shared = spare / "shared"
    place = weft.Namespace(shared, mode=0o770, group=NOBODY)
    spare.chmod(0o711)
    queue = open_queue("q", namespace=place, mode=0o660, group=NOBODY)
    queue.fileno()
    with start_program(
        AS_NOBODY
        + """
queue = weft.Namespace(sys.argv[1], mode=0o770).Queue("q", create=False)
queue.fileno()
say(queue.get())
queue.put("answer")
hear()
""",
        shared,
    ) as program:
        queue.put("question")
        program.expect("question")
        assert queue.get(timeout=30) == "answer"
        program.say()
        program.finish()
