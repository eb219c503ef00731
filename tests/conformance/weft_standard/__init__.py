"""``multiprocessing`` as the standard's suite imports it, with weft's shared memory in it."""

from multiprocessing import *  # noqa: F403
