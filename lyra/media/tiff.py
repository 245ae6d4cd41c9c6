"""TIFF: tifffile reads the header, OpenImageIO (libtiff) the pixels."""

from __future__ import annotations

import contextlib
import io
import logging
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from lyra.common.errors import InvalidInputError
from lyra.media import oiio as files
from lyra.media.colour import BT709, BY_EXIF, LINEAR, SRGB, Encoding, is_gamut, srgb_decoded
from lyra.media.header import DAMAGE, Picture, check_size, damaged, short

# What it says of damaged files comes up again as errors.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _SEPARATED, _YCBCR = 0, 1, 2, 3, 5, 6
_MODELS = {0: "grey", 1: "grey", 2: "rgb", 3: "rgb", 5: "cmyk", 6: "rgb"}
_REFUSED = {4: "a transparency mask", 8: "Lab", 9: "Lab", 10: "Lab", 32803: "a camera's raw data",
            34892: "a camera's raw data", 32844: "LogL", 32845: "LogLuv"}  # fmt: skip
_COLOURS = {"grey": 1, "rgb": 3, "cmyk": 4}
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_ASSOCIATED, _STRAIGHT = 1, 2
_REDUCED, _TOGETHER = 1, 1
_DNG_VERSION, _PHOTOMETRIC = 50706, 262
_DEFLATED = (8, 32946)
# SMaxSampleValue and MaxSampleValue, and what they say where sensors' 9 to 15 bits are stored in 16.
_MAX_TAGS, _FEWER_BITS = (341, 281), frozenset((1 << bits) - 1 for bits in range(9, 16))
_PIECE = 1 << 22
_ADOBE_RGB_SPACE = 2
# A transfer function this near to sRGB's is meant as it.
_SAME_CURVE = 0.02


@dataclass(frozen=True)
class _Header:
    height: int
    width: int
    photometric: int
    channels: int
    bits: int
    kind: int
    extras: tuple[int, ...]
    orientation: int
    aspect: float
    profile: bytes | None
    # Without a profile: how the numbers stand for light by the file's own tags, and notes.
    colours: tuple[Encoding, list[str]]
    # The number for white where the file says that its 16 bits hold fewer, else None.
    white: int | None
    # Where the number for the photometric interpretation stands, and the byte order.
    place: int
    order: str


def open_tiff(source: Path | bytes) -> Picture:
    """The first picture of a TIFF. Raises InvalidInputError."""
    header = _header(source)
    model = _require_readable(header)
    colours = _COLOURS[model]
    extra = header.extras[0] if header.extras and header.photometric != _PALETTE else 0
    alpha = extra in (_ASSOCIATED, _STRAIGHT)
    kind = _sample_kind(header)
    notes = []
    encoding = SRGB
    if header.kind == _FLOAT:
        encoding = LINEAR
        if header.profile:
            notes.append("Its colour profile is not followed; floats are taken as linear sRGB.")
    elif header.profile:
        encoding = Encoding(profile=header.profile)
    elif model != "cmyk":
        encoding, notes = header.colours
    white = header.white if kind == "uint16" else None
    if white is not None:
        check_size(header.height, header.width)
        if _most(source, header, colours + alpha, kind) > white:
            white = None
        else:
            said = f"Its header says that its 16 bits a channel end at {white}; they were stretched to that."
            notes = [*notes, said]
    return Picture(
        header.height,
        header.width,
        model,
        lambda: _strips(source, header, colours + alpha, kind, white),
        alpha=alpha,
        premultiplied=extra == _ASSOCIATED,
        encoding=encoding,
        orientation=header.orientation,
        aspect=header.aspect,
        notes=tuple(notes),
    )


def _sample_kind(header: _Header) -> str:
    if header.kind == _FLOAT:
        return "float"
    if header.bits <= 8 or header.photometric == _PALETTE:
        return "uint8"
    return "uint16" if header.bits <= 16 else "uint"


