"""Message queues: what POSIX and posix_ipc document, and what weft adds."""

import asyncio
import errno
import os
import pickle
import select
import signal
import threading

import pytest

import weft

from ..helpers import run_program, start_program, until


@pytest.fixture
def mq():
    with weft.MessageQueue("q", max_messages=10, max_message_size=8192) as queue:
        yield queue
        if queue.path.exists():
            queue.unlink()


def test_highest_priority_first_and_oldest_within_one(mq):
    for number, priority in enumerate([0, 3, 1, 3, 32_767, 0, 1]):
        mq.send(b"%d" % number, priority=priority)
    assert [mq.receive(0) for _ in range(7)] == [
        (b"4", 32_767), (b"1", 3), (b"3", 3), (b"2", 1), (b"6", 1), (b"0", 0), (b"5", 0),
    ]  # fmt: skip


def test_what_comes_between_goes_first(mq):
    mq.send(b"low")
    mq.send(b"low too")
    assert mq.receive(0) == (b"low", 0)
    mq.send(b"high", priority=1)
    assert mq.receive(0) == (b"high", 1)
    assert mq.receive(0) == (b"low too", 0)


def test_any_message_that_the_codec_carries(mq):
    for message in ("text", {"a": (1, 2)}, 7, None, b"", bytes(8192)):
        mq.send(message)
        assert mq.receive(0) == (message, 0)


def test_attributes(mq):
    assert (mq.max_messages, mq.max_message_size, mq.current_messages, mq.block) == (10, 8192, 0, True)
    mq.send(b"x")
    assert mq.current_messages == 1
    mq.receive()
    with weft.MessageQueue() as other:
        assert (other.max_messages, other.max_message_size) == (1024, 64 << 10)


def test_as_many_as_max_messages_of_max_message_size():
    with weft.MessageQueue(max_messages=40, max_message_size=100_000) as queue:
        for turn in range(3):
            for number in range(40):
                queue.send(bytes([number]) * 100_000, 0, number % 3)
            with pytest.raises(weft.Full):
                queue.send(b"", 0)
            taken = [queue.receive(0) for _ in range(40)]
            assert [priority for _, priority in taken] == sorted((n % 3 for n in range(40)), reverse=True)
            assert sorted(data[0] for data, _ in taken) == list(range(40)), turn


def test_a_message_that_is_never_the_best_pins_little():
    with weft.MessageQueue(max_messages=1000) as queue:
        for number in range(500):
            queue.send(b"low%d" % number)
            for _ in range(60):  # each in a page of its own, with pages of others in between
                queue.send(bytes(100), 0, 1)
            for _ in range(60):
                assert queue.receive(0)[1] == 1
        assert queue.statistics().reserved < 10 << 20
        assert [queue.receive(0)[0] for _ in range(500)] == [b"low%d" % number for number in range(500)]


# --- opening, as sem_open and mq_open have it --------------------------------------------------------


def test_open_flags(mq):
    with pytest.raises(weft.NameInUseError) as caught:
        weft.MessageQueue("q", create=True)
    assert isinstance(caught.value, FileExistsError)
    with pytest.raises(weft.NotFoundError):
        weft.MessageQueue("other", create=False)
    with weft.MessageQueue("q", create=False) as same:
        same.send(b"x")
        assert mq.receive(0) == (b"x", 0)


def test_kept_until_unlinked():
    with weft.MessageQueue("kept") as queue:
        queue.send("still here", priority=4)
    with weft.MessageQueue("kept", create=False) as queue:
        assert queue.receive(0) == ("still here", 4)
        queue.unlink()
        with pytest.raises(weft.NotFoundError):
            queue.unlink()
        queue.send("who has it open goes on")
        assert queue.receive(0) == ("who has it open goes on", 0)
    with pytest.raises(weft.NotFoundError):
        weft.MessageQueue("kept", create=False)


def test_mode(mq):
    assert mq.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "other",
    [{"max_messages": 11}, {"max_message_size": 4096}, {"codec": "pickle"}, {"lifetime": "attached"}],
)
def test_other_settings_are_refused(mq, other):
    with pytest.raises(weft.MismatchError) as caught:
        weft.MessageQueue("q", **other)
    assert next(iter(other)) in str(caught.value)


