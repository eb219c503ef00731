"""Either end of a connection is killed during transfers: every whole message, then the end, and nobody hangs."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("kills.py")


def run(family: str, seed: int, kills: int) -> None:
    with subprocess.Popen(
        [sys.executable, PROGRAM, family, str(seed), str(kills)], stdout=subprocess.PIPE, text=True
    ) as program:
        try:
            roles = [int(word) for word in program.stdout.read().split()]
        finally:
            program.kill()
    assert sum(roles) == kills
    assert min(roles) > kills // 10


@pytest.mark.parametrize(("family", "kills"), [("AF_UNIX", 140), ("AF_INET", 80)])
def test_killed_during_transfers(family, kills):
    run(family, 1, kills)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", ["AF_UNIX", "AF_INET", "AF_INET6"])
def test_killed_for_long(family, seed):
    run(family, 1000 * seed, 500)
