"""What handles of every kind do seldom: names, tokens, pickling, unlinking.

The native ``Handle`` (``weft._core.handle``) and its subclasses call these functions. A handle that has
been opened carries what ``bind`` sets.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import urllib.parse
import warnings
from pathlib import Path
from typing import Any, NoReturn

from weft import errors
from weft._core import handle as _native
from weft._kinds import KINDS, Kind, kind_called
from weft._opening import Status, is_anonymous, no_space, system_limit
from weft.namespace import Namespace

# --- the state of a handle -------------------------------------------------------------------------


def bind(handle: Any, kind: Kind, place: Namespace, file_name: str, identity: str, options: dict[str, Any]) -> None:
    """Tells a handle what it has been opened as; ``options`` are those of this handle, not the object's."""
    handle._kind, handle._place = kind, place
    handle._name = None if is_anonymous(file_name) else file_name
    handle._attachment_name, handle._identity = file_name, identity
    handle._options = options


def name(handle: Any) -> str | None:
    """The name it was opened by."""
    _check_opened(handle)
    return handle._name  # type: ignore[no-any-return]


def _check_opened(handle: Any) -> None:
    if not hasattr(handle, "_attachment_name"):
        raise errors.ClosedError(f"this {type(handle).__name__} has not been opened")


def path(handle: Any) -> Path:
    """The file behind the object."""
    _check_opened(handle)
    place: Namespace = handle._place
    return place.path / str(handle._attachment_name)


def class_of(handle: Any) -> str:
    """What users know a handle as: its class, or the one that it stands behind."""
    return str(getattr(handle, "_shown_as", type(handle).__name__))


def describe(handle: Any, state: str = "open") -> str:
    """``repr(handle)``."""
    kind = class_of(handle)
    if not hasattr(handle, "_attachment_name"):
        return f"<weft.{kind} (not open)>"
    return f"<weft.{kind} {handle._name or 'anonymous'!r} {'closed' if handle.closed else state}>"


def identity(handle: Any) -> str:
    """Tells its object from all others that the name ever led to."""
    if not hasattr(handle, "_identity"):  # a kind that is opened often leaves it for when it is asked for
        if handle.closed:
            fail_closed(handle)
        handle._identity = handle._attachment.identity()
    return str(handle._identity)


# --- travelling ------------------------------------------------------------------------------------


def token(handle: Any) -> str:
    """The object's address as text."""
    _check_opened(handle)
    options = handle._kind.to_text(handle._options) | {"id": identity(handle)}
    where = urllib.parse.quote(os.fsencode(path(handle)))
    return f"weft:{handle._kind.name}:{where}?{urllib.parse.urlencode(options)}"


def open_token(text: str, **options: Any) -> Any:
    """Opens the object that a token stands for.

    Args:
        text: Another handle's ``token``.
        options: What a token can't carry (``type=``, a codec object), or what this handle wants otherwise.

    Raises:
        ValueError: The text is no token.
        NotFoundError: The object has gone.
    """
    if not isinstance(text, str) or not text.startswith("weft:"):
        raise ValueError(f"{text!r} is not a token of weft: it begins with 'weft:'")
    try:
        kind_name, rest = text.removeprefix("weft:").split(":", 1)
        where, _, query = rest.partition("?")
        file = Path(os.fsdecode(urllib.parse.unquote_to_bytes(where)))
        given = dict(urllib.parse.parse_qsl(query, strict_parsing=bool(query)))
    except ValueError:
        raise ValueError(f"{text!r} is not a whole token of weft") from None
    kind = kind_called(kind_name)
    wanted = given.pop("id", None)
    try:
        if kind is None or not file.is_absolute():
            raise ValueError
        carried = kind.from_text(given)
    except ValueError:
        raise ValueError(f"{text!r} is not a token that this version of weft understands") from None
    return _reopen(kind.number, _directory(file.parent), file.name, wanted, carried | options)


def _directory(path: Path) -> Namespace:
    """The namespace of a token: the user's own directory may let others in, another user's is refused."""
    mode = 0o700
    with contextlib.suppress(OSError):
        found = path.stat()
        if found.st_uid == os.geteuid():
            mode |= found.st_mode & 0o077
    return Namespace(path, mode=mode)


def reduce(handle: Any) -> tuple[Any, ...]:
    """Pickling sends the address, not the content; the object must still be there on arrival."""
    if handle.closed:
        fail_closed(handle)
    return (
        _reopen,
        (handle._kind.number, handle._place, handle._attachment_name, identity(handle), handle._options),
    )


def _reopen(kind: int, place: Namespace, name: str, wanted: str | None, options: dict[str, Any]) -> Any:
    """Opens the very object that was meant, not a later one of the same name."""
    if kind not in KINDS:
        raise errors.MismatchError(
            f"this stands for {name!r} in {place.path}, a kind of object ({kind}) that this version of weft does not "
            "know: use one version of weft for all",
            sorted(KINDS),
            kind,
        )
    found = KINDS[kind].open(name, **({"create": False, "namespace": place} | options))
    if wanted is not None and identity(found) != wanted:
        found.close()
        raise errors.NotFoundError(
            f"the {KINDS[kind].name} that this stood for has gone; {name!r} in {place.path} is a later one"
        )
    return found


def unlink(handle: Any) -> None:
    """Removes the name; those who have the object open keep it."""
    if handle.closed:
        fail_closed(handle)
    done = handle._unlink()
    if done < 0:
        raise system_limit(-done, "removing the name", str(path(handle)))
    if not done:
        raise errors.NotFoundError(f"the name of {handle!r} is gone already")


# --- errors ----------------------------------------------------------------------------------------


def fail(handle: Any, status: int, why: tuple[int, str, int, int] | None) -> NoReturn:
    """Raises what the status of an operation on an open object means, whatever its kind."""
    match Status(status):
        case Status.NO_SPACE:
            place = str(handle._place.path)
            wanted, free = why[2:] if why else (0, 0)
            if not wanted:
                room = os.statvfs(place)
                wanted, free = 4096, room.f_bavail * room.f_frsize
            raise no_space(wanted, free, place)
        case Status.CORRUPTED:
            raise errors.CorruptedError(
                f"{path(handle)} holds what no honest program writes: unlink it and make a new one"
            )
        case Status.OUT_OF_SLOTS:
            raise errors.SystemLimitError(
                f"{path(handle)} has as many participants as it can have (1024): close some handles"
            )
    if why and why[0]:
        raise system_limit(why[0], why[1], str(path(handle)))
    raise errors.SystemLimitError(f"{path(handle)}: {Status(status).name.lower().replace('_', ' ')}")


def fail_closed(handle: Any) -> NoReturn:
    """Raises for an operation on a closed handle."""
    kind = class_of(handle)
    raise errors.ClosedError(f"this handle of {kind} {getattr(handle, '_name', None)!r} is closed: open another")


def fail_os(handle: Any, step: str, code: int = errno.EMFILE) -> NoReturn:
    """Raises for a system call of the binding that failed: by its errno, as a rule for want of descriptors."""
    raise system_limit(code, step, str(path(handle)))


def warn(text: str, category: type[Warning]) -> None:
    """Warns at the line of the program that called into weft."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "weft":
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)


_native.set_policy(sys.modules[__name__])
