"""A dashboard: one event loop follows two queues at the same time, without a thread."""

import asyncio

import weft


async def follow(name: str) -> list[float]:
    with weft.Queue(name, maxsize=1) as queue:
        return [value async for value in queue]


async def main() -> None:
    async with asyncio.TaskGroup() as group:
        tasks = {name: group.create_task(follow(name)) for name in ("temperature", "pressure")}
    for name, task in tasks.items():
        print(f"{name}: {task.result()}")


asyncio.run(main())
