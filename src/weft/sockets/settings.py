"""What both ends of a connection are told: codec, protocol, limits. Checked once, shared by all it makes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from multiprocessing import reduction
from typing import Any

from weft._core import codec as _native
from weft._opening import check_count, check_one_of
from weft.codecs import make_codec
from weft.sockets import handshake
from weft.sockets.framing import Refusal, Terms

__all__ = ["Settings"]

PROTOCOLS = ("weft", "multiprocessing")
DEFAULT_MAX_MESSAGE = 256 << 20
MAX_MESSAGE = (1 << 47) - 1
DEFAULT_HANDSHAKE_TIMEOUT = 10.0
DEFAULT_FRAME_TIMEOUT = 30.0
# A message below is faster through the socket, piece by piece while the other side takes it: there is no new memory to
# be had from the kernel for each. From here on the receiver's allocator asks the kernel, too.
DEFAULT_SHARE_FROM = 32 << 20


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of a listener or client that its connections have in common."""

    codec: Any = None
    type: Any = None
    protocol: str = "weft"
    max_message: int = DEFAULT_MAX_MESSAGE
    handshake_timeout: float = DEFAULT_HANDSHAKE_TIMEOUT
    frame_timeout: float = DEFAULT_FRAME_TIMEOUT
    share_from: int | None = DEFAULT_SHARE_FROM
    maker: Any = field(init=False, repr=False, compare=False)
    terms: Terms = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_one_of(self.protocol, "protocol", PROTOCOLS)
        check_count(self.max_message, "max_message", MAX_MESSAGE, 1)
        if self.share_from is not None:
            check_count(self.share_from, "share_from", MAX_MESSAGE, 1)
        for name in ("handshake_timeout", "frame_timeout"):
            seconds = getattr(self, name)
            if isinstance(seconds, bool) or not isinstance(seconds, int | float):
                raise TypeError(f"{name} is a number of seconds, not {seconds!r}")
            if not 0 < seconds < math.inf:
                raise ValueError(f"{name} must be positive and finite, not {seconds!r}: a peer must not be waited for")
        if self.protocol == "multiprocessing":
            if self.codec not in (None, "pickle") or self.type is not None:
                raise ValueError(
                    'protocol="multiprocessing" carries pickles and nothing else: leave out codec= and type='
                )
            maker: _native.Codec = _native.CallableCodec("pickle", _dumps, reduction.ForkingPickler.loads)
            config: dict[str, Any] = {"codec": "pickle"}
        else:
            maker, config = make_codec(self.codec, self.type)
        object.__setattr__(self, "maker", maker)
        object.__setattr__(self, "terms", Terms.of(config, self.max_message))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, ({each.name: getattr(self, each.name) for each in fields(self) if each.init},))

    @property
    def is_standard(self) -> bool:
        """Whether the other side speaks the standard library's protocol."""
        return self.protocol == "multiprocessing"

    def dialogue(self, key: bytes | None, listening: bool, refusal: int = Refusal.NONE) -> handshake.Dialogue:
        """The handshake of one side."""
        if self.is_standard:
            return handshake.standard_dialogue(key, self.max_message, listening)
        if listening:
            return handshake.listener_dialogue(key, self.terms, refusal)
        return handshake.client_dialogue(key, self.terms)


def _dumps(obj: Any) -> Any:
    return reduction.ForkingPickler.dumps(obj)


def _rebuild(options: dict[str, Any]) -> Settings:
    return Settings(**options)
