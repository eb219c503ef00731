"""The standard library's own tests of connections, polling, waiting and of descriptors that are passed, with pipes.

They come with CPython, in ``test._test_multiprocessing``; where a distribution has left them out, this is skipped.
"""

import multiprocessing
import unittest

import pytest

pytest.importorskip("test._test_multiprocessing", exc_type=ImportError)

from multiprocessing import reduction

import weft

from ..helpers import run_case
from .standard_suite import CASES, make_pipe, recv_handle, send_handle, suite

NOT_OF_PIPES = (
    "test_pickling",  # of listeners and sockets, as the next two
    "test_wait_socket",
    "test_wait_socket_slow",
    "test_missing_fd_transfer",  # writes to the descriptor, as to a socket: test_handles.py has the like
)

pytestmark = pytest.mark.usefixtures("helpers_of_multiprocessing")


def found():
    for made, method, _ in CASES:
        for name in unittest.defaultTestLoader.getTestCaseNames(made):
            if name not in NOT_OF_PIPES:
                slow = name in ("test_wait_timeout", "test_wait_integer", "test_boundaries") and method != "fork"
                marks = [pytest.mark.slow] if slow else []
                yield pytest.param(made, name, method, id=f"{made.__name__}-{name}", marks=marks)


@pytest.mark.parametrize(("case", "name", "method"), list(found()))
def test_standard(case, name, method, monkeypatch, tmp_path):
    context = multiprocessing.get_context(method)
    monkeypatch.setattr(multiprocessing, "Pipe", make_pipe)  # TestWait takes them from there
    monkeypatch.setattr(multiprocessing, "Process", context.Process)
    monkeypatch.setattr(multiprocessing, "Semaphore", context.Semaphore)
    # What passes descriptors on a connection's socket: a pipe has methods for it.
    monkeypatch.setattr(reduction, "send_handle", send_handle)
    monkeypatch.setattr(reduction, "recv_handle", recv_handle)
    monkeypatch.chdir(tmp_path)
    run_case(case, name)
    if issubclass(case, suite._TestPicklingConnections):
        case.tearDownClass()
    weft.Namespace().clean()  # what went with forked children, which end without closing anything
