"""A queue under anyio: it runs on asyncio or trio, and its cancellation is theirs."""

import pytest

import weft

from ..helpers import start_program

anyio = pytest.importorskip("anyio")

BACKENDS = ["asyncio", "trio"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_tasks_of_one_group_meet_another_program(open_queue, backend):
    async def main():
        queue, results = open_queue("jobs"), []

        async def take():
            async for item in queue:
                results.append(item)

        with start_program("queue = weft.Queue('jobs'); hear(); queue.put_many(range(100)); queue.shutdown()") as other:
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(take)
                other.say()
            other.finish()
        assert sorted(results) == list(range(100))

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_cancelled_has_taken_nothing(open_queue, backend):
    async def main():
        queue = open_queue("q", maxsize=1)
        with anyio.move_on_after(0.01) as scope:
            await queue.aget()
        assert scope.cancelled_caught
        await queue.aput("kept")
        with anyio.move_on_after(0.01) as scope:
            await queue.aput("one too many")
        assert scope.cancelled_caught
        assert await queue.aget() == "kept"
        with pytest.raises(weft.Empty):
            await queue.aget(timeout=0)

    anyio.run(main, backend=backend)
