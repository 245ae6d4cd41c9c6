"""Depth from a file that the user gives: .npz, .npy, .exr, .pfm or 16-bit .png."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.common.shapes import height_width
from lyra.depth.base import DepthEstimate
from lyra.depth.checks import FARTHEST, NEAREST, filled_from_nearest
from lyra.depth.sky_and_lens import seen_lens
from lyra.depth.stored import StoredDepth, file_named, read_png, read_stored
from lyra.geometry.cameras import cover_transform, fit_intrinsics

MILLIMETRES = 0.001
SKY = 1e9  # Blender writes 1e10 where there is nothing
# Neighbours whose depths differ by more than this factor belong to different surfaces.
SAME_SURFACE = 1.08
# A 16-bit PNG whose values begin and end within these shares of the range was probably stretched to it.
STRETCHED_FROM, STRETCHED_TO = 0.02, 0.97
READ_AS_INVERSE = 'read it with depth values "inverse" (--depth-values inverse)'
# Scenes with all they show nearer than the one, or farther than the other, are rare: the file may not be in metres.
CLOSE_UP, FAR_OFF = 1.0, 1000.0
# A map whose aspect differs by less than this share from the picture's shows all of it.
SAME_ASPECT = 0.01
# Focal lengths that differ by less than this share are of one lens.
SAME_LENS = 0.01
# Unknown pixels at the upper edge are sky when they are more than this share of the picture.
NOTABLE_SKY = 0.005


class DepthFile:
    """z-depth in metres from a file, cropped as the picture was.

    .npz: `depth` (H, W), optionally `intrinsics` (3, 3) in its pixels; .npy and .pfm: depth alone; inf is sky, 0
    unknown. .exr: a depth channel as Blender writes it, 1e10 is sky. .png: 16 bits, `unit` metres per step (0.001 by
    default: millimetres), 0 and what is transparent are unknown, 65535 is sky. Unknown pixels are filled from their
    neighbours; those at the upper edge are sky.

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
        depth, lens, notes = self.known(height_width(image))
        intrinsics, said = chosen_lens(intrinsics, lens)
        if intrinsics is None:
            intrinsics, note = seen_lens(image)
            said = (note,)
        notes += said
        return DepthEstimate(depth, intrinsics, True, f"the file {self.path.name}", None, notes)

    def known(self, target_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
        """Depth (H, W) at the size of the fitted picture, the file's lens or None, and notes for the user.

        NaN where nothing is known, which is only so with `blend`. Raises InvalidInputError when the sizes do not match.
        """
        shown_hw = self.check_size(target_hw)
        lens, scaled = fitted_lens(self.stored, shown_hw, target_hw)
        return fitted_depth(self.stored.depth, target_hw, shown_hw), lens, (*self.stored.notes, *scaled)

    def check_size(self, target_hw: tuple[int, int]) -> tuple[int, int]:
        """As `shown_size` for this file and the fitted picture's (height, width)."""
        return shown_size(self.path, height_width(self.stored.depth), target_hw, self.source_hw)


def chosen_lens(
    given: np.ndarray | None, of_file: np.ndarray | None
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The given intrinsics (3, 3), else the file's; and a remark where the two are not of one lens."""
    if given is None or of_file is None:
        return (of_file if given is None else given), ()
    ratio = given[0, 0] / of_file[0, 0]
    if abs(ratio - 1) <= SAME_LENS:
        return given, ()
    return given, (
        f"The depth file has a focal length of {of_file[0, 0]:.0f} px, the given lens {given[0, 0]:.0f} px, which is "
        "used. Render the depth with it, or leave it out.",
    )


def shown_size(
    path: Path, stored_hw: tuple[int, int], target_hw: tuple[int, int], source_hw: tuple[int, int] | None
) -> tuple[int, int]:
    """The (height, width) of the picture that a file of `stored_hw` shows: as it was fitted, or as it was given.

    A file of another size shows the one whose aspect it has, within SAME_ASPECT: tools that estimate depth round sizes.
    Raises InvalidInputError for another aspect.
    """
    known = list(dict.fromkeys(hw for hw in (source_hw, target_hw) if hw is not None))
    if stored_hw in known:
        return stored_hw
    aspect = np.log([stored_hw[1] / stored_hw[0], *(width / height for height, width in known)])
    away = np.abs(aspect[1:] - aspect[0])
    if away.min() <= SAME_ASPECT:
        return known[away.argmin()]
    sizes = " or ".join(f"{width}x{height}" for height, width in known)
    raise InvalidInputError(
        f"The depth in {path} is {stored_hw[1]}x{stored_hw[0]} and the image {sizes}; render the depth at the size of "
        "the image, or at least in its aspect."
    )


def fitted_lens(
    stored: StoredDepth, shown_hw: tuple[int, int], target_hw: tuple[int, int]
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The file's intrinsics (3, 3) in pixels of the fitted picture, or None; a remark where the file was scaled."""
    (height, width), lens = stored.depth.shape, stored.intrinsics
    if lens is not None:
        scale = np.array([[shown_hw[1] / width], [shown_hw[0] / height], [1]])
        lens = fit_intrinsics(scale * lens, shown_hw, target_hw)
    if shown_hw == stored.depth.shape:
        return lens, ()
    return lens, (f"The depth is {width}x{height}; it was scaled to the image, {shown_hw[1]}x{shown_hw[0]}.",)


def fitted_depth(
    depth: np.ndarray, target_hw: tuple[int, int], shown_hw: tuple[int, int] | None = None
) -> np.ndarray:
    """`depth` (H, W) under the crop of `cover_transform`; surfaces are interpolated, never mixed over an edge.

    It shows all of a picture of `shown_hw`, by default of its own size. Within one surface 1/z is bilinear, which is
    exact on planes; where the four neighbours are farther apart than SAME_SURFACE the nearest one is taken as it is.
    """
    if depth.shape == target_hw:
        return depth.copy()
    shown_hw = shown_hw or height_width(depth)
    scale, *offsets = cover_transform(shown_hw, target_hw)
    ys, xs = (
        np.clip((np.arange(n) + 0.5 + offset) / scale * stored / shown - 0.5, 0, stored - 1)
        for n, offset, stored, shown in zip(target_hw, offsets[::-1], depth.shape, shown_hw, strict=True)
    )
    y0, x0 = np.minimum(ys.astype(int), depth.shape[0] - 2), np.minimum(xs.astype(int), depth.shape[1] - 2)
    wy, wx = (ys - y0)[:, None], (xs - x0)[None]

    def inverse(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return 1 / depth[np.ix_(rows, columns)].astype(np.float64)

    corners = [inverse(y0 + dy, x0 + dx) for dy in (0, 1) for dx in (0, 1)]
    weights = [(1 - wy) * (1 - wx), (1 - wy) * wx, wy * (1 - wx), wy * wx]
    smooth = sum(w * c for w, c in zip(weights, corners, strict=True))
    low, high = np.minimum.reduce(corners), np.maximum.reduce(corners)
    nearest = inverse(np.rint(ys).astype(int), np.rint(xs).astype(int))
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


def _read_png(data: bytes, unit: float) -> StoredDepth:
    png = read_png(data)
    if png.top < 65535:
        raise InvalidInputError(
            "It is a PNG of 8 bits; depth in metres needs 16-bit greyscale, in millimetres. If it is relative and near "
            f"is bright, {READ_AS_INVERSE}."
        )
    steps = np.where(png.opaque, png.values, 0).astype(np.float32)
    notes = [f"One step of the PNG is {unit:g} m."]
    known = steps[(steps > 0) & (steps < 65535)]
    if len(known) and known.min() < STRETCHED_FROM * 65535 and known.max() > STRETCHED_TO * 65535:
        notes.append(
            f"Its values go from {known.min():.0f} to {known.max():.0f}, nearly all that 16 bits hold: if it is "
            f"relative and near is bright, {READ_AS_INVERSE}."
        )
    depth = np.where(steps >= 65535, np.float32(np.inf), steps * np.float32(unit))
    return StoredDepth(depth, None, tuple(notes))


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
    if (beyond := (depth >= SKY) & np.isfinite(depth)).any():
        depth = np.where(beyond, np.float32(np.inf), depth)
    known = depth > 0
    if not known.any():
        raise InvalidInputError(
            "No depth is known in it; leave it out to have all of it estimated."
            if blend
            else "The depth is 0 everywhere; render it again."
        )
    solid = depth[known & np.isfinite(depth)]
    if not solid.size and (known.all() or not blend):
        raise InvalidInputError(
            "The depth is infinite everywhere; something must stand in front of the camera."
        )
    if solid.size and not ((solid >= NEAREST) & (solid <= FARTHEST)).any():
        raise InvalidInputError(
            f"Its depth goes from {solid.min():.4g} to {solid.max():.4g}; in metres it must be between {NEAREST:g} "
            f"and {FARTHEST:g}. Bring it to metres, or if it is relative and near is bright, {READ_AS_INVERSE}."
        )
    if blend:
        return StoredDepth(np.where(known, depth, np.float32(np.nan)), stored.intrinsics, stored.notes)
    notes += _doubts(solid)
    if not known.all():
        depth, note = _filled(depth, known)
        notes.append(note)
    return StoredDepth(depth, stored.intrinsics, tuple(notes))


def _doubts(solid: np.ndarray) -> list[str]:
    """What speaks against metres in depths (n,) that are known and finite."""
    if solid.max() > CLOSE_UP and solid.min() < FAR_OFF:
        return []
    return [
        f"Its depth goes from {solid.min():.4g} to {solid.max():.4g} m. If these are not metres, bring it to metres; "
        f"if it is relative and near is bright, {READ_AS_INVERSE}."
    ]


def _filled(depth: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, str]:
    """Unknown regions that hang from the upper edge become sky, others take their nearest neighbour's depth."""
    from scipy import ndimage

    regions, _ = ndimage.label(~known)
    sky = np.isin(regions, np.setdiff1d(regions[0], [0]))
    if sky.mean() < NOTABLE_SKY:
        sky = np.zeros_like(sky)
    # As large as the picture; what follows takes twice that.
    del regions
    holes = ~known & ~sky
    filled = depth.copy()
    if holes.any():
        # The nearest known pixel of a hole is at its rim, so that the rest need not be searched.
        part = tuple(
            slice(max(0, int(there[0]) - 1), int(there[-1]) + 2)
            for there in (np.flatnonzero(holes.any(axis)) for axis in (1, 0))
        )
        filled[part] = filled_from_nearest(depth[part], known[part])
    filled[sky] = np.inf
    said = [f"{sky.mean():.1%} of the depth is 0 at the upper edge and was taken as sky"] if sky.any() else []
    said += (
        [f"{holes.mean():.1%} of the depth is 0 and was filled from its neighbours"] if holes.any() else []
    )
    return filled, "; ".join(said) + "."
