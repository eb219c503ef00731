"""Messages that show whether they are whole and in order, and ends that send and receive them."""

import random
import zlib

import weft

CAPACITY = 1 << 20  # a direction has half of it, and a message in one piece an eighth
SIZES = (0, 10, 200, 3_000, 20_000, 120_000, 700_000, 1_500_000)


def make(number: int) -> bytes:
    size = random.Random(number).choice(SIZES)
    head = b"%08d" % number
    body = bytes([number % 251]) * size
    return head + zlib.crc32(body).to_bytes(4) + body


def number_of(message: bytes) -> int:
    assert zlib.crc32(message[12:]) == int.from_bytes(message[8:12]), "torn"
    assert message == make(int(message[:8])), "another's"
    return int(message[:8])


def send_all(end: weft.PipeEnd, done) -> None:
    """Sends until it is killed, or nobody receives; ``done(number)`` after each."""
    for number in range(100_000_000):
        if number % 3:
            end.send(make(number))
        else:
            end.send_bytes(make(number))
        done(number)


def receive_all(end: weft.PipeEnd, done=lambda number: None) -> int:
    """Receives until the end; how many came, each whole and in its turn."""
    for number in range(100_000_000):
        try:
            message = end.recv_bytes() if number % 3 == 0 else end.recv()
        except EOFError:
            return number
        assert number_of(message) == number
        done(number)
    raise AssertionError