def test_other_kinds_are_refused(mq):
    with pytest.raises(weft.MismatchError):
        weft.Queue("q")
    with pytest.raises(weft.MismatchError):
        weft.PriorityQueue("q")
    with weft.Queue("plain"), pytest.raises(weft.MismatchError):
        weft.MessageQueue("plain")


# --- waiting -------------------------------------------------------------------------------------------


def test_timeouts_and_block(mq):
    for timeout in (0, 0.01):
        with pytest.raises(weft.Empty):
            mq.receive(timeout)
    for number in range(10):
        mq.send(b"%d" % number)
    for timeout in (0, 0.01):
        with pytest.raises(weft.Full):
            mq.send(b"", timeout)
    mq.block = False
    with pytest.raises(weft.Full):
        mq.send(b"")
    for number in range(10):
        assert mq.receive() == (b"%d" % number, 0)
    with pytest.raises(weft.Empty):
        mq.receive(30)


def test_a_receiver_and_a_sender_wait_for_each_other(mq):
    with start_program(
        """
        queue = weft.MessageQueue("q")
        for number in range(200):
            queue.send(number, priority=number % 2)
        """
    ) as program:
        assert sorted(mq.receive(30)[0] for _ in range(200)) == list(range(200))
        program.finish()


def test_a_higher_priority_that_comes_while_the_queue_is_full_goes_first(mq):
    for number in range(10):
        mq.send(b"low%d" % number)
    thread = threading.Thread(target=lambda: mq.send(b"high", 30, 9))
    thread.start()
    until(lambda: mq.statistics().waiting_producers)
    assert mq.receive(0) == (b"low0", 0)
    thread.join()
    assert mq.receive(0) == (b"high", 9)


def test_close_ends_waits(mq):
    caught = []

    def wait():
        try:
            mq.receive()
        except weft.ClosedError as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: mq.statistics().waiting_consumers)
    mq.unlink()
    mq.close()
    thread.join()
    assert caught
    for call in (mq.receive, lambda: mq.send(b""), lambda: mq.current_messages, mq.unlink, mq.statistics):
        with pytest.raises(weft.ClosedError, match="MessageQueue"):
            call()
    mq.close()


def test_event_loop(mq):
    async def main():
        receiver = asyncio.create_task(mq.areceive(30))
        await asyncio.sleep(0)
        await mq.asend("hello", priority=2)
        assert await receiver == ("hello", 2)
        for number in range(10):
            await mq.asend(number)
        sender = asyncio.create_task(mq.asend("more", 30))
        await asyncio.sleep(0)
        assert (await mq.areceive())[0] == 0
        await sender
        async with mq.alease() as item:
            assert item == 1
        with pytest.raises(weft.Full):
            for _ in range(10):
                await mq.asend("too many", 0)
        cancelled = asyncio.create_task(mq.areceive())
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled

    asyncio.run(main())


def test_select(mq):
    assert not select.select([mq], [], [], 0)[0]
    mq.send(b"x")
    assert select.select([mq], [], [], 30)[0]
    mq.receive()


# --- leases ---------------------------------------------------------------------------------------------


def test_what_is_given_back_takes_its_old_place(mq):
    for name, priority in (("a", 1), ("b", 1), ("c", 0)):
        mq.send(name, priority=priority)
    lease = mq.lease()
    assert (lease.item, lease.priority) == ("a", 1)
    mq.send("urgent", priority=2)
    lease.release()
    assert [mq.receive(0)[0] for _ in range(4)] == ["urgent", "a", "b", "c"]


def test_a_dead_holder_gives_back(mq):
    mq.send("job", priority=3)
    with start_program(
        """
        lease = weft.MessageQueue("q").lease()
        say(lease.item)
        hear()
        """
    ) as program:
        program.expect("job")
        assert mq.current_messages == 0
        program.process.kill()
        again = mq.lease(30)
        assert (again.item, again.priority, again.redelivered) == ("job", 3, 1)
        again.ack()


