"""A program that works on a message queue until a fault point, or a signal, ends it.

Lines: ``+n`` about to send n, ``=n`` sent; ``-n`` received or leased, ``~n`` about to acknowledge, ``*n`` acknowledged,
``<n`` given back.
"""

import sys

from victim import number_of, say  # beside it, where a program's own directory is looked for first

import weft

SIZES = (0, 8, 100, 1000, 3000, 9000, 40_000)


def send(queue: weft.MessageQueue, first: int, end: int) -> None:
    for number in range(first, end):
        say(f"+{number}")
        data = b"%d:" % number + bytes(SIZES[number % len(SIZES)])
        if number % 5 == 4:
            queue.send_many([data], priority=number % 3)
        else:
            queue.send(data, priority=number % 3)
        say(f"={number}")


def receive(queue: weft.MessageQueue) -> None:
    while queue.current_messages:
        say(f"-{number_of(queue.receive(5)[0])}")


def lease(queue: weft.MessageQueue, wait: bool) -> None:
    turn = 0
    while wait or queue.current_messages:
        held = queue.lease()
        number = number_of(held.item)
        say(f"-{number}")
        turn += 1
        if turn % 3 == 2:
            held.release()
            say(f"<{number}")
        else:
            say(f"~{number}")
            held.ack()
            say(f"*{number}")


def main() -> None:
    role, *arguments = sys.argv[1:]
    numbers = [int(word) for word in arguments if word.isdecimal()]
    queue = weft.MessageQueue("q", create=False)
    say("ready")
    if role == "send":
        send(queue, *numbers)
    elif role == "receive":
        receive(queue)
    else:
        lease(queue, bool(numbers))


if __name__ == "__main__":
    main()
