"""Decoding of pictures to upright, opaque 8-bit sRGB, strip by strip.

Beside the picture itself, 3 bytes a pixel and 1 where it has alpha, and what its decoder holds, memory is taken for a
strip only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageCms

from lyra.common.errors import InvalidInputError
from lyra.media.alpha import filled
from lyra.media.colour import (
    BT709,
    Encoding,
    profile_transform,
    same_primaries,
    srgb_bytes,
    srgb_decoded,
    to_bt709,
)
from lyra.media.header import SQUARE, Picture
from lyra.media.tone import ToneCurve

# What no number of 12 bits exceeds.
_TWELVE_BITS = 4095
Convert = Callable[[np.ndarray], np.ndarray]
_COLOURS = {"grey": 1, "rgb": 3, "cmyk": 4}


def decoded(picture: Picture) -> tuple[np.ndarray, list[str]]:
    """(H, W, 3) uint8 sRGB of a picture, upright, and notes. Raises InvalidInputError."""
    notes = [*picture.notes]
    if abs(picture.aspect - 1) > SQUARE:
        notes.append(_oblong(picture))
    convert, said = _conversion(picture)
    notes += said
    # Strips come as they lie in the file; these are views of the arrays for that.
    rgb = np.empty((*picture.upright, 3), np.uint8)
    alpha = np.empty((*picture.upright, 1), np.uint8) if picture.alpha else None
    lying = _as_stored(rgb, picture.orientation)
    lying_alpha = None if alpha is None else _as_stored(alpha, picture.orientation)
    top = brightest = 0
    wide = False
    for strip in picture.strips():
        end = top + len(strip)
        if end > picture.height or strip.shape[1] != picture.width:
            raise InvalidInputError(
                f"Its lines are {strip.shape[1]} pixels long and more than {top}, its header says "
                f"{picture.width}x{picture.height}; save it again."
            )
        if top == 0 and strip.dtype.kind == "u" and strip.dtype.itemsize > 1:
            notes.append(f"Its {8 * strip.dtype.itemsize} bits a channel were reduced to 8.")
        if strip.dtype == np.uint16 and picture.model != "cmyk":
            wide, brightest = True, max(brightest, int(strip[..., : _COLOURS[picture.model]].max()))
        if lying_alpha is not None:
            lying_alpha[top:end] = eight_bits(strip[..., -1:])
        lying[top:end] = convert(strip)
        top = end
    if top < picture.height:
        raise InvalidInputError(f"It ends after {top} of {picture.height} lines; save or copy it again.")
    if wide and 0 < brightest <= _TWELVE_BITS:
        notes.append(
            f"None of its numbers of 16 bits is above {brightest}, so it is dark; if they are of 12 bits or fewer, "
            "save it again with 16."
        )
    if alpha is not None and filled(rgb, alpha[..., 0]):
        notes.append("Transparent parts were filled with the colours around them.")
    return rgb, notes


def _oblong(picture: Picture) -> str:
    height, width, aspect = *picture.upright, picture.aspect
    if picture.orientation >= 5:
        aspect = 1 / aspect
    shown = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
    return (
        f"Its header says that pixels are {aspect:.3g} times as wide as high; they are taken as square. "
        f"Scale it to {shown[0]}x{shown[1]} first if it looks squeezed."
    )


def _as_stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """A view of an upright array in the order of the file, by EXIF's orientation."""
    views = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }
    return views.get(orientation, lambda a: a)(upright)


# ----------------------------------------------------------------------------------------------------------- colours
def _conversion(picture: Picture) -> tuple[Convert, list[str]]:
    """What makes sRGB (n, W, 3) uint8 of a strip, and notes."""
    encoding, colours, notes = picture.encoding, _COLOURS[picture.model], []
    transform, mode = None, ""
    if encoding.profile:
        transform, mode, note = profile_transform(encoding.profile, picture.model)
        notes += [note] if note else []

    def stored(strip: np.ndarray) -> np.ndarray:
        colour = strip[..., :colours]
        return _straight(colour, strip[..., -1:]) if picture.premultiplied else colour

    if encoding.profile or picture.model == "cmyk" or (encoding.is_srgb and not encoding.wide):
        return lambda strip: _by_profile(eight_bits(stored(strip)), picture.model, transform, mode), notes
    if encoding.name:
        notes.append(f"Its colours were brought to sRGB from {encoding.name}.")
    light = _light(encoding)
    if not encoding.wide:
        return lambda strip: _encoded(light(stored(strip))), notes
    curve = ToneCurve.of(light(stored(strip)) for strip in picture.strips())
    return lambda strip: curve.encoded(light(stored(strip))), [*notes, *curve.notes]


def _by_profile(
    pixels: np.ndarray, model: str, transform: ImageCms.ImageCmsTransform | None, mode: str
) -> np.ndarray:
    plain = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}[model]
    if transform is None and plain != "CMYK":
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if plain == "L" else pixels), plain)
    if transform is None:
        return np.asarray(image.convert("RGB"))
    return np.asarray(transform.apply(image if mode == plain else image.convert(mode)))


def _light(encoding: Encoding) -> Convert:
    """What makes linear Rec. 709 light (n, W, 3) float32 of a strip's colours."""
    plain = same_primaries(encoding.primaries, BT709)
    matrix = to_bt709(encoding.primaries).astype(np.float32).T
    tables: dict[np.dtype, np.ndarray] = {}

    def light(colour: np.ndarray) -> np.ndarray:
        if colour.dtype.kind == "f" or colour.dtype.itemsize > 2:
            values = _unit(colour)
            linear = values if encoding.decode is None else encoding.decode(values).astype(np.float32)
        else:
            if colour.dtype not in tables:
                steps = np.linspace(0, 1, np.iinfo(colour.dtype).max + 1)
                curve = encoding.decode or srgb_decoded
                tables[colour.dtype] = curve(steps).astype(np.float32)
            linear = tables[colour.dtype][colour]
        if linear.shape[-1] == 1:
            return np.repeat(linear, 3, -1)
        if plain:
            return linear
        with np.errstate(invalid="ignore", over="ignore"):
            return linear @ matrix

    return light


def _encoded(light: np.ndarray) -> np.ndarray:
    return srgb_bytes(np.clip(np.nan_to_num(light), 0, 1))


def eight_bits(values: np.ndarray) -> np.ndarray:
    """uint8 of unsigned integers over their whole range, or of floats in [0, 1]."""
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    return np.rint(np.clip(np.nan_to_num(_unit(values)), 0, 1) * 255).astype(np.uint8)


def _unit(values: np.ndarray) -> np.ndarray:
    """float32 in which an integer's whole range is [0, 1]."""
    if values.dtype.kind == "f":
        return values.astype(np.float32, copy=False)
    return values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)


def _straight(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours that were multiplied by alpha, divided by it again: float32."""
    alpha = _unit(alpha)
    if (alpha == 1).all():
        return _unit(colour)
    with np.errstate(invalid="ignore", over="ignore"):
        return _unit(colour) / np.where(alpha > 1e-4, alpha, np.float32(1))


def strips_of(array: np.ndarray, lines: int) -> Iterator[np.ndarray]:
    """An array's lines, some at a time."""
    for top in range(0, len(array), lines):
        yield array[top : top + lines]
