"""Sockets in asyncio: serve and connect, awaitable twins, cancellation, limits and graceful ends."""

import asyncio
import os
import socket
import ssl
import threading

import numpy as np
import pytest

import weft
from weft import sockets

from ..helpers import start_program

FAMILIES = ["AF_UNIX", "AF_INET"]


async def echo(connection):
    async for message in connection:
        await connection.asend(message)


def run(main):
    return asyncio.run(asyncio.wait_for(main, 60))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("key", [None, b"key"])
def test_serve_and_connect(family, key):
    async def main():
        async with await sockets.serve(echo, family=family, authkey=key) as server:
            for _ in range(2):
                async with await sockets.connect(server.address, authkey=key) as connection:
                    for message in (1, {"a": b"x" * 100_000}, "text"):
                        await connection.asend(message)
                        assert await connection.arecv() == message
                    assert len(server.connections) == 1
            assert server.statistics().accepted == 2

    run(main())


@pytest.mark.parametrize("family", FAMILIES)
def test_large_messages_both_ways_at_once(family):
    async def main():
        message = np.arange(2_000_000)
        async with (
            await sockets.serve(echo, family=family) as server,
            await sockets.connect(server.address) as connection,
        ):

            async def send():
                for _ in range(3):
                    await connection.asend(message)

            sending = asyncio.create_task(send())
            for _ in range(3):
                assert np.array_equal(await connection.arecv(), message)
            await sending

    run(main())


def test_many_clients_at_once():
    async def main():
        async with await sockets.serve(echo, backlog=1) as server:

            async def client(n):
                async with await sockets.connect(server.address, authkey=None) as connection:
                    for i in range(20):
                        await connection.asend((n, i))
                        assert await connection.arecv() == (n, i)

            await asyncio.gather(*map(client, range(50)))

    run(main())


def test_a_client_in_another_program():
    async def main():
        async with await sockets.serve(echo) as server:
            code = "c = weft.Client(sys.argv[1]); c.send([1, 2]); say(c.recv())"
            with start_program(code, server.address) as program:
                heard = await asyncio.to_thread(program.hear)
                await asyncio.to_thread(program.finish)
            assert heard == "[1, 2]"

    run(main())


def test_bytes_handles_and_timeouts():
    async def main():
        async def handler(connection):
            with pytest.raises(ValueError, match="negative maxlength"):
                await connection.arecv_bytes(-1)
            assert await connection.arecv_bytes(5) == b"bytes"
            os.close(await connection.arecv_handle())
            await connection.asend_bytes(b"done", 1, 2)

        async with await sockets.serve(handler) as server, await sockets.connect(server.address) as connection:
            for timeout in (0, 0.01):
                with pytest.raises(TimeoutError):
                    await connection.arecv(timeout=timeout)
            await connection.asend_bytes(b"bytes")
            await connection.asend_handle(0)
            assert await connection.arecv_bytes() == b"on"
            with pytest.raises(EOFError):
                await connection.arecv()
            with pytest.raises(BrokenPipeError):
                await connection.asend(1)

    run(main())


def test_a_cancelled_receive_has_taken_nothing():
    async def main():
        async with await sockets.serve(echo) as server, await sockets.connect(server.address) as connection:
            for i in range(50):
                task = asyncio.create_task(connection.arecv())
                await asyncio.sleep(0)
                if i % 2:
                    await connection.asend(i)
                    await asyncio.sleep(0.0001 * (i % 5))
                task.cancel()
                try:
                    got = await task
                except asyncio.CancelledError:
                    if not i % 2:
                        continue
                    got = await connection.arecv()
                assert got == i

    run(main())


def test_a_cancelled_send_is_whole_or_nothing():
    async def main():
        with weft.Listener() as listener:
            client = await sockets_pair(listener)
            connection, accepted = client
            message = os.urandom(5_000_000)
            for _ in range(5):
                task = asyncio.create_task(connection.asend_bytes(message))
                await asyncio.sleep(0.005)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                sending = asyncio.create_task(connection.asend("next"))
                got = await accepted.arecv_bytes()
                assert got == message
                assert await accepted.arecv() == "next"
                await sending
            connection.close()
            accepted.close()

    run(main())


async def sockets_pair(listener, **options):
    connecting = asyncio.create_task(sockets.connect(listener.address, **options))
    accepted = await listener.aaccept()
    return await connecting, accepted


def test_several_tasks_in_one_connection():
    async def main():
        with weft.Listener() as listener:
            connection, accepted = await sockets_pair(listener)
            takers = [asyncio.create_task(accepted.arecv()) for _ in range(5)]
            await asyncio.sleep(0)
            await asyncio.gather(*(connection.asend(i) for i in range(5)))
            assert sorted(await asyncio.gather(*takers)) == [0, 1, 2, 3, 4]
            waiting = [asyncio.create_task(accepted.arecv()) for _ in range(3)]
            await asyncio.sleep(0.01)
            accepted.close()
            for task in waiting:
                with pytest.raises(weft.ConnectionClosedError):
                    await task
            connection.close()

    run(main())


def test_close_from_another_thread():
    async def main():
        with weft.Listener() as listener:
            connection, accepted = await sockets_pair(listener)
            waiting = asyncio.create_task(accepted.arecv())
            accepting = asyncio.create_task(listener.aaccept())
            await asyncio.sleep(0.01)
            thread = threading.Thread(target=lambda: (accepted.close(), listener.close()))
            thread.start()
            for task in (waiting, accepting):
                with pytest.raises(weft.ConnectionClosedError):
                    await task
            thread.join()
            connection.close()

    run(main())


