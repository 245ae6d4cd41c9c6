"""Whether a picture lies on its side: Blender shows its pixels as they are stored, the engine turns it upright.

The orientation is tag 274 of TIFF 6.0 and EXIF 2.3: 5 to 8 swap width and height. JPEG, PNG and WebP carry it in a
small TIFF of their own.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

_ORIENTATION, _SHORT = 274, 3
_ON_ITS_SIDE = {5, 6, 7, 8}
_TIFF = {b"II*\0": "<", b"MM\0*": ">"}
_EXIF = b"Exif\0\0"
# More segments or chunks than any picture has before its EXIF data.
_PARTS = 10_000


def is_on_its_side(path: Path) -> bool:
    """Whether the upright picture is as wide as the stored one is high. A file that is cut short is not turned."""
    with path.open("rb") as file:
        start = file.read(12)
        try:
            base = _tiff_start(file, start)
            return base is not None and _orientation(file, base) in _ON_ITS_SIDE
        except struct.error:
            return False


def _tiff_start(file: BinaryIO, start: bytes) -> int | None:
    """Where in the file its TIFF header stands, by the file's first 12 bytes; None where there is none."""
    if start[:4] in _TIFF:
        return 0
    if start.startswith(b"\xff\xd8"):
        return _in_jpeg(file)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return _in_chunks(file, 8, ">I4s", b"eXIf")
    if start.startswith(b"RIFF") and start[8:] == b"WEBP":
        return _in_chunks(file, 12, "<4sI", b"EXIF")
    return None


def _in_jpeg(file: BinaryIO) -> int | None:
    place = 2
    for _ in range(_PARTS):
        file.seek(place)
        mark, kind, length = struct.unpack(">BBH", file.read(4))
        if mark != 0xFF or kind == 0xDA:  # the picture itself begins
            return None
        if kind == 0xFF:  # a byte that only fills
            place += 1
            continue
        if kind == 0xE1 and file.read(len(_EXIF)) == _EXIF:
            return place + 4 + len(_EXIF)
        place += 2 + length
    return None


def _in_chunks(file: BinaryIO, place: int, header: str, wanted: bytes) -> int | None:
    """PNG puts a chunk's length before its name and 4 bytes of checksum behind; WebP fills up to an even length."""
    for _ in range(_PARTS):
        file.seek(place)
        first, second = struct.unpack(header, file.read(8))
        name, length = (first, second) if isinstance(first, bytes) else (second, first)
        place += 8
        if name == wanted:
            # Some writers of WebP repeat what JPEG puts before the TIFF header.
            return place + len(_EXIF) if file.read(len(_EXIF)) == _EXIF else place
        place += length + (4 if header[0] == ">" else length % 2)
    return None


def _orientation(file: BinaryIO, base: int) -> int:
    """The orientation in the first directory of the TIFF that begins at `base`; 1, upright, where it is not said."""
    file.seek(base)
    order = _TIFF.get(file.read(4))
    if order is None:
        return 1
    (offset,) = struct.unpack(f"{order}I", file.read(4))
    file.seek(base + offset)
    (count,) = struct.unpack(f"{order}H", file.read(2))
    entries = file.read(12 * count)
    for tag, kind, _, value in struct.iter_unpack(f"{order}HHIH2x", entries[: len(entries) // 12 * 12]):
        if tag == _ORIENTATION:
            return value if kind == _SHORT else 1
    return 1
