"""What stands in a segment's file, as native/weft/layout.hpp has it, for tests that forge one."""

import struct
from pathlib import Path
from typing import Any

MAGIC = 0x31304745_54464557
PAGE = 4096
PARTICIPANTS_AT = PAGE
OBJECT_AT = 0x11000
LEASES_AT = OBJECT_AT + PAGE
TABLE_AT = LEASES_AT + 65_536 * 32
CHECKSUM_AT = 2304

# name: (offset, format)
FIELDS = {
    "magic": (0, "<Q"),
    "layout_version": (8, "<I"),
    "header_bytes": (12, "<I"),
    "kind": (16, "<I"),
    "lifetime": (20, "<I"),
    "file_bytes": (24, "<Q"),
    "id": (32, "<QQ"),
    "created_ns": (48, "<q"),
    "creator_pid": (56, "<I"),
    "config_bytes": (60, "<I"),
    "geometry": (64, "<8Q"),
    "config": (128, "2048s"),
    "creator": (2176, "128s"),
}


def checksum(header: bytes) -> int:
    """FNV-1a of what stands before the checksum, eight bytes at a time."""
    value = 0xCBF29CE484222325
    for (word,) in struct.iter_unpack("<Q", header[:CHECKSUM_AT]):
        value = (value ^ word) * 0x100000001B3 & 0xFFFF_FFFF_FFFF_FFFF
    return value


def read_field(path: Path, field: str) -> Any:
    offset, form = FIELDS[field]
    with path.open("rb") as file:
        file.seek(offset)
        values = struct.unpack(form, file.read(struct.calcsize(form)))
    return values if len(values) > 1 else values[0]


def forge(path: Path, **fields: Any) -> None:
    """Overwrites fields of a segment's header and makes its checksum right again."""
    with path.open("r+b") as file:
        header = bytearray(file.read(CHECKSUM_AT))
        for field, value in fields.items():
            offset, form = FIELDS[field]
            struct.pack_into(form, header, offset, *(value if isinstance(value, tuple) else (value,)))
        file.seek(0)
        file.write(header + struct.pack("<Q", checksum(header)))
