"""A program that kills the process at the other end of a connection in the middle of transfers: see test_kills.py.

python kills.py FAMILY SEED KILLS

Each time it forks a victim that sends, receives, or does both, and kills it at a random moment. This end must see whole
messages in their order, all those whose `send` had returned, and then the end.
"""

import asyncio
import faulthandler
import mmap
import os
import random
import signal
import struct
import sys
import threading
import traceback
from typing import Any

import numpy as np

import weft
from weft.sockets import Connection

ENDS = (EOFError, ConnectionError)  # BrokenPipeError and ConnectionLostError are of the latter
MOST = 3_000_000
PATTERN = np.arange(MOST + 256, dtype="u4").astype("u1")


def message(seed: int, number: int) -> Any:
    """Bytes, or an object with an array, of some size from nothing to megabytes."""
    choose = random.Random(seed * 1_000_003 + number)
    size = int(MOST ** choose.random())
    part = PATTERN[number % 251 : number % 251 + size]
    return part.tobytes() if choose.random() < 0.5 else {"number": number, "array": part}


def send_one(connection: Connection, what: Any) -> None:
    if isinstance(what, bytes):
        connection.send_bytes(struct.pack("q", 0) + what)
    else:
        connection.send(what)


class Receiver:
    """Receives by one of the ways that there are, and compares."""

    def __init__(self, connection: Connection, seed: int, way: str) -> None:
        self.connection, self.seed, self.way, self.count = connection, seed, way, 0

    def check(self, found: Any) -> None:
        expected = message(self.seed, self.count)
        if isinstance(expected, bytes):
            assert found == struct.pack("q", 0) + expected, f"message {self.count} is not what was sent"
        else:
            assert found["number"] == self.count
            assert np.array_equal(found["array"], expected["array"])
        self.count += 1

    def is_bytes(self) -> bool:
        return isinstance(message(self.seed, self.count), bytes)

    def run(self) -> None:
        """Until the end of the connection, which it must see."""
        try:
            if self.way == "asyncio":
                asyncio.run(self.run_in_loop())
            while True:
                self.check(self.receive())
        except ENDS:
            return

    def receive(self) -> Any:
        timeout = 0.002 if self.way == "timeouts" else None
        while True:
            try:
                call = self.connection.recv_bytes if self.is_bytes() else self.connection.recv
                return call(timeout=timeout)
            except TimeoutError:
                pass

    async def run_in_loop(self) -> None:
        while True:
            self.check(await (self.connection.arecv_bytes() if self.is_bytes() else self.connection.arecv()))


class Notes:
    """What the victim tells, in memory that outlives it: sent, received, and whether something was wrong."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 4096)

    def put(self, place: int, value: int) -> None:
        struct.pack_into("q", self.memory, 8 * place, value)

    def get(self, place: int) -> int:
        return int(struct.unpack_from("q", self.memory, 8 * place)[0])


SENT, RECEIVED, WRONG = range(3)


def send_all(connection: Connection, seed: int, notes: Notes | None = None) -> int:
    number = 0
    try:
        while True:
            send_one(connection, message(seed, number))
            number += 1
            if notes is not None:
                notes.put(SENT, number)
    except ENDS:
        return number


def use(connection: Connection, role: str, seeds: tuple[int, int], notes: Notes) -> None:
    """The victim's part, until it is killed."""
    connection.wait_connected()
    receiver = Receiver(connection, seeds[1], "waiting")
    if role == "both":
        threading.Thread(target=send_all, args=(connection, seeds[0], notes), daemon=True).start()
    elif role == "send":
        send_all(connection, seeds[0], notes)
        return
    while True:
        receiver.check(receiver.receive())
        notes.put(RECEIVED, receiver.count)


def kill_one(listener: weft.Listener, options: dict[str, Any], choose: random.Random, seed: int) -> str:
    role, way = choose.choice(["send", "receive", "both"]), choose.choice(["waiting", "timeouts", "asyncio"])
    victim_listens = choose.random() < 0.5
    seeds, notes = (2 * seed, 2 * seed + 1), Notes()
    pid = os.fork()
    if not pid:
        try:
            use(listener.accept() if victim_listens else weft.Client(listener.address, **options), role, seeds, notes)
        except BaseException:
            traceback.print_exc()
            notes.put(WRONG, 1)
        finally:
            os._exit(1)
    connection = weft.Client(listener.address, **options) if victim_listens else listener.accept()
    connection.wait_connected()
    # The moment of the kill is what varies: it stands for no event.
    killer = threading.Timer(choose.uniform(0.0005, 0.03), os.kill, (pid, signal.SIGKILL))
    killer.start()
    receiver = Receiver(connection, seeds[0], way)
    sent: list[int] = []
    sender = threading.Thread(target=lambda: sent.append(send_all(connection, seeds[1])))
    if role != "send":
        sender.start()
    if role != "receive":
        receiver.run()
    if role != "send":
        sender.join()
    killer.join()
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "the victim ended before it was killed"
    assert not notes.get(WRONG)
    if role == "send" or (role == "both" and connection._stream.passes_handles):
        # TCP answers by a reset where the dead had not received everything, and throws away what was under way.
        assert receiver.count >= notes.get(SENT), "a message is missing that had been sent"
    assert receiver.count <= notes.get(SENT) + 1
    if role != "send":
        assert notes.get(RECEIVED) <= sent[0] + 1
    for _ in range(2):  # and so it stays
        try:
            connection.recv(timeout=0)
        except ENDS:
            continue
        raise AssertionError("there was no end")
    connection.close()
    return role


def main() -> None:
    family, seed, kills = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    options: dict[str, Any] = {"share_from": 1 << 20}  # so that some are shared and some streamed
    choose = random.Random(seed)
    transferred = dict.fromkeys(("send", "receive", "both"), 0)
    with weft.Listener(family=family, **options) as listener:
        for number in range(kills):
            faulthandler.dump_traceback_later(60, exit=True)
            transferred[kill_one(listener, options, choose, seed + number)] += 1
    print(*transferred.values(), flush=True)


if __name__ == "__main__":
    main()
