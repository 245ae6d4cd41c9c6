"""Relative depth maps: inverse depth without a scale, near is bright.

Tools that make depth maps write inverse depth up to a scale and an offset (Ranftl et al. 2020, "Towards Robust
Monocular Depth Estimation"): 1/z = offset + gain * value. Both are found by a robust fit to what an estimator sees in
the same picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from lyra.common.errors import InvalidInputError
from lyra.common.shapes import height_width
from lyra.depth.base import DepthEstimate, DepthEstimator
from lyra.depth.checks import filled_from_nearest, sanitise
from lyra.depth.file import SKY, chosen_lens, fitted_depth, fitted_lens, shown_size
from lyra.depth.fit import fit_line
from lyra.depth.stored import StoredDepth, file_named, read_png, read_stored

# What is below this share of the largest value is as good as 0: maps of 8 bits are hardly ever even in the sky.
NOTHING = 5 / 255
# The value 0 is at most so many times as far as the estimate's far end; a range that is laid over the estimate's
# is not narrower than NARROWEST. A fit to a range below FLAT says nothing.
FARTHER, NARROWEST, FLAT = 4.0, 1.5, 1.05
LEVELS = 256
# Pixels over which the steps of 8 bits are smoothed, one after the other.
SMOOTHING = (2, 4, 8, 16, 4)


@dataclass(frozen=True)
class RelativeFit:
    """1/z = offset + gain * value, gain > 0, from `floor` at the value 0 on; `agreed` says that the estimate had it so.

    Where the line falls below twice the floor, a flatter one goes on to it, so that nothing loses its order.
    """

    gain: float
    offset: float
    floor: float
    agreed: bool

    def applied(self, values: np.ndarray) -> np.ndarray:
        """1/z of `values` in [0, 1], positive."""
        line = self.offset + self.gain * values
        if self.offset >= self.floor:
            return line
        knee = (2 * self.floor - self.offset) / self.gain
        return np.where(values < knee, self.floor * (1 + values / knee), line).astype(values.dtype)


class RelativeDepthFile:
    """A map of inverse depth up to scale and offset, both taken from an estimator of the same picture.

    .png: 8 or 16 bits, grey; what is transparent is filled from its neighbours. Other files: floats as `DepthFile`
    finds them. What is as good as 0 is sky where the estimator sees sky.
    """

    def __init__(self, path: str | Path, estimator: DepthEstimator, source_hw: tuple[int, int] | None = None):
        """Reads and checks the file. `source_hw` is the (height, width) of the picture before it was fitted.

        Raises InvalidInputError for a file that holds no such map.
        """
        self.id = f"file+{estimator.id}"
        self.path, self.estimator, self.source_hw = Path(path), estimator, source_hw
        self.stored = read_relative(self.path)

    def check_size(self, target_hw: tuple[int, int]) -> tuple[int, int]:
        """As `shown_size` for this file and the fitted picture's (height, width)."""
        return shown_size(self.path, height_width(self.stored.depth), target_hw, self.source_hw)

    def estimate(self, image: np.ndarray, intrinsics: np.ndarray | None = None) -> DepthEstimate:
        """Depth of `image` (H, W, 3). Raises InvalidInputError when the sizes do not match."""
        target_hw = height_width(image)
        shown_hw = self.check_size(target_hw)
        lens, scaled = fitted_lens(self.stored, shown_hw, target_hw)
        intrinsics, said = chosen_lens(intrinsics, lens)
        guess = sanitise(self.estimator.estimate(image, intrinsics))
        solid = ~guess.sky
        if not solid.any():
            raise InvalidInputError(
                f"{guess.source} sees nothing but sky, so {self.path.name} gets no scale; choose another depth model."
            )
        # Bilinear, as it is in 1/z: the values themselves, raised so that none is infinitely far.
        values = 1 / fitted_depth(1 / (1 + self.stored.depth), target_hw, shown_hw) - 1
        fit = fit_relative(values[solid], 1 / guess.depth[solid].astype(np.float64))
        depth = fitted_depth(1 / fit.applied(self.stored.depth), target_hw, shown_hw)
        if self.stored.step:
            depth = 1 / without_steps(1 / depth, fit.gain * self.stored.step)
        depth = np.where(guess.sky & (values < NOTHING), np.inf, depth).astype(np.float32)
        source = f"the file {self.path.name}, scaled to {guess.source}"
        notes = (*self._notes(fit), *scaled, *said, *guess.notes)
        return DepthEstimate(depth, guess.intrinsics, False, source, None, notes)

    def _notes(self, fit: RelativeFit) -> tuple[str, ...]:
        said = (
            f"{self.path.name} was read as relative depth, near is bright: 1/z = {fit.offset:.3g} + {fit.gain:.3g} v. "
            "Its scale is the estimate's guess; Set Scale sets a true one."
        )
        doubt = (
            "What is bright in it is not what the estimate takes for near, so its range was laid over the estimate's. "
            "If near is dark in it, invert it."
        )
        return (*self.stored.notes, said) if fit.agreed else (*self.stored.notes, said, doubt)


