"""From any picture a user has to the model's image: read it, then fit it by a centre crop, never by stretching."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError
from scipy import ndimage

from lyra import exr, hdr
from lyra.errors import InvalidInputError
from lyra.geometry.cameras import cover_transform, fit_intrinsics

LANDSCAPE_SIZE = (480, 832)
PORTRAIT_SIZE = (832, 480)
MIN_SIDE = 64
MAX_PIXELS = 100_000_000
SIZE_STEP, MIN_SIZE, MAX_SIZE = 16, 64, 1664
# What Pillow reads on its own (MPO counts as JPEG); others, such as EPS, would start a foreign program.
_TRUSTED = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "TGA", "PPM", "PSD", "JPEG2000", "AVIF", "DDS")
Image.init()
FORMATS = tuple(name for name in _TRUSTED if name in Image.OPEN)
READABLE = "PNG, JPEG, WebP, TIFF, BMP, TGA, PSD, AVIF, EXR or HDR"
# What Pillow's and tifffile's decoders raise on damaged files, besides their own errors.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    RuntimeError,
    struct.error,
    zlib.error,
)
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

    Upright by its EXIF orientation, in sRGB by its colour profile. Transparent parts take the colours of their
    surroundings; high dynamic range is exposed and rolled off. Raises InvalidInputError for what is no image, is cut
    short, is under 64 pixels on a side or over 100 megapixels (seen in the header, before anything is decoded).
    """
    if isinstance(source, bytes):
        name, data = "The image", source
    else:
        name, data = str(source), _read_bytes(Path(source))
    try:
        if data.startswith(exr.MAGIC):
            _check_size(name, *hdr.exr_size(data))
            pixels, notes = hdr.tone_mapped(hdr.read_exr(data))
        elif data.startswith(hdr.RADIANCE):
            _check_size(name, *_radiance_size(data))
            pixels, notes = hdr.tone_mapped(hdr.read_radiance(data))
        else:
            pixels, notes = _read_with_pillow(name, data)
    except InvalidInputError as error:
        if name in str(error):
            raise
        raise InvalidInputError(f"{name}: {error}") from error
    if pixels.shape[-1] == 4:
        pixels, note = _opaque(name, pixels)
        notes = [*notes, note] if note else notes
    return LoadedImage(np.ascontiguousarray(pixels), tuple(notes))


def measure(source: str | Path | bytes) -> tuple[int, int]:
    """(height, width) of the picture that `load_image` returns for `source`, from its header alone.

    Raises InvalidInputError for what `load_image` refuses by its header. Damaged pixels are not seen.
    """
    if isinstance(source, bytes):
        name, data = "The image", source
    else:
        name, data = str(source), _read_bytes(Path(source))
    try:
        if data.startswith(exr.MAGIC):
            height, width = hdr.exr_size(data)
        elif data.startswith(hdr.RADIANCE):
            height, width = _radiance_size(data)
        else:
            height, width = _pillow_size(name, data)
    except InvalidInputError as error:
        if name in str(error):
            raise
        raise InvalidInputError(f"{name}: {error}") from error
    _check_size(name, height, width)
    return height, width


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
    source_hw = loaded.pixels.shape[:2]
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
def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InvalidInputError(f"There is no image at {path}.") from error
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror or error}.") from error


def _check_size(name: str, height: int, width: int) -> None:
    if min(height, width) < MIN_SIDE:
        raise InvalidInputError(
            f"{name} is {width}x{height}; both sides must be at least {MIN_SIDE} pixels. Use a larger version."
        )
    if height * width > MAX_PIXELS:
        raise InvalidInputError(
            f"{name} is {width}x{height}, {height * width / 1e6:.5g} megapixels; at most {MAX_PIXELS // 10**6} are "
            "possible. Scale it down first."
        )


def _radiance_size(data: bytes) -> tuple[int, int]:
    """(height, width) from the resolution line that follows the header's blank line: `-Y 480 +X 832`."""
    line = data[: 1 << 16].partition(b"\n\n")[2].split(b"\n", 1)[0].strip()
    sides = re.fullmatch(rb"\S+\s+(\d{1,9})\s+\S+\s+(\d{1,9})", line)
    if sides is None:
        raise InvalidInputError("The Radiance HDR header has no resolution line; save the file again.")
    return int(sides[1]), int(sides[2])


def _read_with_pillow(name: str, data: bytes) -> tuple[np.ndarray, list[str]]:
    """(H, W, 3 or 4) uint8 sRGB with straight alpha, and notes."""
    try:
        with warnings.catch_warnings():
            # Pillow's own limit lies below ours and only warns; _check_size decides.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_size(name, image.height, image.width)
        if image.mode == "F" or _is_float_tiff(image):
            return hdr.tone_mapped(hdr.read_float_tiff(data))
        image = ImageOps.exif_transpose(image)
    except InvalidInputError:
        raise
    except Image.DecompressionBombError as error:
        raise InvalidInputError(
            f"{name} has more than {MAX_PIXELS // 10**6} megapixels ({error}); scale it down first."
        ) from error
    except UnidentifiedImageError as error:
        if data.startswith(hdr.TIFF):  # float RGB has no mode in Pillow
            return hdr.tone_mapped(_checked_float_tiff(name, data))
        raise InvalidInputError(f"{name} is no image that can be read; give a {READABLE} file.") from error
    except DAMAGE as error:
        raise InvalidInputError(
            f"{name} is damaged or cut short ({error}); save or copy it again."
        ) from error
    return _as_srgb(image)


