"""Depth from a file that the user gives: .npz, .exr or 16-bit .png."""

from __future__ import annotations

import contextlib
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from lyra import exr
from lyra.depth.base import DepthEstimate
from lyra.depth.checks import assumed_intrinsics, checked_intrinsics, filled_from_nearest
from lyra.errors import InvalidInputError
from lyra.files import require_small_arrays
from lyra.geometry.cameras import cover_transform, fit_intrinsics

MILLIMETRES = 0.001
SKY = 1e9  # Blender writes 1e10 where there is nothing
MAX_PIXELS = 100_000_000
# Neighbours whose depths differ by more than this factor belong to different surfaces.
SAME_SURFACE = 1.08
# A 16-bit PNG whose values begin and end within these shares of the range was probably stretched to it.
STRETCHED_FROM, STRETCHED_TO = 0.02, 0.97
# How the names of depth layers' channels end.
DEPTH_LAYERS = ("depth.z", "depth.v", "depth.r", "depth.y", ".depth")
READ_AS_INVERSE = 'read it with depth values "inverse" (--depth-values inverse)'
# Unknown pixels at the upper edge are sky when they are more than this share of the picture.
NOTABLE_SKY = 0.005


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


class DepthFile:
    """z-depth in metres from a file, cropped as the picture was.

    .npz: `depth` (H, W), optionally `intrinsics` (3, 3) in its pixels; inf is sky, 0 unknown. .exr: a depth channel
    as Blender writes it, 1e10 is sky. .png: 16 bits, `unit` metres per step (0.001 by default: millimetres), 0 is
    unknown, 65535 is sky. Unknown pixels are filled from their neighbours; those at the upper edge are sky.

    With `blend` the file is a blockout: NaN is unknown too, as is what a rendered EXR shows nothing at, and `known`
    leaves all of it open.
    """

    id = "file"

    def __init__(
        self,
        path: str | Path,
        source_hw: tuple[int, int] | None = None,
        unit: float = MILLIMETRES,
        blend: bool = False,
    ):
        """Reads and checks the file. `source_hw` is the (height, width) of the picture before it was fitted.

        Raises InvalidInputError for a file that holds no usable depth.
        """
        self.path = Path(path)
        self.source_hw = source_hw
        self.stored = read_depth(self.path, unit, blend)

    def estimate(self, image: np.ndarray, intrinsics: np.ndarray | None = None) -> DepthEstimate:
        """The file's depth at the size of `image` (H, W, 3). Raises InvalidInputError when the sizes do not match."""
        depth, lens, notes = self.known(image.shape[:2])
        intrinsics = lens if intrinsics is None else intrinsics
        if intrinsics is None:
            intrinsics, note = assumed_intrinsics(*image.shape[:2])
            notes += (note,)
        return DepthEstimate(depth, intrinsics, True, f"the file {self.path.name}", None, notes)

    def known(self, target_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
        """Depth (H, W) at the size of the fitted picture, the file's lens or None, and notes for the user.

        NaN where nothing is known, which is only so with `blend`. Raises InvalidInputError when the sizes do not match.
        """
        stored = self.stored
        self.check_size(target_hw)
        lens = stored.intrinsics
        if lens is not None:
            lens = fit_intrinsics(lens, stored.depth.shape, target_hw)
        return fitted_depth(stored.depth, target_hw), lens, stored.notes

    def check_size(self, target_hw: tuple[int, int]) -> None:
        """Raises InvalidInputError when the file fits neither the fitted picture's (height, width) nor the source's."""
        require_size(self.path, self.stored.depth.shape, target_hw, self.source_hw)


def require_size(
    path: Path, stored_hw: tuple[int, int], target_hw: tuple[int, int], source_hw: tuple[int, int] | None
) -> None:
    """Raises InvalidInputError when a file's (height, width) is neither the fitted picture's nor the given one's."""
    if stored_hw in (target_hw, source_hw):
        return
    known = dict.fromkeys(hw for hw in (source_hw, target_hw) if hw is not None)
    sizes = " or ".join(f"{width}x{height}" for height, width in known)
    raise InvalidInputError(
        f"The depth in {path} is {stored_hw[1]}x{stored_hw[0]} and the image {sizes}; render the depth at the size of "
        "the image."
    )


def fitted_depth(depth: np.ndarray, target_hw: tuple[int, int]) -> np.ndarray:
    """`depth` (H, W) under the crop of `cover_transform`; surfaces are interpolated, never mixed over an edge.

    Within one surface 1/z is bilinear, which is exact on planes; where the four neighbours are farther apart than
    SAME_SURFACE the nearest one is taken as it is.
    """
    if depth.shape == target_hw:
        return depth.copy()
    scale, offset_x, offset_y = cover_transform(depth.shape, target_hw)
    ys = np.clip((np.arange(target_hw[0]) + 0.5 + offset_y) / scale - 0.5, 0, depth.shape[0] - 1)
    xs = np.clip((np.arange(target_hw[1]) + 0.5 + offset_x) / scale - 0.5, 0, depth.shape[1] - 1)
    y0, x0 = np.minimum(ys.astype(int), depth.shape[0] - 2), np.minimum(xs.astype(int), depth.shape[1] - 2)
    wy, wx = (ys - y0)[:, None], (xs - x0)[None]
    inverse = 1 / depth.astype(np.float64)
    corners = [inverse[np.ix_(y0 + dy, x0 + dx)] for dy in (0, 1) for dx in (0, 1)]
    weights = [(1 - wy) * (1 - wx), (1 - wy) * wx, wy * (1 - wx), wy * wx]
    smooth = sum(w * c for w, c in zip(weights, corners, strict=True))
    low, high = np.minimum.reduce(corners), np.maximum.reduce(corners)
    nearest = inverse[np.ix_(np.rint(ys).astype(int), np.rint(xs).astype(int))]
    chosen = np.where(high <= low * SAME_SURFACE, smooth, nearest)
    with np.errstate(divide="ignore"):
        return (1 / chosen).astype(np.float32)


def read_depth(path: Path, unit: float = MILLIMETRES, blend: bool = False) -> StoredDepth:
    """Reads a depth file, turns far values into sky and fills unknown ones. Raises InvalidInputError.

    With `blend` unknown values become NaN instead, and so does what a renderer found nothing at.
    """
    stored = read_stored(path, lambda data: _read_png(data, unit))
    if blend and path.suffix.lower() == ".exr":
        stored = replace(stored, depth=np.where(stored.depth >= SKY, np.float32(0), stored.depth))
    with file_named(path):
        return _checked(stored, blend)


@contextlib.contextmanager
def file_named(path: Path) -> Iterator[None]:
    """Puts the file's name before what is wrong with it."""
    try:
        yield
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}") from error


