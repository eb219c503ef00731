"""Plans of loans: what the memory is for that a channel lends to write a message into."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from weft._core import codec as _codec_core
from weft._core import queue as _native
from weft._core.queue import LoanPlan
from weft._opening import check_count

_MOST = 1 << 46


def plan_loan(channel: Any, nbytes: int) -> LoanPlan:
    """For memory to write a message of bytes into."""
    if channel._config["codec"] not in ("default", "raw"):
        raise TypeError(f'a loan of bytes needs the codec "default" or "raw", not {channel._config["codec"]!r}')
    return LoanPlan(check_count(nbytes, "nbytes", _MOST, 1))


def plan_array(channel: Any, shape: Any, dtype: Any, too_large: Callable[[Any, int, int], None]) -> LoanPlan:
    """For memory to write a NumPy array into, or for an array that is too small to be worth a place of its own."""
    import numpy as np

    if channel._config["codec"] != "default":
        raise TypeError(f"a loan of an array needs the default codec, not {channel._config['codec']!r}")
    kind = np.dtype(dtype)
    extents = tuple(map(operator.index, (shape,) if hasattr(shape, "__index__") else shape))
    nbytes = kind.itemsize * math.prod(extents)
    if nbytes > channel._geometry[2] and min(extents) >= 0:
        too_large(channel, nbytes, channel._geometry[2])
    message, size = _codec_core.encode_message(channel._codec, np.empty(extents, kind))
    head = message[:size] if len(message) > size else b""
    plan = LoanPlan(nbytes, head, np.ndarray, extents, kind)
    if extents == shape and isinstance(dtype, (str, type, np.dtype)):
        _native.keep_plan(extents, dtype, plan)
    return plan