def fit_relative(values: np.ndarray, inverse: np.ndarray) -> RelativeFit:
    """How `values` (n,) in [0, 1] become the inverse depths `inverse` (n,) > 0 of an estimate; the gain is positive.

    Where the two contradict each other, [0, 1] becomes the range of the inverse depths.
    """
    low, high = np.quantile(inverse, (0.02, 0.98))
    floor = low / FARTHER
    line = fit_line(values, inverse)
    agreed = False
    if line is not None:
        farthest, nearest = (line[0] * value + line[1] for value in (values.min(), values.max()))
        agreed = bool(nearest > FLAT * max(farthest, floor))
    gain, offset = line if line is not None and agreed else (max(high, NARROWEST * low) - low, low)
    return RelativeFit(float(gain), float(offset), float(floor), agreed)


def without_steps(values: np.ndarray, step: float) -> np.ndarray:
    """`values` (H, W) that were rounded to multiples of `step`, smoothed as far as the rounding leaves it open."""
    low, high = np.maximum(values - step / 2, values.min()), values + step / 2
    for sigma in SMOOTHING:
        values = np.clip(ndimage.gaussian_filter(values, sigma), low, high)
    return values


def read_relative(path: Path) -> StoredDepth:
    """The map (H, W) float32 in [0, 1], 1 the nearest. Raises InvalidInputError for a file that holds none."""
    stored = read_stored(path, _read_png)
    values = stored.depth
    with file_named(path):
        if values.ndim != 2 or min(values.shape) < 2:
            raise InvalidInputError(f"The depth has the shape {values.shape}; (height, width) is needed.")
        if not (values < SKY).all() or values.min() < 0:
            raise InvalidInputError(
                f"Its values go from {values.min():.4g} to {values.max():.4g}; in a relative map none is negative, "
                "infinite or not a number. If it is a Z pass in metres, read it as such (depth values metres)."
            )
        if np.ptp(values) == 0:
            raise InvalidInputError(f"All of its values are {values.max():.4g}; nothing is nearer in it.")
    # Those of other files speak of metres.
    notes = stored.notes if path.suffix.lower() in (".png", ".npz") else ()
    values = values / values.max()
    return StoredDepth(values, stored.intrinsics, notes, _step(values))


def _step(values: np.ndarray) -> float:
    """The step between the few different values of a map, as those of 8 bits have it in any file; else 0."""
    levels = np.unique(values)
    return float(np.diff(levels).min()) if len(levels) <= LEVELS else 0.0


def _read_png(data: bytes) -> StoredDepth:
    png = read_png(data)
    values, notes = png.values.astype(np.float32), ()
    if not png.opaque.all():
        values = filled_from_nearest(values, png.opaque)
        clear = (~png.opaque).mean()
        notes = (f"{clear:.1%} of the depth map is transparent and was filled from its neighbours.",)
    return StoredDepth(values, None, notes)
