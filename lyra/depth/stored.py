"""What stands in a depth file, as it is written: .npz, .exr or .png. What it means is for file.py and relative.py."""

from __future__ import annotations

import contextlib
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lyra.depth.checks import checked_intrinsics
from lyra.errors import InvalidInputError
from lyra.files import require_small_arrays
from lyra.media import exr, png
from lyra.media.header import DAMAGE, short

MAX_PIXELS = 100_000_000
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
        raise InvalidInputError(f"{path}: {error}") from error


def read_stored(path: Path, read_png: Callable[[bytes], StoredDepth]) -> StoredDepth:
    """The values in a file as they are written; a PNG's mean what `read_png` says. Raises InvalidInputError."""
    readers = {".npz": _read_npz, ".exr": lambda _: _read_exr(path), ".png": read_png}
    if path.suffix.lower() not in readers:
        raise InvalidInputError(f"{path} is no depth file that can be read; give .npz, .exr or 16-bit .png.")
    try:
        with path.open("rb") as file:
            # An EXR file's channels are read one by one.
            data = b"" if path.suffix.lower() == ".exr" else file.read()
    except FileNotFoundError as error:
        raise InvalidInputError(f"There is no depth file at {path}.") from error
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror or error}.") from error
    with file_named(path):
        return readers[path.suffix.lower()](data)


def _read_npz(data: bytes) -> StoredDepth:
    try:
        require_small_arrays(io.BytesIO(data), 8 * MAX_PIXELS + 4096)
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            if "depth" not in arrays.files:
                raise InvalidInputError(
                    f"It has the keys {', '.join(arrays.files) or 'none'}; `depth` is needed."
                )
            depth = arrays["depth"]
            intrinsics = arrays["intrinsics"] if "intrinsics" in arrays.files else None
    except InvalidInputError:
        raise
    except (
        OSError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        KeyError,
        AttributeError,
        TypeError,
    ) as error:
        raise InvalidInputError(
            f"It is no .npz file of arrays ({error}); save it with numpy.savez."
        ) from error
    if depth.dtype.kind not in "fiu":
        raise InvalidInputError(f"`depth` is of type {depth.dtype}; numbers are needed.")
    if intrinsics is not None:
        intrinsics = checked_intrinsics(intrinsics, "The file's")
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinitely far
        return StoredDepth(np.squeeze(depth).astype(np.float32), intrinsics)


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
    pixels = _wide_png(data) if png.is_wide(data) else np.asarray(_loaded_png(data).convert("RGBA"))
    opaque = pixels[..., -1] > np.iinfo(pixels.dtype).max // 2
    if not opaque.any():
        raise InvalidInputError("It is fully transparent; save it without transparency.")
    if (pixels[opaque, :-1] != pixels[opaque, :1]).any():
        raise InvalidInputError("It is a colour picture (R, G and B differ); save the depth in grey.")
    return GreyPng(pixels[..., 0], opaque)


def _loaded_png(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(png.split(data).pixels), formats=("PNG",))
        if image.width * image.height <= MAX_PIXELS:
            image.load()
    except (Image.DecompressionBombError, *DAMAGE) as error:
        raise InvalidInputError(f"It is no whole PNG ({short(error)}); save it again.") from error
    _require_few_pixels(image.height, image.width)
    return image


def _wide_png(data: bytes) -> np.ndarray:
    """(H, W, 2 or 4) uint16 of a PNG of 16 bits a channel, the last one alpha."""
    picture = png.open_wide_png(data)
    _require_few_pixels(picture.height, picture.width)
    colours = 1 if picture.model == "grey" else 3
    out = np.full((picture.height, picture.width, colours + 1), 65535, np.uint16)
    top = 0
    for strip in picture.strips():
        out[top : top + len(strip), :, : strip.shape[-1]] = strip
        top += len(strip)
    return out


def _require_few_pixels(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise InvalidInputError(f"It is {width}x{height}; at most {MAX_PIXELS} pixels are possible.")