# --- notification -----------------------------------------------------------------------------------------


def test_told_once_for_a_message_in_an_empty_queue(mq):
    told = []
    event = threading.Event()
    mq.request_notification(lambda: (told.append(1), event.set()))
    assert mq.statistics().registered
    mq.send(b"1")
    assert event.wait(30)
    assert not mq.statistics().registered
    mq.send(b"2")
    mq.receive()
    mq.receive()
    mq.send(b"3")
    assert told == [1]
    mq.receive()


def test_not_told_while_the_queue_is_not_empty(mq):
    mq.send(b"there already")
    with mq.notification() as notice:
        mq.send(b"another")
        assert not notice.wait(0)
        mq.receive()
        mq.receive()
        mq.send(b"the first")
        assert notice.wait(30)
        assert notice.told
    mq.receive()


def test_not_told_when_somebody_waits(mq):
    with mq.notification() as notice:
        received = []
        thread = threading.Thread(target=lambda: received.append(mq.receive(30)))
        thread.start()
        until(lambda: mq.statistics().waiting_consumers)
        mq.send(b"for the receiver")
        thread.join()
        assert received == [(b"for the receiver", 0)]
        assert not notice.told

        async def main():
            receiver = asyncio.create_task(mq.areceive(30))
            await asyncio.sleep(0)
            mq.send(b"for the task")
            return await receiver

        assert asyncio.run(main()) == (b"for the task", 0)
        assert not notice.told
        mq.send(b"for nobody")
        assert notice.wait(30)
    mq.receive()


def test_one_registration_at_a_time_which_ends_with_its_owner(mq):
    with start_program(
        """
        queue = weft.MessageQueue("q")
        notice = queue.notification()
        say("registered")
        hear()
        """
    ) as program:
        program.expect("registered")
        with pytest.raises(BlockingIOError) as caught:
            mq.notification()
        assert caught.value.errno == errno.EBUSY
        with pytest.raises(BlockingIOError):
            mq.request_notification(print)
        program.process.kill()
        program.process.wait()
    notice = mq.notification()
    notice.cancel()
    with weft.MessageQueue("q") as other:
        other.request_notification(print)
    mq.notification().cancel()  # closing took the other's back


def test_function_with_argument_signal_and_none(mq):
    got = []
    mq.request_notification((got.append, "argument"))
    mq.send(b"x")
    until(lambda: got)
    assert got == ["argument"]
    mq.receive()
    before = signal.signal(signal.SIGUSR1, lambda number, frame: got.append(number))
    try:
        mq.request_notification(signal.SIGUSR1)
        mq.send(b"x")
        until(lambda: len(got) == 2)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert got[1] == signal.SIGUSR1
    mq.receive()
    mq.request_notification(got.append)
    mq.request_notification(None)
    mq.send(b"x")
    assert not mq.statistics().registered
    mq.receive()
    for wrong in ("x", 1.5, (1, 2), True, object()):
        with pytest.raises(TypeError):
            mq.request_notification(wrong)


def test_awaited_and_selected(mq):
    notice = mq.notification()
    descriptor = notice.fileno()
    assert not select.select([descriptor], [], [], 0)[0]
    mq.send(b"x")
    assert select.select([descriptor], [], [], 30)[0]
    assert notice.told
    mq.receive()

    async def main():
        later = mq.notification()
        asyncio.get_running_loop().call_soon(mq.send, b"y")
        assert await later
        return await mq.areceive()

    assert asyncio.run(main()) == (b"y", 0)


def test_told_across_programs(mq):
    with start_program(
        """
        queue = weft.MessageQueue("q")
        notice = queue.notification()
        say("registered")
        say(notice.wait(30), *queue.receive(0))
        """
    ) as program:
        program.expect("registered")
        mq.send("news", priority=6)
        program.expect("True news 6")
        program.finish()


# --- travelling -------------------------------------------------------------------------------------------


