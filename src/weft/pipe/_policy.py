"""What the native ends call for what is seldom: settings, errors' words, loans, event loops, looking."""

from __future__ import annotations

import errno
import pickle
import struct
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from multiprocessing import BufferTooShort
from typing import TYPE_CHECKING, Any, NoReturn

from weft import _aio, _handle, _loans, errors
from weft._core import look as _look_native
from weft._core import queue as _native
from weft._core.codec import decode_in_place, encode_message
from weft._core.queue import LoanPlan, PipeEnd
from weft._handle import fail_os, warn
from weft._kinds import Kind, register
from weft._opening import (
    LIFETIMES,
    PAGE,
    WAITS,
    Status,
    attach_or_create,
    bad_settings,
    check_count,
    check_create,
    check_one_of,
    fail_opening,
    header_config,
)
from weft.codecs import make_codec
from weft.namespace import check_mode, check_name, group_id, place_of
from weft.pipe._handles import Mail, asend_handle, recv_handle, send_handle
from weft.pipe._travel import reduce
from weft.statistics import AttachedProcess, PipeStatistics

if TYPE_CHECKING:
    from weft._core.look import Look

__all__ = ["asend_handle", "fail_os", "recv_handle", "reduce", "send_handle"]

DEFAULT_CAPACITY = 256 << 20
_MIN_UNITS, _MAX_UNITS = 8, 1 << 25
_SIZE = struct.Struct("<q")
_ITEMS, _ROOM, _MET = 0, 1, 2
_ROOM_TICK = 0.02


# --- opening ---------------------------------------------------------------------------------------


