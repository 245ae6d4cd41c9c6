"""OpenEXR pictures and passes: scanlines or tiles, one part or many, all codecs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import OpenImageIO

from lyra.common.errors import InvalidInputError
from lyra.media import oiio as files
from lyra.media.colour import (
    ACES_AP0,
    ACES_AP1,
    BT2020,
    LINEAR,
    P3_D65,
    Encoding,
    Primaries,
    is_gamut,
    linear,
)
from lyra.media.header import MAX_PIXELS, STRIP_PIXELS, Picture, short, strip_lines

MAGIC = b"v/1\x01"
MAX_PARTS = 256
_LINES_TOGETHER = {"zip": 16, "piz": 32, "pxr24": 16, "b44": 32, "b44a": 32, "dwaa": 32, "dwab": 256}
# Names of colour spaces (the Color Interop Forum's) that Blender 5 writes.
_SPACES: dict[str, Primaries] = {
    "lin_ap0_scene": ACES_AP0,
    "lin_ap1_scene": ACES_AP1,
    "lin_rec2020_scene": BT2020,
    "lin_p3d65_scene": P3_D65,
}
_PLAIN_SPACES = ("lin_rec709_scene", "data", "unknown", "")


@dataclass(frozen=True)
class Channel:
    """Where a channel is: its part of the file and its place in that."""

    part: int
    index: int


class ExrFile:
    """An EXR file whose header has been read. Channels are named in full ("R", "ViewLayer.Depth.Z").

    In files of several parts a part's name stands before its channels' unless they already start with it.
    """

    def __init__(self, file: OpenImageIO.ImageInput):
        """Raises InvalidInputError for a file that cannot be read."""
        self._file = file
        self.parts: list[OpenImageIO.ImageSpec] = []
        self.channels: dict[str, Channel] = {}
        while file.seek_subimage(len(self.parts), 0):
            self._add(file.spec())
            if len(self.parts) > MAX_PARTS:
                raise InvalidInputError(f"It has more than {MAX_PARTS} parts; save only the passes needed.")
        file.geterror()

    def _add(self, spec: OpenImageIO.ImageSpec) -> None:
        if spec.deep:
            raise InvalidInputError("It holds deep samples; render it flat, as Blender does.")
        for height, width in ((spec.height, spec.width), (spec.full_height, spec.full_width)):
            if height * width > MAX_PIXELS:
                raise InvalidInputError(
                    f"It is {width}x{height}; at most {MAX_PIXELS // 10**6} megapixels are possible."
                )
        name = spec.getattribute("name") or ""
        prefix = f"{name}." if name and spec.getattribute("oiio:subimagename") else ""
        for index, channel in enumerate(spec.channelnames):
            full = channel if channel.startswith(prefix) else prefix + channel
            self.channels.setdefault(full, Channel(len(self.parts), index))
        self.parts.append(spec)

    def window(self, name: str) -> tuple[int, int]:
        """(height, width) of the display window that a channel is shown in."""
        spec = self.parts[self.channels[name].part]
        return spec.full_height, spec.full_width

    def lines_together(self, name: str) -> int:
        """How many lines of a channel are unpacked at once.

        Raises InvalidInputError where they come with too many other channels.
        """
        spec = self.parts[self.channels[name].part]
        codec = str(spec.getattribute("compression")).split(":")[0]
        lines = spec.tile_height or _LINES_TOGETHER.get(codec, 1)
        files.require_small_pieces(spec, "the EXR file", lines)
        return lines

    def lines(self, names: list[str], first: int, end: int) -> np.ndarray:
        """Lines of the display window (end - first, W, C) float32; what lies outside the data window is 0."""
        out = np.zeros((end - first, self.window(names[0])[1], len(names)), np.float32)
        at = 0
        while at < len(names):
            start = self.channels[names[at]]
            count = 1
            while at + count < len(names) and self.channels[names[at + count]] == Channel(
                start.part, start.index + count
            ):
                count += 1
            self._place(out[..., at : at + count], start, count, first)
            at += count
        return out

    def _place(self, out: np.ndarray, start: Channel, count: int, first: int) -> None:
        spec = self.parts[start.part]
        x, y = spec.x - spec.full_x, spec.y - spec.full_y
        top, bottom = max(first, y), min(first + len(out), y + spec.height)
        left, right = max(0, x), min(out.shape[1], x + spec.width)
        if top < bottom and left < right:
            read = files.read_lines(
                self._file, start.part, top - y, bottom - y, (start.index, start.index + count), "float"
            )
            out[top - first : bottom - first, left:right] = read[:, left - x : right - x]


@contextlib.contextmanager
def opened(source: Path | bytes) -> Iterator[ExrFile]:
    """An EXR file by its path or its bytes. Raises InvalidInputError."""
    with files.opened(source, "openexr") as file:
        yield ExrFile(file)


def read_channels(source: Path | bytes, wanted: list[str] | None = None) -> dict[str, np.ndarray]:
    """Channels by full name, each (H, W) float32 over the display window. Raises InvalidInputError."""
    with opened(source) as file:
        return {name: plane(file, name) for name in wanted or file.channels}


def plane(file: ExrFile, name: str) -> np.ndarray:
    """One channel (H, W) float32 over the display window. Raises InvalidInputError."""
    height, width = file.window(name)
    out = np.empty((height, width), np.float32)
    lines = strip_lines(width, file.lines_together(name))
    for first in range(0, height, lines):
        end = min(first + lines, height)
        out[first:end] = file.lines([name], first, end)[..., 0]
    return out


# ----------------------------------------------------------------------------------------------------------- picture
def open_exr(source: Path | bytes) -> Picture:
    """The picture in an EXR file: its colours are linear and were multiplied by alpha. Raises InvalidInputError."""
    with opened(source) as file:
        names = colour_channels(list(file.channels))
        windows = {file.window(name) for name in names}
        if len(windows) > 1:
            raise InvalidInputError("Its colours are of several sizes; save them in one part of the file.")
        height, width = windows.pop()
        for name in names:
            file.lines_together(name)
        spec = file.parts[file.channels[names[0]].part]
    encoding, notes = _encoding(spec)
    if not names[-1].endswith("A") and _covered(spec) < 1:
        notes.append(f"Only {_covered(spec):.0%} of it were rendered; the rest is black.")
    return Picture(
        height,
        width,
        "grey" if len(names) == 1 else "rgb",
        lambda: _strips(source, names),
        alpha=len(names) == 4,
        premultiplied=len(names) == 4,
        encoding=encoding,
        aspect=float(spec.getattribute("PixelAspectRatio") or 1),
        notes=tuple(notes),
    )


def _strips(source: Path | bytes, names: list[str]) -> Iterator[np.ndarray]:
    with opened(source) as file:
        height, width = file.window(names[0])
        together = max(map(file.lines_together, names))
        # Very long lines are rather unpacked again than kept together.
        lines = strip_lines(width, together if together * width <= 2 * STRIP_PIXELS else 1)
        for first in range(0, height, lines):
            yield file.lines(names, first, min(first + lines, height))


def colour_channels(names: list[str]) -> list[str]:
    """The red, green, blue and alpha channels of the picture itself: the shortest layer name wins."""
    layers = sorted(
        {name[:-1] for name in names if name[-1:] == "R"},
        key=lambda layer: ("Combined" not in layer, len(layer)),
    )
    for layer in layers:
        if {layer + "G", layer + "B"} <= set(names):
            return [layer + c for c in "RGBA" if layer + c in names]
    if {"RY", "BY"} & set(names):
        raise InvalidInputError(
            "Its colours are stored as luminance and chroma (Y, RY, BY); save it with R, G and B."
        )
    for grey in ("V", "Y", "L"):
        if grey in names:
            return [grey]
    raise InvalidInputError(
        f"It has the channels {short(', '.join(names[:12]))}; a picture needs R, G and B."
    )


def _encoding(spec: OpenImageIO.ImageSpec) -> tuple[Encoding, list[str]]:
    said = spec.getattribute("chromaticities")
    if said is not None and len(said) == 8:
        values = [float(value) for value in said]
        primaries = tuple(zip(values[::2], values[1::2], strict=True))
        if not is_gamut(primaries):
            return LINEAR, ["Its chromaticities are of no colour space; colours are taken as linear sRGB."]
        return _linear(primaries, "its chromaticities")
    space = str(spec.getattribute("colorInteropID") or "")
    if space in _SPACES:
        return _linear(_SPACES[space], space)
    if space not in _PLAIN_SPACES:
        return LINEAR, [
            f"Its colour space, {short(space, 40)}, is not followed; colours are taken as linear sRGB."
        ]
    return LINEAR, []


def _linear(primaries: Primaries, name: str) -> tuple[Encoding, list[str]]:
    from lyra.media.colour import BT709, same_primaries

    plain = same_primaries(primaries, BT709)
    return (LINEAR if plain else Encoding(linear, primaries, wide=True, name=name)), []


def _covered(spec: OpenImageIO.ImageSpec) -> float:
    """The share of the display window that has pixels."""
    sides = [
        max(0, min(start + size, full_start + full) - max(start, full_start)) / full
        for start, size, full_start, full in (
            (spec.x, spec.width, spec.full_x, spec.full_width),
            (spec.y, spec.height, spec.full_y, spec.full_height),
        )
    ]
    return prod(sides)