@contextlib.contextmanager
def _tiff_file(source: Path | bytes) -> Iterator[tifffile.TiffFile]:
    try:
        with tifffile.TiffFile(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
            yield file
    except InvalidInputError:
        raise
    except (tifffile.TiffFileError, *DAMAGE) as error:
        raise damaged(error) from error


def _header(source: Path | bytes) -> _Header:
    with _tiff_file(source) as file:
        return _read_page(file.pages.first, file.byteorder)


def _read_page(page: tifffile.TiffPage, order: str) -> _Header:
    tags = page.tags
    if _DNG_VERSION in tags:
        raise InvalidInputError("It is a camera's raw file (DNG); develop it and save it as TIFF or PNG.")
    if int(page.subfiletype or 0) & _REDUCED:
        raise InvalidInputError(
            "Its first picture is a thumbnail of another; save the picture alone, as TIFF or PNG."
        )
    if page.imagedepth > 1:
        raise InvalidInputError(f"It holds {page.imagedepth} slices of a volume; save one of them.")
    photometric = tags.get(_PHOTOMETRIC)
    if photometric is None or photometric.dtype != tifffile.DATATYPE.SHORT:
        raise damaged("it does not say how its numbers stand for colours")
    bits = page.bitspersample
    kinds = page.sampleformat
    if isinstance(bits, tuple) or isinstance(kinds, tuple):
        raise InvalidInputError(
            f"Its channels differ in kind ({short(bits)} bits); save it with channels of one kind."
        )
    profile = tags.get("InterColorProfile")
    orientation = tags.valueof("Orientation", 1)
    return _Header(
        height=int(page.imagelength),
        width=int(page.imagewidth),
        photometric=int(photometric.value),
        channels=int(page.samplesperpixel),
        bits=int(bits),
        kind=int(kinds),
        extras=tuple(int(extra) for extra in page.extrasamples),
        orientation=int(orientation) if orientation in range(1, 9) else 1,
        aspect=_aspect(tags.valueof("XResolution"), tags.valueof("YResolution")),
        profile=bytes(profile.value) if profile is not None and isinstance(profile.value, bytes) else None,
        colours=_colours(tags),
        white=_white(tags, int(bits)),
        place=photometric.valueoffset,
        order=order,
    )


def _white(tags: tifffile.TiffTags, bits: int) -> int | None:
    for tag in filter(None, map(tags.get, _MAX_TAGS)):
        values = set(np.atleast_1d(tag.value).tolist())
        if bits == 16 and len(values) == 1 and values <= _FEWER_BITS:
            return int(values.pop())
    return None


def _colours(tags: tifffile.TiffTags) -> tuple[Encoding, list[str]]:
    """The encoding by the tags for white, primaries and transfer (TIFF 6.0, section 20), else by EXIF; and notes."""
    if tags.get("TransferFunction") is None and tags.get("PrimaryChromaticities") is None:
        exif = tags.valueof("ExifTag")
        space = exif.get("ColorSpace") if isinstance(exif, dict) else None
        return (BY_EXIF if space == _ADOBE_RGB_SPACE else SRGB), []
    notes, primaries, decode = [], BT709, None
    numbers = [*_ratios(tags.valueof("PrimaryChromaticities")), *_ratios(tags.valueof("WhitePoint"))]
    if len(numbers) in (6, 8):
        numbers = numbers if len(numbers) == 8 else [*numbers, *BT709[3]]
        found = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        primaries = found if is_gamut(found) else BT709
    if primaries is BT709 and "PrimaryChromaticities" in tags:
        notes.append("Its chromaticities are of no colour space; colours are taken as sRGB.")
    table = tags.valueof("TransferFunction")
    if table is not None:
        curves = np.atleast_2d(np.asarray(table, np.float64)) / 65535
        if (
            curves.shape[1] < 2
            or (np.diff(curves) < 0).any()
            or not curves[0, -1]
            or np.ptp(curves, 0).max() > 0.01
        ):
            notes.append("Its transfer function is not followed; colours are taken as sRGB's.")
        else:
            curve, steps = curves[0] / curves[0, -1], np.linspace(0, 1, curves.shape[1])
            if np.abs(curve - srgb_decoded(steps)).max() > _SAME_CURVE:
                decode = lambda values: np.interp(values, steps, curve)  # noqa: E731
    return Encoding(decode, primaries, name="its colour tags"), notes


def _ratios(value: tuple[int, ...] | None) -> list[float]:
    if not isinstance(value, tuple) or len(value) % 2 or not all(value[1::2]):
        return []
    return [above / below for above, below in zip(value[::2], value[1::2], strict=True)]


def _aspect(across: tuple[int, int] | None, down: tuple[int, int] | None) -> float:
    """The width of a pixel by its height, from pixels a unit."""
    if not across or not down or not all((*across, *down)):
        return 1.0
    aspect = (down[0] / down[1]) / (across[0] / across[1])
    return aspect if 0.01 < aspect < 100 else 1.0


def _require_readable(header: _Header) -> str:
    model = _MODELS.get(header.photometric)
    if model is None:
        kind = _REFUSED.get(header.photometric, f"of the kind {header.photometric}")
        raise InvalidInputError(f"The TIFF's pixels are {kind}; convert it to RGB and save it again.")
    if header.kind not in (_UNSIGNED, _FLOAT):
        kind = "signed integers" if header.kind == _SIGNED else f"numbers of the kind {header.kind}"
        raise InvalidInputError(f"The TIFF holds {kind}; save it with unsigned integers or floats.")
    wide_colour = header.photometric in (_PALETTE, _YCBCR) and header.bits > 8
    if header.bits > (64 if header.kind == _FLOAT else 32) or wide_colour:
        what = "palette index" if header.photometric == _PALETTE else "channel"
        raise InvalidInputError(
            f"The TIFF has {header.bits} bits a {what}; convert it to RGB and save it with 8 or 16 bits a channel."
        )
    stored = 1 if header.photometric == _PALETTE else _COLOURS[model]
    if header.channels < stored or header.channels - stored > 4:
        raise InvalidInputError(
            f"The TIFF has the shape ({header.height}, {header.width}, {header.channels}); a picture needs "
            f"{stored} channels, and alpha at most."
        )
    return model


# ------------------------------------------------------------------------------------------------------------ pixels
def _strips(
    source: Path | bytes, header: _Header, channels: int, kind: str, white: int | None
) -> Iterator[np.ndarray]:
    _require_exact_strips(source)
    inverted = header.photometric == _WHITE_IS_ZERO
    if inverted:
        # OpenImageIO inverts 8 bits and leaves 16 as they are.
        source = _as_black_is_zero(source, header)
    most = 0
    if kind == "uint":
        # 32 bits that hold no more than 16 are of 16.
        most = _most(source, header, channels, kind)
    for strip in _as_stored(source, header, channels, kind):
        if kind == "uint" and most < 1 << 16:
            strip = strip.astype(np.uint16)
        if white is not None:
            strip = ((strip.astype(np.uint32) * 65535 + white // 2) // white).astype(np.uint16)
        if inverted:
            top = 1 if strip.dtype.kind == "f" else np.iinfo(strip.dtype).max
            strip[..., 0] = top - strip[..., 0]
        yield strip


def _as_stored(source: Path | bytes, header: _Header, channels: int, kind: str) -> Iterator[np.ndarray]:
    return files.strips(source, "tiff", channels, kind, header.photometric == _SEPARATED)


def _most(source: Path | bytes, header: _Header, channels: int, kind: str) -> int:
    """The highest number of all pixels."""
    return max(int(strip.max()) for strip in _as_stored(source, header, channels, kind))


def _as_black_is_zero(source: Path | bytes, header: _Header) -> bytes:
    data = bytearray(source if isinstance(source, bytes) else source.read_bytes())
    struct.pack_into(f"{header.order}H", data, header.place, _BLACK_IS_ZERO)
    return bytes(data)


def _require_exact_strips(source: Path | bytes) -> None:
    """Raises InvalidInputError where a deflated strip or tile holds more than its pixels.

    libtiff takes such a one for whole and leaves some of the pixels as they happen to be in memory.
    """
    with _tiff_file(source) as file:
        page = file.pages.first
        if page.compression not in _DEFLATED:
            return
        lines = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
        width = page.tilewidth if page.is_tiled else page.imagewidth
        samples = page.samplesperpixel if page.planarconfig == _TOGETHER else 1
        limit = lines * -(-width * samples * page.bitspersample // 8)
        for start, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            file.filehandle.seek(start)
            if _inflated_size(file.filehandle.read(min(count, file.filehandle.size)), limit) > limit:
                raise InvalidInputError(
                    "The TIFF is damaged: a strip of it holds more than its pixels; save it again."
                )


def _inflated_size(packed: bytes, limit: int) -> int:
    """How many bytes a deflated block holds, counted no further than a piece beyond `limit`."""
    inflater, size = zlib.decompressobj(), 0
    while size <= limit and (piece := inflater.decompress(packed, _PIECE)):
        size, packed = size + len(piece), inflater.unconsumed_tail
    return size
