"""CPython's tests of connections as classes that use weft's pipes; in a module that spawned processes can import."""

import multiprocessing
import unittest
from multiprocessing import reduction

from test import _test_multiprocessing as suite

import weft

__all__ = ["CASES", "make_pipe", "recv_handle", "send_handle", "suite"]

METHODS = ["fork", "spawn", "forkserver"]


def make_pipe(duplex=True):
    """As the drop-in's: objects are pickled."""
    return weft.Pipe(duplex, codec="pickle")


STANDARD = reduction.send_handle, reduction.recv_handle


def send_handle(conn, handle, destination_pid):
    """The tests pass descriptors by functions that take the socket of a connection; a pipe has methods for it."""
    if isinstance(conn, weft.PipeEnd):
        conn.send_handle(handle, destination_pid)
    else:
        STANDARD[0](conn, handle, destination_pid)


def recv_handle(conn):
    return conn.recv_handle() if isinstance(conn, weft.PipeEnd) else STANDARD[1](conn)


if getattr(multiprocessing.current_process(), "_inheriting", False):  # a process of the tests'; they undo theirs
    reduction.send_handle, reduction.recv_handle = send_handle, recv_handle


class Connections:
    """What stands where the tests look for ``multiprocessing.connection``: pipes by name meet as sockets do."""

    families = ("AF_UNIX",)
    Pipe = staticmethod(make_pipe)


def adapt(base, method):
    """A test class that uses weft's pipes and the processes of one start method."""
    context = multiprocessing.get_context(method)
    attributes = {
        "TYPE": "processes",
        "Process": context.Process,
        "connection": Connections,
        "Pipe": staticmethod(make_pipe),
        "__module__": __name__,
    }
    name = f"{base.__name__.lstrip('_')}_{method}"
    bases = (base,) if issubclass(base, unittest.TestCase) else (base, unittest.TestCase)
    made = type(name, bases, attributes)
    made.__qualname__ = name
    globals()[name] = made  # where a spawned process finds it
    return made


CASES = [
    (adapt(base, method), method, base)
    for method in METHODS
    for base in (suite._TestConnection, suite._TestPoll, suite.TestWait, suite._TestPicklingConnections)
]