def test_pickle_and_token(mq):
    mq.block = False
    for other in (pickle.loads(pickle.dumps(mq)), weft.open(mq.token)):
        with other:
            assert type(other) is weft.MessageQueue
            other.send("x", priority=3)
            assert mq.receive(0) == ("x", 3)
    out = run_program("import sys; weft.open(sys.argv[1]).send('from afar')", mq.token)
    assert out == ""
    assert mq.receive(30) == ("from afar", 0)


def test_fork(mq):
    mq.send("before")
    pid = os.fork()
    if not pid:
        mq.send(mq.receive()[0] + " and after", priority=1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert mq.receive(0) == ("before and after", 1)


def test_namespace_look_and_repr(spare):
    place = weft.Namespace(spare)
    with place.MessageQueue("q", lifetime="attached") as queue:
        queue.send("x", priority=2)
        queue.send("y", priority=1)
        assert repr(queue) == "<weft.MessageQueue 'q' 2 waiting>"
        found = weft.memory.inspect("q", namespace=place)
        assert found.kind == "MessageQueue"
        assert (found.details["depth"], found.details["max_messages"]) == (2, 1024)
        queue.receive()
        assert weft.memory.inspect("q", namespace=place).details["depth"] == 1
        queue.receive()


# --- bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_messages": 0}, ValueError),
        ({"max_messages": -1}, ValueError),
        ({"max_messages": 61_441}, ValueError),
        ({"max_messages": "10"}, TypeError),
        ({"max_messages": 60_000, "max_message_size": 1 << 30}, ValueError),
        ({"max_message_size": 0}, ValueError),
        ({"max_message_size": 1 << 63}, ValueError),
        ({"max_message_size": 1.5}, TypeError),
        ({"lifetime": "for ever"}, ValueError),
        ({"codec": "unknown"}, ValueError),
        ({"wait": "never"}, ValueError),
        ({"create": "yes"}, TypeError),
        ({"durable": True}, ValueError),
        ({"durable": "yes"}, TypeError),
        ({"directory": 7}, TypeError),
        ({"directory": "/nowhere/at/all"}, FileNotFoundError),
        ({"mode": "rw"}, TypeError),
    ],
)
def test_bad_settings(options, error):
    with pytest.raises(error):
        weft.MessageQueue("bad", **options)
    assert not (weft.Namespace().path / "bad").exists()


@pytest.mark.parametrize("name", ["", "/slash", "a/b", "..", 7, b"bytes", "anon-x", "x" * 201])
def test_bad_names(name):
    with pytest.raises((ValueError, TypeError)):
        weft.MessageQueue(name)


def test_bad_messages_do_no_harm(mq):
    mq.send("good")
    for call, error in [
        (lambda: mq.send(b"x", priority=-1), ValueError),
        (lambda: mq.send(b"x", priority=32_768), ValueError),
        (lambda: mq.send(b"x", priority=1 << 70), ValueError),
        (lambda: mq.send(b"x", priority="high"), TypeError),
        (lambda: mq.send(b"x", priority=True), TypeError),
        (lambda: mq.send(b"x", priority=1.0), TypeError),
        (lambda: mq.send(b"x", -1), ValueError),
        (lambda: mq.send(b"x", "soon"), TypeError),
        (lambda: mq.send(object()), TypeError),
        (lambda: mq.send(bytes(8193)), weft.MessageTooLargeError),
        (lambda: mq.send("x" * 9000), weft.MessageTooLargeError),
        (lambda: mq.send(b"x", durable=True), ValueError),
        (lambda: mq.send(b"x", durable=1), TypeError),
        (lambda: mq.send_many([b"x"], priority=-1), ValueError),
        (lambda: mq.send_many(7), TypeError),
        (lambda: mq.receive(-1), ValueError),
        (lambda: mq.receive("later"), TypeError),
        (lambda: mq.lease(-1), ValueError),
    ]:
        with pytest.raises(error):
            call()
    with pytest.raises(TypeError) as caught:
        mq.send_many(["fine", object(), "never"])
    assert caught.value.sent == 1
    assert [mq.receive(0)[0] for _ in range(2)] == ["good", "fine"]
    assert mq.current_messages == 0


def test_opened_once(mq):
    with pytest.raises(RuntimeError):
        mq.__init__("q")
