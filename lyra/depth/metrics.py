"""How far a depth is from the truth, in the figures of the literature."""

from __future__ import annotations

import numpy as np

# Farther than this nothing is measured, as is the custom for streets (KITTI); a wider scene to thrice its median.
CAP = 80.0


def measured(truth: np.ndarray) -> np.ndarray:
    """Where `truth` (H, W), z-depth in metres, is near enough to be measured: (H, W) bool."""
    seen = np.isfinite(truth)
    return seen & (truth <= max(CAP, 3 * float(np.median(truth[seen]))) if seen.any() else False)


def fitted_depth(inverse: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Depth from relative `inverse` (H, W) after the scale and shift that fit it best to `truth` (H, W) z-depth.

    Least squares in inverse depth over what is measured, as in Ranftl et al. 2020; the result is kept within the range
    of the truth.
    """
    seen = measured(truth)
    wanted = 1 / truth[seen].astype(np.float64)
    columns = np.stack([inverse[seen].astype(np.float64), np.ones(len(wanted))], 1)
    (scale, shift), *_ = np.linalg.lstsq(columns, wanted, rcond=None)
    return 1 / np.clip(scale * inverse + shift, wanted.min(), wanted.max())


def absolute_relative(inverse: np.ndarray, truth: np.ndarray) -> float:
    """Mean of |z - truth| / truth after scale and shift over what is measured; `inverse` and `truth` (H, W)."""
    seen = measured(truth)
    return float(np.mean(np.abs(fitted_depth(inverse, truth)[seen] / truth[seen] - 1)))


def sampled_ordinal_error(
    nearness: np.ndarray, truth: np.ndarray, pairs: int = 2000, step: float = 1.1, seed: int = 0
) -> float:
    """Share of random pixel pairs in the wrong order, among those `step` times apart in `truth` (H, W) z-depth.

    `nearness` (H, W) is anything that grows as depth falls; the sky is farther than all else.
    """
    first, second = np.random.default_rng(seed).integers(truth.size, size=(2, pairs))
    inverse = 1 / truth.ravel()
    a, b = inverse[first], inverse[second]
    apart = np.maximum(a, b) > step * np.minimum(a, b)
    if not apart.any():
        return 0.0
    told = np.sign(nearness.ravel()[first] - nearness.ravel()[second])
    return float(np.mean(told[apart] != np.sign(a - b)[apart]))


def field_of_view(focal: float | np.ndarray) -> float | np.ndarray:
    """Degrees over the longer side, for the focal length in units of that side."""
    return np.degrees(2 * np.arctan(0.5 / np.asarray(focal)))


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two masks; 1 where both are empty."""
    union = (mask | truth).sum()
    return float((mask & truth).sum() / union) if union else 1.0