def test_a_handler_that_fails_disturbs_nobody(caplog):
    async def main():
        async def handler(connection):
            message = await connection.arecv()
            if message == "fail":
                raise ArithmeticError("as asked")
            await connection.asend(message)

        async with await sockets.serve(handler) as server:
            good, bad = await sockets.connect(server.address), await sockets.connect(server.address)
            await bad.asend("fail")
            with pytest.raises(EOFError):
                await bad.arecv()
            await good.asend("still")
            assert await good.arecv() == "still"
            good.close()
            bad.close()

    run(main())
    assert "as asked" in caplog.text
    assert "has failed" in caplog.text


def test_idle_and_wrong_peers_keep_nobody_waiting():
    async def main():
        async with await sockets.serve(echo, authkey=b"right", handshake_timeout=0.1) as server:
            idle = [socket.socket(socket.AF_UNIX) for _ in range(20)]
            for sock in idle:
                sock.connect(server.address)
            for key in (b"wrong", None):
                with pytest.raises(weft.AuthenticationError):
                    await sockets.connect(server.address, authkey=key)
            async with await sockets.connect(server.address, authkey=b"right") as connection:
                await connection.asend(1)
                assert await connection.arecv() == 1
            while server.statistics().handshaking:
                await asyncio.sleep(0.01)
            for sock in idle:
                sock.close()
            assert server.statistics().failed == 20

    run(main())


def test_as_many_connections_as_there_may_be():
    async def main():
        async with await sockets.serve(echo, max_connections=1) as server, await sockets.connect(server.address):
            with pytest.raises(ConnectionRefusedError, match="as many connections"):
                await sockets.connect(server.address)

    run(main())


def test_graceful_close_waits_for_handlers_and_then_cancels():
    async def main():
        finished = []

        async def handler(connection):
            message = await connection.arecv()
            await asyncio.sleep(0.02 if message == "short" else 1000)
            finished.append(message)
            await connection.asend("finished")

        server = await sockets.serve(handler)
        short, long = await sockets.connect(server.address), await sockets.connect(server.address)
        await short.asend("short")
        await long.asend("long")
        await asyncio.sleep(0.01)
        await server.aclose(timeout=0.5)
        assert finished == ["short"]
        assert await short.arecv() == "finished"
        with pytest.raises(EOFError):
            await long.arecv()
        with pytest.raises(OSError, match="no such socket"):
            await sockets.connect(server.address)
        assert not server.connections
        short.close()
        long.close()

    run(main())


def test_serve_forever_ends_by_cancellation():
    async def main():
        server = await sockets.serve(echo)
        task = asyncio.create_task(server.serve_forever())
        async with await sockets.connect(server.address) as connection:
            await connection.asend(1)
            assert await connection.arecv() == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(FileNotFoundError):
            await sockets.connect(server.address)

    run(main())


def test_bad_arguments_and_refusals():
    async def main():
        with pytest.raises(TypeError, match="coroutine function"):
            await sockets.serve("handler")
        with pytest.raises(ConnectionRefusedError, match="nobody listens there"):
            await sockets.connect(("127.0.0.1", 1))
        with pytest.raises(socket.gaierror):
            await sockets.connect(("no.such.host.invalid", 1))
        with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TimeoutError, match="handshake_timeout"):
            await sockets.connect(silent.getsockname(), handshake_timeout=0.02)
        with weft.Listener() as listener, pytest.raises(TimeoutError):
            await listener.aaccept(timeout=0.01)

    run(main())


def test_a_full_backlog_is_waited_for():
    async def main():
        with weft.Listener(backlog=0) as listener:
            first = asyncio.create_task(sockets.connect(listener.address))
            second = asyncio.create_task(sockets.connect(listener.address))
            third = asyncio.create_task(sockets.connect(listener.address))
            await asyncio.sleep(0.05)
            ends = [await listener.aaccept() for _ in range(3)]
            ends += await asyncio.gather(first, second, third)
            for end in ends:
                end.close()

    run(main())


def test_tls(tmp_path):
    from ..sockets.test_tls import calling, listening, make_certificates

    make_certificates(tmp_path)

    async def main():
        async with await sockets.serve(echo, family="AF_INET", ssl=listening(tmp_path)) as server:
            async with await sockets.connect(server.address, ssl=calling(tmp_path)) as connection:
                for message in (1, "x" * 500_000):
                    await connection.asend(message)
                    assert await connection.arecv() == message
            with pytest.raises(ssl.SSLError):
                await sockets.connect(server.address, ssl=calling(tmp_path, "stranger"))

    run(main())


# --- trio ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_trio(family):
    trio = pytest.importorskip("trio")

    async def main():
        async def serve(listener):
            async with trio.open_nursery() as nursery:
                while True:
                    nursery.start_soon(one, await listener.aaccept())

        async def one(connection):
            with connection:
                await echo(connection)

        with trio.fail_after(60), weft.Listener(family=family, authkey=b"key") as listener:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve, listener)
                with await sockets.connect(listener.address, authkey=b"key") as connection:
                    for message in (1, "x" * 1_000_000):
                        async with trio.open_nursery() as both:
                            both.start_soon(connection.asend, message)
                            assert await connection.arecv() == message
                    with trio.move_on_after(0.01) as scope:
                        await connection.arecv()
                    assert scope.cancelled_caught
                    with pytest.raises(TimeoutError):
                        await connection.arecv(timeout=0.01)
                    await connection.asend("after")
                    assert await connection.arecv() == "after"

                    async def waits():
                        with pytest.raises(weft.ConnectionClosedError):
                            await connection.arecv()

                    async with trio.open_nursery() as waiting:
                        waiting.start_soon(waits)
                        await trio.sleep(0.01)
                        connection.close()
                nursery.cancel_scope.cancel()

    trio.run(main)
