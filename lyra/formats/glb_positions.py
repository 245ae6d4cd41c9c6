"""Vertex positions of the first mesh of an untrusted binary glTF file.

Format: glTF 2.0, "GLB File Format Specification": a header of 12 bytes, then chunks, the first of them JSON.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import IO

from lyra.common.json_file import parse_json
from lyra.common.quoting import value

MAX_JSON = 4_000_000
_START = struct.Struct("<4sIIII")
_CHUNK_HEADER = 8
_JSON, _FLOAT = 0x4E4F534A, 5126
_ROW = 12


@dataclass(frozen=True)
class GlbPositions:
    """The JSON `tree` of a file, the `accessor` in it, and `count` rows of three float32 from byte `start` on.

    `rest` is where what follows the JSON begins.
    """

    tree: dict
    accessor: dict
    rest: int
    start: int
    count: int


def read_glb_positions(source: IO[bytes]) -> GlbPositions:
    """Raises ValueError, with a reason for the middle of a sentence, for what is no such file or leads out of it."""
    length = source.seek(0, io.SEEK_END)
    source.seek(0)
    start = source.read(_START.size)
    if len(start) < _START.size:
        raise ValueError("it is cut short")
    magic, version, stated, json_length, kind = _START.unpack(start)
    if magic != b"glTF" or version != 2 or kind != _JSON:
        raise ValueError("it is no binary glTF 2.0")
    if stated != length or json_length > min(MAX_JSON, length - _START.size):
        raise ValueError(f"it has {length} bytes and should have {stated}")
    tree = parse_json(source.read(json_length), "its JSON", limit=MAX_JSON, advice="save it again")
    rest = _START.size + json_length
    try:
        accessor = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
        view = tree["bufferViews"][accessor["bufferView"]]
        count, offsets = accessor["count"], (view.get("byteOffset", 0), accessor.get("byteOffset", 0))
        bounds = [accessor[bound] for bound in ("min", "max")]
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"its JSON lacks {value(error)}") from error
    if not all(type(number) is int and 0 <= number <= length for number in (count, *offsets)):
        raise ValueError(f"its positions are {value(count)} at {value(offsets)}")
    if accessor.get("componentType") != _FLOAT or view.get("byteStride", _ROW) != _ROW:
        raise ValueError("its positions are no float32 in rows of three")
    if not all(_is_point(bound) for bound in bounds):
        raise ValueError(f"its positions are bounded by {value(bounds)}")
    first = rest + _CHUNK_HEADER + sum(offsets)
    if first + _ROW * count > length:
        raise ValueError(f"its {count} positions end behind the file")
    return GlbPositions(tree, accessor, rest, first, count)


def glb_start(json_length: int, rest_length: int) -> bytes:
    """What stands before the JSON of a file with `rest_length` bytes behind it."""
    return _START.pack(b"glTF", 2, _START.size + json_length + rest_length, json_length, _JSON)


def _is_point(bound: object) -> bool:
    return isinstance(bound, list) and len(bound) == 3 and all(type(side) in (int, float) for side in bound)
