"""Pictures with more range than a screen: OpenEXR, Radiance HDR and float TIFF, brought to sRGB."""

from __future__ import annotations

import io
import struct
import zlib
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.media import exr

if TYPE_CHECKING:
    import tifffile

RADIANCE = (b"#?RADIANCE", b"#?RGBE")
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# The numbers of compressions in a TIFF: none and PackBits, deflate by either of its numbers.
_PLAIN_TIFF, _DEFLATED_TIFF = (1, 32773), (8, 32946)
_PIECE = 1 << 22
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
MIDDLE_GREY = 0.18


def exr_size(data: bytes) -> tuple[int, int]:
    """(height, width) of an EXR file's picture, from its header."""
    return exr.read_header(data)[0].display_window[2:]


def read_exr(data: bytes) -> np.ndarray:
    """Linear (H, W, 3 or 4) float32, alpha straight, of an EXR file's colour channels (premultiplied in the file)."""
    names = [name for part in exr.read_header(data) for name in exr.channel_names(part)]
    color = _color_channels(names)
    try:
        channels = exr.read_channels(data, set(color))
    except exr.UnsupportedExrError as unsupported:
        try:
            linear = _through_libav(data, "exr_pipe")
        except InvalidInputError:
            raise unsupported from None
    else:
        linear = np.stack([channels[name] for name in color], -1)
    if linear.shape[-1] == 4:
        alpha = linear[..., 3:]
        linear = np.concatenate([linear[..., :3] / np.where(alpha > 1e-4, alpha, 1), alpha], -1)
    return linear


def _color_channels(names: list[str]) -> list[str]:
    """The red, green, blue and alpha channels of the picture itself: the shortest layer name wins."""
    layers = sorted(
        {name[:-1] for name in names if name[-1:] == "R"},
        key=lambda layer: ("Combined" not in layer, len(layer)),
    )
    for layer in layers:
        if {layer + "G", layer + "B"} <= set(names):
            return [layer + c for c in "RGBA" if layer + c in names]
    for grey in ("V", "Y", "L"):
        if grey in names:
            return [grey] * 3
    raise InvalidInputError(
        f"The EXR file has the channels {', '.join(names[:12])}; a picture needs R, G and B."
    )


def read_radiance(data: bytes) -> np.ndarray:
    """Linear (H, W, 3) float32 of a Radiance .hdr file."""
    return _through_libav(data, "hdr_pipe")


def _through_libav(data: bytes, container: str) -> np.ndarray:
    import av

    try:
        with av.open(io.BytesIO(data), format=container) as file:
            frame = next(file.decode(video=0))
            planes = [_plane(frame, i) for i in range(len(frame.planes))]
    except (av.FFmpegError, StopIteration, ValueError) as error:
        raise InvalidInputError(
            f"The picture cannot be decoded ({error}); save it as EXR with ZIP, or as PNG."
        ) from error
    order = (
        (2, 0, 1, 3)[: len(planes)] if len(planes) > 1 else (0, 0, 0)
    )  # libav keeps green, blue, red, alpha
    return np.stack([planes[i] for i in order], -1)


def _plane(frame, index: int) -> np.ndarray:
    """One plane of a float frame; libav's own conversion would clip it to [0, 1]."""
    kinds = {"f16le": np.float16, "f32le": np.float32}
    kind = next((kind for name, kind in kinds.items() if frame.format.name.endswith(name)), None)
    if kind is None:
        raise ValueError(f"pixels of the kind {frame.format.name}")
    rows = np.frombuffer(frame.planes[index], np.uint8).reshape(-1, frame.planes[index].line_size)
    return rows[: frame.height, : frame.width * np.dtype(kind).itemsize].copy().view(kind).astype(np.float32)


def read_float_tiff(data: bytes) -> np.ndarray:
    """Linear (H, W, 3 or 4) float32 of the first page of a float TIFF.

    Raises InvalidInputError for another shape or kind of compression before anything is decoded.
    """
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages[0]
            _require_picture(page, data)
            pixels = page.asarray()
    except InvalidInputError:
        raise
    except (
        tifffile.TiffFileError,
        ValueError,
        LookupError,
        TypeError,
        RuntimeError,
        OSError,
        struct.error,
        zlib.error,
    ) as error:
        raise InvalidInputError(
            f"The float TIFF cannot be decoded ({error}); save it without compression."
        ) from error
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, -1)
    return pixels.astype(np.float32)


def _require_picture(page: tifffile.TiffPage, data: bytes) -> None:
    """Raises InvalidInputError for a page that is no picture, and for strips that hold more than their pixels."""
    shape = page.shape
    if (len(shape) != 2 and (len(shape) != 3 or shape[-1] not in (3, 4))) or prod(shape) > exr.MAX_VALUES:
        raise InvalidInputError(f"The TIFF has the shape {shape}; a picture needs (height, width, 3).")
    if page.compression not in _PLAIN_TIFF + _DEFLATED_TIFF:
        name = getattr(page.compression, "name", page.compression)
        raise InvalidInputError(f"The float TIFF is compressed with {name}; save it without compression.")
    if page.compression in _DEFLATED_TIFF:
        # tifffile inflates a strip without looking at how much comes out of it.
        limit = prod(page.chunks) * page.dtype.itemsize
        for start, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            if _inflated_size(data[start : start + count], limit) > limit:
                raise InvalidInputError(
                    "The float TIFF is damaged: a strip of it holds more than its pixels; save it again."
                )


def _inflated_size(packed: bytes, limit: int) -> int:
    """How many bytes a deflated block holds, counted no further than a piece beyond `limit`."""
    inflater, size = zlib.decompressobj(), 0
    while size <= limit and (piece := inflater.decompress(packed, _PIECE)):
        size, packed = size + len(piece), inflater.unconsumed_tail
    return size


def tone_mapped(linear: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """sRGB (H, W, C) uint8 of linear colours, and what was done.

    A picture whose 99.9th percentile of luminance fits the screen is only encoded. Any other is exposed so that its
    median luminance is middle grey and rolled off by the curve of Reinhard et al. 2002, "Photographic Tone
    Reproduction for Digital Images", equation 4, with that percentile as white.
    """
    color, alpha = linear[..., :3], linear[..., 3:]
    notes = []
    bad = ~np.isfinite(color)
    if bad.any():
        notes.append(
            f"{int(bad.any(-1).sum())} pixels of the picture were infinite or not a number; they became black."
        )
        color = np.where(bad, 0, color)
    color = np.maximum(color, 0)
    luminance = color @ _LUMINANCE
    white = float(np.percentile(luminance, 99.9))
    if white > 1.0:
        lit = luminance[luminance > 0]
        exposure = min(MIDDLE_GREY / float(np.median(lit)), 4.0)
        limit = max(white * exposure, 1.0)
        exposed = luminance * exposure
        ratio = exposure * (1 + exposed / limit**2) / (1 + exposed)
        color = color * ratio[..., None]
        notes.append(
            f"High dynamic range: exposed by {np.log2(exposure):+.1f} stops and rolled off to fit the screen."
        )
    encoded = np.concatenate([srgb_encoded(np.minimum(color, 1)), np.clip(alpha, 0, 1)], -1)
    return np.rint(encoded * 255).astype(np.uint8), notes


def srgb_encoded(linear: np.ndarray) -> np.ndarray:
    """The sRGB transfer curve (IEC 61966-2-1) of linear values in [0, 1]."""
    return np.where(
        linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055
    )