def open_end(
    name: str | None,
    *,
    end: int = -1,
    create: bool | None = None,
    duplex: bool | None = None,
    lifetime: str | None = None,
    mode: int = 0o600,
    group: str | int | None = None,
    namespace: Any = None,
    capacity: int | None = None,
    codec: Any = None,
    type: Any = None,
    wait: str = "balanced",
    views: bool = False,
) -> PipeEnd:
    """Opens an end: that one, or the next that is free."""
    if name is not None:
        check_name(name)
    check_create(create, name)
    check_one_of(wait, "wait", WAITS)
    if lifetime is not None:
        check_one_of(lifetime, "lifetime", LIFETIMES)
    place = place_of(namespace)
    directions = 1 if duplex is False else 2
    units = _units(capacity, directions)
    maker, config = make_codec(codec, type)
    asked = {"duplex": duplex, "capacity": capacity and units * directions * PAGE, "lifetime": lifetime}
    owner = group_id(group)
    attachment, file_name = attach_or_create(
        _native.PipeAttachment,
        KIND,
        place,
        name,
        create,
        (units, 0, units * PAGE // 4, 0, directions),
        config,
        _found,
        asked,
        exact={key: config.get(key) for key in ("codec", "type", "schema")},
        mode=check_mode(mode),
        group=-1 if owner is None else owner,
        kept=lifetime == "kept",
    )
    status, why = attachment.come(end if name is not None else 0)
    if status == Status.IN_USE:
        raise errors.InUseError(
            errno.EBUSY,
            f"both ends of pipe {file_name!r} in {place.path} are taken: {_who(attachment.places())}. "
            "A pipe is one conversation: use another name, or wait until both have closed",
        )
    if status != Status.OK:
        fail_opening(place, file_name, status, why)
    made = PipeEnd.__new__(PipeEnd)
    _handle.bind(
        made,
        KIND,
        place,
        file_name,
        attachment.identity(),
        {"codec": codec, "type": type, "wait": wait, "views": bool(views)},
    )
    made._options["end"] = attachment.end
    made._waiters = {}
    header = attachment.header()
    made._config = _settings(header, str(place.path / file_name))
    made._geometry = header["geometry"]
    made._mail = None
    made._bind(attachment, maker, WAITS.index(wait), bool(views))
    if name is not None and end < 0:
        address = f"\0weft-pipe-{attachment.identity()}-{attachment.conversation}"
        made._mail = Mail(address=address, listens=made._end == 0)
    return made


def _units(capacity: int | None, directions: int) -> int:
    least = _MIN_UNITS * PAGE * directions
    size = DEFAULT_CAPACITY if capacity is None else check_count(capacity, "capacity", _MAX_UNITS * PAGE, least)
    return (size + directions * PAGE - 1) // (directions * PAGE)


def _who(places: list[tuple[bool, bool, int, str, int]]) -> str:
    return ", and ".join(
        f"pid {pid} ({command!r}){'' if held else ', which has closed it or died'}"
        for _, held, pid, command, _ in places
    )


def _settings(header: dict[str, Any], where: str) -> dict[str, str]:
    """The settings in the header of the file ``where``, checked."""
    config = header_config(header, where)
    if "codec" not in config:
        raise bad_settings(where)
    return config


def _found(header: dict[str, Any], where: str) -> dict[str, Any]:
    """What the creator chose, under the names of the arguments."""
    config = _settings(header, where)
    units, _, _, _, directions, *_ = header["geometry"]
    return {
        "duplex": directions == 2,
        "capacity": units * directions * PAGE,
        "lifetime": header["lifetime"],
    } | {key: config.get(key) for key in ("codec", "type", "schema")}


# --- errors ----------------------------------------------------------------------------------------


def fail(end: PipeEnd, status: int, why: tuple[int, str, int, int] | None) -> NoReturn:
    """Raises what the status of an operation means, whatever it was."""
    if status == Status.BROKEN:
        raise errors.ConnectionClosedError(
            f"{end!r} was inherited from a conversation that is over, and others have begun another"
        )
    _handle.fail(end, status, why)


def fail_put(end: PipeEnd, status: int, why: tuple[int, str, int, int] | None) -> NoReturn:
    """The same for what was to be sent."""
    if status == Status.FULL:
        raise TimeoutError("no room for the message in time: the other end does not receive")
    if status == Status.SHUT_DOWN:
        raise BrokenPipeError(errno.EPIPE, "the other end is closed, or its process has died: nobody will read this")
    fail(end, status, why)


def fail_take(end: PipeEnd, status: int, why: tuple[int, str, int, int] | None) -> NoReturn:
    """The same for what was to be received."""
    if status == Status.EMPTY:
        raise TimeoutError("no whole message in time")
    if status == Status.SHUT_DOWN:
        raise EOFError("the other end is closed or its process has died, and all it had sent is received")
    fail(end, status, why)


def fail_closed(end: PipeEnd) -> NoReturn:
    """Raises for an end that is closed here."""
    raise errors.ConnectionClosedError(f"this end of pipe {getattr(end, '_name', None)!r} is closed: open another")


def fail_direction(end: PipeEnd, sends: bool) -> NoReturn:
    """Raises for what an end of a one-way pipe can't do."""
    raise OSError(errno.EBADF, f"this end of the pipe is {'read' if sends else 'write'}-only")


def fail_handle(end: PipeEnd, is_handle: bool) -> NoReturn:
    """Raises where a descriptor comes next, or something else than one."""
    if is_handle:
        raise errors.MismatchError("a descriptor comes next: use recv_handle", "a message", "a descriptor")
    raise errors.MismatchError("a message comes next, and no descriptor: use recv", "a descriptor", "a message")


def fail_length(end: PipeEnd, size: int, limit: int) -> NoReturn:
    """Raises for a message that is longer than ``maxlength``."""
    raise _TooLong(
        f"a message of {size} bytes is longer than maxlength={limit}: it stays, for another call", size, limit
    )


class _TooLong(errors.MessageTooLargeError, OSError):
    """``recv_bytes(maxlength)`` of more than that."""


def fail_short(data: bytes) -> NoReturn:
    """Raises for a buffer that is too small."""
    raise BufferTooShort(data)


def fail_loan(end: PipeEnd) -> NoReturn:
    """Raises for a loan of the parent that a forked child would send."""
    raise errors.ConnectionClosedError(
        f"a loan of {end!r} belongs to the process that took it, not to its forked child"
    )


def fail_unconnected(end: PipeEnd) -> NoReturn:
    """Raises where nobody has come to the other end."""
    raise TimeoutError(f"nobody has come to the other end of {end!r} in time")


def too_large(end: PipeEnd, size: int, limit: int) -> None:
    """Raises for a loan that can never fit in one place."""
    raise errors.MessageTooLargeError(
        f"a loan of {size} bytes is larger than {limit}, a quarter of what a direction of {end!r} may have: send it "
        f"by send, in parts, or make the pipe with capacity={8 * size} or more",
        size,
        limit,
    )


# --- what bytes and objects are to each other --------------------------------------------------------


def encoding_of(end: PipeEnd, raw: bool, data: bytes, body_size: int) -> bytes:
    """What ``recv_bytes`` gives of an object: bytes from which ``decode_sent_bytes`` makes it again."""
    if end._config["codec"] == "pickle":  # as the standard library's: a pickle, and nothing else
        if len(data) == body_size:
            return data
        return pickle.dumps(decode_in_place(end._codec, data, body_size), protocol=pickle.HIGHEST_PROTOCOL)
    if raw:
        data, body_size = encode_message(end._codec, data)
    return _SIZE.pack(body_size) + data


def decode_sent_bytes(end: PipeEnd, data: bytes) -> Any:
    """What ``recv`` makes of bytes that were sent by ``send_bytes``."""
    if end._config["codec"] == "pickle":
        return decode_in_place(end._codec, data, len(data))
    body_size = _SIZE.unpack_from(data)[0] if len(data) >= _SIZE.size else -1
    if not 0 <= body_size <= len(data) - _SIZE.size:
        raise errors.CorruptedError("these bytes were sent by send_bytes, and are no object: use recv_bytes")
    return decode_in_place(end._codec, memoryview(data)[_SIZE.size :], body_size)


def plan_array(end: PipeEnd, shape: Any, dtype: Any) -> LoanPlan:
    """For memory to write a NumPy array into."""
    return _loans.plan_array(end, shape, dtype, too_large)


plan_loan = _loans.plan_loan


# --- the end of an end -----------------------------------------------------------------------------


def closed(end: PipeEnd, unread: int) -> None:
    """The end has been closed here: lets go of what hangs on it."""
    _aio.close_waiters(end)
    if end._mail is not None:
        end._mail.close()
    if unread and not _handle.path(end).exists():
        warn(
            f"closing the only end of pipe {end._name!r} has thrown away {unread} message(s) to which nobody came: "
            'wait_connected() first, or make the pipe with lifetime="kept"',
            ResourceWarning,
        )


def link_of(end: PipeEnd) -> int:
    """A socket that hangs up when the other end has gone, or -1."""
    sock = end._mail.sock if end._mail is not None else None
    return sock.fileno() if sock is not None else -1


def describe(end: PipeEnd) -> str:
    """``repr(end)``."""
    return _handle.describe(end, "" if end.closed else f"end {end._end}")


# --- event loops -----------------------------------------------------------------------------------


async def receive(end: PipeEnd, attempt: Callable[[], Any], timeout: float | None) -> Any:
    """Receives by an attempt, waiting in the event loop."""
    return await _aio.attempt_until(end, _ITEMS, attempt, TimeoutError, timeout)


async def asend(end: PipeEnd, obj: Any, timeout: float | None) -> None:
    """Sends an object, waiting for room in the event loop."""
    await _send(end, lambda: end.send(obj, 0), end._series(obj), timeout)


async def asend_bytes(end: PipeEnd, buf: Any, offset: int, size: int | None, timeout: float | None) -> None:
    """Sends bytes, waiting for room in the event loop."""
    if offset or size is not None or not isinstance(buf, bytes):
        view = memoryview(buf).cast("B")
        if offset < 0 or offset > len(view) or (size is not None and not 0 <= size <= len(view) - offset):
            raise ValueError(f"offset={offset} and size={size} are not within a buffer of {len(view)} bytes")
        buf = bytes(view[offset : None if size is None else offset + size])
    await _send(end, lambda: end.send_bytes(buf, timeout=0), end._series_of_bytes(buf), timeout)


async def _send(end: PipeEnd, attempt: Callable[[], Any], series: Any, timeout: float | None) -> None:
    def try_to(how: Callable[[], Any], seconds: float | None) -> Any:
        return _aio.attempt_until(end, _ROOM, how, TimeoutError, seconds, lambda: _ROOM_TICK)

    if series is None:
        await try_to(attempt, timeout)
        return
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        while await try_to(
            lambda: series.step(False, None), None if deadline is None else max(deadline - time.monotonic(), 0)
        ):
            pass
    finally:
        series.close()


async def await_connected(end: PipeEnd, timeout: float | None) -> None:
    """Waits for the other end in the event loop."""
    await _aio.attempt_until(end, _MET, lambda: end.wait_connected(0), TimeoutError, timeout)


# --- looking ---------------------------------------------------------------------------------------


def statistics(end: PipeEnd) -> PipeStatistics:
    """The counters of the pipe, seen from this end."""
    out, into = end._counters()
    people = end._attachment.participants()
    return PipeStatistics(
        sent=out["sent"] if out else 0,
        received=into["received"] if into else 0,
        unread=out["depth"] if out else 0,
        unread_bytes=max(out["sent_bytes"] - out["received_bytes"], 0) if out else 0,
        depth=into["depth"] if into else 0,
        depth_bytes=max(into["sent_bytes"] - into["received_bytes"], 0) if into else 0,
        capacity=sum(way["capacity"] for way in (out, into) if way),
        reserved=sum(way["reserved"] for way in (out, into) if way),
        connected=end.connected,
        waiting_senders=sum(person[3] for person in people),
        waiting_receivers=sum(person[4] for person in people),
        attached=len(people),
    )


def inspect(look: Look, people: Mapping[int, AttachedProcess]) -> dict[str, Any]:
    """What a pipe tells to who looks from outside.

    Raises:
        CorruptedError: It is no pipe.
    """
    settings = _found(look.header(), "it")
    found = _look_native.pipe_state(look)
    if found is None:
        raise errors.CorruptedError("it holds what is no pipe")
    places, holders, ways = found
    rows = []
    notes = []
    for end, (taken, pid, command) in enumerate(places):
        mine = [people[owner] for owner, which, _ in holders if which == end and owner in people]
        alive = [person for person in mine if person.alive]
        state = "not taken" if not taken else "open" if alive else "over"
        rows.append(
            {"end": end, "state": state, "taken by": f"{pid} {command}" if taken else None, "open in": len(alive)}
        )
        if taken and not alive:
            notes.append(f"end {end}, taken by pid {pid}, is over: what it sent can be received still")
        notes += [
            f"pid {person.pid} has end {end} and is stopped: it is alive, and the other end waits for it"
            for person in alive
            if person.state == "stopped"
        ]
    return {
        "size": settings["capacity"],
        "duplex": settings["duplex"],
        "codec": settings["codec"],
        "type": settings["type"],
        "ends": rows,
        "directions": [
            {
                "from": 1 if len(ways) == 1 else i,
                **{key: way[key] for key in ("sent", "received", "depth")},
                "depth_bytes": max(way["sent_bytes"] - way["received_bytes"], 0),
            }
            for i, way in enumerate(ways)
        ],
        "notes": notes,
    }


def _to_text(options: dict[str, Any]) -> dict[str, str]:
    text = {"wait": options["wait"]}
    if isinstance(options["codec"], str):
        text["codec"] = options["codec"]
    if options["views"]:
        text["views"] = "1"
    if "end" in options:
        text["end"] = str(options["end"])
    return text


def _from_text(text: dict[str, str]) -> dict[str, Any]:
    if not set(text) <= {"wait", "codec", "views", "end"}:
        raise ValueError("options of another version")
    carried: dict[str, Any] = text | {"views": text.get("views") == "1"}
    if "end" in text:
        if text["end"] not in ("0", "1"):
            raise ValueError("no end of a pipe")
        carried["end"] = int(text["end"])
    return carried


KIND = Kind(6, "Pipe", open_end, _to_text, _from_text, inspect, ("room", "messages"))


def register_kind(open_kind: Callable[..., Any]) -> None:
    """Makes the kind known, opened by that."""
    register(replace(KIND, open=open_kind))


_native.set_pipe_policy(sys.modules[__name__])
