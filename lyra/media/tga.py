"""What the extension area at the end of a TGA says of its pixels (Truevision TGA 2.0, section C.6)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_SIGNATURE = b"TRUEVISION-XFILE.\0"
_AREA_BYTES = 495
# Of the attributes type: what stands there has no meaning, or colours were multiplied by it.
_UNDEFINED, _PREMULTIPLIED = (1, 2), 4
_USUAL_GAMMAS = (0, 2.2)


@dataclass(frozen=True)
class Footer:
    """What a TGA says: the width of a pixel by its height, whether alpha counts, and how it is meant."""

    aspect: float = 1.0
    has_alpha: bool = True
    premultiplied: bool = False
    notes: tuple[str, ...] = ()


def footer(data: bytes) -> Footer:
    """What the end of a file says; nothing for the many that have no such end."""
    if not data.endswith(_SIGNATURE) or len(data) < 26:
        return Footer()
    (start,) = struct.unpack_from("<I", data, len(data) - 26)
    if not start or start + _AREA_BYTES > len(data):
        return Footer()
    across, down, above, below = struct.unpack_from("<4H", data, start + 474)
    attributes = data[start + 494]
    aspect = across / down if across and down and 0.01 < across / down < 100 else 1.0
    gamma = above / below if below else 0
    # The standard does not say whether it was, or is to be, applied.
    notes = (
        ()
        if gamma in _USUAL_GAMMAS
        else (f"Its gamma, {gamma:g}, is not followed; colours are taken as sRGB.",)
    )
    return Footer(aspect, attributes not in _UNDEFINED, attributes == _PREMULTIPLIED, notes)
