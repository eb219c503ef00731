"""Signals during the waits of connections and listeners: handlers run, the wait goes on, nothing is harmed."""

import contextlib
import os
import threading

import pytest

import weft
from weft import signals

from ..helpers import until

pytestmark = pytest.mark.alone


@pytest.fixture
def ends(namespace):
    """Two ends of one connection; this thread's, and one for another thread."""
    with weft.Listener(str(namespace / "socket")) as listener:
        accepted = []
        thread = threading.Thread(target=lambda: accepted.append(listener.accept()))
        thread.start()
        with weft.Client(listener.address) as here:
            thread.join()
            with accepted[0] as there:
                yield here, there


def tell_to_stop(event):
    raise LookupError("told to stop")


def test_handlers_run_and_recv_goes_on(ends):
    here, there = ends
    seen = []

    def send():
        until(lambda: len(seen) >= 3)
        there.send("message")

    thread = threading.Thread(target=send)
    thread.start()
    with signals.timer(0.003, seen.append):
        assert here.recv() == "message"
    thread.join()


def test_what_is_left_of_the_timeout_is_waited(ends):
    here, _ = ends
    ticks = []
    with signals.timer(0.004, ticks.append):
        assert here.poll(0.05) is False
        with pytest.raises(TimeoutError):
            here.recv(timeout=0.05)
    assert len(ticks) > 1


def test_handler_that_raises_leaves_the_connection_whole(ends):
    here, there = ends
    with signals.on("ALRM", tell_to_stop):
        for _ in range(3):
            with pytest.raises(LookupError), signals.alarm(0.005):
                here.recv()
    there.send("message")
    assert here.recv() == "message"


def test_handler_sends_through_the_other_end(ends):
    here, there = ends
    with signals.on("ALRM", lambda event: there.send("from the handler")), signals.alarm(0.005):
        assert here.recv() == "from the handler"


def test_handlers_run_while_a_listener_accepts(namespace):
    seen = []
    with weft.Listener(str(namespace / "socket")) as listener, contextlib.ExitStack() as opened:

        def come():
            until(lambda: len(seen) >= 3)
            opened.enter_context(weft.Client(listener.address))

        thread = threading.Thread(target=come)
        thread.start()
        with signals.timer(0.003, seen.append), listener.accept() as connection:
            thread.join()
            assert connection.peer.pid == os.getpid()


def test_handler_that_raises_leaves_the_listener_whole(namespace):
    with weft.Listener(str(namespace / "socket")) as listener:
        with signals.on("ALRM", tell_to_stop), pytest.raises(LookupError), signals.alarm(0.005):
            listener.accept()
        clients = []
        thread = threading.Thread(target=lambda: clients.append(weft.Client(listener.address)))
        thread.start()
        with listener.accept():
            thread.join()
            clients[0].close()
