"""Depth files as stored: .npz, .npy, .exr, .pfm or .png.

What it means is for file.py and relative.py.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lyra.common.arrays_file import ArrayLimit, read_array, read_arrays
from lyra.common.errors import InvalidInputError
from lyra.common.files import open_given
from lyra.common.quoting import one_line, place
from lyra.depth.checks import file_lens
from lyra.depth.pfm import read_pfm
from lyra.media import exr, png
from lyra.media.header import DAMAGE, short, strip_lines

MAX_PIXELS = 100_000_000
# An array of float64 with its header; encoded pictures are smaller.
MAX_BYTES = 8 * MAX_PIXELS + (1 << 20)
DEPTH_ARRAY = ArrayLimit(8 * MAX_PIXELS)
LENS_ARRAY = ArrayLimit(1024, optional=True)
SUFFIXES = (".npz", ".npy", ".exr", ".pfm", ".png")
# How the names of depth layers' channels end.
DEPTH_LAYERS = ("depth.z", "depth.v", "depth.r", "depth.y", ".depth")


@dataclass(frozen=True)
class StoredDepth:
    """What a file holds: z-depth (H, W) float32, inf where the sky is, and intrinsics or None.

    As read, 0 is unknown; as checked, nothing is, or NaN where another estimator fills it in. `step` is between
    neighbouring values where there are only so many.
    """

    depth: np.ndarray
    intrinsics: np.ndarray | None
    notes: tuple[str, ...] = ()
    step: float = 0.0


@contextlib.contextmanager
def file_named(path: Path) -> Iterator[None]:
    """Puts the file's name before what is wrong with it."""
    try:
        yield
    except InvalidInputError as error:
        raise InvalidInputError(one_line(f"{place(path)}: {error}")) from error


def read_stored(path: Path, read_png: Callable[[bytes], StoredDepth]) -> StoredDepth:
    """The values in a file as they are written; a PNG's mean what `read_png` says. Raises InvalidInputError."""
    of_bytes = {".pfm": _read_pfm, ".png": read_png}
    of_files = {".npz": _read_npz, ".npy": _read_npy, ".exr": _read_exr}
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidInputError(
            f"{place(path)} is no depth file that can be read; give .npz, .npy, .exr, .pfm or 16-bit .png."
        )
    try:
        file, size = open_given(path)
        with file:
            data = file.read(MAX_BYTES) if suffix in of_bytes and size <= MAX_BYTES else b""
    except FileNotFoundError as error:
        raise InvalidInputError(f"There is no depth file at {place(path)}.") from error
    except OSError as error:
        raise InvalidInputError(f"{place(path)} cannot be read: {error.strerror or error}.") from error
    with file_named(path):
        if size > MAX_BYTES:
            raise InvalidInputError(
                f"It has {size / 1e6:.0f} MB; at most {MAX_BYTES / 1e6:.0f} MB are read. Save it smaller."
            )
        return of_bytes[suffix](data) if suffix in of_bytes else of_files[suffix](path)


def _read_npz(path: Path) -> StoredDepth:
    wanted = {"depth": DEPTH_ARRAY, "intrinsics": LENS_ARRAY}
    arrays = read_arrays(
        path, wanted, name="It", advice="`depth` is needed, (height, width), saved with numpy.savez"
    )
    depth = _one_picture(arrays["depth"])
    lens, notes = arrays.get("intrinsics"), ()
    # Of another shape it is refused for that, where all depth is checked.
    if lens is not None and depth.ndim == 2:
        lens, notes = file_lens(lens, *depth.shape)
    return StoredDepth(depth, lens, notes)


def _read_npy(path: Path) -> StoredDepth:
    depth = read_array(path, DEPTH_ARRAY, name="It", advice="save depth (height, width) with numpy.save")
    return StoredDepth(_one_picture(depth), None)


def _one_picture(depth: np.ndarray) -> np.ndarray:
    """Depth as float32; of one picture in a batch, or with one channel, (H, W)."""
    while depth.ndim > 2 and 1 in (depth.shape[0], depth.shape[-1]):
        depth = depth[0] if depth.shape[0] == 1 else depth[..., 0]
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinitely far
        return depth.astype(np.float32, copy=False)


def _read_pfm(data: bytes) -> StoredDepth:
    read = read_pfm(data, MAX_PIXELS)
    notes = ("Depth is taken from the .pfm file as it is written, in metres.",)
    if read.scale != 1:
        notes = (
            f"The .pfm file says a scale of {read.scale:g}; its values were taken as they are written, in metres.",
        )
    return StoredDepth(read.values, None, notes)


