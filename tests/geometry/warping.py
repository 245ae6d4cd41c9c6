"""The geometry kernels as single calls, for comparison with their twins. Without torch."""

import numpy as np
import warp as wp

from lyra.geometry.arrays import to_numpy
from lyra.geometry.projection import pinhole
from lyra.geometry.warp import WarpedViews, WarpSettings, splat, splat_source


def forward_warp(
    values, depth, w2c, intrinsics, target_w2c, target_intrinsics, *, mask=None, settings=None
) -> WarpedViews:
    """`splat_source` and `splat` in one call; shapes as theirs."""
    settings = settings or WarpSettings()
    source = splat_source(values, depth, w2c, intrinsics, mask=mask, pixel_offset=settings.pixel_offset)
    return splat(source, target_w2c, target_intrinsics, settings)


@wp.kernel(enable_backward=False)
def _project(
    points: wp.array2d(dtype=wp.vec3),
    w2c: wp.array1d(dtype=wp.mat44),
    k: wp.array1d(dtype=wp.mat33),
    pixels: wp.array2d(dtype=wp.vec3),
):
    n, p = wp.tid()
    pixels[n, p] = pinhole(w2c[n], k[n], points[n, p])


def project(points_world, w2c, intrinsics) -> np.ndarray:
    """`pinhole`: pixel coordinates and z-depth (N, ..., 3) float32 of world points (N, ..., 3) in camera n."""
    flat = to_numpy(points_world, np.float32).reshape(len(w2c), -1, 3)
    pixels = wp.empty(flat.shape[:2], dtype=wp.vec3, device="cpu")
    cameras = [
        wp.array(to_numpy(w2c), dtype=wp.mat44, device="cpu"),
        wp.array(to_numpy(intrinsics), dtype=wp.mat33, device="cpu"),
    ]
    points = wp.array(flat, dtype=wp.vec3, device="cpu")
    wp.launch(_project, pixels.shape, inputs=[points, *cameras], outputs=[pixels], device="cpu")
    return pixels.numpy().reshape(points_world.shape)


def points_of(cache, frame_id) -> np.ndarray:
    """A remembered frame's points (ceil(H/stride), ceil(W/stride), 3) float32; NaN where it has none."""
    return cache.points_world[cache.frame_ids.index(frame_id)].numpy().reshape(*cache.grid_hw, 3).copy()


def remembered_points(cache) -> np.ndarray:
    """The points (frames, cells, 3) float32 of all remembered frames, in the order they were added."""
    return cache.points_world.numpy()[: len(cache)].copy()
