"""Reads the OpenEXR files that Blender and most tools write: scanlines, one or several parts.

Uncompressed, RLE, ZIPS and ZIP; half, float and unsigned channels. Format: "OpenEXR File Layout",
https://openexr.com/en/latest/OpenEXRFileLayout.html. Nothing is read past the end of the data, nothing is inflated
past the size that the header promises, and nothing is allocated before the header has been checked.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np

from lyra.common.errors import InvalidInputError

MAGIC = b"v/1\x01"
MAX_PIXELS = 100_000_000
MAX_VALUES = 400_000_000  # over all channels that are read
MAX_CHUNK_BYTES = 300_000_000  # 16 lines of 16,384 pixels have 280 float channels
_TILED, _DEEP, _MULTIPART = 0x200, 0x800, 0x1000
_COMPRESSIONS = ("NONE", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB")
_LINES_PER_CHUNK = {"NONE": 1, "RLE": 1, "ZIPS": 1, "ZIP": 16}
_SAMPLES = (np.dtype("<u4"), np.dtype("<f2"), np.dtype("<f4"))


class UnsupportedExrError(InvalidInputError):
    """A valid file with a compression or layout that is not read here."""


@dataclass(frozen=True)
class Part:
    """One part of a file: where its pixels lie and which channels they have, in file order."""

    name: str
    channels: tuple[tuple[str, np.dtype], ...]
    compression: str
    data_window: tuple[int, int, int, int]  # x, y, height, width
    display_window: tuple[int, int, int, int]


class _Bytes:
    """A cursor that refuses to run past the end."""

    def __init__(self, data: bytes, at: int = 0):
        self.data, self.at = data, at

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self.data) - self.at:
            raise InvalidInputError(
                f"The EXR file ends after {len(self.data)} bytes in the middle of its data; save or copy it again."
            )
        self.at += count
        return self.data[self.at - count : self.at]

    def unpack(self, form: str) -> tuple:
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def text(self) -> str:
        end = self.data.find(b"\0", self.at, self.at + 256)
        if end < 0:
            raise InvalidInputError("The EXR header holds a name without an end; save the file again.")
        name = self.take(end - self.at + 1)[:-1]
        return name.decode("utf-8", "replace")


def read_header(data: bytes) -> list[Part]:
    """The parts of an EXR file. Raises InvalidInputError for a broken or unreadable one."""
    return _read_parts(data)[0]


def read_channels(data: bytes, wanted: set[str] | None = None) -> dict[str, np.ndarray]:
    """Channels by full name ("R", "ViewLayer.Depth.Z"), each (H, W) float32 over the display window.

    In files of several parts a part's name stands before its channels' unless they already start with it. `wanted`
    limits what is kept. Pixels outside the data window are 0. Raises InvalidInputError for a broken file,
    UnsupportedExrError for a compression or layout that is not read here.
    """
    parts, cursor, multipart = _read_parts(data)
    tables = []
    for part in parts:
        lines = _lines(part)
        chunks = -(-part.data_window[2] // lines)
        table = np.frombuffer(cursor.take(8 * chunks), "<u8")
        if len(np.unique(table)) < chunks:
            raise InvalidInputError(
                "The EXR file's table of contents names one place for several lines; its writing was cut short, or it "
                "is damaged. Save it again."
            )
        tables.append(table)
    channels: dict[str, np.ndarray] = {}
    kept_values = 0
    for number, (part, table) in enumerate(zip(parts, tables, strict=True)):
        names = channel_names(part)
        keep = [wanted is None or name in wanted for name in names]
        if not any(keep):
            continue
        height, width = part.data_window[2:]
        kept_values += sum(keep) * height * width
        if kept_values > MAX_VALUES:
            raise InvalidInputError(
                f"The EXR file holds more than {MAX_VALUES} values; save the channels needed in a file of their own."
            )
        planes = [np.zeros((height, width), np.float32) if k else None for k in keep]
        for offset in table:
            _read_chunk(data, int(offset), part, planes, number if multipart else None)
        for name, plane in zip(names, planes, strict=True):
            if plane is not None:
                channels[name] = _placed(plane, part)
    return channels


def channel_names(part: Part) -> list[str]:
    """Full names of a part's channels."""
    prefix = f"{part.name}." if part.name else ""
    return [name if name.startswith(prefix) else prefix + name for name, _ in part.channels]


