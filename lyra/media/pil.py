"""Pictures read by Pillow: PNG, JPEG, WebP, GIF, BMP, AVIF and other 8-bit formats."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator

import av
import numpy as np
from PIL import Image, UnidentifiedImageError

from lyra.common.errors import InvalidInputError
from lyra.media import bmp, boxes, png, tga
from lyra.media.colour import BY_EXIF, SRGB, Encoding, encoding_of_codes
from lyra.media.header import (
    DAMAGE,
    MAX_PIXELS,
    NO_EXIF,
    Picture,
    damaged,
    is_adobe_rgb,
    orientation_of,
    strip_lines,
)

# Others, such as EPS, would start a foreign program.
_TRUSTED = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TGA", "PPM", "JPEG2000", "AVIF", "DDS")
Image.init()
FORMATS = tuple(name for name in _TRUSTED if name in Image.OPEN)
READABLE = "PNG, JPEG, WebP, AVIF, TIFF, PSD, TGA, BMP, EXR or HDR"
# OpenJPEG takes up to 25 bytes a pixel.
_MOST_PIXELS = {"JPEG2000": 75_000_000}
_MODELS = {
    "1": ("grey", "L"), "L": ("grey", "L"), "I;16": ("grey", "I;16"), "I;16B": ("grey", "I;16"), "I": ("grey", "I"),
    "CMYK": ("cmyk", "CMYK"), "P": ("rgb", "RGB"), "RGB": ("rgb", "RGB"), "RGBX": ("rgb", "RGB"),
    "YCbCr": ("rgb", "RGB"), "RGBA": ("rgb", "RGBA"), "LA": ("rgb", "RGBA"), "PA": ("rgb", "RGBA"),
}  # fmt: skip
# What phones write is a JPEG with a second picture for other purposes.
_STILL = ("JPEG", "MPO")
_TGA_DESCRIPTOR, _TGA_ALPHA_BITS = 17, 0x0F
_GIF_ASPECT = 12


def open_with_pillow(data: bytes) -> Picture:
    """A picture in one of FORMATS. Raises InvalidInputError."""
    image, said, notes = _opened(data)
    model, mode = _MODELS.get(image.mode, ("", ""))
    if not model:
        raise InvalidInputError(
            f"Its pixels are of the kind {image.mode}; convert it to RGB and save it again."
        )
    most = _MOST_PIXELS.get(image.format or "", MAX_PIXELS)
    if image.width * image.height > most:
        raise InvalidInputError(
            f"It is {image.width}x{image.height} in {image.format}, of which at most {most // 10**6} megapixels are "
            "read. Save it as PNG or JPEG."
        )
    exif, more = _exif(image)
    orientation = orientation_of(exif)
    if said:
        orientation, more = png.exif_orientation(said)
    notes += more
    if "transparency" in image.info and mode in ("L", "RGB"):
        model, mode = "rgb", "RGBA"
    footer = tga.footer(data) if image.format == "TGA" else tga.Footer()
    if image.format == "TGA" and mode == "RGBA":
        mode = "RGBA" if data[_TGA_DESCRIPTOR] & _TGA_ALPHA_BITS and footer.has_alpha else "RGB"
    if _is_animated(image) or b"acTL" in said:
        notes.append("It is an animation; its first picture is used.")
    encoding, aspect, more = _colours(image, said, exif, data)
    return Picture(
        image.height,
        image.width,
        model,
        lambda: _strips(image, mode),
        alpha=mode == "RGBA",
        premultiplied=mode == "RGBA" and footer.premultiplied,
        encoding=encoding,
        orientation=orientation,
        aspect=aspect,
        notes=(*notes, *more, *footer.notes),
    )


def _opened(data: bytes) -> tuple[Image.Image, dict[bytes, bytes], list[str]]:
    """The image, what a PNG's chunks say, and notes."""
    said, notes = {}, []
    if data.startswith(png.MAGIC):
        chunks = png.split(data)
        data, said, notes = chunks.pixels, chunks.said, [*chunks.notes]
    try:
        with warnings.catch_warnings():
            # Pillow's own limit lies below ours and only warns; check_size decides.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise InvalidInputError(f"It is no image that can be read; give a {READABLE} file.") from error
    except Image.DecompressionBombError as error:
        raise InvalidInputError(
            f"It has more than {MAX_PIXELS // 10**6} megapixels; scale it down first."
        ) from error
    except DAMAGE as error:
        raise damaged(error) from error
    return image, said, notes


