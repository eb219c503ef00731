"""Every blocking call of every object, for tests that interrupt them: a new kind of object adds its own here.

A ``Call`` makes the object so that the call has to wait, makes the call, and ends the wait from another process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import weft


@dataclass(frozen=True)
class Call:
    """One blocking call.

    Attributes:
        id: Its name in the tests' output.
        open: Makes or opens the object by name, the same in all processes.
        fill: Brings it into the state in which the call waits; done once.
        call: Makes the call, with a timeout in seconds or None.
        release: Ends the wait, from elsewhere.
        waits: Whether somebody waits, as the object sees it.
        timed_out: What the call raises, or returns, when the time is up.
        result: What it returns in the end.
        from_handler: What a handler may do to the object while the call waits, to end the wait.
    """

    id: str
    open: Callable[[], Any]
    fill: Callable[[Any], Any]
    call: Callable[[Any, float | None], Any]
    release: Callable[[Any], Any]
    waits: Callable[[Any], bool]
    timed_out: Any
    result: Any
    from_handler: Callable[[Any], Any]


def _lease(queue: weft.Queue, timeout: float | None) -> Any:
    with queue.lease(timeout=timeout) as item:
        return item


def _lease_many(queue: weft.Queue, timeout: float | None) -> Any:
    with queue.lease_many(4, timeout=timeout) as items:
        return items


def _loan(queue: weft.Queue, timeout: float | None) -> Any:
    with queue.loan(10, timeout=timeout) as view:
        view[:] = b"0123456789"


def _take(name: str, call: Callable[[weft.Queue, float | None], Any], result: Any = "message") -> Call:
    return Call(
        f"Queue.{name}",
        lambda: weft.Queue("calls", 1),
        lambda queue: None,
        call,
        lambda queue: queue.put("message"),
        lambda queue: queue.statistics().waiting_consumers > 0,
        weft.Empty,
        result,
        lambda queue: queue.put_nowait("message"),
    )


def _put(name: str, call: Callable[[weft.Queue, float | None], Any]) -> Call:
    return Call(
        f"Queue.{name}",
        lambda: weft.Queue("calls", 1),
        lambda queue: queue.put("full"),
        call,
        lambda queue: queue.get(),
        lambda queue: queue.statistics().waiting_producers > 0,
        weft.Full,
        None,
        lambda queue: queue.get_nowait(),
    )


CALLS = [
    _take("get", lambda queue, timeout: queue.get(timeout=timeout)),
    _take("get_many", lambda queue, timeout: queue.get_many(4, timeout=timeout), ["message"]),
    _take("lease", _lease),
    _take("lease_many", _lease_many, ["message"]),
    _put("put", lambda queue, timeout: queue.put("more", timeout=timeout)),
    _put("put_many", lambda queue, timeout: queue.put_many(["more"], timeout=timeout)),
    _put("loan", _loan),
]

CALLS += [
    Call(
        "Cell.wait_newer",
        lambda: weft.Cell("calls"),
        lambda cell: cell.set("old"),
        lambda cell, timeout: cell.wait_newer(1, timeout=timeout),
        lambda cell: cell.set("message"),
        lambda cell: cell.statistics().waiting > 0,
        TimeoutError,
        "message",
        lambda cell: cell.set("message"),
    ),
    Call(
        "Semaphore.acquire",
        lambda: weft.Semaphore("calls", 1),
        lambda semaphore: semaphore.acquire(),
        lambda semaphore, timeout: semaphore.acquire(timeout=timeout),
        lambda semaphore: semaphore.release(),
        lambda semaphore: semaphore.statistics().waiters > 0,
        False,
        True,
        lambda semaphore: semaphore.release(),
    ),
]


CALLS += [
    Call(
        "MessageQueue.receive",
        lambda: weft.MessageQueue("calls", lifetime="attached"),
        lambda queue: None,
        lambda queue, timeout: queue.receive(timeout),
        lambda queue: queue.send("message", priority=3),
        lambda queue: queue.statistics().waiting_consumers > 0,
        weft.Empty,
        ("message", 3),
        lambda queue: queue.send("message", 0, 3),
    ),
    Call(
        "MessageQueue.send",
        lambda: weft.MessageQueue("calls", lifetime="attached", max_messages=1),
        lambda queue: queue.send("first"),
        lambda queue, timeout: queue.send("more", timeout),
        lambda queue: queue.receive(),
        lambda queue: queue.statistics().waiting_producers > 0,
        weft.Full,
        None,
        lambda queue: queue.receive(0),
    ),
    Call(
        "PriorityQueue.get",
        lambda: weft.PriorityQueue("calls"),
        lambda queue: None,
        lambda queue, timeout: queue.get(timeout=timeout),
        lambda queue: queue.put((1, "message")),
        lambda queue: queue.statistics().waiting_consumers > 0,
        weft.Empty,
        (1, "message"),
        lambda queue: queue.put_nowait((1, "message")),
    ),
]


class _Flagged:
    """A condition and what it is about: a flag that stays, so that a notification too early is none lost."""

    def __init__(self) -> None:
        self.condition, self.flag = weft.Condition("calls"), weft.Event("flag")

    def wait(self, timeout: float | None) -> bool:
        with self.condition:
            return self.condition.wait_for(self.flag.is_set, timeout)

    def end(self) -> None:
        self.flag.set()
        with self.condition:
            self.condition.notify_all()

    def close(self) -> None:
        self.condition.close()
        self.flag.close()


def _acquire(name: str, make: Callable[[], Any]) -> Call:
    return Call(
        f"{name}.acquire",
        make,
        lambda lock: lock.acquire(),
        lambda lock, timeout: lock.acquire(timeout=timeout),
        lambda lock: lock.release(),
        lambda lock: lock.statistics().waiters > 0,
        False,
        True,
        lambda lock: lock.release(),
    )


CALLS += [
    _acquire("Lock", lambda: weft.Lock("calls")),
    _acquire("BoundedSemaphore", lambda: weft.BoundedSemaphore("calls", 1)),
    Call(
        "Event.wait",
        lambda: weft.Event("calls"),
        lambda event: None,
        lambda event, timeout: event.wait(timeout),
        lambda event: event.set(),
        lambda event: event.statistics().waiters > 0,
        False,
        True,
        lambda event: event.set(),
    ),
    Call(
        "Condition.wait_for",
        _Flagged,
        lambda flagged: None,
        lambda flagged, timeout: flagged.wait(timeout),
        lambda flagged: flagged.end(),
        lambda flagged: flagged.condition.statistics().waiters > 0,
        False,
        True,
        lambda flagged: flagged.end(),
    ),
]


class _Ends:
    """Both ends of a pipe."""

    def __init__(self) -> None:
        self.one, self.two = weft.Pipe(capacity=1 << 20)

    def fill(self) -> None:
        try:
            while True:
                self.one.send(bytes(5000), timeout=0)
        except TimeoutError:
            return

    def drain(self) -> None:
        while self.two.poll():
            self.two.recv()

    def close(self) -> None:
        self.one.close()
        self.two.close()


class _Come:
    """An end whose other end somebody comes to."""

    def __init__(self) -> None:
        self.one, self.two, self.number = weft.Pipe("calls"), None, 0

    def wait(self, timeout: float | None) -> None:
        self.one.wait_connected(timeout)

    def come(self) -> None:
        self.two = self.two or weft.Pipe("calls")

    def close(self) -> None:
        self.one.close()
        if self.two:
            self.two.close()


def _receive(
    name: str, call: Callable[[weft.PipeEnd, float | None], Any], result: Any = "message", late: Any = TimeoutError
) -> Call:
    def send(ends: _Ends) -> None:
        ends.one.send_bytes(b"message") if "bytes" in name else ends.one.send("message")

    return Call(
        f"PipeEnd.{name}",
        _Ends,
        lambda ends: None,
        lambda ends, timeout: call(ends.two, timeout),
        send,
        lambda ends: ends.one.statistics().waiting_receivers > 0,
        late,
        result,
        send,
    )


def _send(name: str, call: Callable[[weft.PipeEnd, float | None], Any]) -> Call:
    return Call(
        f"PipeEnd.{name}",
        _Ends,
        lambda ends: ends.fill(),
        lambda ends, timeout: call(ends.one, timeout),
        lambda ends: ends.drain(),
        lambda ends: ends.two.statistics().waiting_senders > 0,
        TimeoutError,
        None,
        lambda ends: ends.drain(),
    )


def _lend(end: weft.PipeEnd, timeout: float | None) -> None:
    with end.loan(20_000, timeout=timeout) as view:
        view[:] = bytes(20_000)


CALLS += [
    _receive("recv", lambda end, timeout: end.recv(timeout)),
    _receive("recv_bytes", lambda end, timeout: end.recv_bytes(timeout=timeout), b"message"),
    _receive("recv_bytes_into", lambda end, timeout: end.recv_bytes_into(bytearray(10), timeout=timeout), 7),
    _receive("poll", lambda end, timeout: end.poll(timeout), True, False),
    _send("send", lambda end, timeout: end.send(bytes(20_000), timeout)),
    _send("send_bytes", lambda end, timeout: end.send_bytes(bytes(20_000), timeout=timeout)),
    _send("loan", _lend),
    Call(
        "PipeEnd.wait_connected",
        _Come,
        lambda ends: None,
        lambda ends, timeout: ends.wait(timeout),
        lambda ends: ends.come(),
        lambda ends: ends.one.statistics().waiting_receivers > 0,
        TimeoutError,
        None,
        lambda ends: ends.come(),
    ),
]

# The same for calls that are awaited: (id, open, fill, coroutine function, release, result).
AWAITED = [
    ("Queue.aget", lambda: weft.Queue("calls", 1), lambda q: None, lambda q: q.aget(), lambda q: q.put("x"), "x"),
    (
        "Queue.aput",
        lambda: weft.Queue("calls", 1),
        lambda q: q.put("f"),
        lambda q: q.aput("x"),
        lambda q: q.get(),
        None,
    ),
    ("PipeEnd.arecv", _Ends, lambda e: None, lambda e: e.two.arecv(), lambda e: e.one.send("x"), "x"),
    ("PipeEnd.asend", _Ends, lambda e: e.fill(), lambda e: e.one.asend(bytes(20_000)), lambda e: e.drain(), None),
    ("PipeEnd.await_connected", _Come, lambda e: None, lambda e: e.one.await_connected(), lambda e: e.come(), None),
]
