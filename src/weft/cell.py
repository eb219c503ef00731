"""Cell: the latest value only. Writers never wait, readers never see half a value.

The class itself is native, since a Python class in front would double the cost of a call; this module holds
what is asked for once or seldom: settings, arrays' shapes and types, errors' words, waiting in event loops.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from weft import _aio, _arrays, _handle, errors
from weft._core import cell as _native
from weft._core import look as _look
from weft._core.cell import Cell
from weft._kinds import Kind, register
from weft._opening import (
    LIFETIMES,
    WAITS,
    Status,
    attach_or_create,
    bad_settings,
    check_count,
    check_create,
    check_one_of,
    header_config,
)
from weft.codecs import make_codec
from weft.namespace import check_mode, check_name, group_id, place_of
from weft.statistics import AttachedProcess, CellStatistics

if TYPE_CHECKING:
    from weft._core.look import Look

__all__ = ["Cell"]

DEFAULT_SIZE = 4096
MAX_SIZE = 1 << 36
# The codec's name in the header of a cell of arrays.
_ARRAY = "array"


# --- opening ---------------------------------------------------------------------------------------


def configure(
    cell: Cell,
    name: Any,
    *,
    type: Any,
    shape: Any,
    dtype: Any,
    size: int | None,
    codec: Any,
    create: bool | None,
    lifetime: str | None,
    mode: int,
    group: str | int | None,
    namespace: Any,
    wait: str,
) -> None:
    """Opens or creates the segment behind ``cell``: the body of ``Cell.__init__``."""
    if name is not None:
        check_name(name)
    check_one_of(wait, "wait", WAITS)
    if lifetime is not None:
        check_one_of(lifetime, "lifetime", LIFETIMES)
    check_create(create, name)
    place = place_of(namespace)
    if size is not None:
        size = check_count(size, "size", MAX_SIZE, 1)
    maker: Any = None
    config: dict[str, Any]
    asked: dict[str, Any] = {"lifetime": lifetime, "size": size}
    if shape is not None or dtype is not None:
        for option, value in (("type", type), ("codec", codec), ("size", size)):
            if value is not None:
                raise ValueError(f"{option}= goes with values that are encoded: an array has its shape and dtype")
        extents, kind = _arrays.layout(() if shape is None else shape, dtype, MAX_SIZE)
        size = kind.itemsize * math.prod(extents)
        config = {"codec": _ARRAY} | _arrays.to_text(extents, kind)
        asked |= {"shape": extents, "dtype": config["dtype"]}
    else:
        maker, config = make_codec(codec, type)
    told = type is not None or codec is not None or maker is None

    def found(header: dict[str, Any], where: str) -> dict[str, Any]:
        chosen = _found(header, where)
        if chosen["codec"] == _ARRAY and not told:
            chosen["codec"] = config["codec"]  # who says nothing takes an array as well
        return chosen

    group = group_id(group)
    attachment, file_name = attach_or_create(
        _native.CellAttachment,
        KIND,
        place,
        name,
        create,
        (DEFAULT_SIZE if size is None else size,),
        config,
        found,
        asked,
        exact={key: config.get(key) for key in ("codec", "type", "schema")},
        mode=check_mode(mode),
        group=-1 if group is None else group,
        kept=lifetime == "kept",
    )
    options = {"codec": codec, "type": type, "wait": wait}
    _handle.bind(cell, KIND, place, file_name, attachment.identity(), options)
    cell._waiters = {}
    header, where = attachment.header(), str(place.path / file_name)
    layout, ndarray = _layout(header, where), None
    cell._shape, cell._dtype = (None, None) if layout is None else layout
    if layout is not None:
        maker, ndarray = None, _arrays.import_numpy("an array").ndarray
    cell._bind(attachment, maker, ndarray, cell._shape, cell._dtype, WAITS.index(wait))


def _layout(header: dict[str, Any], where: str) -> tuple[tuple[int, ...], Any] | None:
    """Shape and dtype in the header of the file ``where``, checked; None if it is no cell of arrays."""
    config = header_config(header, where)
    if "codec" not in config:
        raise bad_settings(where)
    if config["codec"] != _ARRAY:
        return None
    layout = _arrays.from_text(config, header["geometry"][0])
    if layout is None:
        raise bad_settings(where)
    return layout


def _found(header: dict[str, Any], where: str) -> dict[str, Any]:
    """What the creator chose, under the names of the arguments."""
    layout, config = _layout(header, where), header_config(header, where)
    found = {"size": header["geometry"][0], "lifetime": header["lifetime"], "shape": layout and layout[0]}
    return found | {key: config.get(key) for key in ("codec", "type", "schema", "dtype")}


def _to_text(options: dict[str, Any]) -> dict[str, str]:
    """What a token carries; a type or a codec object it can't."""
    text = {"wait": options["wait"]}
    if isinstance(options["codec"], str):
        text["codec"] = options["codec"]
    return text