def read_stored(path: Path, read_png: Callable[[bytes], StoredDepth]) -> StoredDepth:
    """The values in a file as they are written; a PNG's mean what `read_png` says. Raises InvalidInputError."""
    readers = {".npz": _read_npz, ".exr": _read_exr, ".png": read_png}
    if path.suffix.lower() not in readers:
        raise InvalidInputError(f"{path} is no depth file that can be read; give .npz, .exr or 16-bit .png.")
    try:
        data = path.read_bytes()
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
    return StoredDepth(np.squeeze(depth).astype(np.float32), intrinsics)


def _read_exr(data: bytes) -> StoredDepth:
    names = [name for part in exr.read_header(data) for name in exr.channel_names(part)]
    chosen = _depth_channel(names)
    channels = exr.read_channels(data, {chosen, *({"G", "B"} & set(names) if chosen == "R" else ())})
    if any(not np.array_equal(channels[chosen], other) for other in channels.values()):
        raise InvalidInputError(
            "It is a colour picture (R, G and B differ); render the Z pass into the file."
        )
    return StoredDepth(
        channels[chosen], None, (f"Depth is the channel {chosen} of the EXR file, in metres.",)
    )


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


def _read_png(data: bytes, unit: float) -> StoredDepth:
    image = loaded_png(data)
    if not image.mode.startswith("I"):
        raise InvalidInputError(
            f"It is a PNG of mode {image.mode}; depth in metres needs 16-bit greyscale, in millimetres. If it is "
            f"relative and near is bright, {READ_AS_INVERSE}."
        )
    steps = np.asarray(image).astype(np.float32)
    notes = [f"One step of the PNG is {unit:g} m."]
    known = steps[(steps > 0) & (steps < 65535)]
    if len(known) and known.min() < STRETCHED_FROM * 65535 and known.max() > STRETCHED_TO * 65535:
        notes.append(
            f"Its values go from {known.min():.0f} to {known.max():.0f}, nearly all that 16 bits hold: if it is "
            f"relative and near is bright, {READ_AS_INVERSE}."
        )
    depth = np.where(steps >= 65535, np.float32(np.inf), steps * np.float32(unit))
    return StoredDepth(depth, None, tuple(notes))


