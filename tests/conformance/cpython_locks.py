"""CPython's ``test.lock_tests``, written for ``threading``, with weft's locks used from threads."""

import sys
import unittest

from test import lock_tests

import weft


class LockTests(lock_tests.LockTests):
    locktype = staticmethod(weft.Lock)


class RLockTests(lock_tests.RLockTests):
    locktype = staticmethod(weft.RLock)


class EventTests(lock_tests.EventTests):
    eventtype = staticmethod(weft.Event)


class ConditionTests(lock_tests.ConditionTests):
    condtype = staticmethod(weft.Condition)


class SemaphoreTests(lock_tests.SemaphoreTests):
    semtype = staticmethod(weft.Semaphore)


class BoundedSemaphoreTests(lock_tests.BoundedSemaphoreTests):
    semtype = staticmethod(weft.BoundedSemaphore)


class BarrierTests(lock_tests.BarrierTests):
    barriertype = staticmethod(weft.Barrier)


# A look at private parts, and a condition with a lock of threading's own.
for tests, name in ((LockTests, "at_fork_reinit"), (EventTests, "at_fork_reinit"), (ConditionTests, "acquire")):
    setattr(tests, f"test_{name}", unittest.skip("not about locks between processes")(getattr(tests, f"test_{name}")))

if __name__ == "__main__":
    result = unittest.main(argv=sys.argv[:1], exit=False, verbosity=2).result
    print("ran", result.testsRun, "skipped", len(result.skipped), flush=True)
    sys.exit(not result.wasSuccessful())
