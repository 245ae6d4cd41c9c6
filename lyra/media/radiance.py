"""Radiance pictures (.hdr): header, orientation, exposure, old run-length encoding.

Format: Ward, "Real Pixels" (Graphics Gems II), and filefmts.pdf of the Radiance distribution. OpenImageIO unpacks the
run lengths that every writer of today makes; their header is written anew for it, since it refuses some.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.media import oiio as files
from lyra.media.colour import BT709, LINEAR, Encoding, Primaries, is_gamut, linear, same_primaries
from lyra.media.header import MAX_PIXELS, Picture, short, strip_lines

MAGIC = (b"#?RADIANCE", b"#?RGBE")
_HEADER_BYTES = 1 << 16
_XYZ_TO_BT709 = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ],
    np.float32,
)
# EXIF's number for how the lines run: down or up, then to the right or left; or the other way about.
_ORIENTATIONS = {
    ("-Y", "+X"): 1, ("-Y", "-X"): 2, ("+Y", "-X"): 3, ("+Y", "+X"): 4,
    ("+X", "-Y"): 5, ("-X", "-Y"): 6, ("-X", "+Y"): 7, ("+X", "+Y"): 8,
}  # fmt: skip
_NEWEST_RUNS = (8, 32767)
# So many are unpacked at a time.
_QUADS = 1 << 20


@dataclass(frozen=True)
class _Header:
    height: int
    width: int
    orientation: int
    start: int
    xyz: bool
    exposure: np.ndarray
    aspect: float
    primaries: Primaries


def open_radiance(data: bytes) -> Picture:
    """The picture in a Radiance file. Raises InvalidInputError."""
    header = _header(data)
    encoding, notes = LINEAR, []
    if not is_gamut(header.primaries):
        notes.append("Its primaries are of no colour space; colours are taken as linear sRGB.")
    elif not header.xyz and not same_primaries(header.primaries, BT709):
        encoding = Encoding(linear, header.primaries, wide=True, name="its primaries")
    return Picture(
        header.height,
        header.width,
        "rgb",
        lambda: _strips(data, header),
        encoding=encoding,
        orientation=header.orientation,
        aspect=header.aspect,
        notes=tuple(notes),
    )


def _header(data: bytes) -> _Header:
    head, blank, rest = data[:_HEADER_BYTES].partition(b"\n\n")
    line, ended, _ = rest.partition(b"\n")
    sides = re.fullmatch(rb"([+-][XY])\s+(\d{1,9})\s+([+-][XY])\s+(\d{1,9})", line.strip())
    orientation = _ORIENTATIONS.get((sides[1].decode(), sides[3].decode())) if sides else None
    if not sides or not orientation or not ended:
        raise InvalidInputError("The Radiance HDR header has no resolution line; save the file again.")
    said: dict[str, list[str]] = {}
    for entry in head.decode("latin-1").split("\n")[1:]:
        name, equals, value = entry.partition("=")
        if equals:
            said.setdefault(name.strip(), []).append(value.strip())
    kind = said.get("FORMAT", ["32-bit_rle_rgbe"])[-1]
    if kind not in ("32-bit_rle_rgbe", "32-bit_rle_xyze"):
        raise InvalidInputError(f"Its Radiance format is {short(kind, 40)}; save it as 32-bit_rle_rgbe.")
    # Each program that changed the exposure has added a line; they multiply.
    exposure = prod((_numbers(value, 1)[0] for value in said.get("EXPOSURE", [])), start=1.0)
    corrections = [_numbers(value, 3) for value in said.get("COLORCORR", [])]
    whole = np.prod([[exposure] * 3, *corrections], axis=0)
    if not (np.isfinite(whole).all() and (whole > 0).all()):
        raise InvalidInputError("Its EXPOSURE or COLORCORR is no positive number; remove it from the header.")
    numbers = _numbers(said["PRIMARIES"][-1], 8) if "PRIMARIES" in said else []
    primaries = tuple(zip(numbers[::2], numbers[1::2], strict=True)) if numbers else BT709
    # As Radiance has it: height by width of a pixel.
    aspect = 1 / (_numbers(said["PIXASPECT"][-1], 1)[0] or 1.0) if "PIXASPECT" in said else 1.0
    start = len(head) + len(blank) + len(line) + 1
    sizes = int(sides[2]), int(sides[4])
    return _Header(*sizes, orientation, start, kind.endswith("xyze"), whole, aspect, primaries)


def _numbers(text: str, count: int) -> list[float]:
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise InvalidInputError(
            f"Its Radiance header says {short(text, 40)!r} where numbers belong; save it again."
        )
    return numbers


def _strips(data: bytes, header: _Header) -> Iterator[np.ndarray]:
    """Linear colours (n, W, 3) float32."""
    # Values were multiplied by the exposure before they were written.
    matrix = np.diag(1 / header.exposure).astype(np.float32)
    if header.xyz:
        matrix = _XYZ_TO_BT709 @ matrix
    for strip in _packed(data, header) if _is_packed(data, header) else _plain(data, header):
        yield strip if np.array_equal(matrix, np.eye(3)) else strip @ matrix.T


def _is_packed(data: bytes, header: _Header) -> bool:
    """Whether lines are packed a channel at a time: 2, 2 and their length stand before each."""
    mark = data[header.start : header.start + 4]
    return (
        _NEWEST_RUNS[0] <= header.width <= _NEWEST_RUNS[1]
        and mark == bytes([2, 2, header.width >> 8, header.width & 255])
    )  # fmt: skip


def _packed(data: bytes, header: _Header) -> Iterator[np.ndarray]:
    plain = f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {header.height} +X {header.width}\n".encode()
    yield from files.strips((plain, memoryview(data)[header.start :]), "hdr", 3, "float")


def _plain(data: bytes, header: _Header) -> Iterator[np.ndarray]:
    """Pixels of four bytes each; (1, 1, 1, n) repeats the one before n times, times 256 for each in a row."""
    count = header.height * header.width
    stored = (len(data) - header.start) // 4
    quads = np.frombuffer(data, "<u4", min(stored, MAX_PIXELS), header.start)
    if stored < count or _is_run(quads[:count]).any():
        quads = _repeated(quads, count)
    if len(quads) < count:
        raise _cut_short(len(quads), count)
    pixels = quads[:count].view(np.uint8).reshape(header.height, header.width, 4)
    lines = strip_lines(header.width)
    for top in range(0, header.height, lines):
        rows = pixels[top : top + lines]
        yield np.ldexp(rows[..., :3].astype(np.float32), rows[..., 3:].astype(np.int32) - 136) * (
            rows[..., 3:] > 0
        )


def _cut_short(there: int, count: int) -> InvalidInputError:
    return InvalidInputError(
        f"The Radiance HDR cannot be decoded: it ends after {there} of {count} pixels. Save or copy it again."
    )


def _is_run(quads: np.ndarray) -> np.ndarray:
    return (quads & 0xFFFFFF) == 0x010101


def _repeated(quads: np.ndarray, count: int) -> np.ndarray:
    """The first `count` pixels, or all there are, that quads and runs stand for."""
    out, at = np.empty(count, np.uint32), 0
    if not len(quads) or _is_run(quads[:1])[0]:
        raise _cut_short(0, count)
    # What the piece before ends with: its last pixel, and how many runs in a row.
    pixel, row = quads[0], 0
    for start in range(0, len(quads), _QUADS):
        piece = quads[start : start + _QUADS]
        is_run, places = _is_run(piece), np.arange(len(piece))
        newest = np.maximum.accumulate(np.where(is_run, -1, places))
        # How many runs stand in a row up to each one.
        in_row = places - newest - 1 + np.where(newest < 0, row, 0)
        if (in_row > 3).any():
            raise InvalidInputError("Its run lengths are damaged; save it again.")
        times = np.where(is_run, (piece >> 24).astype(np.int64) << (8 * np.maximum(in_row, 0)), 1)
        ends = np.minimum(np.cumsum(times), count - at)
        values = np.where(newest < 0, pixel, piece[newest])
        out[at : at + ends[-1]] = np.repeat(values, np.diff(ends, prepend=0))
        at += int(ends[-1])
        if at == count:
            break
        pixel, row = values[-1], int(in_row[-1]) + 1
    return out[:at]
