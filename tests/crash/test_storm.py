"""Processes killed at random moments, again and again, while others go on."""

import random
import time

import pytest

import weft

from .programs import Victim, assert_whole, drain, duplicates


def run_storm(kills: int, seed: int) -> None:
    """Two producers and two lease holders, one of them killed and replaced at each turn.

    Every message is accounted for: what a producer had put is acknowledged once or still there, what it
    was about to put may be; nothing is acknowledged twice.
    """
    choose = random.Random(seed)
    put: set[int] = set()
    maybe_put: set[int] = set()
    acknowledged: list[int] = []
    maybe_acknowledged: set[int] = set()
    next_number = 0

    def start(role: str) -> Victim:
        nonlocal next_number
        next_number += 1_000_000
        victim = Victim(role, "storm", next_number)
        victim.wait_ready()
        return victim

    def account(victim: Victim) -> None:
        victim.wait_dead()
        put.update(victim.numbers("="))
        maybe_put.update(victim.numbers("+"))
        acknowledged.extend(victim.numbers("*"))
        maybe_acknowledged.update(victim.numbers("~"))

    with weft.Queue("storm", capacity=4 << 20) as queue:
        running = [start(role) for role in ("produce", "produce", "lease", "lease")]
        roles = ["produce", "produce", "lease", "lease"]
        try:
            for _ in range(kills):
                # The moment of the kill is what the test varies: it stands for no event.
                time.sleep(choose.uniform(0.001, 0.04))
                chosen = choose.randrange(4)
                running[chosen].kill()
                account(running[chosen])
                running[chosen].__exit__()
                running[chosen] = start(roles[chosen])
        finally:
            for victim in running:
                victim.kill()
                account(victim)
                victim.__exit__()
        left = drain(queue)
        assert not duplicates(acknowledged)
        assert not duplicates(left)
        assert not set(acknowledged) & set(left)
        assert put <= set(acknowledged) | set(left) | maybe_acknowledged
        assert set(left) | set(acknowledged) <= maybe_put
        assert_whole(queue)
        state = queue.statistics()
        assert state.sent == state.received
        assert state.attached == 1


def test_storm():
    run_storm(kills=60, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(4))
def test_long_storm(seed):
    run_storm(kills=500, seed=seed)


def test_create_use_kill_leaves_nothing():
    """Names, files and bytes stay flat however often all users of an object are killed."""
    place = weft.Namespace()
    for turn in range(40):
        with Victim("create", "-") as victim:
            victim.wait_ready()
            if turn % 2:
                with weft.Queue("made-0") as queue:
                    queue.put(turn)
                    queue.get()
            victim.kill()
            victim.wait_dead()
    assert len(place.names()) <= 3
    place.clean()
    assert list(place.path.iterdir()) == []


def test_killed_with_views():
    """A consumer killed with views in its hands gives their memory back."""
    with weft.Queue("q", capacity=2 << 20) as queue:
        for _ in range(10):
            for number in range(20):
                queue.put(b"%d:" % number + bytes(40_000))
            with Victim("hold", "q") as victim:
                victim.wait_ready()
                for _ in range(10):
                    assert victim.process.stdout.readline().startswith("-")
                assert queue._pages()["held"] >= 100
                victim.kill()
                victim.wait_dead()
            drain(queue)
            assert_whole(queue)
