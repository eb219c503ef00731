from collections.abc import Callable
from typing import Any, final

from typing_extensions import Buffer, disjoint_base

@disjoint_base
class Codec:
    name: str

@final
class DefaultCodec(Codec):
    def __init__(self) -> None: ...

@final
class RawCodec(Codec):
    def __init__(self) -> None: ...

@final
class PickleCodec(Codec):
    def __init__(self) -> None: ...

@final
class CallableCodec(Codec):
    def __init__(self, name: str, encode: Callable[[Any], Buffer], decode: Callable[[bytes], Any]) -> None: ...

@final
class Encoded: ...

def set_errors(corrupted: type[Exception]) -> type[Exception]: ...
def encode_message(codec: Codec, obj: object) -> tuple[bytes, int]: ...
def decode_message(codec: Codec, data: Buffer, body_size: int, *, view: bool = False, views: bool = False) -> Any: ...
