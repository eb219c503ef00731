"""The interpreter's own ``test.test_mmap``, run against ``weft.mmap``.

    python standard_mmap.py [-v]

Beside what runs on Linux, the tests for the tag names of Windows.
"""

import mmap
import sys
import types
import unittest

from test import test_mmap as suite

import weft

suite.mmap = types.ModuleType("mmap")
vars(suite.mmap).update(vars(mmap))
suite.mmap.mmap = weft.mmap

OF_WINDOWS = ("test_tagname", "test_resize_succeeds_with_error_for_second_named_mapping")


class MmapTests(suite.MmapTests):
    """All of it, but for the one that spells the standard's name."""

    test_repr = None


for name in OF_WINDOWS:
    test = getattr(suite.MmapTests, name, None)
    if test is not None:
        setattr(MmapTests, name, getattr(test, "__wrapped__", test))
        getattr(MmapTests, name).__dict__.pop("__unittest_skip__", None)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[1:] + ["MmapTests"])
