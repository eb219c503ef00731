"""A large message that comes, or goes, as fast as one likes: the clock and other tasks have their turns in between."""

import asyncio

import pytest

import weft
from weft.sockets import reader

from .pairs import pair

SIZE = 64 << 20
MESSAGE = bytes(range(256)) * (SIZE // 256)
FRAME = (SIZE + 1).to_bytes(8, "little") + b"\2" + MESSAGE


class Torrent:
    """The stream of a connection whose peer is never waited for: it sends one message, and takes all there is."""

    def __init__(self, connection) -> None:
        self._stream, self._at = connection._stream, 0
        self.taken = 0
        self._stream.recv = self.recv
        self._stream.send_parts = self.send_parts

    def recv(self, size: int) -> bytes:
        data = FRAME[self._at : self._at + size]
        self._at += len(data)
        return data

    def send_parts(self, parts) -> int:
        sent = min(sum(map(len, parts)), 1 << 20)
        self.taken += sent
        return sent


@pytest.fixture
def connection():
    """One end, whose descriptor is always ready for both."""
    with pair() as (client, accepted):
        client._sock_send(b"\0")
        assert accepted.poll(60)
        yield accepted
        accepted._end(EOFError())


def test_a_receive_looks_at_the_clock(connection):
    torrent = Torrent(connection)
    with pytest.raises(TimeoutError, match="no whole message"):
        connection.recv_bytes(timeout=0)
    assert 0 < torrent._at < SIZE
    assert connection.recv_bytes(timeout=60) == MESSAGE


def test_a_send_looks_at_the_clock(connection):
    torrent = Torrent(connection)
    with pytest.raises(TimeoutError, match="goes out before the next"):
        connection.send_bytes(MESSAGE, timeout=0)
    assert 0 < torrent.taken < SIZE
    connection.send_bytes(b"x" * 20_000, timeout=60)
    assert torrent.taken == len(FRAME) + len(b"x" * 20_000) + 9


@pytest.mark.parametrize("direction", ["receive", "send"])
def test_other_tasks_have_their_turns(connection, direction):
    torrent = Torrent(connection)

    async def main() -> None:
        turns = 0

        async def beside() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(beside())
        if direction == "receive":
            assert await connection.arecv_bytes() == MESSAGE
        else:
            await connection.asend_bytes(MESSAGE)
            assert torrent.taken == len(FRAME)
        ticking.cancel()
        assert turns >= 10

    asyncio.run(main())


def test_bytes_that_never_stop_coming_are_no_reason_to_go_beyond_the_frame_timeout(monkeypatch):
    monkeypatch.setattr(reader, "SLOWEST", 1 << 60)
    with pair(listening={"frame_timeout": 0.05}) as (client, accepted):
        accepted._stream.recv_whole = lambda size, seconds: b"x"
        client._sock_send((200_000_001).to_bytes(8, "little") + b"\2")
        with pytest.raises(weft.ConnectionLostError, match="frame_timeout"):
            accepted.recv_bytes()
