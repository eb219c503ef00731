"""Pipe: a conversation between two ends, over shared memory.

``weft.Pipe()`` gives two ends, which travel to processes as those of ``multiprocessing.Pipe``; ``weft.Pipe("control")``
meets an unrelated process by name. An end has the interface of ``multiprocessing.connection.Connection``, with
timeouts and awaitable twins.
"""

from __future__ import annotations

from typing import Any

from weft._core.queue import PipeEnd
from weft.pipe import _handles, _policy
from weft.pipe._policy import open_end

__all__ = ["Pipe", "PipeEnd"]


def Pipe(  # noqa: N802 - as multiprocessing's
    name: str | bool | None = None,
    duplex: bool = True,
    *,
    create: bool | None = None,
    lifetime: str | None = None,
    mode: int = 0o600,
    group: str | int | None = None,
    namespace: Any = None,
    capacity: int | None = None,
    codec: Any = None,
    type: Any = None,
    wait: str = "balanced",
    views: bool = False,
) -> Any:
    """Makes a pipe, or opens an end of one by name.

    A pipe by name has two places. Whoever opens it takes the next one that is free, and does not wait for the other:
    what is sent before is kept, and ``wait_connected`` waits. A third is refused. A pipe is one conversation: the
    place of an end that is closed, or whose process has died, is not taken anew before the other end has closed too.

    Each direction has half of ``capacity``. A send that finds no room waits until the other end receives: two programs
    that both send more than that at once, and receive nothing meanwhile, wait for each other; receive in another
    thread or task, or give a timeout. A message may be larger than all of it: then it goes in parts, as it is received.

    Example:
        >>> import weft
        >>> one, two = weft.Pipe()
        >>> one.send({"id": 1}); two.recv()
        {'id': 1}
        >>> one.close(); two.close()

    Args:
        name: As for every object; None for a pipe without a name, whose two ends are returned. A bool here is
            ``duplex``, as in the standard library.
        duplex: Whether both ends send and receive. If not, the first end receives and the second one sends; by name,
            the first that comes receives.
        create: True: must not exist; False: must exist; None: opens or creates.
        lifetime: ``"attached"`` (default): gone with the last process that has an end open; ``"kept"``: until
            ``unlink()``, with what was sent and not received.
        mode: Permissions of the file behind it.
        group: Name or id of the group it is given to.
        namespace: A ``Namespace``, or what one is made from; None for the default.
        capacity: Bytes of memory it may use at most (default 256 MiB), reserved in steps as it grows.
        codec: As for ``Queue``; both ends have the same.
        type: What the messages are, for a pipe checked at opening and decoded to that type by msgspec.
        wait: How this end waits: ``"balanced"``, ``"latency"`` or ``"power"``, as for ``Queue``.
        views: Whether large ``bytes`` come as read-only memoryviews into shared memory.

    Returns:
        A ``PipeEnd``, or two of them for a pipe without a name.

    Raises:
        InUseError: Both places are taken; the error names who has them.
        MismatchError: The name exists with other settings, another codec or type, or is another kind.
        NotFoundError: ``create=False`` and nothing has that name.
        NameInUseError: ``create=True`` and something has it.
        NoSpaceError: The file system is full.
        AccessError: The directory or the pipe is another user's, or lets others in.
        CorruptedError: The file of that name is no segment, or damaged.
    """
    if isinstance(name, (bool, int)):  # Pipe(False), as in the standard library
        if duplex is not True:
            raise TypeError("Pipe takes one duplex")
        name, duplex = None, bool(name)
    settings: dict[str, Any] = {
        "duplex": bool(duplex),
        "lifetime": lifetime,
        "mode": mode,
        "group": group,
        "namespace": namespace,
        "capacity": capacity,
    }
    mine: dict[str, Any] = {"codec": codec, "type": type, "wait": wait, "views": views}
    one = open_end(name, create=create, **settings, **mine)
    if name is not None:
        return one
    try:
        two = open_end(one._attachment_name, create=False, namespace=one._place, end=1, **mine)
    except BaseException:
        one.close()
        raise
    _handles.join(one, two)
    return one, two


def _open_kind(name: Any = None, **options: Any) -> Any:
    """``Pipe``, or, for what has travelled, that very end."""
    return open_end(name, **options) if "end" in options else Pipe(name, **options)


_policy.register_kind(_open_kind)
