"""Edge-aware upsampling of the network's maps to the image's resolution.

At a depth edge two surfaces meet, and depths in between belong to neither. Every image pixel there is assigned to the
nearer or the farther surface, by its upsampled value and by the similarity of its colour to either surface.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from lyra.common.shapes import height_width

# Low-resolution pixels: side of the window that contains the two surfaces, and width of a blurred edge.
WINDOW, STEP_WIDTH = 11, 5
# Over the width of a step, a slope has less than half of the window's range, an edge most of it.
SLOPE_SHARE, EDGE_SHARE = 0.45, 0.65
# How strongly the extreme values dominate the statistics of a surface.
PURITY = 10
# Least standard deviation of a surface's colours (0 ... 1): film grain, paint.
GRAIN = 0.06
# Limit of the colour evidence for one side, in logits.
MOST_EVIDENCE = 8.0


@dataclass(frozen=True)
class _Surface:
    """One side of the edges, at low resolution: `value` (h, w), `color` (h, w, 3) and its `variance` (h, w)."""

    value: np.ndarray
    color: np.ndarray
    variance: np.ndarray


def resized(values: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """`values` (h, w) or (h, w, C) resized bilinearly to (H, W), float32."""
    if values.ndim == 3:
        return np.stack([resized(values[..., c], size_hw) for c in range(values.shape[2])], -1)
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(image.resize(size_hw[::-1], Image.Resampling.BILINEAR))


def upsampled_to_edges(values: np.ndarray, small: np.ndarray, image: np.ndarray, step: float) -> np.ndarray:
    """`values` (h, w) float32 at the size of `image` (H, W, 3), of which `small` (h, w, 3) is the downscaled version.

    Colours are 0 ... 1. Sharpening sets in where neighbouring values differ by `step` and is full at twice that.
    """
    size = height_width(image)
    low, high = ndimage.minimum_filter(values, WINDOW), ndimage.maximum_filter(values, WINDOW)
    share = np.clip((values - low) / np.maximum(high - low, 1e-6), 0, 1)
    nearer, farther = _surface(values, small, share), _surface(values, small, 1 - share)
    share = resized(share, size)
    logit = 4 * np.log((share + 0.02) / (1.02 - share))
    logit += _evidence(nearer, farther, image)
    chosen = 1 / (1 + np.exp(-np.clip(logit, -30, 30)))
    far_value, near_value = resized(farther.value, size), resized(nearer.value, size)
    smooth = resized(values, size)
    edge = resized(_edge(values, high - low, step), size)
    return smooth + edge * (far_value + (near_value - far_value) * chosen - smooth)


def _edge(values: np.ndarray, span: np.ndarray, step: float) -> np.ndarray:
    """How much the window of each low-resolution pixel contains an edge, (h, w) in [0, 1]."""
    local = ndimage.maximum_filter(values, STEP_WIDTH) - ndimage.minimum_filter(values, STEP_WIDTH)
    steepest = ndimage.maximum_filter(local, WINDOW - STEP_WIDTH + 1)
    sudden = (steepest / np.maximum(span, 1e-6) - SLOPE_SHARE) / (EDGE_SHARE - SLOPE_SHARE)
    return np.clip(sudden, 0, 1) * np.clip(span / step - 1, 0, 1)


def _surface(values: np.ndarray, small: np.ndarray, share: np.ndarray) -> _Surface:
    """Statistics of the pixels of each window that belong to one side, weighted by `share` (h, w)."""
    weight = share**PURITY + 1e-4
    total = ndimage.uniform_filter(weight, WINDOW)

    def mean(array: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(array * weight, WINDOW) / total

    color = np.stack([mean(small[..., c]) for c in range(3)], -1)
    variance = mean((small**2).sum(-1)) - (color**2).sum(-1)
    return _Surface(mean(values), color, np.maximum(variance, 0) + GRAIN**2)


def _evidence(nearer: _Surface, farther: _Surface, image: np.ndarray) -> np.ndarray:
    """Logit (H, W) that a pixel of `image` has the nearer surface's colour, both modelled as normal distributions."""
    size = height_width(image)

    def likelihood(surface: _Surface) -> np.ndarray:
        variance = resized(surface.variance, size)
        away = ((image - resized(surface.color, size)) ** 2).sum(-1)
        return -away / variance - 3 * np.log(variance)

    return np.clip(likelihood(nearer) - likelihood(farther), -MOST_EVIDENCE, MOST_EVIDENCE)
