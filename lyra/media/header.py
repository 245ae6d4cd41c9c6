"""Picture headers: size, channels, colour encoding. Readers produce one, decode.py follows it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image

from lyra.common.errors import InvalidInputError
from lyra.media.colour import SRGB, Encoding

MIN_SIDE = 64
MAX_PIXELS = 100_000_000
# A strip of a picture holds about as many pixels; its arrays of floats take tens of megabytes.
STRIP_PIXELS = 2_000_000
# Pixels whose sides differ by less than this share are square.
SQUARE = 0.01
# How decoders say that a file is beyond them.
_NOT_READ = ("not supported", "unsupported", "not configured", "not implemented")
_ADOBE_RGB_SPACE, _ADOBE_RGB_RULE = 2, "R03"
NO_EXIF = "Its EXIF could not be read; it is taken as upright."
# What decoders written in Python raise on damaged files, besides their own errors.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class Picture:
    """A picture whose header has been read and whose pixels have not.

    `strips` decodes it: arrays (n, width, C) from the top line to the last, of unsigned integers over their whole
    range or of float32, with the channels of `model` ("grey", "rgb" or "cmyk"; of CMYK all is ink) and alpha after
    them. It may be called again. `orientation` is EXIF's, `aspect` the width of a pixel by its height.
    """

    height: int
    width: int
    model: str
    strips: Callable[[], Iterator[np.ndarray]]
    alpha: bool = False
    premultiplied: bool = False
    encoding: Encoding = SRGB
    orientation: int = 1
    aspect: float = 1.0
    notes: tuple[str, ...] = ()

    @property
    def upright(self) -> tuple[int, int]:
        """(height, width) of the picture as it is shown."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)


def orientation_of(exif: Image.Exif) -> int:
    """EXIF's number for how a picture is turned; 1, upright, where it says none."""
    orientation = exif.get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in range(1, 9) else 1


def is_adobe_rgb(exif: Image.Exif) -> bool:
    """Whether EXIF says Adobe RGB: by its colour space, or as cameras do by its interoperability index."""
    try:
        space = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace)
        rule = exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex)
    except DAMAGE:
        return False
    return space == _ADOBE_RGB_SPACE or rule == _ADOBE_RGB_RULE


def check_size(height: int, width: int) -> None:
    """Raises InvalidInputError for a picture that is too small or too large."""
    if min(height, width) < MIN_SIDE:
        raise InvalidInputError(
            f"It is {width}x{height}; both sides must be at least {MIN_SIDE} pixels. Use a larger version."
        )
    if height * width > MAX_PIXELS:
        raise InvalidInputError(
            f"It is {width}x{height}, {height * width / 1e6:.5g} megapixels; at most {MAX_PIXELS // 10**6} are "
            "possible. Scale it down first."
        )


def strip_lines(width: int, multiple: int = 1) -> int:
    """How many lines a strip has: a multiple of `multiple`, about STRIP_PIXELS pixels."""
    return max(STRIP_PIXELS // width // multiple, 1) * multiple


def short(text: object, limit: int = 100) -> str:
    """Foreign words on one line of at most `limit` characters."""
    words = " ".join(str(text).split())
    words = "".join(c if c.isprintable() else "?" for c in words)
    return words if len(words) <= limit else words[: limit - 1] + "…"


def damaged(error: object) -> InvalidInputError:
    """The refusal of a file whose decoder stopped with `error`."""
    said = short(error) or "it ends early"
    if any(word in said.lower() for word in _NOT_READ):
        return InvalidInputError(
            f"It is of a kind that is not read ({said}); save it as PNG, or as EXR with ZIP."
        )
    return InvalidInputError(f"It is damaged or cut short ({said}); save or copy it again.")
