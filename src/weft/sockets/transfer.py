"""Large objects between processes of one machine: a sealed file in memory, whose descriptor is passed.

The sender writes the message into the file once and seals it: from then on nobody can write to it or cut it
short, the sender included. The receiver checks that before it maps the file, and hands out views of it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Any

from weft import errors
from weft._core.mapping import SealedMapping

__all__ = ["map_sealed", "sealed_file"]

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_MOST_PARTS = 512
_NO_MEMORY = (errno.ENOSPC, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


def sealed_file(parts: list[Any], size: int) -> int:
    """A descriptor of a sealed file with what stands in the parts, ``size`` bytes in all.

    Raises:
        NoSpaceError: There is no memory for it, or no descriptor.
    """
    descriptor = -1
    try:
        descriptor = os.memfd_create("weft", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        done = 0
        views = [memoryview(part) for part in parts]
        while views:
            written = os.writev(descriptor, views[:_MOST_PARTS])
            done += written
            while views and written >= len(views[0]):
                written -= len(views.pop(0))
            if written:
                views[0] = views[0][written:]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException as error:
        if descriptor >= 0:
            os.close(descriptor)
        if isinstance(error, OSError) and error.errno in _NO_MEMORY:
            raise errors.NoSpaceError(
                f"no memory for a message of {size} bytes: {error.strerror}", size, 0, "memory"
            ) from error
        raise
    return descriptor


def map_sealed(descriptor: int, size: int) -> memoryview:
    """A view of a sealed file of ``size`` bytes; closes the descriptor.

    Raises:
        CorruptedError: It is not sealed, or not of that size, or has holes, which need memory when they are read.
    """
    try:
        try:
            seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
            state = os.fstat(descriptor)
        except OSError as error:
            raise errors.CorruptedError(f"a message's descriptor is not of a sealed file: {error.strerror}") from None
        if seals & _SEALS != _SEALS:
            raise errors.CorruptedError("a message's file is not sealed: its sender could change it under our eyes")
        if state.st_size != size or state.st_blocks * 512 < size:
            raise errors.CorruptedError(
                f"a message's file has {state.st_size} bytes, {state.st_blocks * 512} of them in memory, not {size}"
            )
        return memoryview(SealedMapping(descriptor, size))
    finally:
        os.close(descriptor)
