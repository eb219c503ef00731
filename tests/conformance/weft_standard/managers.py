"""``multiprocessing.managers``, whose server of shared memory uses weft's."""

import multiprocessing.managers
from multiprocessing.managers import *  # noqa: F403

from . import shared_memory

multiprocessing.managers.shared_memory = shared_memory


class SharedMemoryManager(multiprocessing.managers.SharedMemoryManager):
    """Pickled by this name, so that its server imports this module too."""
