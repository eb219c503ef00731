"""Shapes and dtypes of NumPy arrays, as arguments and as text in a segment's header.

NumPy is imported here when it is first needed, and by whoever needs it alone.
"""

from __future__ import annotations

import json
import math
import operator
import warnings
from typing import Any

__all__ = ["as_array", "from_text", "import_numpy", "layout", "to_text"]


def import_numpy(what: str) -> Any:
    """NumPy, or an ImportError that says who needs it."""
    try:
        import numpy
    except ImportError as error:
        raise ImportError(f"{what} needs NumPy: install it (pip install numpy)", name="numpy") from error
    return numpy


def layout(shape: Any, dtype: Any, most: int) -> tuple[tuple[int, ...], Any]:
    """The shape and dtype that the arguments stand for, of an array that has bytes and no Python objects.

    Args:
        shape: An int or a sequence of ints.
        dtype: What ``numpy.dtype`` takes; None for its default, ``"f8"``.
        most: Bytes that such an array may have.

    Raises:
        TypeError: They are of a wrong type, or the dtype has Python objects.
        ValueError: A negative extent, an array without bytes, or one that is too large.
    """
    np = import_numpy("an array")
    kind = np.dtype(dtype)
    try:
        extents = tuple(map(operator.index, (shape,) if hasattr(shape, "__index__") else shape))
    except TypeError:
        raise TypeError(f"shape must be an int or a sequence of ints, not {shape!r}") from None
    if kind.subdtype is not None:  # an array of arrays is one of more dimensions
        kind, inner = kind.subdtype
        extents += inner
    _check_kind(kind)
    if any(extent < 0 for extent in extents):
        raise ValueError(f"shape {extents} has a negative extent")
    if len(extents) > 32:
        raise ValueError(f"shape has {len(extents)} dimensions, 32 are allowed")
    size = kind.itemsize * math.prod(extents)
    if not 0 < size <= most:
        raise ValueError(f"an array of shape {extents} and dtype {kind} has {size} bytes: from 1 to {most} are allowed")
    return extents, kind


def _check_kind(kind: Any) -> None:
    if kind.hasobject or kind.kind in "OT":
        raise TypeError(f"dtype {kind} holds Python objects, which mean nothing to another process")


def to_text(shape: tuple[int, ...], dtype: Any) -> dict[str, str]:
    """Shape and dtype for a segment's header."""
    np = import_numpy("an array")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # metadata does not travel
        try:
            described = np.lib.format.dtype_to_descr(dtype)
            same = np.lib.format.descr_to_dtype(described) == dtype
        except (TypeError, ValueError):
            same = False
    if not same:
        raise TypeError(f"dtype {dtype} can't be told to another process: its fields overlap, or it is of a new kind")
    return {
        "shape": ",".join(map(str, shape)),
        "dtype": described if isinstance(described, str) else json.dumps(described),
    }


def from_text(config: dict[str, str], nbytes: int) -> tuple[tuple[int, ...], Any] | None:
    """What ``to_text`` has written of an array of so many bytes; None if the text is not by it."""
    np = import_numpy("an array")
    try:
        shape = tuple(map(int, filter(None, config["shape"].split(","))))
        dtype = np.lib.format.descr_to_dtype(_described(config["dtype"]))
        found = layout(shape, dtype, nbytes)
    except Exception:  # NumPy raises whatever it likes for what is no dtype
        return None
    return found if found == (shape, dtype) and dtype.itemsize * math.prod(shape) == nbytes else None


def _described(text: str) -> Any:
    return _as_tuples(json.loads(text)) if text.startswith("[") else text


def _as_tuples(described: Any) -> Any:
    """JSON has lists where NumPy wants tuples: for fields, and for their shapes and titles."""
    if isinstance(described, list):
        return [tuple(_as_field(part) for part in field) for field in described]
    return described


def _as_field(part: Any) -> Any:
    if isinstance(part, list):
        return _as_tuples(part) if part and isinstance(part[0], list) else tuple(part)
    return part


def as_array(value: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """``value`` as a contiguous array of that shape and dtype.

    Raises:
        TypeError: It would lose its kind, as a float in an array of ints.
        ValueError: It has another shape.
    """
    np = import_numpy("an array")
    if isinstance(value, (np.ndarray, np.generic)) and not np.can_cast(value.dtype, dtype, "same_kind"):
        raise TypeError(f"an array of {value.dtype} would change its meaning as {dtype}: convert it with astype()")
    array = np.asarray(value, dtype=dtype)
    if array.shape != shape:
        raise ValueError(f"the array must have shape {shape}, not {array.shape}")
    return np.ascontiguousarray(array).reshape(shape)