def _is_animated(image: Image.Image) -> bool:
    try:
        return image.format not in _STILL and getattr(image, "is_animated", False)
    except DAMAGE as error:
        raise damaged(error) from error


# ------------------------------------------------------------------------------------------------------------ header
def _exif(image: Image.Image) -> tuple[Image.Exif, list[str]]:
    try:
        return image.getexif(), []
    except DAMAGE:
        return Image.Exif(), [NO_EXIF]


def _colours(
    image: Image.Image, said: dict[bytes, bytes], exif: Image.Exif, data: bytes
) -> tuple[Encoding, float, list[str]]:
    """How the numbers stand for light, the width of a pixel by its height, and notes."""
    if image.format == "PNG":
        encoding, notes = png.encoding(said)
        return encoding, png.aspect(said), notes
    if image.format == "BMP":
        encoding, notes = bmp.encoding(data)
        return encoding, bmp.aspect(data), notes
    profile = image.info.get("icc_profile")
    aspect, codes = _aspect(image, data), None
    if image.format == "AVIF":
        found = boxes.of_avif(data)
        aspect, codes = found.aspect, found.codes or _codes_of_av1(data)
    elif image.format == "JPEG2000":
        profile = profile or boxes.of_jpeg2000(data).profile
    if profile:
        return Encoding(profile=profile), aspect, []
    if codes:
        encoding, notes = encoding_of_codes(*codes)
        return encoding, aspect, notes
    if is_adobe_rgb(exif):
        return BY_EXIF, aspect, []
    return SRGB, aspect, []


def _codes_of_av1(data: bytes) -> tuple[int, int] | None:
    """Code points (primaries, transfer) of the AV1 stream in an AVIF, which count where no box says any."""
    try:
        with av.open(io.BytesIO(data)) as file:
            context = file.streams.video[0].codec_context
            return int(context.color_primaries), int(context.color_trc)
    except (av.FFmpegError, *DAMAGE):
        return None


def _aspect(image: Image.Image, data: bytes) -> float:
    if image.format == "GIF":
        return (data[_GIF_ASPECT] + 15) / 64 if data[_GIF_ASPECT] else 1.0
    if image.format == "TGA":
        return tga.footer(data).aspect
    across, down = image.info.get("jfif_density", (0, 0))
    return down / across if across and down and 0.01 < down / across < 100 else 1.0


# ------------------------------------------------------------------------------------------------------------ pixels
def _strips(image: Image.Image, mode: str) -> Iterator[np.ndarray]:
    try:
        image.load()
        lines = strip_lines(image.width)
        for top in range(0, image.height, lines):
            strip = image.crop((0, top, image.width, min(top + lines, image.height)))
            yield _array(strip, mode)
    except DAMAGE as error:
        raise damaged(error) from error
    except Image.DecompressionBombError as error:
        raise damaged(error) from error


def _array(strip: Image.Image, mode: str) -> np.ndarray:
    if mode in ("I", "I;16"):
        return np.clip(np.asarray(strip), 0, 65535).astype(np.uint16)[..., None]
    if strip.mode == "P" and mode == "RGB":
        strip = strip.convert("RGBA")
    pixels = np.asarray(strip if strip.mode == mode else strip.convert(mode))
    return pixels[..., None] if pixels.ndim == 2 else pixels
