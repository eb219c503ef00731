"""A cell in asyncio and trio: tasks wait without a thread, and a value wakes all of them."""

import asyncio
import threading

import pytest

import weft

from ..helpers import start_program
from .loads import run, settle

FOLLOWED = 200
SETTER = "cell = weft.Cell('c'); say('ready'); hear()\nfor number in range(1, int(sys.argv[1]) + 1): cell.set(number)"


@pytest.fixture
def cell():
    with weft.Cell("c") as cell:
        yield cell


def test_what_is_there_is_got_at_once(cell):
    async def main():
        cell.set(1)
        assert await cell.aget_newer() == 1
        assert await cell.aget_newer(0) == 1
        with pytest.raises(TimeoutError, match="no value newer than version 1"):
            await cell.aget_newer(timeout=0)
        with pytest.raises(TimeoutError):
            await cell.aget_newer(timeout=0.01)
        cell.set(2)
        assert await cell.aget_newer(timeout=0) == 2

    run(main())


def test_waits_for_another_program(cell):
    async def main():
        with start_program(SETTER, FOLLOWED) as program:
            program.expect("ready")
            first = asyncio.create_task(cell.aget_newer())
            await settle()
            assert not first.done()
            program.say()
            got = [await first]
            while got[-1] < FOLLOWED:
                got.append(await cell.aget_newer())
            assert got == sorted(set(got))
            program.finish()

    run(main())


@pytest.mark.parametrize("shared", [True, False])
def test_a_value_wakes_all_tasks(cell, shared):
    async def main():
        handles = [cell] * 20 if shared else [weft.Cell("c") for _ in range(20)]
        threads = threading.active_count()
        tasks = [asyncio.create_task(handle.aget_newer()) for handle in handles]
        await settle()
        assert not any(task.done() for task in tasks)
        assert threading.active_count() == threads
        cell.set("news")
        assert await asyncio.gather(*tasks) == ["news"] * 20
        for handle in handles:
            handle.close()

    run(main())


def test_each_task_waits_for_its_own_version(cell):
    async def main():
        cell.set("one")
        late = asyncio.create_task(cell.aget_newer(2))
        early = asyncio.create_task(cell.aget_newer(1))
        await settle()
        cell.set("two")
        assert await early == "two"
        assert not late.done()
        cell.set("three")
        assert await late == "three"

    run(main())


def test_cancelled_tasks_have_got_nothing(cell):
    async def main():
        cell.set(1)
        cell.get()
        tasks = [asyncio.create_task(cell.aget_newer()) for _ in range(5)]
        await settle()
        for task in tasks[:4]:
            task.cancel()
        await settle()
        assert cell.seen == 1
        cell.set(2)
        assert await tasks[4] == 2

    run(main())


def test_closing_ends_waits():
    async def main():
        cell = weft.Cell("c")
        task = asyncio.create_task(cell.aget_newer())
        await settle()
        cell.close()
        with pytest.raises(weft.ClosedError):
            await task

    run(main())


@pytest.mark.parametrize(("arguments", "error"), [((-1,), ValueError), (("x",), TypeError), ((None, -1), ValueError)])
def test_arguments_that_cannot_be(cell, arguments, error):
    async def main():
        with pytest.raises(error):
            await cell.aget_newer(*arguments)

    run(main())


def test_in_trio(cell):
    trio = pytest.importorskip("trio")
    testing = pytest.importorskip("trio.testing")
    got = []

    async def follow(handle):
        while not got or got[-1] < FOLLOWED:
            got.append(await handle.aget_newer())

    async def main():
        with pytest.raises(TimeoutError):
            await cell.aget_newer(timeout=0.01)
        with start_program(SETTER, FOLLOWED) as program:
            program.expect("ready")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(follow, cell)
                with trio.move_on_after(0.01):
                    await cell.aget_newer()
                await testing.wait_all_tasks_blocked()
                program.say()
            program.finish()
        assert got == sorted(set(got))

    trio.run(main)
