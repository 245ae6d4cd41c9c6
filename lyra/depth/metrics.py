"""Depth metrics of the literature."""

from __future__ import annotations

import numpy as np

# Evaluated up to this depth, as is usual for streets (KITTI), or up to three times the median of larger scenes.
CAP = 80.0


def measured(truth: np.ndarray) -> np.ndarray:
    """Mask (H, W) bool of the pixels of `truth` (H, W), z-depth in metres, that are evaluated."""
    seen = np.isfinite(truth)
    return seen & (truth <= max(CAP, 3 * float(np.median(truth[seen]))) if seen.any() else False)


def fitted_depth(inverse: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Depth from relative `inverse` (H, W) after the best scale and shift to `truth` (H, W) z-depth.

    Least squares in inverse depth over evaluated pixels, as in Ranftl et al. 2020; the result is clamped to the range
    of the truth.
    """
    seen = measured(truth)
    wanted = 1 / truth[seen].astype(np.float64)
    columns = np.stack([inverse[seen].astype(np.float64), np.ones(len(wanted))], 1)
    (scale, shift), *_ = np.linalg.lstsq(columns, wanted, rcond=None)
    return 1 / np.clip(scale * inverse + shift, wanted.min(), wanted.max())


def absolute_relative(inverse: np.ndarray, truth: np.ndarray) -> float:
    """Mean of |z - truth| / truth after scale and shift over evaluated pixels; `inverse` and `truth` (H, W)."""
    seen = measured(truth)
    return float(np.mean(np.abs(fitted_depth(inverse, truth)[seen] / truth[seen] - 1)))


def sampled_ordinal_error(
    nearness: np.ndarray, truth: np.ndarray, pairs: int = 2000, step: float = 1.1, seed: int = 0
) -> float:
    """Share of random pixel pairs in the wrong order, among those apart by a factor `step` in `truth` (H, W) z-depth.

    `nearness` (H, W) is any decreasing function of depth; sky is farthest.
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
    """Field of view in degrees over the longer side, for the focal length in units of that side."""
    return np.degrees(2 * np.arctan(0.5 / np.asarray(focal)))


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two masks; 1 where both are empty."""
    union = (mask | truth).sum()
    return float((mask & truth).sum() / union) if union else 1.0
