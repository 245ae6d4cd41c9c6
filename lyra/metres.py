"""A world's results in metres: copies of its files with the world's scale applied, a block at a time.

The files of a world folder are in the world's units; what leaves it is in metres (docs/conventions.md).
"""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from plyfile import PlyData, PlyParseError

from lyra.errors import InvalidInputError

# Rows that are in memory at once, and bytes of what is only copied.
BLOCK = 1 << 16
COPIED = 1 << 20
# Twelve bytes of GLB header and eight of its first chunk's, which is JSON.
_GLB_START = struct.Struct("<4sIIII")
_AXES = ("x", "y", "z")
_LOG_SCALES = ("scale_0", "scale_1", "scale_2")


def copy_in_metres(path: Path, sink: BinaryIO, scale: float) -> None:
    """Copies a result into `sink` with lengths times `scale`, metres per unit: .ply and .glb; others hold none.

    Positions are multiplied, and the logarithm of the scale is added to splats' log scales. A scale of 1 copies
    every byte as it is. Raises InvalidInputError for a file that is none of ours.
    """
    with path.open("rb") as source:
        copy_open_in_metres(source, path, sink, scale)


def copy_open_in_metres(source: BinaryIO, path: Path, sink: BinaryIO, scale: float) -> None:
    """As `copy_in_metres`, of an open file; `path` is what it is called."""
    if scale != 1 and path.suffix == ".ply":
        _scale_ply(path, source, sink, scale)
    elif scale != 1 and path.suffix == ".glb":
        _scale_glb(path, source, sink, scale)
    shutil.copyfileobj(source, sink, COPIED)


def _scale_ply(path: Path, source: BinaryIO, sink: BinaryIO, scale: float) -> None:
    """Header and vertices of splats or mesh; `source` then stands behind them."""
    try:
        # Triangles of known length are mapped, not read.
        ply = PlyData.read(source, mmap="r", known_list_len={"face": {"vertex_indices": 3}})
        vertices = ply["vertex"].data
        start = vertices.offset
        found = vertices.dtype.names
        scaled = _AXES + (_LOG_SCALES if _LOG_SCALES[0] in found else ())
        lacking = [name for name in scaled if name not in found]
        if lacking:
            raise ValueError(f"its vertices have no {', '.join(lacking)}")
    except (PlyParseError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise _damaged(path, error) from error
    source.seek(0)
    _copy(source, sink, start)
    for first in range(0, len(vertices), BLOCK):
        block = np.array(vertices[first : first + BLOCK])
        for name in scaled:
            if name in _AXES:
                block[name] *= np.float32(scale)
            else:
                block[name] += np.float32(np.log(scale))
        sink.write(block.tobytes())
    source.seek(start + vertices.nbytes)


def _scale_glb(path: Path, source: BinaryIO, sink: BinaryIO, scale: float) -> None:
    """Everything up to the last position; `source` then stands behind it."""
    try:
        magic, version, length, json_length, kind = _GLB_START.unpack(source.read(_GLB_START.size))
        tree = json.loads(source.read(json_length))
        accessor = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
        view = tree["bufferViews"][accessor["bufferView"]]
        before = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        # Of the same float32 numbers as the positions, which they must bound exactly.
        for bound in ("min", "max"):
            accessor[bound] = (np.array(accessor[bound], np.float32) * np.float32(scale)).tolist()
        rows = int(accessor["count"])
    except (struct.error, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, error) from error
    text = json.dumps(tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    sink.write(_GLB_START.pack(magic, version, length - json_length + len(text), len(text), kind) + text)
    chunk_header = 8
    _copy(source, sink, chunk_header + before)
    for first in range(0, rows, BLOCK):
        block = np.frombuffer(source.read(12 * min(BLOCK, rows - first)), "<f4")
        sink.write((block * np.float32(scale)).tobytes())


def _copy(source: BinaryIO, sink: BinaryIO, count: int) -> None:
    while count > 0 and (block := source.read(min(count, COPIED))):
        sink.write(block)
        count -= len(block)


def _damaged(path: Path, error: Exception) -> InvalidInputError:
    return InvalidInputError(f"{path} is damaged ({error}); reconstruct the world again.")
