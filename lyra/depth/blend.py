"""Depth completion: partial depth, such as a blockout's, filled in seamlessly by an estimate.

The estimate is first fitted to the known pixels by a robust scale (and shift) of inverse depth. The remaining
difference along the border of the known region is diffused outward as a factor that decays with distance, so that
depth is continuous across the border and the estimate's own edges are kept. Differences as large as between two
separate objects decay within a short distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lyra.common.errors import InvalidInputError
from lyra.common.shapes import height_width
from lyra.depth.base import DepthEstimate, DepthEstimator
from lyra.depth.file import DepthFile, chosen_lens
from lyra.depth.fit import InverseFit, disagreement, fit_scale, fit_scale_and_shift, spread

# Decay length of the difference at the border, in longer sides of the image.
REACH, ODD_REACH = 0.35, 0.05
# Log differences beyond this many deviations (and at least ODD) are taken to be between separate objects.
ODD_DEVIATIONS, ODD = 3.0, 0.4
# A shift is fitted only if known depths vary by this factor and it reduces the error enough.
SPAN_FOR_SHIFT, SHIFT_GAIN = 1.5, 0.8
FEWEST = 16
SWEEPS, COARSEST = 30, 8
DAMPING = 0.9
NOTHING_IN_COMMON = (
    "at a scale of its own: the file has no surface in common with it. Let the file know a part of the ground or of a "
    "wall, or correct the scale with Set Scale."
)


@dataclass(frozen=True)
class JoinedDepth:
    """z-depth (H, W) float32, inf for sky. If not `fitted`, the estimate in it keeps its own scale."""

    depth: np.ndarray
    fitted: bool


def join_depth(known: np.ndarray, estimate: np.ndarray) -> JoinedDepth:
    """`known` where it is not NaN, `estimate` elsewhere, fitted where both are finite, if anywhere.

    Both (H, W), positive, inf for sky; `estimate` has no NaN. Raises InvalidInputError if the shapes differ.
    """
    if known.shape != estimate.shape:
        raise InvalidInputError(
            f"Known depth has shape {known.shape}, the estimate {estimate.shape}; both need the same."
        )
    given = ~np.isnan(known)
    both = np.isfinite(known) & np.isfinite(estimate)
    if not both.any() or given.all():
        return JoinedDepth(np.where(given, known, estimate).astype(np.float32), bool(both.any()))
    inverse = np.where(np.isfinite(estimate), 1 / np.asarray(estimate, np.float64), 0.0)
    fit = _fit(1 / known[both].astype(np.float64), inverse[both])
    fitted = fit.applied(inverse)
    with np.errstate(divide="ignore"):
        log_depth = np.where(inverse > 0, -np.log(fitted), 0.0)
    difference = np.where(both, np.log(np.where(both, known, 1)) - log_depth, 0.0)
    # Only the border counts: differences inside the known region do not affect the rest.
    border = both & ndimage.binary_dilation(~given, np.ones((3, 3)))
    limit = max(ODD_DEVIATIONS * spread(difference[both], np.ones(both.sum())), ODD)
    usual = np.where(np.abs(difference) <= limit, difference, 0.0)
    longer = max(known.shape)
    field = diffused(usual, border, ~given, REACH * longer)
    field += diffused(difference - usual, border, ~given, ODD_REACH * longer)
    with np.errstate(divide="ignore"):
        filled = np.where(inverse > 0, np.exp(log_depth + field), np.inf)
    return JoinedDepth(np.where(given, known, filled).astype(np.float32), True)


def _fit(known: np.ndarray, seen: np.ndarray) -> InverseFit:
    """The robust fit of inverse depths `seen` (n,) to `known` (n,)."""
    weight = np.ones(len(known))
    fit = fit_scale(seen, known, weight)
    low, high = np.quantile(seen, (0.05, 0.95))
    if len(known) < FEWEST or high < SPAN_FOR_SHIFT * low:
        return fit
    shifted = fit_scale_and_shift(seen, known, weight)
    if shifted is None:
        return fit
    plain, better = (disagreement(np.log(known / f.applied(seen)), weight) for f in (fit, shifted))
    return shifted if better < SHIFT_GAIN * plain else fit


def diffused(values: np.ndarray, fixed: np.ndarray, free: np.ndarray, reach: float) -> np.ndarray:
    """`values` (H, W) at the pixels `fixed` diffused into the pixels `free`, (H, W) float64, 0 elsewhere.

    The solution f of laplace(f) = f / reach^2, with f given at `fixed` and no flux across any other border of `free`:
    smooth, continuous with the given values, and decaying over a length of `reach` pixels. Solved from coarse to fine
    (cascadic multigrid, Bornemann and Deuflhard 1996).
    """
    height, width = values.shape
    if max(height, width) >= 2 * COARSEST:
        coarse = diffused(*_halved(values, fixed, free), reach / 2)
        start = coarse.repeat(2, 0).repeat(2, 1)[:height, :width]
    else:
        start = np.zeros((height, width))
    field = np.where(fixed, values, np.where(free, start, 0.0))
    passable = np.pad((fixed | free).astype(np.float64), 1)
    neighbours = _beside(passable)
    share = DAMPING / np.maximum(neighbours + reach**-2, 1e-12)
    update = free & ~fixed
    for _ in range(SWEEPS):
        around = _beside(np.pad(field, 1) * passable)
        field = np.where(update, (1 - DAMPING) * field + share * around, field)
    return np.where(fixed | free, field, 0.0)


def _beside(padded: np.ndarray) -> np.ndarray:
    """Sum of the four neighbours, (H, W) of (H + 2, W + 2)."""
    return padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]


def _halved(
    values: np.ndarray, fixed: np.ndarray, free: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The problem at half resolution: a 2 x 2 block is fixed to the mean of its fixed pixels."""
    pad = [(0, n % 2) for n in values.shape]
    count = _summed(np.pad(fixed, pad).astype(np.float64))
    total = _summed(np.pad(np.where(fixed, values, 0.0), pad))
    return total / np.maximum(count, 1), count > 0, _summed(np.pad(free, pad).astype(np.float64)) > 0


