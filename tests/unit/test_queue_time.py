"""Waiting: never shorter than asked for, ended by what is waited for, by Ctrl-C and by nothing else."""

import math
import signal
import threading
import time

import pytest

import weft

from ..helpers import start_program, until

WAITS = ["latency", "balanced", "power"]
TAKES = ["get", "get_many", "lease", "lease_many"]


def outcome(call):
    try:
        return call()
    except weft.WeftError as error:
        return type(error)


@pytest.mark.parametrize(("wait", "timeout"), [*((wait, 0.001) for wait in WAITS), ("power", 0.03), ("balanced", 0.3)])
@pytest.mark.parametrize("call", [*TAKES, "put", "put_many", "loan"])
def test_never_ends_early(open_queue, wait, call, timeout):
    queue = open_queue("q", 1, wait=wait)
    begin = time.monotonic()
    if call in TAKES:
        with pytest.raises(weft.Empty):
            getattr(queue, call)(timeout=timeout)
    else:
        queue.put(1)
        with pytest.raises(weft.Full):
            if call == "loan":
                with queue.loan(10, timeout=timeout):
                    pass
            else:
                getattr(queue, call)([2], timeout=timeout)
    assert time.monotonic() - begin >= timeout


@pytest.mark.parametrize("state", ["has to wait", "could do without"])
@pytest.mark.parametrize(
    ("timeout", "error"),
    [(-1, ValueError), (-math.inf, ValueError), (math.nan, ValueError), ("1", TypeError), (1j, TypeError)],
)
@pytest.mark.parametrize("call", [*TAKES, "put", "put bytes", "put large", "put_many", "loan"])
def test_timeout_that_is_none(open_queue, call, timeout, error, state):
    queue = open_queue("q", 1)
    if (call in TAKES) == (state == "could do without"):
        queue.put("x")
    before = queue.qsize()
    with pytest.raises(error, match="timeout"):
        match call:
            case "put":
                queue.put("x", timeout=timeout)
            case "put bytes":
                queue.put(b"x", timeout=timeout)
            case "put large":
                queue.put(b"x" * 100_000, timeout=timeout)
            case "put_many":
                queue.put_many(["x"], timeout=timeout)
            case "loan":
                with queue.loan(10, timeout=timeout):
                    pass
            case _:
                getattr(queue, call)(timeout=timeout)
    assert queue.qsize() == before


@pytest.mark.parametrize("timeout", [None, 1e9, 1e18, 1e300, math.inf, 10**30])
def test_timeout_that_is_huge_waits(open_queue, timeout):
    queue = open_queue("q")
    taken = []
    thread = threading.Thread(target=lambda: taken.append(outcome(lambda: queue.get(timeout=timeout))))
    thread.start()
    until(lambda: queue.statistics().waiting_consumers == 1)
    queue.put("at last")
    thread.join()
    assert taken == ["at last"]


@pytest.mark.parametrize("timeout", [True, 1, 1.5])
def test_timeout_of_any_number(open_queue, timeout):
    queue = open_queue("q")
    queue.put(1, timeout=timeout)
    assert queue.get(timeout=timeout) == 1


def test_timeout_does_not_matter_without_block(open_queue):
    queue = open_queue("q", 1)
    with pytest.raises(weft.Empty):
        queue.get(False, 1e9)
    queue.put(1)
    with pytest.raises(weft.Full):
        queue.put(2, False, 1e9)
    with pytest.raises(weft.Full):
        queue.put_many([2], False, 1e9)


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("call", TAKES)
def test_what_comes_from_another_program_ends_the_wait(open_queue, wait, call):
    queue = open_queue("q", wait=wait)
    with start_program(
        """
        queue = weft.Queue("q", wait=sys.argv[1])
        taken = getattr(queue, sys.argv[2])()
        if "lease" in sys.argv[2]:
            with taken as items:
                say(items)
        else:
            say(taken)
        """,
        wait, call,
    ) as consumer:  # fmt: skip
        until(lambda: queue.statistics().waiting_consumers == 1, consumer)
        queue.put("x")
        assert consumer.finish() == ("['x']\n" if "many" in call else "x\n")
    assert queue.statistics().received == 1


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("size", [1, 2000])
def test_room_made_by_another_program_ends_the_wait(open_queue, wait, size):
    queue = open_queue("q", 2, wait=wait, capacity=32 << 10)
    with start_program(
        """
        queue = weft.Queue("q", wait=sys.argv[1])
        for i in range(200):
            queue.put(i.to_bytes(4, "big") * int(sys.argv[2]))
        """,
        wait, size,
    ) as producer:  # fmt: skip
        until(lambda: queue.statistics().waiting_producers == 1, producer)
        assert [queue.get()[:4] for _ in range(200)] == [i.to_bytes(4, "big") for i in range(200)]
        producer.finish()


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("hold", ["lease", "view"])
def test_memory_given_back_ends_the_wait(open_queue, wait, hold):
    queue = open_queue("q", wait=wait, capacity=32 << 10, views=True)
    held = []
    with pytest.raises(weft.Full):
        while True:
            queue.put(bytes(8000), timeout=0)
            held.append(queue.lease() if hold == "lease" else queue.get())
    thread = threading.Thread(target=lambda: queue.put(b"x" * 8000))
    thread.start()
    until(lambda: queue.statistics().waiting_producers == 1)
    if hold == "lease":
        held[0].ack()
    del held[0]
    thread.join()
    assert queue.get() == b"x" * 8000