def _from_text(text: dict[str, str]) -> dict[str, Any]:
    if not set(text) <= {"wait", "codec"}:
        raise ValueError("options of another version")
    return dict(text)


def inspect(look: Look, people: Mapping[int, AttachedProcess]) -> dict[str, Any]:
    """What a cell tells to who looks from outside."""
    state = _look.cell_state(look)
    if state is None:
        raise errors.CorruptedError("it holds what is no cell")
    version, size, buffers, holders = state
    chosen = header_config(look.header(), "it")
    return {
        "size": size,
        **{name: chosen.get(name) for name in ("codec", "type", "shape", "dtype")},
        "version": version,
        "buffers": buffers,
        "viewing": [{"process": people.get(owner), "values": count} for owner, count in sorted(holders.items())],
    }


KIND = register(Kind(4, "Cell", Cell, _to_text, _from_text, inspect, waits=("room", "a newer value")))


# --- values ----------------------------------------------------------------------------------------


def flatten(cell: Cell, value: Any) -> Any:
    """The bytes of ``value`` as an array of the cell's shape and dtype, in an array of their own kind."""
    array = _arrays.as_array(value, cell._shape or (), cell._dtype)
    return array.reshape(-1).view("u1")


# --- errors ----------------------------------------------------------------------------------------


def fail(cell: Cell, status: int, why: tuple[int, str, int, int] | None) -> NoReturn:
    """Raises what the status of an operation means."""
    match Status(status):
        case Status.EMPTY:
            raise LookupError(f"nothing has been set in {cell!r} yet: wait_newer() waits for the first value")
        case Status.FULL:
            raise errors.SystemLimitError(
                f"{cell!r} has as many values being written or viewed as there can be: drop some views"
            )
    _handle.fail(cell, status, why)


def fail_holds(cell: Cell) -> NoReturn:
    """Raises when there is no hold left for a reader."""
    raise errors.SystemLimitError(f"512 values of {cell!r} are in the hands of views, as many as can be: drop some")


def fail_newer(cell: Cell, version: int) -> NoReturn:
    """Raises for a wait that has ended without a newer value."""
    raise TimeoutError(f"no value newer than version {version} was set in {cell!r} in the time given")


def too_large(cell: Cell, size: int, limit: int) -> NoReturn:
    """Raises for a value that can never fit."""
    raise errors.MessageTooLargeError(
        f"a value of {size} bytes is larger than size={limit} of {cell!r}: make the cell with size={size} or more",
        size,
        limit,
    )


# --- the rest --------------------------------------------------------------------------------------


async def aget_newer(cell: Cell, version: int, timeout: float | None) -> Any:
    """``wait_newer`` in an event loop. What a task waits for is the version, so that all who wait are woken."""
    return await _aio.attempt_until(cell, version, lambda: cell.wait_newer(version, 0), TimeoutError, timeout)


def closed(cell: Cell) -> None:
    """The handle has been closed: lets go of what hangs on it."""
    _aio.close_waiters(cell)


def describe(cell: Cell) -> str:
    """``repr(cell)``."""
    return _handle.describe(cell, "" if cell.closed else f"version {cell.version}")


def statistics(cell: Cell) -> CellStatistics:
    """The counters of ``cell`` at this moment."""
    counters = cell._counters()
    people = cell._attachment.participants()
    return CellStatistics(
        version=counters["version"],
        size=counters["size"],
        buffers=counters["buffers"],
        reserved=counters["buffers"] * counters["stride"],
        waiting=sum(p[4] for p in people),
        attached=len(people),
    )


sleep = time.sleep
fail_closed, fail_os = _handle.fail_closed, _handle.fail_os

_native.set_policy(sys.modules[__name__])
