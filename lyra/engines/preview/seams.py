"""Seam blending between a fill and its surroundings."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# Reach of the correction into a fill, as a share of the image width.
REACH = 0.12
# Larger differences (of 255) are texture, not shading, and are kept.
MOST = 12.0
# Width of the bands, in pixels, whose colours are compared on either side of the rim.
SPAN = 7


def blend_seams(
    image: np.ndarray, disparity: np.ndarray, fill: np.ndarray, excluded: np.ndarray
) -> np.ndarray:
    """`image` (H, W, 3) with the fill's shading matched to its surroundings.

    Along each rim the mean colours on both sides are compared within the same surface; the difference is added to the
    fill and decays with distance. `excluded` (H, W) marks pixels that are not part of the fill's surface.
    """
    if not fill.any():
        return image
    reach = REACH * image.shape[1]
    box = _around(fill, SPAN)
    result = image.copy()
    result[box] = _blended(image[box], disparity[box], fill[box], excluded[box], reach)
    return result


def _around(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Slices of the bounding box of `mask` (H, W) with a margin of `margin` pixels."""
    rows, columns = (
        slice(max(span[0] - margin, 0), span[-1] + 1 + margin)
        for span in (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    )
    return rows, columns


def _blended(
    image: np.ndarray, disparity: np.ndarray, fill: np.ndarray, excluded: np.ndarray, reach: float
) -> np.ndarray:
    outside = ~fill & ~excluded
    rim = fill & ndimage.maximum_filter(outside, 3)
    if not rim.any():
        return image
    inner, outer = _local_mean(image, fill), _local_mean(image, outside)
    beside = _local_mean(disparity[..., None], outside)[..., 0]
    same = np.abs(beside - disparity) <= 0.15 * np.maximum(beside, disparity)
    difference = np.clip(outer - inner, -MOST, MOST)
    rim &= same & (np.abs(outer - inner).max(-1) < 1.5 * MOST)
    if not rim.any():
        return image
    away, nearest = ndimage.distance_transform_edt(~rim, return_indices=True)
    weight = rim.astype(np.float32)
    channels = [*np.moveaxis(difference * weight[..., None], -1, 0), weight]
    *spread, total = (ndimage.gaussian_filter(c, reach / 8, mode="constant", truncate=3) for c in channels)
    spread, total = np.stack(spread, -1), total[..., None]
    smooth = np.where(total > 1e-4, spread / np.maximum(total, 1e-4), difference[tuple(nearest)])
    share = (np.exp(-((away / reach) ** 2)) * fill)[..., None]
    return np.clip(image + share * smooth, 0, 255).astype(np.float32)


def _local_mean(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    weight = ndimage.uniform_filter(mask.astype(np.float32), SPAN)
    sums = [ndimage.uniform_filter(np.where(mask, values[..., c], 0), SPAN) for c in range(values.shape[-1])]
    return np.stack(sums, -1) / np.maximum(weight, 1e-6)[..., None]
