"""Pictures of any format as the model's image: read, then fitted by a centre crop, never stretched."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from lyra.common.errors import InvalidInputError
from lyra.common.shapes import height_width
from lyra.geometry.cameras import cover_transform, fit_intrinsics
from lyra.media.decode import decoded
from lyra.media.header import short
from lyra.media.reading import open_picture

LANDSCAPE_SIZE = (480, 832)
PORTRAIT_SIZE = (832, 480)
SIZE_STEP, MIN_SIZE, MAX_SIZE = 16, 64, 1664
MAX_NAME, MAX_MESSAGE = 160, 300
NOTABLE_CROP = 0.02
NOTABLE_ENLARGEMENT = 1.3


@dataclass(frozen=True)
class LoadedImage:
    """A picture as it was given, upright: `pixels` (H, W, 3) uint8 sRGB and remarks for the user."""

    pixels: np.ndarray
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FittedImage:
    """A picture at the model's size: `image` (H, W, 3) uint8 sRGB, `intrinsics` (3, 3) in its pixels or None.

    `source_hw` is the (height, width) of the upright picture it came from; `notes` are remarks for the user.
    """

    image: np.ndarray
    intrinsics: np.ndarray | None
    source_hw: tuple[int, int]
    notes: tuple[str, ...] = field(default=())


def load_image(source: str | Path | bytes) -> LoadedImage:
    """Reads a picture from a file or from its bytes.

    Upright by its orientation, in sRGB by its colour profile or what else its header says of colours. Transparent
    parts take the colours of their surroundings; high dynamic range is exposed and rolled off. Raises
    InvalidInputError for what is no image, is cut short, is under 64 pixels on a side or over 100 megapixels (seen in
    the header, before anything is decoded).
    """
    with _named(source):
        pixels, notes = decoded(open_picture(source if isinstance(source, bytes) else Path(source)))
    return LoadedImage(pixels, tuple(notes))


def measure(source: str | Path | bytes) -> tuple[int, int]:
    """(height, width) of the picture that `load_image` returns for `source`, from its header alone.

    Raises InvalidInputError for what `load_image` refuses by its header. Damaged pixels are not seen.
    """
    with _named(source):
        return open_picture(source if isinstance(source, bytes) else Path(source)).upright


def fit(
    image: LoadedImage | np.ndarray,
    size: tuple[int, int] | None = None,
    intrinsics: np.ndarray | None = None,
) -> FittedImage:
    """The picture at the model's size, by the centre crop of `cover_transform`; `intrinsics` (3, 3) follow.

    `size` is (height, width), by default 832x480 for pictures at least as wide as high and 480x832 for others.
    Raises InvalidInputError for a size that is no multiple of 16 or out of range.
    """
    loaded = image if isinstance(image, LoadedImage) else LoadedImage(np.asarray(image))
    source_hw = height_width(loaded.pixels)
    target_hw = checked_size(size) if size is not None else model_size(source_hw)
    scale, offset_x, offset_y = cover_transform(source_hw, target_hw)
    height, width = target_hw
    box = (offset_x / scale, offset_y / scale, (offset_x + width) / scale, (offset_y + height) / scale)
    # Rounding must not push the crop a hair outside the picture, which Pillow refuses.
    box = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], source_hw[1]), min(box[3], source_hw[0]))
    fitted = Image.fromarray(loaded.pixels).resize(
        (width, height), Image.Resampling.LANCZOS, box, reducing_gap=3.0
    )
    fitted_intrinsics = None if intrinsics is None else fit_intrinsics(intrinsics, source_hw, target_hw)
    notes = (*loaded.notes, *_fit_notes(source_hw, target_hw, scale))
    return FittedImage(np.asarray(fitted), fitted_intrinsics, source_hw, notes)


def model_size(source_hw: tuple[int, int]) -> tuple[int, int]:
    """(height, width) that suits a picture's orientation."""
    return PORTRAIT_SIZE if source_hw[0] > source_hw[1] else LANDSCAPE_SIZE


def checked_size(size: tuple[int, int]) -> tuple[int, int]:
    """The size (height, width) if the model can work at it; otherwise InvalidInputError."""
    height, width = (int(side) for side in size)
    if any(side % SIZE_STEP or not MIN_SIZE <= side <= MAX_SIZE for side in (height, width)):
        nearest = [
            min(max((side + SIZE_STEP // 2) // SIZE_STEP * SIZE_STEP, MIN_SIZE), MAX_SIZE)
            for side in (width, height)
        ]
        raise InvalidInputError(
            f"The size {width}x{height} cannot be used; both sides must be multiples of {SIZE_STEP} between "
            f"{MIN_SIZE} and {MAX_SIZE}. Use {nearest[0]}x{nearest[1]}."
        )
    return height, width


# ----------------------------------------------------------------------------------------------------------- reading
@contextlib.contextmanager
def _named(source: str | Path | bytes) -> Iterator[None]:
    """Puts the picture's name before what is wrong with it, on one line of bounded length."""
    name = "The image" if isinstance(source, bytes) else short(source, MAX_NAME)
    try:
        yield
    except InvalidInputError as error:
        text = str(error)
        said = f"{name}: {text}"
        if text.startswith("It "):
            said = f"{name}{text[2:]}"
        elif isinstance(source, str | Path) and str(source) in text:
            said = text.replace(str(source), name)
        raise InvalidInputError(short(said, MAX_MESSAGE)) from error


def _fit_notes(source_hw: tuple[int, int], target_hw: tuple[int, int], scale: float) -> list[str]:
    (source_h, source_w), (height, width) = source_hw, target_hw
    notes = []
    kept = height * width / (source_h * source_w * scale**2)
    if 1 - kept > NOTABLE_CROP:
        sides = "left and right" if source_w * scale - width > source_h * scale - height else "top and bottom"
        notes.append(
            f"Cropped from {source_w}x{source_h} to {width}x{height}: {1 - kept:.0%} cut at {sides}."
        )
    if scale > NOTABLE_ENLARGEMENT:
        notes.append(
            f"The image is only {source_w}x{source_h}; it was enlarged {scale:.1f} times to {width}x{height}."
        )
    return notes
