"""A program that works on a queue until a fault point, or a signal, ends it.

Writes a line before and after each step, so that the test knows what it had finished: ``+n`` about to
put n, ``=n`` put; ``-n`` taken by get or lease, ``~n`` about to acknowledge, ``*n`` acknowledged, ``<n``
given back.
"""

import os
import signal
import sys

import weft

SIZES = (0, 8, 100, 1000, 9000, 40_000)


def say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


def message(number: int) -> bytes:
    return b"%d:" % number + bytes(SIZES[number % len(SIZES)])


def number_of(data: bytes) -> int:
    return int(data.split(b":", 1)[0])


def produce(queue: weft.Queue, first: int) -> None:
    for number in range(first, first + 100_000):
        say(f"+{number}")
        if number % 7 == 3:
            data = message(number)
            with queue.loan(len(data)) as view:
                view[:] = data
        elif number % 7 == 4:
            queue.put_many([message(number)])
        else:
            queue.put(message(number))
        say(f"={number}")


def replace(queue: weft.Queue) -> None:
    for number in range(100_000):
        say(f"+{number}")
        queue.put(message(number))
        say(f"={number}")


def consume(queue: weft.Queue) -> None:
    for _ in range(100_000):
        say(f"-{number_of(queue.get())}")


def consume_many(queue: weft.Queue) -> None:
    while True:
        for data in queue.get_many(3):
            say(f"-{number_of(data)}")


def hold(queue: weft.Queue) -> None:
    """Keeps views of ten messages and waits for its end."""
    held = []
    for _ in range(10):
        held.append(queue.get())
        say(f"-{bytes(held[-1][:20])!r}")
    signal.pause()


def lease(queue: weft.Queue) -> None:
    for turn in range(100_000):
        held = queue.lease()
        number = number_of(held.item)
        say(f"-{number}")
        if turn % 3 == 2:
            held.release()
            say(f"<{number}")
        else:
            say(f"~{number}")
            held.ack()
            say(f"*{number}")


def create(queue: weft.Queue) -> None:
    for turn in range(1000):
        with weft.Queue(f"made-{turn % 3}") as made:
            made.put(turn)
            made.get()


def main() -> None:
    role, name = sys.argv[1:3]
    if role == "clean":
        say("ready")
        weft.memory.clean([name])
        return
    if role == "create":
        say("ready")
        create(None)  # type: ignore[arg-type]
        return
    on_full = "drop-oldest" if role == "replace" else "block"
    queue = weft.Queue(name, create=False, views=role == "hold", on_full=on_full)
    say("ready")
    if role == "produce":
        produce(queue, int(sys.argv[3]))
    elif role == "end":
        queue.shutdown(immediate=True)
    else:
        roles = {"consume": consume, "consume_many": consume_many, "lease": lease, "hold": hold, "replace": replace}
        roles[role](queue)


if __name__ == "__main__":
    main()
