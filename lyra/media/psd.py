"""Photoshop documents (PSD and PSB): the merged image beside the layers.

Format: "Adobe Photoshop File Formats Specification". OpenImageIO unpacks the merged picture; layers and resources are
left out of what it is given, since it refuses some that are fine and none is needed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.media import oiio as files
from lyra.media.colour import LINEAR, SRGB, Encoding
from lyra.media.header import Picture, damaged

MAGIC = b"8BPS"
_GREY, _INDEXED, _RGB, _CMYK, _DUOTONE = 1, 2, 3, 4, 8
_MODES = {_GREY: "grey", _INDEXED: "rgb", _RGB: "rgb", _CMYK: "cmyk", _DUOTONE: "grey"}
_REFUSED_MODES = {0: "a bitmap of 1 bit", 7: "multichannel", 9: "Lab"}
_CHANNELS = {"grey": 1, "rgb": 3, "cmyk": 4}
_KINDS = {8: "uint8", 16: "uint16", 32: "float"}
_ICC, _VERSION_INFO, _PIXEL_ASPECT = 1039, 1057, 1064
_RAW, _PACKED = 0, 1


@dataclass(frozen=True)
class _Header:
    version: int
    channels: int
    height: int
    width: int
    bits: int
    mode: int
    palette: bytes
    resources: dict[int, bytes]
    # The first channel after the colours is the transparency of the merged picture.
    transparent: bool
    start: int


def open_psd(data: bytes) -> Picture:
    """The merged picture of a document. Raises InvalidInputError, also where it has none."""
    try:
        header = _header(data)
    except struct.error as error:
        raise damaged("its header ends early") from error
    model = _require_readable(header)
    notes = []
    if header.mode == _DUOTONE:
        notes.append("It is a duotone; it is read in grey. Convert it to RGB to keep its inks.")
    profile = header.resources.get(_ICC)
    encoding = SRGB
    if header.bits == 32:
        encoding = LINEAR
        notes += ["Its colour profile is not followed; floats are taken as linear sRGB."] if profile else []
    elif profile:
        encoding = Encoding(profile=profile)
    aspect = header.resources.get(_PIXEL_ASPECT, b"")
    colours = _CHANNELS[model] if header.mode != _INDEXED else 1
    alpha = header.transparent and header.channels > colours and header.mode != _INDEXED
    return Picture(
        header.height,
        header.width,
        model,
        lambda: _strips(data, header, model, alpha),
        alpha=alpha,
        encoding=encoding,
        aspect=_aspect(struct.unpack(">d", aspect[4:12])[0] if len(aspect) >= 12 else 1.0),
        notes=tuple(notes),
    )


def _aspect(value: float) -> float:
    return value if 0.01 < value < 100 else 1.0


def _require_readable(header: _Header) -> str:
    model = _MODES.get(header.mode)
    if model is None:
        kind = _REFUSED_MODES.get(header.mode, f"mode {header.mode}")
        raise InvalidInputError(f"The PSD's colours are {kind}; convert it to RGB and save it again.")
    least = 1 if header.mode == _INDEXED else _CHANNELS[model]
    if header.bits not in _KINDS or not least <= header.channels <= 56:
        raise InvalidInputError(
            f"The PSD has {header.channels} channels of {header.bits} bits; save it in RGB of 8, 16 or 32 bits."
        )
    info = header.resources.get(_VERSION_INFO, b"")
    if len(info) >= 5 and not info[4]:
        raise InvalidInputError(
            "The PSD was saved without a merged picture; save it again with Maximize Compatibility, or as PNG."
        )
    return model


def _header(data: bytes) -> _Header:
    version, channels, height, width, bits, mode = struct.unpack_from(">H6xHIIHH", data, 4)
    if version not in (1, 2):
        raise InvalidInputError(f"It is a PSD of version {version}; 1 and 2 (PSB) are read.")
    at = 26
    (size,) = struct.unpack_from(">I", data, at)
    palette = data[at + 4 : at + 4 + size]
    at += 4 + size
    (size,) = struct.unpack_from(">I", data, at)
    resources = _resources(data[at + 4 : at + 4 + size])
    at += 4 + size
    width_of_size = 8 if version == 2 else 4
    (size,) = struct.unpack_from(">Q" if version == 2 else ">I", data, at)
    layers = data[at + width_of_size : at + width_of_size + min(size, 64)]
    count = layers[width_of_size : width_of_size + 2]
    transparent = len(count) == 2 and struct.unpack(">h", count)[0] < 0
    start = at + width_of_size + size
    if start + 2 > len(data):
        raise damaged("its picture is missing")
    return _Header(version, channels, height, width, bits, mode, palette, resources, transparent, start)


def _resources(block: bytes) -> dict[int, bytes]:
    """The image resources by number."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 12 <= len(block) and block[at : at + 4] in (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR"):
        number, name = struct.unpack_from(">HB", block, at + 4)
        at += 6 + (name + 2) // 2 * 2
        if at + 4 > len(block):
            break
        (size,) = struct.unpack_from(">I", block, at)
        found.setdefault(number, block[at + 4 : at + 4 + size])
        at += 4 + (size + 1) // 2 * 2
    return found


# ------------------------------------------------------------------------------------------------------------ pixels
def _strips(data: bytes, header: _Header, model: str, alpha: bool) -> Iterator[np.ndarray]:
    colours = _CHANNELS[model]
    stored = 1 if header.mode == _INDEXED else colours
    mode = _GREY if header.mode == _DUOTONE else header.mode
    plain = _document(data, header, mode, 0, stored)
    strips = files.strips(plain, "psd", colours, _KINDS[header.bits], raw=model == "cmyk")
    masks = (
        files.strips(_document(data, header, _GREY, stored, 1), "psd", 1, _KINDS[header.bits])
        if alpha
        else None
    )
    for strip in strips:
        if model == "cmyk":
            # The file has what each ink leaves of the light.
            strip = np.iinfo(strip.dtype).max - strip
        yield strip if masks is None else np.concatenate([strip, next(masks)], -1)


def _document(data: bytes, header: _Header, mode: int, first: int, count: int) -> files.Source:
    """A document of some of the channels of the merged picture, with nothing else in it."""
    (packing,) = struct.unpack_from(">H", data, header.start)
    line = header.width * header.bits // 8
    lines, body = header.height, memoryview(data)[header.start + 2 :]
    sizes = b""
    if packing == _RAW:
        body = body[first * lines * line : (first + count) * lines * line]
    elif packing == _PACKED:
        kind = np.dtype(">u4" if header.version == 2 else ">u2")
        table = np.frombuffer(body, kind, min(len(body) // kind.itemsize, header.channels * lines))
        if len(table) < header.channels * lines:
            raise damaged("its table of lines ends early")
        starts = len(table) * kind.itemsize + np.concatenate([[0], np.cumsum(table, dtype=np.int64)])
        body = body[starts[first * lines] : starts[(first + count) * lines]]
        sizes = table[first * lines : (first + count) * lines].tobytes()
    else:
        raise InvalidInputError(
            "The PSD's merged picture is compressed by ZIP; save it with Maximize Compatibility."
        )
    fields = (header.version, count, header.height, header.width, header.bits, mode)
    palette = header.palette if mode == _INDEXED else b""
    sections = struct.pack(">I", len(palette)) + palette + struct.pack(">I", 0)
    sections += bytes(8 if header.version == 2 else 4) + struct.pack(">H", packing)
    return MAGIC + struct.pack(">H6xHIIHH", *fields) + sections + sizes, body
