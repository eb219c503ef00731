"""Serves running totals to any number of clients that know the key, and ends when one asks for it."""

import asyncio

from weft import sockets

ADDRESS = "\0weft-example-totals"
KEY = "an example's key; make yours with secrets.token_bytes(32)"


async def main() -> None:
    ended = asyncio.Event()
    total = 0

    async def handler(connection: sockets.Connection) -> None:
        nonlocal total
        async for values in connection:
            if values is None:
                ended.set()
                return
            total += int(values.sum())
            await connection.asend(total)

    async with await sockets.serve(handler, ADDRESS, authkey=KEY):
        await ended.wait()
    print("server: the total is", total)


if __name__ == "__main__":
    asyncio.run(main())
