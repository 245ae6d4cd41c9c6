"""Un-projection of depth maps to world points, and the pinhole projection used in kernels.

The ray of pixel (i, j) passes through (i + pixel_offset, j + pixel_offset) of the image plane: 0.5, the pixel
centre, everywhere in this project; 0.0, the integer index, in the published Lyra 2.0.
"""

from __future__ import annotations

import warp as wp

from lyra.geometry.arrays import Array, ArraySpace, check_shape, inverse

PIXEL_CENTER = 0.5
MAX_DEPTH = wp.constant(wp.float32(1e4))
# Added to z before dividing, as in the published code.
Z_EPSILON = wp.constant(wp.float32(1e-7))


@wp.func
def clean_depth(depth: wp.float32) -> wp.float32:
    """Depth clamped to [0, 1e4], NaN as 1e4, as in the published code."""
    far = MAX_DEPTH
    if wp.isnan(depth):
        return far
    return wp.clamp(depth, wp.float32(0.0), far)


@wp.func
def pixel_ray(k_inv: wp.mat33, row: wp.int32, column: wp.int32, offset: wp.float32) -> wp.vec3:
    return k_inv * wp.vec3(wp.float32(column) + offset, wp.float32(row) + offset, wp.float32(1.0))


@wp.func
def pinhole(w2c: wp.mat44, k: wp.mat33, point: wp.vec3) -> wp.vec3:
    """Pixel coordinates (u, v) and z-depth of a world point."""
    camera = wp.transform_point(w2c, point)
    p = k * camera
    return wp.vec3(p[0] / (p[2] + Z_EPSILON), p[1] / (p[2] + Z_EPSILON), p[2])


@wp.kernel(enable_backward=False)
def _unproject(
    depth: wp.array3d(dtype=wp.float32),
    c2w: wp.array1d(dtype=wp.mat44),
    k_inv: wp.array1d(dtype=wp.mat33),
    stride: wp.int32,
    offset: wp.float32,
    invalid: wp.float32,
    points: wp.array4d(dtype=wp.float32),
):
    n, i, j = wp.tid()
    z = clean_depth(depth[n, i * stride, j * stride])
    world = wp.vec3(invalid, invalid, invalid)
    if z > wp.float32(0.0):
        world = wp.transform_point(c2w[n], pixel_ray(k_inv[n], i * stride, j * stride, offset) * z)
    for c in range(3):
        points[n, i, j, c] = world[c]


def unproject(
    depth: Array,
    w2c: Array,
    intrinsics: Array,
    *,
    stride: int = 1,
    pixel_offset: float = PIXEL_CENTER,
    invalid: float = 0.0,
) -> Array:
    """World points (N, ceil(H/stride), ceil(W/stride), 3) float32 of every stride-th pixel, from pixel (0, 0) on.

    `depth` (N, H, W) is z-depth, `w2c` (N, 4, 4), `intrinsics` (N, 3, 3) in pixels. NaN depth counts as 1e4 and
    depth is clamped to [0, 1e4]; pixels of depth 0 get `invalid` in all three coordinates (the published code: 0).
    """
    check_shape("depth", depth, None, None, None)
    n, height, width = depth.shape
    check_shape("w2c", w2c, n, 4, 4)
    check_shape("intrinsics", intrinsics, n, 3, 3)
    space = ArraySpace(depth)
    points = space.empty((n, -(-height // stride), -(-width // stride), 3))
    with space.stream():
        wp.launch(
            _unproject,
            dim=tuple(points.shape[:3]),
            inputs=[
                space.wrap(depth),
                space.upload(inverse(w2c), wp.mat44),
                space.upload(inverse(intrinsics), wp.mat33),
                stride,
                pixel_offset,
                invalid,
            ],
            outputs=[space.wrap(points)],
            device=space.device,
        )
    return points
