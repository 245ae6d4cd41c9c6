"""Crisp depth edges: every pixel takes the depth of one surface, and the jump lies on the picture's own edge.

A weighted median filter of the depth with the picture as its guide (Ma, He, Wei, Sun and Wu, "Constant time weighted
median filtering for stereo matching and beyond", 2013; Zhang, Xu and Jia, "100+ times faster weighted median filter",
2014), repeated, and at every step snapped to a depth that a pixel of the window has: no depth in between is made.
"""

from __future__ import annotations

import numpy as np
import warp as wp
from scipy import ndimage
from skimage.color import rgb2lab

from lyra.depth.edge_kernels import snap

# Sky lies at this many times the farthest depth.
SKY = 3.0
# Windows whose log depths differ by less hold one surface.
ONE_SURFACE = 0.12
# Standard deviation of the colours of one surface, CIELAB units.
COLOUR_SIGMA = 8.0
# Radius of the windows in pixels at half and at full size, for a picture of 832 pixels, and the rounds at each.
COARSE, FINE = (6, 3), (3, 2)
# Depths at full size that differ by less in log from those found at half size are kept.
KEPT = 0.03


def crisp(image: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """`depth` (H, W), inf for sky, with its edges on those of `image` (H, W, 3) uint8 and nothing in between."""
    return depth.ravel()[crisp_source(image, depth)]


def crisp_source(image: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """The flat index (H, W) of the pixel whose depth each pixel takes; whatever else it knows can go with it.

    First at half size, where a window sees farther, then at full size near the edges. Things narrower than the window
    keep what they have: they would lose the vote.
    """
    height, width = depth.shape
    solid = np.isfinite(depth)
    if not solid.any() or min(height, width) < 8:
        return np.arange(depth.size).reshape(depth.shape)
    far = np.log(SKY * depth[solid].max())
    values = np.where(solid, np.log(np.where(solid, depth, 1)), far).astype(np.float32)
    lab = rgb2lab(image).astype(np.float32)
    scale = max(height, width) / 832
    coarse, fine = (max(2, round(setting[0] * scale)) for setting in (COARSE, FINE))

    # Every second pixel, so that a value at half size is a value of the picture.
    index = np.arange(depth.size).reshape(depth.shape)
    small = index[::2, ::2]
    small = small.ravel()[_rounds(values[::2, ::2], lab[::2, ::2], coarse, COARSE[1], None)]
    rows, columns = np.arange(height) // 2, np.arange(width) // 2
    large = small[rows[:, None], columns]
    flat = values.ravel()
    # Where both sizes agree the pixel's own depth is the finer one.
    source = np.where(np.abs(flat[large] - values) < KEPT, index, large)
    moved = flat[source]
    span = ndimage.maximum_filter(moved, 3) - ndimage.minimum_filter(moved, 3)
    near = ndimage.maximum_filter(span > ONE_SURFACE, 2 * fine + 1)
    return source.ravel()[_rounds(moved, lab, fine, FINE[1], near)]


def _rounds(
    values: np.ndarray, lab: np.ndarray, radius: int, rounds: int, near: np.ndarray | None
) -> np.ndarray:
    """As `crisp_source` for log depth (H, W) float32 and windows of one size, only where `near` (H, W)."""
    values, lab = np.ascontiguousarray(values), np.ascontiguousarray(lab)
    size = 2 * radius + 1
    source = np.arange(values.size).reshape(values.shape)
    keep = _thin(values, size)
    colours = wp.array(lab, dtype=wp.vec3, device="cpu")
    found = wp.empty(values.shape, wp.int32, device="cpu")
    moved = values
    for _ in range(rounds):
        span = ndimage.maximum_filter(moved, size) - ndimage.minimum_filter(moved, size)
        active = (span > ONE_SURFACE) & ~keep
        if near is not None:
            active &= near
        wp.launch(
            snap,
            values.shape,
            [
                wp.array(moved, dtype=wp.float32, device="cpu"),
                colours,
                wp.array(active.astype(np.uint8), dtype=wp.uint8, device="cpu"),
                radius,
                1 / (2 * COLOUR_SIGMA**2),
                1 / (2 * (0.6 * radius) ** 2),
                ONE_SURFACE,
            ],
            [found],
            device="cpu",
        )
        source = source.ravel()[found.numpy()]
        moved = np.ascontiguousarray(values.ravel()[source])
    return source


def _thin(values: np.ndarray, size: int) -> np.ndarray:
    """What is nearer than both its sides within `size` pixels, across the columns or across the rows."""
    across = ndimage.grey_closing(values, (1, size)) - values
    down = ndimage.grey_closing(values, (size, 1)) - values
    return np.maximum(across, down) > ONE_SURFACE
