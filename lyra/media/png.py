"""PNG chunks and their colour information. Unneeded chunks never reach a decoder."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from lyra.media import oiio as files
from lyra.media.colour import BY_EXIF, SRGB, Encoding, encoding_of_codes, encoding_of_gamma
from lyra.media.header import DAMAGE, NO_EXIF, Picture, damaged, is_adobe_rgb, orientation_of, short

MAGIC = b"\x89PNG\r\n\x1a\n"
# What the pixels are made from.
_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_COLOUR = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"pHYs", b"eXIf", b"acTL")
_TEXT = (b"zTXt", b"iTXt", b"tEXt")
MAX_PROFILE_BYTES = 16_000_000
_MUCH_TEXT = 1_000_000
# Where IHDR says how many bits a channel has.
DEPTH_PLACE = 24


@dataclass(frozen=True)
class Chunks:
    """A PNG without what is not needed (`pixels`, a PNG itself), and what was said beside."""

    pixels: bytes
    said: dict[bytes, bytes]
    # Whether one value, or colour, or entries of the palette are transparent.
    keyed: bool
    notes: tuple[str, ...]


def split(data: bytes) -> Chunks:
    """The chunks of a PNG; one that is cut short or damaged is left to the decoder."""
    said: dict[bytes, bytes] = {}
    kept, text, keyed = [MAGIC], 0, False
    for kind, start, end in _chunks(data):
        if kind in _NEEDED or end > len(data):
            kept.append(data[start:end])
            keyed |= kind == b"tRNS"
        elif kind in _COLOUR:
            said.setdefault(kind, data[start + 8 : end - 4])
        elif kind in _TEXT:
            text += end - start if kind == b"tEXt" else _inflated_size(data[start + 8 : end - 4])
    notes = (f"Its text of more than {text / 1e6:.1f} MB was left out.",) if text > _MUCH_TEXT else ()
    return Chunks(b"".join(kept), said, keyed, notes)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk's name, where it starts and where it ends."""
    at = len(MAGIC)
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at, at + 12 + size
        at += 12 + size


def _inflated_size(chunk: bytes) -> int:
    """About how long a chunk of text is, counted no further than is worth a note."""
    for start in (chunk.find(b"x\x9c"), chunk.find(b"x\xda"), chunk.find(b"x\x01"), chunk.find(b"x^")):
        if start >= 0:
            try:
                return len(zlib.decompressobj().decompress(chunk[start:], _MUCH_TEXT + 1))
            except zlib.error:
                continue
    return len(chunk)


def encoding(said: dict[bytes, bytes]) -> tuple[Encoding, list[str]]:
    """How the numbers stand for light, by the order of precedence of PNG's third edition: cICP, iCCP, sRGB, gAMA."""
    if len(said.get(b"cICP", b"")) == 4:
        primaries, transfer, matrix, full = said[b"cICP"]
        if matrix or full != 1:
            return SRGB, [
                "Its cICP chunk names YCbCr or a limited range, which is not followed; colours are taken as sRGB."
            ]
        return encoding_of_codes(primaries, transfer)
    notes = []
    if b"iCCP" in said:
        profile, why = _profile(said[b"iCCP"])
        if profile:
            return Encoding(profile=profile), []
        notes.append(f"Its colour profile could not be used ({why}); colours are taken as sRGB.")
    if b"sRGB" in said:
        return SRGB, notes
    if not {b"gAMA", b"cHRM"} & said.keys() and is_adobe_rgb(_exif(said)):
        return BY_EXIF, notes
    gamma = struct.unpack(">I", said[b"gAMA"])[0] / 1e5 if len(said.get(b"gAMA", b"")) == 4 else None
    chromaticities = None
    if len(said.get(b"cHRM", b"")) == 32:
        x = [value / 1e5 for value in struct.unpack(">8I", said[b"cHRM"])]
        chromaticities = tuple(zip((*x[2::2], x[0]), (*x[3::2], x[1]), strict=True))
    found, more = encoding_of_gamma(gamma, chromaticities)
    return found, notes + more


def _profile(chunk: bytes) -> tuple[bytes, str]:
    """The ICC profile of an iCCP chunk, or why there is none."""
    name, _, rest = chunk.partition(b"\0")
    if len(name) == len(chunk) or not rest:
        return b"", "it ends early"
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(rest[1:], MAX_PROFILE_BYTES + 1)
    except zlib.error as error:
        return b"", short(error, 60)
    if len(profile) > MAX_PROFILE_BYTES:
        return b"", f"it has more than {MAX_PROFILE_BYTES // 10**6} MB"
    return profile, "it is empty"


def aspect(said: dict[bytes, bytes]) -> float:
    """The width of a pixel by its height."""
    if len(said.get(b"pHYs", b"")) != 9:
        return 1.0
    across, down = struct.unpack(">II", said[b"pHYs"][:8])
    return down / across if across and down and 0.01 < down / across < 100 else 1.0


def exif_orientation(said: dict[bytes, bytes]) -> tuple[int, list[str]]:
    """EXIF's number for how the picture is turned, and a note where it could not be read."""
    try:
        return orientation_of(_loaded_exif(said)), []
    except DAMAGE:
        return 1, [NO_EXIF]


def _exif(said: dict[bytes, bytes]) -> Image.Exif:
    try:
        return _loaded_exif(said)
    except DAMAGE:
        return Image.Exif()


def _loaded_exif(said: dict[bytes, bytes]) -> Image.Exif:
    exif = Image.Exif()
    if b"eXIf" in said:
        exif.load(said[b"eXIf"])
    return exif


_MODELS = {0: ("grey", False), 2: ("rgb", False), 4: ("grey", True), 6: ("rgb", True)}


def is_wide(data: bytes) -> bool:
    """Whether a file is a PNG of 16 bits a channel, of which Pillow keeps eight."""
    return (
        data.startswith(MAGIC) and data[12:16] == b"IHDR" and data[DEPTH_PLACE : DEPTH_PLACE + 1] == b"\x10"
    )


def open_wide_png(data: bytes) -> Picture:
    """A PNG of 16 bits a channel. Raises InvalidInputError."""
    chunks = split(data)
    width, height, _, kind = struct.unpack_from(">IIBB", data, 16)
    if kind not in _MODELS:
        raise damaged(f"a PNG of 16 bits has no colours of the kind {kind}")
    model, alpha = _MODELS[kind]
    alpha |= chunks.keyed
    channels = (1 if model == "grey" else 3) + alpha
    found, notes = encoding(chunks.said)
    orientation, more = exif_orientation(chunks.said)
    notes += more
    return Picture(
        height,
        width,
        model,
        lambda: files.strips(chunks.pixels, "png", channels, "uint16"),
        alpha=alpha,
        encoding=found,
        orientation=orientation,
        aspect=aspect(chunks.said),
        notes=(*chunks.notes, *notes),
    )
