"""Shared memory: by name, in a file, or anonymous; and looking at all that is shared, and cleaning up.

``SharedMemory`` and ``ShareableList`` have the interface of ``multiprocessing.shared_memory``, ``mmap`` is an
``mmap.mmap`` that takes a ``tagname`` on every system, ``SharedArray`` is a NumPy array. ``segments``, ``inspect``,
``clean`` and ``doctor`` are for objects of every kind.
"""

from weft._core.memory import SharedMemory
from weft.memory._clean import CleanResult, clean
from weft.memory._doctor import Check, doctor
from weft.memory._look import SegmentInfo, inspect, namespaces, segments
from weft.memory._mmap import mmap
from weft.memory._shareable_list import ShareableList
from weft.memory._shared_array import SharedArray

__all__ = [
    "Check",
    "CleanResult",
    "SegmentInfo",
    "ShareableList",
    "SharedArray",
    "SharedMemory",
    "clean",
    "doctor",
    "inspect",
    "mmap",
    "namespaces",
    "segments",
]
