"""CPython's own tests of ``multiprocessing``'s synchronisation, with weft's classes: run with a start method.

Where the two standards differ, the module of processes rules here: a timeout without waiting is ignored, a
negative one does not wait.
"""

import sys
import unittest

from test import _test_multiprocessing as suite

import weft


def _as_multiprocessing(kind):
    class Adapted(kind):
        def acquire(self, block=True, timeout=None):
            if not block:
                return super().acquire(False)
            return super().acquire(True, None if timeout is None else max(0.0, timeout))

    Adapted.__name__ = kind.__name__
    return Adapted


class Event(weft.Event):
    def __repr__(self):
        return super().__repr__().replace("weft.", "").replace(":", "")


Semaphore, BoundedSemaphore = _as_multiprocessing(weft.Semaphore), _as_multiprocessing(weft.BoundedSemaphore)
CLASSES = {
    "Lock": weft.Lock, "RLock": weft.RLock, "Semaphore": Semaphore, "BoundedSemaphore": BoundedSemaphore,
    "Condition": weft.Condition, "Event": Event, "Barrier": weft.Barrier,
}  # fmt: skip
for _name, _class in CLASSES.items():
    setattr(suite.ProcessesMixin, _name, staticmethod(_class))
suite._TestCondition.check_invariant = lambda self, condition: None  # a look at private counters
TESTS = ["Lock", "Semaphore", "Condition", "Event", "Barrier"]

# The suite's classes, in this module, where started processes find them.
METHOD = sys.argv[1] if len(sys.argv) > 1 else "fork"
suite.install_tests_in_module_dict(globals(), METHOD)

if __name__ == "__main__":
    setUpModule()  # noqa: F821 - the suite's
    loader = unittest.TestLoader()
    tests = unittest.TestSuite(loader.loadTestsFromTestCase(globals()[f"WithProcessesTest{name}"]) for name in TESTS)
    result = unittest.TextTestRunner(verbosity=2).run(tests)
    tearDownModule()  # noqa: F821
    print("ran", result.testsRun, "skipped", len(result.skipped), flush=True)
    sys.exit(not result.wasSuccessful())
