"""Pipes in event loops."""

import asyncio
import os
import signal

import numpy as np
import pytest
import trio

import weft

LARGE = 5_000_000


def run(loop, function, *arguments):
    if loop == "trio":
        return trio.run(function, *arguments)
    return asyncio.run(function(*arguments))


LOOPS = pytest.mark.parametrize("loop", ["asyncio", "trio"])


async def together(loop, *calls):
    results = [None] * len(calls)

    async def one(at, call):
        results[at] = await call()

    if loop == "trio":
        async with trio.open_nursery() as nursery:
            for at, call in enumerate(calls):
                nursery.start_soon(one, at, call)
    else:
        await asyncio.gather(*(one(at, call) for at, call in enumerate(calls)))
    return results


@LOOPS
def test_talk(loop):
    async def main():
        one, two = weft.Pipe(capacity=1 << 20)
        async with one, two:

            async def ask():
                for number in range(200):
                    await one.asend(number)
                    assert await one.arecv() == -number
                await one.asend_bytes(b"abc", 1)
                await one.asend(bytes(LARGE))
                await one.asend_bytes(bytearray(LARGE))
                await one.asend({"array": np.arange(LARGE // 8)})

            async def answer():
                for number in range(200):
                    assert await two.arecv() == number
                    await two.asend(-number)
                assert await two.arecv_bytes() == b"bc"
                assert len(await two.arecv()) == LARGE
                assert len(await two.arecv_bytes()) == LARGE
                assert (await two.arecv())["array"].sum() == sum(range(LARGE // 8))

            await together(loop, ask, answer)
            with pytest.raises(TimeoutError):
                await two.arecv(timeout=0.01)
            with pytest.raises(TimeoutError):
                while True:
                    await one.asend(bytes(9000), timeout=0.01)

    run(loop, main)


@LOOPS
def test_cancelled_calls_take_and_send_nothing(loop):
    async def main():
        one, two = weft.Pipe(capacity=1 << 20)
        with one, two:
            for call in (lambda: two.arecv(), lambda: one.asend(bytes(LARGE))):
                if loop == "trio":
                    with trio.move_on_after(0.02) as scope:
                        await call()
                    assert scope.cancelled_caught
                else:
                    with pytest.raises(asyncio.TimeoutError):
                        await asyncio.wait_for(call(), 0.02)
            with pytest.raises(TimeoutError):
                two.recv(timeout=0)
            await one.asend("next")
            assert await two.arecv() == "next"

    run(loop, main)


@LOOPS
def test_the_end(loop):
    async def main():
        one, two = weft.Pipe()

        async def receive():
            return [message async for message in two]

        async def send():
            await one.asend(1)
            await one.asend(2)
            one.close()

        assert (await together(loop, receive, send))[0] == [1, 2]
        with pytest.raises(BrokenPipeError):
            await two.asend(1)
        two.close()
        with pytest.raises(weft.ConnectionClosedError):
            await two.arecv()

    run(loop, main)


@LOOPS
def test_a_death(loop):
    async def main():
        one, two = weft.Pipe()
        pid = os.fork()
        if pid == 0:
            two.send("up")
            signal.pause()
        two.close()
        assert await one.arecv() == "up"

        async def kill():
            await (trio.sleep if loop == "trio" else asyncio.sleep)(0.05)  # until the other task waits
            os.kill(pid, signal.SIGKILL)

        async def receive():
            with pytest.raises(EOFError):
                await one.arecv()

        await together(loop, receive, kill)
        os.waitpid(pid, 0)
        one.close()
        weft.Namespace().clean()

    run(loop, main)


@LOOPS
def test_coming_and_descriptors(loop, tmp_path):
    async def main():
        one = weft.Pipe("p")
        with pytest.raises(TimeoutError):
            await one.await_connected(0.01)
        opened = []

        async def come():
            opened.append(weft.Pipe("p"))

        await together(loop, one.await_connected, come)
        (two,) = opened
        with open(tmp_path / "file", "w") as file:
            for _ in range(3):
                await one.asend_handle(file)
                descriptor = await two.arecv_handle()
                assert os.path.sameopenfile(descriptor, file.fileno())
                os.close(descriptor)
        one.close()
        two.close()

    run(loop, main)


def test_many_pipes_in_one_loop():
    async def main():
        pipes = [weft.Pipe(capacity=1 << 20) for _ in range(30)]

        async def echo(end):
            async for message in end:
                await end.asend(message)

        async def ask(end):
            for number in range(20):
                await end.asend(number)
                assert await end.arecv() == number
            end.close()

        await asyncio.gather(*(echo(two) for _, two in pipes), *(ask(one) for one, _ in pipes))
        for _, two in pipes:
            two.close()

    asyncio.run(main())
