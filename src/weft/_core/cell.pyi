import os
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Literal, final

from typing_extensions import disjoint_base

from weft._core.codec import Codec
from weft._core.handle import Attachment, Handle
from weft.namespace import Namespace
from weft.statistics import CellStatistics

@final
class CellAttachment(Attachment): ...

@final
class HeldValue:
    def __buffer__(self, flags: int, /) -> memoryview: ...

@disjoint_base
class Cell(Handle):
    _waiters: dict[Any, Any]
    _shape: tuple[int, ...] | None
    _dtype: Any
    def __init__(
        self,
        name: str | None = None,
        *,
        type: Any = None,
        shape: int | Sequence[int] | None = None,
        dtype: Any = None,
        size: int | None = None,
        codec: Any = None,
        create: bool | None = None,
        lifetime: Literal["attached", "kept"] | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        namespace: Namespace | str | os.PathLike[str] | None = None,
        wait: Literal["latency", "balanced", "power"] = "balanced",
    ) -> None: ...
    def set(self, value: Any) -> int: ...
    def get(self) -> Any: ...
    def view(self) -> Any: ...
    @property
    def version(self) -> int: ...
    @property
    def seen(self) -> int: ...
    def wait_newer(self, version: int | None = None, timeout: float | None = None) -> Any: ...
    async def aget_newer(self, version: int | None = None, timeout: float | None = None) -> Any: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...
    def statistics(self) -> CellStatistics: ...
    def _bind(
        self,
        attachment: CellAttachment,
        codec: Codec | None,
        ndarray: Any,
        shape: tuple[int, ...] | None,
        dtype: Any,
        waiting: int,
    ) -> None: ...
    def _counters(self) -> dict[str, int]: ...
    def _is_ready(self, version: int) -> bool: ...
    def _arm(self, version: int) -> None: ...

def set_policy(module: ModuleType) -> None: ...