# ------------------------------------------------------------------------------------------------------------ header
def _read_parts(data: bytes) -> tuple[list[Part], _Bytes, bool]:
    cursor = _Bytes(data)
    if cursor.take(4) != MAGIC:
        raise InvalidInputError("The file does not start like an EXR file; give an .exr saved by Blender.")
    (flags,) = cursor.unpack("<I")
    if flags & 0xFF != 2 or flags & (_TILED | _DEEP):
        raise UnsupportedExrError(
            "The EXR file is tiled or deep; save it as flat scanlines, as Blender does."
        )
    multipart = bool(flags & _MULTIPART)
    parts = [_read_part(cursor)]
    while multipart and cursor.data[cursor.at : cursor.at + 1] != b"\0":
        parts.append(_read_part(cursor))
        if len(parts) > 256:
            raise InvalidInputError("The EXR file has more than 256 parts; save only the passes needed.")
    if multipart:
        cursor.take(1)
    return parts, cursor, multipart


def _read_part(cursor: _Bytes) -> Part:
    values: dict[str, bytes] = {}
    while name := cursor.text():
        cursor.text()
        (size,) = cursor.unpack("<i")
        values[name] = cursor.take(size)
    missing = {"channels", "compression", "dataWindow", "displayWindow"} - values.keys()
    if missing:
        raise InvalidInputError(f"The EXR header lacks {', '.join(sorted(missing))}; save the file again.")
    if values.get("type", b"scanlineimage").rstrip(b"\0") != b"scanlineimage":
        raise UnsupportedExrError(
            f"The EXR file has a part of type {values['type']!r}; save it as flat scanlines."
        )
    kind = values["compression"][:1]
    if not kind or kind[0] >= len(_COMPRESSIONS):
        raise InvalidInputError(f"The EXR header names compression {kind!r}, which does not exist.")
    windows = [_window(values[key], key) for key in ("dataWindow", "displayWindow")]
    name = values.get("name", b"").rstrip(b"\0").decode("utf-8", "replace")
    return Part(name, _channels(values["channels"]), _COMPRESSIONS[kind[0]], *windows)


def _window(value: bytes, key: str) -> tuple[int, int, int, int]:
    left, top, right, bottom = _Bytes(value).unpack("<4i")
    width, height = right - left + 1, bottom - top + 1
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise InvalidInputError(
            f"The EXR {key} is {width}x{height}; between 1 pixel and {MAX_PIXELS // 10**6} megapixels are possible."
        )
    return left, top, height, width


def _channels(value: bytes) -> tuple[tuple[str, np.dtype], ...]:
    cursor = _Bytes(value)
    channels = []
    while name := cursor.text():
        kind, _, across, down = cursor.unpack("<iIii")
        if kind not in (0, 1, 2):
            raise InvalidInputError(f"EXR channel {name} has sample type {kind}; half, float and uint exist.")
        if (across, down) != (1, 1):
            raise UnsupportedExrError(
                f"EXR channel {name} is subsampled {across}x{down}; save it at full size."
            )
        channels.append((name, _SAMPLES[kind]))
    if not 1 <= len(channels) <= 1024:
        raise InvalidInputError(
            f"The EXR file has {len(channels)} channels; between 1 and 1024 are possible."
        )
    return tuple(channels)


def _lines(part: Part) -> int:
    if part.compression not in _LINES_PER_CHUNK:
        raise UnsupportedExrError(
            f"The EXR file is compressed with {part.compression}; save it with the codec ZIP."
        )
    return _LINES_PER_CHUNK[part.compression]


