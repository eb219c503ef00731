"""A ledger in shared memory whose writer is killed half-way; the next one repairs it and goes on."""

import os
import signal
import struct

import weft

memory = weft.SharedMemory("ledger", create=True, size=16)
lock = weft.Lock("ledger-lock")


def balances() -> tuple[int, int]:
    return struct.unpack_from("qq", memory.buf)


def move(amount: int, die: bool = False) -> None:
    """Moves an amount from the first account to the second; what both hold together stays 100."""
    with lock:
        first, second = balances()
        struct.pack_into("q", memory.buf, 0, first - amount)
        if die:
            os.kill(os.getpid(), signal.SIGKILL)
        struct.pack_into("q", memory.buf, 8, second + amount)


struct.pack_into("qq", memory.buf, 0, 100, 0)
move(10)
child = os.fork()
if not child:
    move(30, die=True)
os.waitpid(child, 0)
try:
    move(5)
except weft.OwnerDied as error:
    print("the owner died:", error.owner.pid == child)
    with lock.recover() as dead:
        if dead is not None:
            first, second = balances()
            print("found", first, second)
            struct.pack_into("q", memory.buf, 8, 100 - first)
move(5)
print("in the end", *balances())
memory.close()
