"""``multiprocessing.shared_memory``, by weft."""

from weft import ShareableList, SharedMemory

__all__ = ["ShareableList", "SharedMemory"]

# For the suite: names belong to no other system's interface here, and need no helper process.
_USE_POSIX = False