def test_waiting_releases_the_gil(open_queue):
    queue = open_queue("q", 1)
    ends = []
    consumer = threading.Thread(target=lambda: ends.append(queue.get()))
    consumer.start()
    until(lambda: queue.statistics().waiting_consumers == 1)  # this thread runs while that one waits
    queue.put("message")
    consumer.join()
    queue.put("full")
    producer = threading.Thread(target=lambda: ends.append(queue.put("more")))
    producer.start()
    until(lambda: queue.statistics().waiting_producers == 1)
    assert [queue.get(), queue.get()] == ["full", "more"]
    producer.join()
    assert ends == ["message", None]


# --- Ctrl-C ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("call", [*TAKES, "put", "put_many", "loan"])
def test_ctrl_c_ends_a_wait_and_leaves_the_queue_whole(open_queue, wait, call):
    queue = open_queue("q", 1, wait=wait)
    counter = "waiting_consumers"
    if call not in TAKES:
        queue.put("full")
        counter = "waiting_producers"
    with start_program(
        """
        queue = weft.Queue("q", wait=sys.argv[1])
        try:
            if sys.argv[2] == "loan":
                with queue.loan(100_000, timeout=None):
                    pass
            elif "put" in sys.argv[2]:
                getattr(queue, sys.argv[2])(["more"])
            else:
                getattr(queue, sys.argv[2])()
        except KeyboardInterrupt:
            say("interrupted", queue.qsize())
        hear()
        queue.put("after") if queue.empty() else say(queue.get())
        """,
        wait, call,
    ) as program:  # fmt: skip
        until(lambda: getattr(queue.statistics(), counter) == 1, program)
        program.process.send_signal(signal.SIGINT)
        program.expect(f"interrupted {queue.qsize()}")
        assert getattr(queue.statistics(), counter) == 0
        program.say()
        assert program.finish() == ("" if call in TAKES else "full\n")
    if call in TAKES:
        assert queue.get() == "after"
    seen = queue.statistics()
    assert (seen.sent, seen.received, seen.leased) == (1, 1, 0)


@pytest.mark.parametrize("call", [*TAKES, "put", "put_many", "loan"])
def test_main_thread_does_not_oversleep_a_signal(open_queue, call):
    """What comes just before a sleep, or to another thread, does not end the sleep: so its first piece is short,
    however seldom a sleeper looks after the dead."""
    queue = open_queue("q", 1)
    if call not in TAKES:
        queue.put("full")
    with start_program(
        """
        import resource, signal, threading
        queue = weft.Queue("q", wait="power")
        arguments = [] if sys.argv[1] not in ("put", "put_many", "loan") else [100_000] if sys.argv[1] == "loan" else [["x"]]
        def wait(**timeout):
            result = getattr(queue, sys.argv[1])(*arguments, **timeout)
            if sys.argv[1] == "loan":
                result.__enter__()
                result.__exit__(None, None, None)
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        for _ in range(10):
            try:
                wait(timeout=0.2)
            except (weft.Empty, weft.Full):
                pass
        say(resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before)
        threading.Thread(target=hear).start()  # it hears the signal
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            wait()
        except KeyboardInterrupt:
            say("interrupted")
        """,
        call,
    ) as program:  # fmt: skip
        assert int(program.hear()) >= 18  # two pieces of each sleep
        counter = "waiting_consumers" if call in TAKES else "waiting_producers"
        until(lambda: getattr(queue.statistics(), counter) == 1, program)
        program.process.send_signal(signal.SIGINT)
        program.expect("interrupted")
        program.say()
        program.finish()


def test_signal_with_a_handler_does_not_end_a_wait(open_queue):
    queue = open_queue("q")
    with start_program(
        """
        import signal
        signal.signal(signal.SIGUSR1, lambda *_: say("handled"))
        queue = weft.Queue("q")
        say("ready")
        say(queue.get(timeout=1e6))
        """
    ) as program:
        program.expect("ready")
        for _ in range(3):
            until(lambda: queue.statistics().waiting_consumers == 1, program)
            program.process.send_signal(signal.SIGUSR1)
            program.expect("handled")
        queue.put("message")
        assert program.finish() == "message\n"


def test_signal_handler_may_use_the_queue_that_is_waited_for(open_queue):
    queue = open_queue("q")
    with start_program(
        """
        import signal
        queue = weft.Queue("q")
        signal.signal(signal.SIGUSR1, lambda *_: queue.put({"from": "handler"}))
        say(queue.get())
        """
    ) as program:
        until(lambda: queue.statistics().waiting_consumers == 1, program)
        program.process.send_signal(signal.SIGUSR1)
        assert program.finish() == "{'from': 'handler'}\n"


def test_handler_that_raises_ends_the_wait_with_its_error(open_queue):
    queue = open_queue("q")
    with start_program(
        """
        import signal
        def handler(*_):
            raise LookupError("told to stop")
        signal.signal(signal.SIGUSR1, handler)
        try:
            weft.Queue("q").get()
        except LookupError as error:
            say(error)
        """
    ) as program:
        until(lambda: queue.statistics().waiting_consumers == 1, program)
        program.process.send_signal(signal.SIGUSR1)
        assert program.finish() == "told to stop\n"
