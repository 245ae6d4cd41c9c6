"""Depth edges made crisp: estimators blur them, and a blurred edge would become a curtain between two things."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# An edge's two sides differ by at least this factor in disparity. Estimated depth rises and falls within one wall by
# smaller factors: steps made of those would cut it up, and a fill beside it could no longer take it as its source.
CONTRAST = 1.7
# A pixel on a ramp differs from both sides by at least this share of the step, and so do its own neighbours from it.
BETWEEN = 0.06
# Twice the window must not show much more: a plane seen at a slant goes on, an edge does not.
GOES_ON = 1.35


def sharpened(depth: np.ndarray) -> np.ndarray:
    """Depth (H, W) in which the pixels of a blurred edge have joined the nearer of its two sides in the picture.

    Crisp depth, planes at a slant and curved surfaces stay as they are. Sky (inf) may be a side.
    """
    reach = max(3, depth.shape[1] // 120)
    with np.errstate(divide="ignore"):
        disparity = (1 / depth).astype(np.float32)
    low, high = _range(disparity, 2 * reach + 1)
    wide_low, wide_high = _range(disparity, 4 * reach + 1)
    beside_low, beside_high = _range(disparity, 3)
    step = high - low
    ramp = (high > CONTRAST * low) & (wide_high - wide_low < GOES_ON * step)
    ramp &= (disparity - beside_low > BETWEEN * step) & (beside_high - disparity > BETWEEN * step)
    if not ramp.any() or ramp.all():
        return depth
    nearest = ndimage.distance_transform_edt(ramp, return_distances=False, return_indices=True)
    return np.where(ramp, depth[tuple(nearest)], depth).astype(np.float32)


def _range(values: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    return ndimage.minimum_filter(values, size), ndimage.maximum_filter(values, size)
