"""Small messages whose objects are used again: whoever holds one must never see it change."""

import random
import threading

import pytest


def message(number: int, size: int) -> bytes:
    return (b"%d " % number * (size // 2 + 1))[:size]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 300])
def test_what_is_held_stays(open_queue, size):
    queue = open_queue("q")
    held = []
    for number in range(1200):
        queue.put(message(number, size))
        held.append(queue.get())
    assert held == [message(number, size) for number in range(1200)]


def test_what_is_dropped_comes_back_as_the_next_message_in_full(open_queue):
    queue = open_queue("q")
    for number in range(2000):
        expected = message(number, 64)
        queue.put(expected)
        taken = queue.get()
        assert taken == expected
        # Nothing of the message before is left: not its hash, and not its end.
        assert hash(taken) == hash(bytes(bytearray(expected)))
        assert {expected: number}[taken] == number
        assert taken + b"x" == expected + b"x"


@pytest.mark.parametrize("seed", range(4))
def test_holding_and_dropping_at_random(open_queue, seed):
    choose = random.Random(seed)
    queue = open_queue("q")
    held: list[tuple[bytes, bytes]] = []
    number = 0
    for _ in range(600):
        sent = [
            message(number + i, choose.choice([1, 2, 64, 64, 64, 65, 128, 200])) for i in range(choose.randint(1, 40))
        ]
        number += len(sent)
        queue.put_many(sent)
        taken = queue.get_many(len(sent)) if choose.random() < 0.5 else [queue.get() for _ in sent]
        assert taken == sent
        held += [pair for pair in zip(taken, sent, strict=True) if choose.random() < 0.3]
        if len(held) > 700:
            held = choose.sample(held, choose.randint(0, 100))
        assert all(mine == theirs for mine, theirs in held)


def test_views_slices_and_containers_hold_a_message(open_queue):
    queue = open_queue("q")
    queue.put_many([message(number, 64) for number in range(1000)])
    views = [memoryview(queue.get()) for _ in range(100)]
    keys = {queue.get(): number for number in range(100, 200)}
    taken = frozenset(queue.get_many(100))
    rest = [queue.get() for _ in range(700)]
    assert [bytes(view) for view in views] == [message(number, 64) for number in range(100)]
    assert all(keys[message(number, 64)] == number for number in range(100, 200))
    assert taken == {message(number, 64) for number in range(200, 300)}
    assert rest == [message(number, 64) for number in range(300, 1000)]


def test_messages_outlive_their_handle(open_queue):
    queue = open_queue("q")
    queue.put_many([message(number, 64) for number in range(600)])
    taken = queue.get_many(600)
    queue.close()
    del queue
    assert taken == [message(number, 64) for number in range(600)]


def test_threads_that_share_a_handle(open_queue):
    queue = open_queue("q")
    wrong: list[bytes] = []

    def take() -> None:
        last = queue.get()
        while last != b"end":
            before, copy = last, bytes(bytearray(last))
            last = queue.get()
            if before != copy:
                wrong.append(copy)

    takers = [threading.Thread(target=take) for _ in range(4)]
    for taker in takers:
        taker.start()
    for number in range(20_000):
        queue.put(message(number, 64))
    queue.put_many([b"end"] * 4)
    for taker in takers:
        taker.join()
    assert not wrong
