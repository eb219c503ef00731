"""The standard library's own tests of connections, listeners, polling and waiting, with weft's classes.

They come with CPython, in ``test._test_multiprocessing``; where a distribution has left them out, this is skipped.
Pipes are made of a listener and a client. Each class runs with the default codec where what it sends allows that,
and with the standard library's protocol.
"""

import multiprocessing
import unittest

import pytest

pytest.importorskip("test._test_multiprocessing", exc_type=ImportError)

from .standard_suite import CASES, suite


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
    result = unittest.TestResult()
    case(name).run(result)
    for _, trace in result.errors + result.failures:
        pytest.fail(trace, pytrace=False)
    for _, reason in result.skipped:
        pytest.skip(reason)
    case.doClassCleanups()
    if issubclass(case, suite._TestPicklingConnections):
        case.tearDownClass()


@pytest.fixture(autouse=True, scope="module")
def helpers_of_multiprocessing():
    """Started before and stopped after: each would live as long as the process that started it."""
    from multiprocessing import forkserver, resource_sharer, resource_tracker

    resource_tracker.ensure_running()
    forkserver.ensure_running()
    yield
    resource_sharer.stop(timeout=60)
    forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()
