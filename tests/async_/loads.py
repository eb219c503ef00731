"""What tests of event loops share."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest

# How many cancellations.
MANY = [5_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]


class Account:
    """Which messages were put, and which arrived."""

    def __init__(self) -> None:
        self.put = 0
        self.taken: list[int] = []
        self.cancelled = 0

    def next(self) -> int:
        """The number of the next message to put."""
        self.put += 1
        return self.put - 1

    def assert_exact(self) -> None:
        """Each message has arrived, and none twice."""
        assert Counter(self.taken) == Counter(range(self.put))


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Runs a test's body in an asyncio loop of its own."""
    return asyncio.run(main)


async def settle() -> None:
    """Lets every task of the asyncio loop run until it waits."""
    for _ in range(3):
        await asyncio.sleep(0)
