"""Colour and pixel boxes of AVIF and JPEG 2000 files (ISO/IEC 14496-12, 23008-12, 15444-1)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_NESTING = {b"meta": 4, b"iprp": 0, b"jp2h": 0}
_MOST_BOXES = 10_000


@dataclass(frozen=True)
class Said:
    """Code points (primaries, transfer) of nclx, an ICC profile, and the width of a pixel by its height."""

    codes: tuple[int, int] | None = None
    profile: bytes | None = None
    aspect: float = 1.0


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Each box's name, where its contents start and where they end; damaged ones end the row."""
    for _ in range(_MOST_BOXES):
        if start + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1 and start + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        stop = end if size == 0 else start + size
        if stop > end or stop < start + head:
            return
        yield kind, start + head, stop
        start = stop


def _found(data: bytes, start: int, end: int) -> dict[bytes, tuple[int, int]]:
    """The first box of each name, those within `meta`, `iprp` and `jp2h` too."""
    found: dict[bytes, tuple[int, int]] = {}
    for kind, first, last in _boxes(data, start, end):
        found.setdefault(kind, (first, last))
        if kind in _NESTING:
            found = _found(data, first + _NESTING[kind], last) | found
    return found


def of_avif(data: bytes) -> Said:
    """What an AVIF says of its primary picture."""
    found = _found(data, 0, len(data))
    if b"ipco" not in found:
        return Said()
    properties = list(_boxes(data, *found[b"ipco"]))
    kept = _primary(data, found, len(properties))
    return _read(data, [box for number, box in enumerate(properties, 1) if number in kept])


def of_jpeg2000(data: bytes) -> Said:
    """What a JP2 file says of its colours."""
    found = _found(data, 0, len(data))
    if b"jp2h" not in found:
        return Said()
    first, last = found.get(b"colr", (0, 0))
    method = data[first : first + 1]
    return Said(profile=data[first + 3 : last] if method in (b"\2", b"\3") else None)


def _read(data: bytes, boxes: list[tuple[bytes, int, int]]) -> Said:
    codes, profile, aspect = None, None, 1.0
    for kind, first, last in boxes:
        body = data[first:last]
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 10:
            codes = struct.unpack_from(">HH", body, 4)
        elif kind == b"colr" and body[:4] in (b"prof", b"rICC"):
            profile = body[4:]
        elif kind == b"pasp" and len(body) >= 8:
            across, down = struct.unpack_from(">II", body)
            aspect = across / down if across and down and 0.01 < across / down < 100 else 1.0
    return Said(codes, profile, aspect)


def _primary(data: bytes, found: dict[bytes, tuple[int, int]], count: int) -> set[int]:
    """The numbers of the primary item's properties; all of them where that is not said."""
    everything = set(range(1, count + 1))
    if b"pitm" not in found or b"ipma" not in found:
        return everything
    try:
        first, _ = found[b"pitm"]
        (primary,) = struct.unpack_from(">I" if data[first] else ">H", data, first + 4)
        at, _ = found[b"ipma"]
        version, wide = data[at], data[at + 3] & 1
        (entries,) = struct.unpack_from(">I", data, at + 4)
        at += 8
        for _ in range(min(entries, _MOST_BOXES)):
            (item,) = struct.unpack_from(">I" if version else ">H", data, at)
            at += 4 if version else 2
            properties, at = data[at], at + 1
            step = 2 if wide else 1
            numbers = [
                int.from_bytes(data[at + i * step : at + (i + 1) * step], "big") for i in range(properties)
            ]
            if item == primary:
                return {number & (0x7FFF if wide else 0x7F) for number in numbers}
            at += properties * step
    except (struct.error, IndexError):
        return everything
    return everything