def _pillow_size(name: str, data: bytes) -> tuple[int, int]:
    on_its_side = (5, 6, 7, 8)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        # Pillow turns the size of a TIFF itself.
        turned = image.format != "TIFF" and image.getexif().get(ExifTags.Base.Orientation, 1) in on_its_side
    except UnidentifiedImageError as error:
        raise InvalidInputError(f"{name} is no image that can be read; give a {READABLE} file.") from error
    except (Image.DecompressionBombError, *DAMAGE) as error:
        raise InvalidInputError(f"{name} cannot be measured ({error}); save or copy it again.") from error
    return image.size if turned else image.size[::-1]


def _is_float_tiff(image: Image.Image) -> bool:
    sample_format = 339
    return image.format == "TIFF" and 3 in tuple(image.tag_v2.get(sample_format, ()))


def _checked_float_tiff(name: str, data: bytes) -> np.ndarray:
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages[0]
            height, width, kind = int(page.imagelength), int(page.imagewidth), page.dtype
    except (tifffile.TiffFileError, *DAMAGE) as error:
        raise InvalidInputError(f"{name} is a damaged TIFF ({error}); save it again.") from error
    _check_size(name, height, width)
    if kind is None or kind.kind != "f":
        raise InvalidInputError(f"{name} is a TIFF of a kind that cannot be read; save it as PNG.")
    return hdr.read_float_tiff(data)


def _as_srgb(image: Image.Image) -> tuple[np.ndarray, list[str]]:
    notes = []
    if image.mode.startswith("I"):
        image, note = _eight_bit(image)
        notes.append(note)
    has_alpha = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    alpha = image.convert("RGBA").getchannel("A") if has_alpha else None
    profile = image.info.get("icc_profile")
    if image.mode in ("P", "PA", "RGBA", "RGBa", "1", "LA", "La"):
        image = image.convert("RGBA").convert("RGB")
    if profile:
        image, note = _through_profile(image, profile)
        notes += [note] if note else []
    rgb = np.asarray(image.convert("RGB"))
    if alpha is None:
        return rgb, notes
    return np.dstack([rgb, np.asarray(alpha)]), notes


def _eight_bit(image: Image.Image) -> tuple[Image.Image, str]:
    """Grey of more than eight bits per pixel, as eight."""
    values = np.asarray(image).astype(np.float32)
    top = 65535.0 if values.max() <= 65535 else float(values.max())
    # In place: a hundred megapixels take 400 MB.
    values *= np.float32(255 / top)
    np.rint(np.clip(values, 0, 255, out=values), out=values)
    grey = Image.fromarray(values.astype(np.uint8))
    return grey, f"Greyscale of {16 if top == 65535 else 32} bits was reduced to 8."


def _through_profile(image: Image.Image, profile: bytes) -> tuple[Image.Image, str | None]:
    """The image in sRGB by its embedded colour profile."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        return image, f"Its colour profile could not be used ({error}); colours are taken as sRGB."
    return converted, None


def _opaque(name: str, pixels: np.ndarray) -> tuple[np.ndarray, str | None]:
    """RGB over a soft continuation of the opaque parts' colours, from straight alpha."""
    alpha = pixels[..., 3:].astype(np.float32) / 255
    if alpha.min() == 1:
        return pixels[..., :3], None
    if alpha.max() == 0:
        raise InvalidInputError(f"{name} is fully transparent; save it with its background.")
    height, width = alpha.shape[:2]
    small = (
        max(1, round(width * min(1, 256 / max(height, width)))),
        max(1, round(height * min(1, 256 / max(height, width)))),
    )
    premultiplied = np.dstack([pixels[..., :3] * alpha, alpha[..., 0] * 255]).astype(np.uint8)
    shrunk = np.asarray(Image.fromarray(premultiplied).resize(small, Image.Resampling.BOX)).astype(np.float32)
    weight = shrunk[..., 3:] / 255
    known = weight[..., 0] > min(0.5, weight.max() / 2)
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    color = (shrunk[..., :3] / np.maximum(weight, 1e-3))[tuple(nearest)]
    color = np.where(known[..., None], color, ndimage.gaussian_filter(color, (4, 4, 0)))
    behind = Image.fromarray(np.clip(color, 0, 255).astype(np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    mixed = pixels[..., :3] * alpha + np.asarray(behind) * (1 - alpha)
    return np.rint(mixed).astype(np.uint8), "Transparent parts were filled with the colours around them."


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
