"""CPython's tests of connections as classes that use weft's; in a module that spawned processes can import."""

import multiprocessing
import unittest

from test import _test_multiprocessing as suite

import weft

from .pairs import connect_to

__all__ = ["CASES", "suite"]

METHODS = ["fork", "spawn", "forkserver"]
PROTOCOLS = [{}, {"protocol": "multiprocessing"}]


class Connections:
    """What stands where the tests look for ``multiprocessing.connection``; it goes along to their processes."""

    families = ("AF_INET", "AF_UNIX")

    def __init__(self, options):
        self.options = options

    def Listener(self, *arguments, **options):  # noqa: N802
        return weft.Listener(*arguments, **options, **self.options)

    def Client(self, *arguments, **options):  # noqa: N802
        return weft.Client(*arguments, **options, **self.options)

    def Pipe(self, duplex=True):  # noqa: N802
        with weft.Listener(**self.options) as listener:
            one, two = connect_to(listener, **self.options)
            one.wait_connected()
        if not duplex:
            one._writable = two._readable = False
        return one, two


def adapt(base, method, options):
    """A test class that uses weft's connections and the processes of one start method."""
    context = multiprocessing.get_context(method)
    connections = Connections(options)
    attributes = {
        "TYPE": "processes",
        "Process": context.Process,
        "connection": connections,
        "Pipe": staticmethod(connections.Pipe),
        "__module__": __name__,
    }
    name = f"{base.__name__.lstrip('_')}_{method}_{options.get('protocol', 'weft')}"
    bases = (base,) if issubclass(base, unittest.TestCase) else (base, unittest.TestCase)
    made = type(name, bases, attributes)
    made.__qualname__ = name
    globals()[name] = made  # where a spawned process finds it
    return made


def cases():
    for options in PROTOCOLS:
        for method in METHODS:
            for base in (suite._TestConnection, suite._TestListener, suite._TestListenerClient, suite._TestPoll):
                yield adapt(base, method, options), method, base
            if options:  # sockets and connections in messages: that is pickling
                yield adapt(suite._TestPicklingConnections, method, options), method, suite._TestPicklingConnections
            yield adapt(suite.TestWait, method, options), method, suite.TestWait


CASES = list(cases())  # as this module is imported, for processes that look for a class in it
