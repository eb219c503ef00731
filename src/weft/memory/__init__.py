"""Shared memory: by name, in a file, or anonymous.

``SharedMemory`` has the interface of ``multiprocessing.shared_memory``, ``mmap`` is an ``mmap.mmap`` that takes a
``tagname`` on every system.
"""

from weft._core.memory import SharedMemory
from weft.memory._mmap import mmap

__all__ = ["SharedMemory", "mmap"]
