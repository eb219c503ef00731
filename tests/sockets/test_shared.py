"""Large objects on one machine: views of sealed memory, and what a hostile sender may try with it."""

import array
import contextlib
import fcntl
import gc
import mmap
import os
import socket
import struct

import numpy as np
import pytest

import weft
from weft.sockets import framing, transfer

from ..helpers import start_program
from .pairs import Result, pair

ALL_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def shared_mappings():
    with open("/proc/self/maps") as maps:
        return sum("/memfd:weft" in line for line in maps)


SHARING = {"share_from": 1 << 18}


@pytest.fixture
def ends():
    with pair(both=SHARING) as both:
        yield both


def test_an_array_is_a_read_only_view_that_keeps_its_memory(ends):
    client, accepted = ends
    sent = np.arange(1_000_000).reshape(1000, 1000)
    client.send({"name": "frame", "frame": sent})
    sent[:] = 0  # the message is what it was
    descriptors = len(os.listdir("/proc/self/fd"))
    message = accepted.recv()
    frame = message["frame"]
    assert len(os.listdir("/proc/self/fd")) == descriptors  # the memory needs none
    assert shared_mappings() == 1
    assert frame.shape == (1000, 1000)
    assert frame[999, 999] == 999_999
    assert not frame.flags.writeable
    assert frame.flags.aligned
    with pytest.raises(ValueError, match="read-only"):
        frame[0, 0] = 1
    part = frame[5, 5:10]
    client.close()
    accepted.close()
    del message, frame
    gc.collect()
    assert list(part) == list(range(5005, 5010))
    del part
    assert shared_mappings() == 0


def test_many_arrays_and_buffers_in_one_message(ends):
    client, accepted = ends
    message = {
        "arrays": [np.full(i * 10_001, i) for i in range(1, 8)],
        "bytes": bytes(100_000),
        "array": array.array("d", range(20_000)),
        "memory": memoryview(bytes(30_000)),
    }
    client.send(message)
    received = accepted.recv()
    assert all((a == b).all() for a, b in zip(message["arrays"], received["arrays"], strict=True))
    for key in ("bytes", "array", "memory"):
        assert received[key] == message[key]
        assert type(received[key]) is type(message[key])


@pytest.mark.parametrize(
    ("family", "options"), [("AF_INET", SHARING), ("AF_UNIX", {"share_from": None}), ("AF_UNIX", {})]
)
def test_elsewhere_it_is_streamed(family, options):
    with pair(family, both=options) as (client, accepted):
        sent = np.arange(500_000)
        sending = Result(client.send, sent)
        received = accepted.recv()
        sending.get()
        assert (received == sent).all()
        assert not received.flags.writeable
        assert received.flags.aligned
        assert shared_mappings() == 0


def test_without_memory_for_it_it_is_streamed(ends, monkeypatch):
    def no_memory(parts, size):
        raise weft.NoSpaceError("none", size)

    monkeypatch.setattr("weft.sockets.connection.sealed_file", no_memory)
    client, accepted = ends
    sending = Result(client.send, np.ones(500_000))
    assert accepted.recv().sum() == 500_000
    sending.get()


def test_a_shortage_is_told_and_leaves_nothing():
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        with pytest.raises(weft.NoSpaceError, match="no memory for a message of 8 bytes"):
            transfer.sealed_file([b"12345678"], 8)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_pickle_passes_buffers_out_of_band():
    with pair(both={"codec": "pickle"} | SHARING) as (client, accepted):
        client.send({"a": np.arange(100_000), "b": {1, 2}})
        received = accepted.recv()
        assert received["a"][-1] == 99_999
        assert received["b"] == {1, 2}


def test_another_program_sends_and_dies():
    with weft.Listener() as listener:
        code = "import numpy; connection = weft.Client(sys.argv[1]); connection.send(numpy.arange(10_000_000)); hear()"
        with start_program(code, listener.address) as program, listener.accept() as connection:
            received = connection.recv()
            program.process.kill()
            program.process.wait()
            assert received.sum() == sum(range(10_000_000))


def test_what_nobody_receives_does_not_pile_up():
    """However much the socket's buffer takes of what is said about them: a few messages are shared, and then `send`
    waits for the other side as it does with bytes."""
    with pair(both={"share_from": 100_000}) as (client, accepted):
        sent = 0
        with pytest.raises(TimeoutError):
            while True:
                client.send(np.full(1_000_000, sent, "u1"), timeout=0)
                sent += 1
        assert 1 <= sent <= 4
        sending = Result(client.send, "the end")
        for number in range(sent + 1):  # the last one had begun
            assert (accepted.recv() == number).all()
        assert accepted.recv() == "the end"
        sending.get()


def test_a_send_that_does_not_wait_leaves_no_descriptor_behind(ends):
    client, accepted = ends
    sent = 0
    with pytest.raises(TimeoutError):
        while True:
            client.send(np.ones(40_000), timeout=0)
            sent += 1
    received = 0
    with contextlib.suppress(TimeoutError):  # for the rest of the last, which nobody sends
        while True:
            assert accepted.recv(timeout=0).sum() == 40_000
            received += 1
    assert received >= sent


