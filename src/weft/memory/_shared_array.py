"""SharedArray: a NumPy array in shared memory."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from weft import _arrays, _handle
from weft._core.handle import Handle
from weft._core.memory import MemoryAttachment
from weft._kinds import Kind, register
from weft._opening import (
    LIFETIMES,
    Status,
    attach_or_create,
    bad_settings,
    check_create,
    check_one_of,
    header_config,
)
from weft.memory._shared_memory import MAX_SIZE, fail
from weft.memory._shared_memory import inspect as _inspect_memory
from weft.namespace import Namespace, check_mode, check_name, group_id, place_of
from weft.statistics import AttachedProcess, MemoryStatistics

if TYPE_CHECKING:
    from weft._core.look import Look

__all__ = ["SharedArray"]


class SharedArray(Handle):
    """A NumPy array that any two processes share by name.

    ``SharedArray("grid", (1080, 1920, 3), "u1")`` makes it, or opens it where it exists; ``SharedArray("grid")``
    opens it with the shape and dtype that it has. ``array`` is an ordinary ``numpy.ndarray`` over the shared memory:
    slices, views and whatever is made of them without a copy are shared too. It begins as zeros.

    Views keep the memory: they stay valid after ``close``, after ``unlink`` and after all handles are gone, in
    whatever order. Threads and processes may use it at the same time; nothing orders what they do to the same items
    but your locks. For values that are to be read in whole while others write, use ``weft.Cell``.

    Example:
        >>> import weft
        >>> with weft.SharedArray("doctest-grid", (2, 3), "i4") as grid:
        ...     grid.array[1] = 7
        ...     weft.SharedArray("doctest-grid").array.tolist()
        [[0, 0, 0], [7, 7, 7]]

    Args:
        name: As that of every object. None makes an anonymous array, which travels by pickling or as ``token``.
        shape: An int or a sequence of ints. None: that of the array that exists.
        dtype: What ``numpy.dtype`` takes, without Python objects; ``"f8"`` if only ``shape`` is given.
        order: ``"C"`` or ``"F"``: which index changes fastest in memory. None: as it is, ``"C"`` when it is made.
        create: True: must not exist; False: must exist; None: opens or creates.
        lifetime: ``"attached"`` (default): gone with the last process that has it open, however that ends;
            ``"kept"``: until ``unlink()``.
        mode: Permissions of the file behind it.
        group: Name or id of the group it is given to.
        readonly: Nothing can be written through this handle or its views; permission to read is enough.
        namespace: A ``Namespace``, or what one is made from; None for the default.

    Raises:
        ImportError: NumPy is not installed.
        MismatchError: The name exists with another shape, dtype, order or lifetime, or is another kind; both sides
            are shown.
        NotFoundError: Nothing has that name, and ``create=False`` or no shape was given.
        NameInUseError: ``create=True`` and something has it.
        TypeError: The dtype holds Python objects, or can't be told to another process.
        ValueError: A negative extent, an array without bytes, ``create=True`` without a shape.
        NoSpaceError: The file system is full: nothing has been made.
        AccessError: The directory or the array is another user's, or lets others in.
        CorruptedError: The file of that name is no segment, or damaged.
    """

    _array: Any
    _memory: MemoryAttachment | None

    def __init__(
        self,
        name: str | None = None,
        shape: int | Sequence[int] | None = None,
        dtype: Any = None,
        *,
        order: Literal["C", "F"] | None = None,
        create: bool | None = None,
        lifetime: Literal["attached", "kept"] | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        readonly: bool = False,
        namespace: Namespace | str | os.PathLike[str] | None = None,
    ) -> None:
        if self._attachment is not None:
            raise RuntimeError("an array is opened once; make another SharedArray object")
        numpy = _arrays.import_numpy("SharedArray")
        if name is not None:
            check_name(name)
        check_create(create, name)
        if lifetime is not None:
            check_one_of(lifetime, "lifetime", LIFETIMES)
        if order is not None:
            check_one_of(order, "order", ("C", "F"))
        config: dict[str, Any] = {}
        asked: dict[str, Any] = {"lifetime": lifetime, "order": order}
        nbytes = 1
        if shape is not None:
            extents, kind = _arrays.layout(shape, dtype, MAX_SIZE)
            nbytes = kind.itemsize * math.prod(extents)
            config = _arrays.to_text(extents, kind) | {"order": order or "C"}
            asked |= {"shape": extents, "dtype": config["dtype"]}
        elif dtype is not None:
            raise ValueError("dtype= goes with shape=: without both an array is opened as it is")
        elif create or name is None:
            raise ValueError("an array that is to be made needs a shape")
        place, group = place_of(namespace), group_id(group)
        attachment, file_name = attach_or_create(
            lambda: MemoryAttachment(KIND.number, bool(readonly)),
            KIND,
            place,
            name,
            create if shape is not None else False,
            (nbytes,),
            config,
            _found,
            asked,
            mode=check_mode(mode),
            group=-1 if group is None else group,
            kept=lifetime == "kept",
        )
        header, where = attachment.header(), str(place.path / file_name)
        extents, kind, order = _layout(header, where)
        nbytes = header["geometry"][0]
        _handle.bind(self, KIND, place, file_name, attachment.identity(), {"readonly": bool(readonly)})
        status, why, size = attachment.look()
        if status != Status.OK or size < nbytes:
            fail(self, status or Status.CORRUPTED, why)
        memory = attachment.view(0, nbytes, bool(readonly))
        self._array = numpy.ndarray(extents, kind, memory, order=order)
        self._memory = attachment
        self._attach(attachment)

    # --- the array -----------------------------------------------------------------------------

    @property
    def array(self) -> Any:
        """The array itself: the same object each time, a ``numpy.ndarray`` over the shared memory."""
        self._opened()
        return self._array

    def _opened(self) -> MemoryAttachment:
        """The memory; a forked child takes part by itself from its first use on."""
        memory = self._memory
        if memory is None:
            _handle.fail_closed(self)
        if memory.is_foreign():
            status, why, _ = memory.look()
            if status != Status.OK:
                fail(self, status, why)
        return memory

    @property
    def shape(self) -> tuple[int, ...]:
        """Its extents."""
        return self.array.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        """Its ``numpy.dtype``."""
        return self.array.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of its items."""
        return int(self.array.nbytes)

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.array)

    def __getitem__(self, index: Any) -> Any:
        return self.array[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self.array[index] = value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """For ``numpy.asarray`` and its like: the array itself, or a copy if asked for or needed."""
        array = self.array
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"an array of {array.dtype} can't become one of {dtype} without a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """NumPy's array interface, version 3. Its ``data`` is a buffer, which keeps the memory."""
        memory, array = self._opened(), self.array
        interface = dict(array.__array_interface__)
        interface["data"] = memory.view(0, array.nbytes, not array.flags.writeable)
        return interface

    def __dlpack__(self, **options: Any) -> Any:
        """A DLPack capsule of the memory, which it keeps; options as for ``numpy.ndarray.__dlpack__``.

        Raises:
            BufferError: The dtype has no counterpart there, or the handle is read-only and the consumer does not
                say that it knows such arrays (``max_version``).
        """
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """The CPU's memory: ``(1, 0)``."""
        return self.array.__dlpack_device__()  # type: ignore[no-any-return]

    # --- the rest ------------------------------------------------------------------------------

    def close(self) -> None:
        """Closes this handle. Never fails; may be repeated.

        Views stay valid, and the memory stays attached to this process as long as there is one. What nobody has
        open any more goes, unless it is ``"kept"``.
        """
        self._array = self._memory = None
        self._attach(None)

    def statistics(self) -> MemoryStatistics:
        """Size, reserved bytes and attached participants: a ``MemoryStatistics``."""
        memory = self._opened()
        people = memory.participants()
        return MemoryStatistics(size=self.nbytes, reserved=memory.reserved(), resizes=0, attached=len(people))

    def __repr__(self) -> str:
        state = "" if self.closed else f"shape={self._array.shape} dtype={self._array.dtype}"
        return _handle.describe(self, state)


def _layout(header: dict[str, Any], where: str) -> tuple[tuple[int, ...], Any, Any]:
    """Shape, dtype and order in the header of the file ``where``, checked."""
    config = header_config(header, where)
    layout = _arrays.from_text(config, header["geometry"][0])
    order = config.get("order")
    if layout is None or order not in ("C", "F"):
        raise bad_settings(where)
    return *layout, order


def _found(header: dict[str, Any], where: str) -> dict[str, Any]:
    """What the creator chose, under the names of the arguments."""
    shape, _, order = _layout(header, where)
    dtype = header_config(header, where)["dtype"]
    return {"shape": shape, "dtype": dtype, "order": order, "lifetime": header["lifetime"]}


def _to_text(options: dict[str, Any]) -> dict[str, str]:
    return {"readonly": "1"} if options["readonly"] else {}


def _from_text(text: dict[str, str]) -> dict[str, Any]:
    if not set(text) <= {"readonly"}:
        raise ValueError("options of another version")
    return {"readonly": text.get("readonly") == "1"}


def inspect(look: Look, people: Mapping[int, AttachedProcess]) -> dict[str, Any]:
    """What an array tells to who looks from outside."""
    found = _inspect_memory(look, people)
    config = header_config(look.header(), "it")
    found.pop("resizes", None)
    return found | {key: config.get(key) for key in ("shape", "dtype", "order")}


KIND = register(Kind(3, "SharedArray", SharedArray, _to_text, _from_text, inspect))