# ------------------------------------------------------------------------------------------------------------ pixels
def _read_chunk(data: bytes, offset: int, part: Part, planes: list, number: int | None) -> None:
    """Decodes the lines of one chunk into the planes that are kept."""
    cursor = _Bytes(data, min(offset, len(data)))
    if number is not None and cursor.unpack("<i")[0] != number:
        raise InvalidInputError(
            "The EXR file's table of contents points at another part; save the file again."
        )
    y, size = cursor.unpack("<ii")
    _, top, height, width = part.data_window
    first = y - top
    lines = min(_lines(part), height - first)
    if not 0 <= first < height or lines < 1:
        raise InvalidInputError(
            f"The EXR file holds a line {y} outside its data window; save the file again."
        )
    line_size = width * sum(kind.itemsize for _, kind in part.channels)
    if lines * line_size > MAX_CHUNK_BYTES:
        raise InvalidInputError(
            f"{lines} lines of the EXR file hold {lines * line_size / 1e6:.0f} MB; at most "
            f"{MAX_CHUNK_BYTES // 10**6} are read. Save the channels needed in a file of their own."
        )
    raw = _decoded(cursor.take(size), lines * line_size, part.compression)
    rows = np.frombuffer(raw, np.uint8).reshape(lines, line_size)
    at = 0
    for plane, (_, kind) in zip(planes, part.channels, strict=True):
        end = at + width * kind.itemsize
        if plane is not None:
            plane[first : first + lines] = np.ascontiguousarray(rows[:, at:end]).view(kind)
        at = end


def _decoded(packed: bytes, size: int, compression: str) -> bytes:
    if compression == "NONE" or len(packed) == size:  # a chunk that would have grown is stored as it is
        raw = packed
    elif compression == "RLE":
        raw = _unfiltered(_run_lengths(packed, size))
    else:
        try:
            raw = zlib.decompressobj().decompress(packed, size)
        except zlib.error as error:
            raise InvalidInputError(f"The EXR file's pixels are damaged ({error}); save it again.") from error
        raw = _unfiltered(raw)
    if len(raw) != size:
        raise InvalidInputError(
            f"A chunk of the EXR file holds {len(raw)} bytes instead of {size}; save it again."
        )
    return raw


def _run_lengths(packed: bytes, size: int) -> bytes:
    """Runs (count, byte) and literals (-count, bytes ...)."""
    out, cursor = bytearray(), _Bytes(packed)
    while cursor.at < len(packed) and len(out) <= size:
        (count,) = cursor.unpack("<b")
        out += cursor.take(-count) if count < 0 else cursor.take(1) * (count + 1)
    return bytes(out)


def _unfiltered(packed: bytes) -> bytes:
    """Undoes the differences between neighbours and the split into even and odd bytes."""
    steps = np.frombuffer(packed, np.uint8).copy()
    steps[1:] -= np.uint8(128)
    values = np.cumsum(steps, dtype=np.uint8)
    half = (len(values) + 1) // 2
    merged = np.empty_like(values)
    merged[0::2], merged[1::2] = values[:half], values[half:]
    return merged.tobytes()


def _placed(plane: np.ndarray, part: Part) -> np.ndarray:
    """The plane over the display window."""
    if part.data_window == part.display_window:
        return plane
    left, top, height, width = part.data_window
    shown_left, shown_top, shown_height, shown_width = part.display_window
    out = np.zeros((shown_height, shown_width), np.float32)
    x, y = left - shown_left, top - shown_top
    y0, y1 = max(y, 0), min(y + height, shown_height)
    x0, x1 = max(x, 0), min(x + width, shown_width)
    if y0 < y1 and x0 < x1:
        out[y0:y1, x0:x1] = plane[y0 - y : y1 - y, x0 - x : x1 - x]
    return out