def _summed(values: np.ndarray) -> np.ndarray:
    return values[::2, ::2] + values[1::2, ::2] + values[::2, 1::2] + values[1::2, 1::2]


class BlendedDepth:
    """A depth file with unknown pixels, completed by an estimator."""

    def __init__(self, file: DepthFile, estimator: DepthEstimator):
        """`file` is a DepthFile with `blend`; `estimator` provides the pixels it lacks."""
        self.id = f"file+{estimator.id}"
        self.file, self.estimator = file, estimator

    def check_size(self, target_hw: tuple[int, int]) -> tuple[int, int]:
        """As `shown_size` for the file and the fitted picture's (height, width)."""
        return self.file.check_size(target_hw)

    def estimate(self, image: np.ndarray, intrinsics: np.ndarray | None = None) -> DepthEstimate:
        """Depth of `image` (H, W, 3). Raises InvalidInputError if the file's size does not match."""
        known, lens, notes = self.file.known(height_width(image))
        intrinsics, said = chosen_lens(intrinsics, lens)
        guess = self.estimator.estimate(image, intrinsics)
        unknown = np.isnan(known)
        confidence = guess.confidence
        if confidence is not None:
            confidence = np.where(unknown, confidence, np.float32(1))
        joined = join_depth(known, guess.depth)
        share = f"{unknown.mean():.0%} of the depth was filled in by {guess.source}"
        notes += (f"{share}, fitted to the file's." if joined.fitted else f"{share} {NOTHING_IN_COMMON}",)
        source = f"the file {self.file.path.name}, filled in by {guess.source}"
        metric = joined.fitted or guess.metric
        return DepthEstimate(
            joined.depth, guess.intrinsics, metric, source, confidence, (*notes, *said, *guess.notes)
        )