def loaded_png(data: bytes) -> Image.Image:
    """A PNG, decoded. Raises InvalidInputError for one that is damaged or too large."""
    try:
        image = Image.open(io.BytesIO(data), formats=("PNG",))
        if image.width * image.height <= MAX_PIXELS:
            image.load()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise InvalidInputError(f"It is no whole PNG ({error}); save it again.") from error
    if image.width * image.height > MAX_PIXELS:
        raise InvalidInputError(
            f"It is {image.width}x{image.height}; at most {MAX_PIXELS} pixels are possible."
        )
    return image


def _checked(stored: StoredDepth, blend: bool) -> StoredDepth:
    depth, notes = stored.depth, list(stored.notes)
    if blend:
        depth = np.nan_to_num(depth, nan=0.0, posinf=np.inf, neginf=-np.inf)
    if depth.ndim != 2 or min(depth.shape) < 2:
        raise InvalidInputError(f"The depth has the shape {depth.shape}; (height, width) is needed.")
    if np.isnan(depth).any():
        raise InvalidInputError(
            f"{int(np.isnan(depth).sum())} values are not a number; write 0 where depth is unknown."
        )
    if depth.min() < 0:
        raise InvalidInputError(
            f"The depth goes down to {depth.min():.4g}; distances in front of the camera are positive."
        )
    depth = np.where(depth >= SKY, np.float32(np.inf), depth)
    known = depth > 0
    if not known.any():
        raise InvalidInputError(
            "No depth is known in it; leave it out to have all of it estimated."
            if blend
            else "The depth is 0 everywhere; render it again."
        )
    if blend:
        return StoredDepth(np.where(known, depth, np.float32(np.nan)), stored.intrinsics, stored.notes)
    if not np.isfinite(depth[known]).any():
        raise InvalidInputError(
            "The depth is infinite everywhere; something must stand in front of the camera."
        )
    if not known.all():
        depth, note = _filled(depth, known)
        notes.append(note)
    return StoredDepth(depth, stored.intrinsics, tuple(notes))


def _filled(depth: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, str]:
    """Unknown regions that hang from the upper edge become sky, others take their nearest neighbour's depth."""
    from scipy import ndimage

    regions, _ = ndimage.label(~known)
    sky = np.isin(regions, np.setdiff1d(regions[0], [0]))
    if sky.mean() < NOTABLE_SKY:
        sky = np.zeros_like(sky)
    holes = ~known & ~sky
    filled = np.where(sky, np.float32(np.inf), filled_from_nearest(depth, known))
    said = [f"{sky.mean():.1%} of the depth is 0 at the upper edge and was taken as sky"] if sky.any() else []
    said += (
        [f"{holes.mean():.1%} of the depth is 0 and was filled from its neighbours"] if holes.any() else []
    )
    return filled, "; ".join(said) + "."
