"""Depth edge sharpening: an edge blurred by an estimator would become a curtain between two objects."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# The two sides of an edge differ by at least this factor in disparity. Estimated depth varies by smaller factors within
# one wall; sharpening those would split the wall, and fills next to it could no longer use it as a source.
CONTRAST = 1.7
# A pixel on a ramp differs from both sides, and from its neighbours, by at least this share of the step.
BETWEEN = 0.06
# A window twice as wide must not have a much larger range, as it has on a slanted plane.
GOES_ON = 1.35


def sharpened(depth: np.ndarray) -> np.ndarray:
    """Depth (H, W) with the pixels of blurred edges assigned to the side that is closer in the image.

    Sharp depth, slanted planes and curved surfaces are unchanged. Sky (inf) may be a side.
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