def _read_exr(path: Path) -> StoredDepth:
    with exr.opened(path) as file:
        chosen = _depth_channel(list(file.channels))
        depth = exr.plane(file, chosen)
        others = sorted({"G", "B"} & set(file.channels)) if chosen == "R" else ()
        if any(not np.array_equal(depth, exr.plane(file, other)) for other in others):
            raise InvalidInputError(
                "It is a colour picture (R, G and B differ); render the Z pass into the file."
            )
    return StoredDepth(depth, None, (f"Depth is the channel {chosen} of the EXR file, in metres.",))


def _depth_channel(names: list[str]) -> str:
    """The channel that holds depth: that of a layer of the name, a lone Z, or the only channel there is.

    Cycles' Denoising Depth is measured along the ray, not along the axis: it is never taken.
    """
    named = [
        name for name in names if name.lower().endswith(DEPTH_LAYERS) and "denoising" not in name.lower()
    ]
    found = [name for name in named if "depth" in name.lower().split(".")]
    found += [name for name in ("Z", "z", "depth", "Depth") if name in names]
    found += [*named, *(name for name in ("V", "Y", "R") if name in names)]
    found += names if len(names) == 1 and "denoising" not in names[0].lower() else []
    if not found:
        raise InvalidInputError(
            f"It has the channels {', '.join(names[:12])}; switch on the Z (depth) pass and save again."
        )
    return found[0]


@dataclass(frozen=True)
class GreyPng:
    """Grey `values` (H, W) of a PNG, unsigned of 8 or 16 bits, and where it is `opaque` (H, W) bool."""

    values: np.ndarray
    opaque: np.ndarray

    @property
    def top(self) -> int:
        """The largest value that it could hold."""
        return int(np.iinfo(self.values.dtype).max)


def read_png(data: bytes) -> GreyPng:
    """A grey PNG of any mode. Raises InvalidInputError for one that is damaged, too large, coloured or transparent."""
    height, width, strips = _wide_strips(data) if png.is_wide(data) else _narrow_strips(data)
    values = opaque = np.empty(0)
    top = 0
    for strip in strips:
        if top == 0:
            values = np.empty((height, width), strip.dtype)
            opaque = np.empty((height, width), bool)
        end = top + len(strip)
        clear = strip[..., -1] <= np.iinfo(strip.dtype).max // 2
        if ((strip[..., :-1] != strip[..., :1]).any(-1) & ~clear).any():
            raise InvalidInputError("It is a colour picture (R, G and B differ); save the depth in grey.")
        values[top:end], opaque[top:end] = strip[..., 0], ~clear
        top = end
    if not opaque.any():
        raise InvalidInputError("It is fully transparent; save it without transparency.")
    return GreyPng(values, opaque)


def _narrow_strips(data: bytes) -> tuple[int, int, Iterator[np.ndarray]]:
    """(height, width) of a PNG of up to 8 bits a channel, and its lines (n, W, 4) uint8, some at a time."""
    image = _loaded_png(data)
    lines = strip_lines(image.width)
    boxes = ((0, top, image.width, min(top + lines, image.height)) for top in range(0, image.height, lines))
    return image.height, image.width, (np.asarray(image.crop(box).convert("RGBA")) for box in boxes)


def _loaded_png(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(png.split(data).pixels), formats=("PNG",))
        if image.width * image.height <= MAX_PIXELS:
            image.load()
    except (Image.DecompressionBombError, *DAMAGE) as error:
        raise InvalidInputError(f"It is no whole PNG ({short(error)}); save it again.") from error
    _require_few_pixels(image.height, image.width)
    return image


def _wide_strips(data: bytes) -> tuple[int, int, Iterator[np.ndarray]]:
    """(height, width) of a PNG of 16 bits, and its lines (n, W, C) uint16, the last channel alpha, some at a time."""
    picture = png.open_wide_png(data)
    _require_few_pixels(picture.height, picture.width)
    strips = picture.strips()
    if not picture.alpha:
        strips = (np.insert(strip, strip.shape[-1], 65535, axis=-1) for strip in strips)
    return picture.height, picture.width, strips


def _require_few_pixels(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise InvalidInputError(f"It is {width}x{height}; at most {MAX_PIXELS} pixels are possible.")
