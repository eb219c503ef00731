"""Values that show whether they are whole: a number, filling, and a checksum of both."""

import zlib

SIZES = (0, 30, 500, 4000, 9000, 70_000)


def make(number: int) -> bytes:
    text = b"%d:" % number + bytes([number % 251]) * SIZES[number % len(SIZES)]
    return text + zlib.crc32(text).to_bytes(4)


def number_of(value: bytes) -> int:
    assert zlib.crc32(value[:-4]) == int.from_bytes(value[-4:]), "torn"
    return int(value.split(b":", 1)[0])
