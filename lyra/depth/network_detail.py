"""From the network's small maps to the picture's size, with edges where the picture has them."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

# Squared steps of colour (0 ... 1) that count as texture on one surface.
SMOOTHING = 4e-4


def resized(values: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """`values` (h, w) float32, bilinear, at (H, W)."""
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(image.resize(size_hw[::-1], Image.Resampling.BILINEAR))


def guided_upsampled(values: np.ndarray, small: np.ndarray, image: np.ndarray, radius: int) -> np.ndarray:
    """`values` (h, w) at the size of `image` (H, W, 3), as a colour-guided filter draws them.

    Fast guided filter (He and Sun 2015): in each window of `radius` the values are fitted by a linear function of the
    colours `small` (h, w, 3); the coefficients are enlarged and applied to the colours of `image`. Colours 0 ... 1.
    """
    box = 2 * radius + 1

    def mean(array: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(array, (box, box) + (0,) * (array.ndim - 2), mode="nearest")

    guide_mean, value_mean = mean(small), mean(values)
    products = (small[..., :, None] * small[..., None, :]).reshape(*values.shape, 9)
    covariance = mean(products).reshape(*values.shape, 3, 3)
    covariance = covariance - guide_mean[..., :, None] * guide_mean[..., None, :]
    covariance += SMOOTHING * np.eye(3, dtype=np.float32)
    cross = mean(small * values[..., None]) - guide_mean * value_mean[..., None]
    slope = np.linalg.solve(covariance, cross[..., None])[..., 0]
    offset = value_mean - (slope * guide_mean).sum(-1)
    coefficients = mean(np.concatenate([slope, offset[..., None]], -1).astype(np.float32))
    large = np.stack([resized(coefficients[..., c], image.shape[:2]) for c in range(4)], -1)
    return (large[..., :3] * image).sum(-1) + large[..., 3]


def snapped(values: np.ndarray, small: np.ndarray, step: float) -> np.ndarray:
    """`values` (H, W) kept within what `small` (h, w) holds nearby, and off the slopes between two surfaces.

    Where nearby values differ by more than `step` a pixel between them goes toward the one it is closer to: points
    half way between a thing and what is behind it belong to neither.
    """
    low = resized(ndimage.minimum_filter(small, 3), values.shape)
    high = resized(ndimage.maximum_filter(small, 3), values.shape)
    share = np.clip((values - low) / np.maximum(high - low, 1e-6), 0, 1)
    steep = share * share * share * (share * (6 * share - 15) + 10)
    edge = np.clip((high - low) / step - 1, 0, 1)
    return low + (high - low) * (share + edge * (steep - share))
