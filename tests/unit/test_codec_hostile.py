"""Messages that no encoder has made: each is refused by CorruptedError, and nothing else happens."""

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


def decode(default, body, **options):
    return codec.decode_message(default, body, len(body), **options)


HOSTILE = {
    "nothing": b"",
    "unknown tag": b"\xff",
    "left over": b"\x01\x02",
    "short int cut": b"\xc5\x01\x02",
    "float cut": b"\xc8\0\0",
    "str cut": b"\x45ab",
    "str not UTF-8": b"\x42\xff\xfe",
    "one byte not ASCII": b"\x41\xff",
    "surrogate in a str": b"\x43\xed\xa0\x80",
    "not UTF-8 with surrogates": b"\xcb\x02\xff",
    "huge list": b"\xcc\x80\x80\x80\x80\x80\x80\x80\x80\x40",
    "huge dict": b"\xce\x80\x80\x80\x80\x80\x80\x80\x80\x40",
    "huge set": b"\xcf\x80\x80\x80\x80\x80\x80\x80\x80\x40",
    "nested huge lists": b"\xcc\x7f" * 60 + b"\xc0" * 100,
    "dict longer than its bytes": b"\xce\x03\x01\x01\x01",
    "varint too long": b"\xcc" + b"\xff" * 9 + b"\x01",
    "varint cut": b"\xcc\xff",
    "inline bytes too long": b"\xd1\x10abc",
    "out of line, but nothing there": b"\xd1\x03",
    "list as a key": b"\xa1\x80\x01",
    "list in a set": b"\xcf\x01\x80",
    "bytearray as a key": b"\xa1\xd2\x00\x01",
    "month 13": b"\xd9\xe8\x07\x0d\x01",
    "hour 24": b"\xda\x18\0\0\0\0\0\0\xc0",
    "fold 1 and too many microseconds": b"\xda\0\0\0\xff\xff\xff\xff\xc0",
    "int as a time zone": b"\xda\0\0\0\0\0\0\0\x01",
    "days beyond": b"\xdc\xff\xff\xff\x7f\0\0\0\0\0\0\0\0",
    "zone offset of a day": b"\xde\xdc\x01\0\0\0\0\0\0\0\0\0\0\0\xc0",
    "zone offset an int": b"\xde\x01\xc0",
    "zone name bytes": b"\xde\xdc\0\0\0\0\0\0\0\0\0\0\0\0\xb0",
    "zone not known": b"\xdf\x47No/Such",
    "zone is a directory": b"\xdf\x46Europe",
    "zone outside": b"\xdf\x5a../../../../../../etc/passwd"[:28],
    "zone with a dot": b"\xdf\x48tzdata.x",
    "zone empty": b"\xdf\x40",
    "decimal": b"\xe0\x06abc",
    "decimal not ASCII": b"\xe0\x02\xff",
    "uuid cut": b"\xe1" + b"x" * 16,
    "uuid safety": b"\xe1" + b"x" * 16 + b"\x03",
    "range step 0": b"\xe2\x01\x02\x00",
    "range of strs": b"\xe2\x41a\x02\x01",
    "array type code": b"\xd4O\x08\x00",
    "array item size": b"\xd4i\x02\x00",
    "array not whole": b"\xd4i\x04\x06abc",
    "memoryview of objects": b"\xd3\x41O\x91\x01C\x10" + b"x" * 8,
    "memoryview format not a str": b"\xd3\x01\x91\x01C\x02x",
    "memoryview format too long": b"\xd3\x43999\x91\x01C\x02x",
    "memoryview smaller than its shape": b"\xd3\x41q\x91\x02C\x10" + b"x" * 8,
    "memoryview of a negative extent": b"\xd3\x41B\x91\xc3\xffC\x02x",
    "memoryview of huge extents": b"\xd3\x41B\x92" + (b"\xc6" + b"\0" * 7 + b"\x40") * 2 + b"C\x02x",
    "memoryview of 65 dimensions": b"\xd3\x41B\x9d\x41" + b"\x01" * 65 + b"C\x02x",
    "memoryview shape a list": b"\xd3\x41B\x81\x01C\x02x",
    "memoryview order": b"\xd3\x41B\x91\x01X\x02x",
    "ndarray of objects": b"\xd5\x42|O\x91\x01C\x10" + b"x" * 8,
    "ndarray of code": b"\xd5\x4a__import__\x91\x01C\x02x",
    "ndarray dtype with a comma": b"\xd5\x46i4,|O8\x91\x01C\x02x",
    "ndarray dtype an int": b"\xd5\x01\x91\x01C\x02x",
    "ndarray dtype a list": b"\xd5\x80\x91\x01C\x02x",
    "ndarray of objects in a struct": b"\xd5\x93\x08\x00\x91\x94\x41a\xc0\x00\x42|O\x91\x01C\x10" + b"x" * 8,
    "ndarray field beyond its item": b"\xd5\x93\x08\x00\x91\x94\x41a\xc0\x04\x43<f8\x91\x01C\x10" + b"x" * 8,
    "ndarray of a subarray": b"\xd5\x92\x43<f8\x91\x02\x91\x01C\x20" + b"x" * 16,
    "ndarray smaller than its shape": b"\xd5\x43<f8\x91\x02C\x10" + b"x" * 8,
    "ndarray empty but huge": b"\xd5\x43<f8\x93\x00" + (b"\xc6" + b"\xff" * 7 + b"\x7f") * 2 + b"C\x00",
    "ndarray dtype huge": b"\xd5\x4d|V99999999999\x91\x01C\x00",
    "scalar with dimensions": b"\xd6\x43<f8\x91\x01C\x10" + b"x" * 8,
    "numpy.str_ of bytes": b"\xd7\xb1x",
    "numpy.bytes_ of a str": b"\xd8\x41x",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_messages_are_refused(default, body):
    for options in ({}, {"view": True, "views": True}):
        with pytest.raises(Corrupted):
            decode(default, body, **options)
        with pytest.raises(Corrupted):
            decode(default, b"\x81" + body, **options)


def test_hostile_nesting_is_refused(default):
    sequences = b"\x81", b"\x91", b"\xa1\x01", b"\xcf\x01", b"\xd0\x01"
    for opening in (*sequences, b"\xde", b"\xdb" + b"\1" * 11, b"\xd5", b"\xe2"):
        with pytest.raises(Corrupted):
            decode(default, opening * 5000 + b"\x01")


@pytest.mark.parametrize("size", [0, 64, 8191, 8255, 8256 + 64])
def test_hostile_sizes_of_the_parts(default, size):
    message, body_size = codec.encode_message(default, b"x" * LARGE)
    assert len(message) == 8256
    assert codec.decode_message(default, message, body_size) == b"x" * LARGE
    with pytest.raises(Corrupted):
        codec.decode_message(default, message[:size].ljust(size, b"y"), min(size, body_size))
    for wrong in (-1, 0, body_size - 1, body_size + 1, len(message), len(message) + 1):
        with pytest.raises(Corrupted):
            codec.decode_message(default, message, wrong)


def test_error_texts_do_not_grow_with_the_message(default):
    for body in (b"\xe0\x80\x80\x08" + b"x" * 65536, b"\xdf\xca\x80\x80\x08" + b"x" * 65536):
        with pytest.raises(Corrupted) as caught:
            decode(default, body)
        assert len(str(caught.value)) < 500
