"""What the header of a BMP says of its colours (BITMAPV4HEADER and BITMAPV5HEADER) and pixels."""

from __future__ import annotations

import struct

import numpy as np

from lyra.media.colour import SRGB, Encoding, encoding_of_gamma, primaries_of_xyz

_HEADER, _V4, _V5 = 14, 108, 124
# Numbers of Windows, the names are their bytes.
_CALIBRATED, _EMBEDDED, _LINKED = 0, 0x4D424544, 0x4C494E4B
_XYZ_UNIT, _GAMMA_UNIT = 1 << 30, 1 << 16


def encoding(data: bytes) -> tuple[Encoding, list[str]]:
    """How the numbers stand for light, and notes."""
    (size,) = struct.unpack_from("<I", data, _HEADER)
    if size < _V4 or len(data) < _HEADER + size:
        return SRGB, []
    (kind,) = struct.unpack_from("<I", data, _HEADER + 56)
    if kind == _CALIBRATED:
        return _calibrated(data)
    if kind == _EMBEDDED and size >= _V5:
        start, length = struct.unpack_from("<II", data, _HEADER + 112)
        profile = data[_HEADER + start : _HEADER + start + length]
        if profile:
            return Encoding(profile=profile), []
    if kind in (_EMBEDDED, _LINKED):
        return SRGB, ["Its colour profile is not in the file; colours are taken as sRGB."]
    return SRGB, []


def _calibrated(data: bytes) -> tuple[Encoding, list[str]]:
    points = np.array(struct.unpack_from("<9i", data, _HEADER + 60)).reshape(3, 3) / _XYZ_UNIT
    gammas = np.array(struct.unpack_from("<3I", data, _HEADER + 96)) / _GAMMA_UNIT
    # Most writers leave both empty.
    notes = []
    if gammas.any() and np.ptp(gammas) > 0.01:
        notes.append("Its gamma differs between the colours, which is not followed.")
        gammas[:] = 0
    gamma = 1 / gammas[0] if gammas.all() else None
    found, more = encoding_of_gamma(gamma, primaries_of_xyz(points) if points.any() else None)
    return found, notes + more


def aspect(data: bytes) -> float:
    """The width of a pixel by its height."""
    (size,) = struct.unpack_from("<I", data, _HEADER)
    if size < 40:
        return 1.0
    across, down = struct.unpack_from("<ii", data, _HEADER + 24)
    return down / across if across > 0 and down > 0 and 0.01 < down / across < 100 else 1.0
