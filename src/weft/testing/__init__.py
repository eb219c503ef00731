"""Helpers for tests of programs that use weft: fault points, and peers that die there."""

from __future__ import annotations

from weft._core import handle as _handle

__all__ = ["fault_points"]


def fault_points() -> list[str]:
    """Names the points at which shared state is half changed, where a test build can be made to die.

    ``WEFT_FAULT=name:count:action`` in the environment of a process arms them: at the ``count``-th pass of
    point ``name`` the process is killed (action ``k``), stopped (``s``) or ended without clean-up (``e``).

    Returns:
        The names, in the order of the source; empty in builds without ``-Dfault_points=true``.
    """
    return list(_handle.fault_points())
