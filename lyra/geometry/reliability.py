"""Mask of reliable depth: pixels without a depth jump in their neighbourhood."""

from __future__ import annotations

import warp as wp

from lyra.geometry.arrays import Array, ArraySpace, check_shape
from lyra.geometry.projection import clean_depth

RELIABLE_THRESHOLD = 0.05
RADIUS = wp.constant(2)
WINDOW_AREA = wp.constant(wp.float32(25.0))


@wp.kernel(enable_backward=False)
def _reliable_depth(
    depth: wp.array3d(dtype=wp.float32),
    threshold: wp.float32,
    reliable: wp.array3d(dtype=wp.uint8),
):
    n, row = wp.tid()
    height, width = depth.shape[1], depth.shape[2]
    for column in range(width):
        low = wp.float32(3.0e38)
        high = wp.float32(0.0)
        total = wp.float32(0.0)
        for i in range(wp.max(row - RADIUS, 0), wp.min(row + RADIUS + 1, height)):
            for j in range(wp.max(column - RADIUS, 0), wp.min(column + RADIUS + 1, width)):
                d = clean_depth(depth[n, i, j])
                low = wp.min(low, d)
                high = wp.max(high, d)
                total += d
        center = clean_depth(depth[n, row, column])
        spread = (high - low) / (total / WINDOW_AREA + wp.float32(1.0e-6))
        reliable[n, row, column] = wp.uint8(wp.where(center > 0.0 and spread < threshold, 1, 0))


def reliable_depth_mask(depth: Array, threshold: float = RELIABLE_THRESHOLD) -> Array:
    """Mask (N, H, W) bool of the pixels of `depth` (N, H, W) that are valid and locally continuous.

    True where depth > 0 and (max - min) / (mean + 1e-6) over the 5x5 neighbourhood is below `threshold`. As in the
    published code, the mean is zero-padded at the image border, where the test is therefore stricter.
    """
    check_shape("depth", depth, None, None, None)
    space = ArraySpace(depth)
    reliable = space.empty(tuple(depth.shape), wp.uint8)
    with space.stream():
        wp.launch(
            _reliable_depth,
            dim=tuple(depth.shape[:2]),
            inputs=[space.wrap(depth), threshold],
            outputs=[space.wrap(reliable, wp.uint8)],
            device=space.device,
        )
    return space.as_bool(reliable)
