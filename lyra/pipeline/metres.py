"""A world's results in metres: copies of its files with the world's scale applied, a block at a time.

The files of a world folder are in the world's units; what leaves it is in metres (docs/conventions.md).
"""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import IO

import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.common.quoting import one_line, place
from lyra.formats.glb_positions import glb_start, read_glb_positions
from lyra.formats.ply_header import read_ply_header
from lyra.formats.splat_layout import DC, FULL_REST, rest_count, splat_header, widened

# Rows that are in memory at once, and bytes of what is only copied.
BLOCK = 1 << 16
COPIED = 1 << 20
_AXES = ("x", "y", "z")
_LOG_SCALES = ("scale_0", "scale_1", "scale_2")


def copy_in_metres(path: Path, sink: IO[bytes], scale: float, *, f_rest: bool = False) -> None:
    """Copies a result into `sink` with lengths times `scale`, metres per unit: .ply and .glb; others hold none.

    Positions are multiplied, and the logarithm of the scale is added to splats' log scales. With `f_rest` splats get
    all 62 properties of the 3DGS layout. What neither changes is copied to the byte. Raises InvalidInputError for a
    file that is none of ours.
    """
    with path.open("rb") as source:
        copy_open_in_metres(source, path, sink, scale, f_rest=f_rest)


def copy_open_in_metres(
    source: IO[bytes], path: Path, sink: IO[bytes], scale: float, *, f_rest: bool = False
) -> None:
    """As `copy_in_metres`, of an open file; `path` is what it is called."""
    try:
        if path.suffix == ".ply" and (scale != 1 or f_rest):
            _scale_ply(source, sink, scale, f_rest)
        elif path.suffix == ".glb" and scale != 1:
            _scale_glb(source, sink, scale)
    except ValueError as error:
        raise InvalidInputError(
            one_line(f"{place(path)} is damaged ({one_line(error, 150)}); reconstruct the world again.")
        ) from error
    shutil.copyfileobj(source, sink, COPIED)


def _scale_ply(source: IO[bytes], sink: IO[bytes], scale: float, f_rest: bool) -> None:
    """Header and vertices of splats or mesh; `source` then stands behind them. Raises ValueError."""
    header = read_ply_header(source)
    vertices = header.elements[0] if header.elements else header.element("vertex")
    found = tuple(vertices.properties)
    if vertices.name != "vertex" or vertices.lists or header.order != "<":
        raise ValueError("its vertices do not come first, in binary little-endian")
    log_scales = _LOG_SCALES if _LOG_SCALES[0] in found else ()
    lacking = [name for name in (*_AXES, *log_scales) if vertices.properties.get(name) not in ("f4", "f8")]
    if lacking:
        raise ValueError(f"its vertices have no {', '.join(lacking)}")
    wide = f_rest and DC[0] in found
    if wide:
        rest_count(found)
        sink.write(splat_header(vertices.count, FULL_REST))
    else:
        source.seek(0)
        sink.write(source.read(header.size))
    dtype = header.dtype(vertices)
    for first in range(0, vertices.count, BLOCK):
        count = min(BLOCK, vertices.count - first)
        block = np.frombuffer(source.read(dtype.itemsize * count), dtype).copy()
        with np.errstate(over="ignore", invalid="ignore"):
            for name in _AXES:
                block[name] *= np.float32(scale)
            for name in log_scales:
                block[name] += np.float32(np.log(scale))
        sink.write((widened(block) if wide else block).tobytes())


def _scale_glb(source: IO[bytes], sink: IO[bytes], scale: float) -> None:
    """Everything up to the last position; `source` then stands behind it. Raises ValueError."""
    length = source.seek(0, io.SEEK_END)
    found = read_glb_positions(source)
    with np.errstate(over="ignore", invalid="ignore"):
        # Of the same float32 numbers as the positions, which they must bound exactly.
        for bound in ("min", "max"):
            scaled = np.array(found.accessor[bound], np.float32) * np.float32(scale)
            found.accessor[bound] = scaled.tolist()
        text = json.dumps(found.tree, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        sink.write(glb_start(len(text), length - found.rest))
        sink.write(text)
        _copy(source, sink, found.start - found.rest)
        for first in range(0, found.count, BLOCK):
            block = np.frombuffer(source.read(12 * min(BLOCK, found.count - first)), "<f4")
            sink.write((block * np.float32(scale)).tobytes())


def _copy(source: IO[bytes], sink: IO[bytes], count: int) -> None:
    while count > 0 and (block := source.read(min(count, COPIED))):
        sink.write(block)
        count -= len(block)
