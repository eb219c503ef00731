"""The standard library's own tests of connections, listeners, polling and waiting, with weft's classes.

They come with CPython, in ``test._test_multiprocessing``; where a distribution has left them out, this is skipped.
Pipes are made of a listener and a client. Each class runs with the default codec where what it sends allows that,
and with the standard library's protocol.
"""

import multiprocessing
import unittest

import pytest

pytest.importorskip("test._test_multiprocessing", exc_type=ImportError)

from ..helpers import run_case
from .standard_suite import CASES, suite

pytestmark = pytest.mark.usefixtures("helpers_of_multiprocessing")


def found():
    for made, method, base in CASES:
        if method != "fork" and base in (suite._TestListener,):  # starts no processes
            continue
        for name in unittest.defaultTestLoader.getTestCaseNames(made):
            slow = name in ("test_wait_timeout", "test_wait_integer", "test_boundaries", "test_issue14725")
            if name == "test_empty_authkey":  # which proves nothing: refused, as test_authentication.py says
                continue
            if base is suite.TestWait and "socket" in name:  # of sockets, not of connections
                continue
            marks = [pytest.mark.slow] if slow and (method != "fork" or made.connection.options) else []
            yield pytest.param(made, name, method, id=f"{made.__name__}-{name}", marks=marks)


@pytest.mark.parametrize(("case", "name", "method"), list(found()))
def test_standard(case, name, method, monkeypatch, tmp_path):
    context = multiprocessing.get_context(method)
    monkeypatch.setattr(multiprocessing, "Pipe", case.Pipe)  # TestWait takes them from there
    monkeypatch.setattr(multiprocessing, "Process", context.Process)
    monkeypatch.setattr(multiprocessing, "Semaphore", context.Semaphore)
    monkeypatch.chdir(tmp_path)
    run_case(case, name)
    if issubclass(case, suite._TestPicklingConnections):
        case.tearDownClass()
