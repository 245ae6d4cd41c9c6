"""Portable float maps: grey float32, rows from the bottom up. Format: Paul Debevec's, as Netpbm documents it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.common.quoting import value

_HEADER = re.compile(rb"P([fF])\s+(\d{1,9})\s+(\d{1,9})\s+([-+]?[0-9.]+(?:[eE][-+]?\d{1,3})?)(\r\n|\s)")
# A header is two lines of numbers; what is longer is none.
_LONGEST_HEADER = 128


@dataclass(frozen=True)
class FloatMap:
    """`values` (H, W) float32 as they are written, the upper row first; `scale` is the file's word on their unit."""

    values: np.ndarray
    scale: float


def read_pfm(data: bytes, max_pixels: int) -> FloatMap:
    """The grey map in a .pfm file. Raises InvalidInputError for one that is damaged, too large or coloured."""
    header = _HEADER.match(data[:_LONGEST_HEADER])
    if header is None:
        raise InvalidInputError(f"It is no .pfm file: it begins with {value(data[:16])}; save it again.")
    kind, width, height = header[1], int(header[2]), int(header[3])
    if not (0 < width * height <= max_pixels):
        raise InvalidInputError(f"It is {width}x{height}; 1 to {max_pixels} pixels are possible.")
    try:
        scale = float(header[4])
    except ValueError as error:
        raise InvalidInputError(f"Its scale is {value(header[4])}; -1 or 1 is usual.") from error
    if scale == 0 or not np.isfinite(scale):
        raise InvalidInputError(
            f"Its scale is {scale:g}, which leaves the byte order open; -1 or 1 is usual."
        )
    channels = 3 if kind == b"F" else 1
    length = 4 * channels * width * height
    # One white space ends the header; a line feed after a carriage return may be the first number's.
    start = header.end() if len(data) >= header.end() + length else header.start(5) + 1
    if len(data) - start < length:
        raise InvalidInputError(
            f"It is {width}x{height} and has {len(data) - start} of {length} bytes; it is cut short, save it again."
        )
    numbers = np.frombuffer(data, "<f4" if scale < 0 else ">f4", channels * width * height, start)
    pixels = numbers.reshape(height, width, channels)[::-1]
    if channels == 3 and not (
        np.array_equal(pixels[..., 0], pixels[..., 1], equal_nan=True)
        and np.array_equal(pixels[..., 0], pixels[..., 2], equal_nan=True)
    ):
        raise InvalidInputError("It is a colour picture (R, G and B differ); save the depth as grey (Pf).")
    return FloatMap(np.ascontiguousarray(pixels[..., 0], np.float32), abs(scale))