# --- hostile senders -----------------------------------------------------------------------------------


def file_with(data=b"", size=None, seals=ALL_SEALS):
    descriptor = os.memfd_create("hostile", os.MFD_ALLOW_SEALING)
    os.write(descriptor, data)
    if size is not None:
        os.truncate(descriptor, size)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def send_view(client, descriptors, body_size, total, kind=framing.Kind.VIEW):
    body = struct.pack("<BQQ", kind, body_size, total)
    sock = socket.socket(fileno=os.dup(client.fileno()))
    sock.send(framing.PREFIX.pack(len(body) | framing.HANDLES_FLAG))
    socket.send_fds(sock, [body], descriptors) if descriptors else sock.send(body)
    sock.close()
    for descriptor in descriptors:
        os.close(descriptor)


@pytest.mark.parametrize("missing", [fcntl.F_SEAL_SEAL, fcntl.F_SEAL_SHRINK, fcntl.F_SEAL_GROW, fcntl.F_SEAL_WRITE])
def test_a_file_that_could_change(ends, missing):
    client, accepted = ends
    send_view(client, [file_with(bytes(4096), seals=ALL_SEALS & ~missing)], 10, 4096)
    with pytest.raises(weft.CorruptedError, match="not sealed"):
        accepted.recv()


@pytest.mark.parametrize(
    ("descriptors", "body_size", "total", "sentence"),
    [
        (lambda: [file_with(bytes(100))], 10, 4096, "has 100 bytes"),
        (lambda: [file_with(bytes(8192))], 10, 4096, "has 8192 bytes"),
        (lambda: [file_with(b"", size=1 << 20)], 10, 1 << 20, "0 of them in memory"),
        (lambda: [file_with(bytes(4096))], 4097, 4096, "never sends"),
        (lambda: [file_with(bytes(4096))], 0, 0, "never sends"),
        (lambda: [file_with(bytes(4096))], 10, 1 << 62, "announces a message"),
        (list, 10, 4096, "0 descriptors came"),
        (lambda: [file_with(bytes(4096)), file_with(bytes(4096))], 10, 4096, "2 descriptors came"),
        (lambda: [file_with(bytes(4096)) for _ in range(20)], 10, 4096, "descriptors came"),
        (lambda: [os.open("/dev/zero", os.O_RDWR)], 10, 4096, "not of a sealed file"),
        (lambda: [os.open(os.devnull, os.O_RDWR)], 10, 4096, "not of a sealed file"),
        (lambda: [os.open(__file__, os.O_RDONLY)], 10, 4096, "not sealed|not of a sealed file"),
    ],
)
def test_views_that_weft_never_sends(ends, descriptors, body_size, total, sentence):
    client, accepted = ends
    send_view(client, descriptors(), body_size, total)
    with pytest.raises(weft.CorruptedError, match=sentence):
        accepted.recv()


def test_hostile_contents_of_a_sealed_file(ends):
    """Sealed and of the right size, and no message."""
    client, accepted = ends
    for contents in (bytes(4096), b"\xff" * 4096, os.urandom(4096)):
        send_view(client, [file_with(contents)], 4096, 4096)
        with pytest.raises(weft.CorruptedError):
            accepted.recv()
    client.send("the next")
    assert accepted.recv() == "the next"


def test_a_sealed_file_can_not_be_written_by_its_sender():
    descriptor = transfer.sealed_file([b"abc", memoryview(bytes(10_000))], 10_003)
    with pytest.raises(PermissionError):
        os.write(descriptor, b"x")
    with pytest.raises(PermissionError):
        os.truncate(descriptor, 1)
    with pytest.raises(PermissionError):
        mmap.mmap(descriptor, 100)
    view = transfer.map_sealed(descriptor, 10_003)
    assert bytes(view[:4]) == b"abc\0"
    with pytest.raises(TypeError):
        view[0] = 1


def test_descriptors_that_come_where_none_can_be(ends):
    """The kernel closes what nobody asks for."""
    client, accepted = ends
    before = len(os.listdir("/proc/self/fd"))
    sock = socket.socket(fileno=os.dup(client.fileno()))
    frame = framing.frame_head(framing.Kind.BYTES, 3) + b"abc"
    socket.send_fds(sock, [frame], [0, 1, 2])
    socket.send_fds(sock, [frame], [0])
    assert accepted.recv_bytes() == accepted.recv_bytes() == b"abc"
    sock.close()
    assert len(os.listdir("/proc/self/fd")) == before
    with pair("AF_INET") as (client, accepted):
        os.write(client.fileno(), framing.PREFIX.pack(1 | framing.HANDLES_FLAG) + b"\5")
        with pytest.raises(weft.CorruptedError, match="where none can be"):
            accepted.recv_handle()


def test_a_descriptor_that_there_is_no_room_for(ends):
    import resource

    client, accepted = ends
    client.send_handle(0)
    client.send("next")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        with pytest.raises(weft.SystemLimitError, match="it is lost"):
            accepted.recv_handle()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert accepted.recv() == "next"
