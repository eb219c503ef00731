"""Descriptors go from one end to the other, in order with the messages."""

import multiprocessing
import os
import threading

import pytest

import weft

from ..helpers import start_program


@pytest.fixture
def file(tmp_path):
    with open(tmp_path / "file", "w+") as opened:
        yield opened


def check_same(file, descriptor):
    assert os.path.sameopenfile(file.fileno(), descriptor)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


@pytest.mark.parametrize("named", [False, True])
def test_in_order_with_messages(file, named):
    one, two = (weft.Pipe("p"), weft.Pipe("p")) if named else weft.Pipe()
    with one, two:
        for sender, receiver in ((one, two), (two, one)):
            sender.send("before")
            sender.send_handle(file)
            sender.send_handle(file.fileno(), 1234)
            sender.send("after")
            assert receiver.recv() == "before"
            for call in (receiver.recv, receiver.recv_bytes):
                with pytest.raises(weft.MismatchError, match="recv_handle"):
                    call()
            assert receiver.poll()
            check_same(file, receiver.recv_handle())
            check_same(file, receiver.recv_handle())
            with pytest.raises(weft.MismatchError):
                receiver.recv_handle()
            assert receiver.recv() == "after"


def test_sent_is_sent_though_the_sender_has_gone(file):
    one, two = weft.Pipe()
    with two:
        with one:
            one.send_handle(file)
        check_same(file, two.recv_handle())
        with pytest.raises(EOFError):
            two.recv_handle()
        with pytest.raises(BrokenPipeError):
            two.send_handle(file)


def test_what_is_closed_after_it_was_sent():
    one, two = weft.Pipe()
    with one, two:
        read, write = os.pipe()
        one.send_handle(read)
        os.close(read)
        os.write(write, b"x")
        got = two.recv_handle()
        assert os.read(got, 1) == b"x"
        os.close(got)
        os.close(write)


def test_nobody_to_send_to_yet(file):
    with weft.Pipe("p") as one:
        with pytest.raises(TimeoutError):
            one.send_handle(file, timeout=0.05)
        thread = threading.Thread(target=one.send_handle, args=(file,))
        thread.start()
        with weft.Pipe("p") as two:
            check_same(file, two.recv_handle())
        thread.join()


def test_an_unrelated_program(tmp_path):
    with (
        weft.Pipe("p") as end,
        start_program("end = weft.Pipe('p')\nimport os\nos.write(end.recv_handle(), b'hello')\nsay('done')"),
    ):
        read, write = os.pipe()
        end.send_handle(write)
        assert os.read(read, 5) == b"hello"
        os.close(read)
        os.close(write)
        with pytest.raises(EOFError):
            end.recv()


def test_never_received_is_not_kept(file):
    before = set(os.listdir("/proc/self/fd"))
    one, two = weft.Pipe()
    for _ in range(20):
        one.send_handle(file)
    one.close()
    two.close()
    assert set(os.listdir("/proc/self/fd")) == before


def test_many_at_once_are_waited_for(file):
    """The system lets so many be on their way; the others wait."""
    one, two = weft.Pipe()
    with one, two:
        thread = threading.Thread(target=lambda: [one.send_handle(file) for _ in range(700)])
        thread.start()
        for _ in range(700):
            check_same(file, two.recv_handle())
        thread.join()


def _child(end):
    descriptor = end.recv_handle()
    os.write(descriptor, b"from the child")
    end.send_handle(descriptor)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes(method, file):
    from multiprocessing import forkserver, resource_tracker

    context = multiprocessing.get_context(method)
    one, two = weft.Pipe()
    process = context.Process(target=_child, args=(two,))
    process.start()
    two.close()
    one.send_handle(file)
    check_same(file, one.recv_handle())
    process.join()
    process.close()
    one.close()
    file.seek(0)
    assert file.read() == "from the child"
    weft.Namespace().clean()
    forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()


def test_without_a_socket(file):
    """An end that came by its address alone passes none, and says so."""
    one, two = weft.Pipe()
    with one, two, weft.open(two.token) as copy, pytest.raises(OSError, match="by its address alone"):
        copy.send_handle(file)
