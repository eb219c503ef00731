"""The interpreter's own tests of shared memory, run on weft's classes with one start method.

    python standard_shared_memory.py fork|spawn|forkserver

Children import this file too, and so use weft's classes as well.
"""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import weft_standard
import weft_standard.managers
import weft_standard.shared_memory
from test import _test_multiprocessing as suite

METHODS = ("fork", "spawn", "forkserver")
# These start programs that import the standard's module, or ask what its tracker has noted.
OF_THE_STANDARDS_OWN = (
    "test_shared_memory_SharedMemoryManager_reuses_resource_tracker",
    "test_shared_memory_cleaned_after_process_termination",
    "test_shared_memory_tracking",
    "test_shared_memory_untracking",
    # They replace a private function by which the standard's class makes up names.
    "test_shared_memory_basics",
    "test_shared_memory_recreate",
)

suite.shared_memory = weft_standard.shared_memory
suite.multiprocessing.managers.SharedMemoryManager = weft_standard.managers.SharedMemoryManager
suite.PRELOAD = ["__main__"]

if __name__ == "__main__":
    suite.install_tests_in_module_dict(globals(), sys.argv[1])
    setUpModule = globals()["setUpModule"]
    cases = unittest.TestLoader().loadTestsFromTestCase(globals()["WithProcessesTestSharedMemory"])
    chosen = [case for case in cases if case._testMethodName not in OF_THE_STANDARDS_OWN]
    setUpModule()
    result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(chosen))
    globals()["tearDownModule"]()
    sys.exit(not result.wasSuccessful())
