"""Per-pixel ray maps, and space-to-depth, the network's input layout.

The published camera encoding is called Plücker, but consists of origin and direction, not of direction and moment.
"""

from __future__ import annotations

import warp as wp

from lyra.common.errors import InvalidInputError
from lyra.geometry.arrays import Array, ArraySpace, check_shape, inverse, is_torch, to_numpy
from lyra.geometry.projection import PIXEL_CENTER, pixel_ray

PATCH = 8


@wp.kernel(enable_backward=False)
def _camera_rays(
    c2w: wp.array1d(dtype=wp.mat44),
    k_inv: wp.array1d(dtype=wp.mat33),
    stride: wp.int32,
    offset: wp.float32,
    rays: wp.array4d(dtype=wp.float32),
):
    n, i, j = wp.tid()
    camera = c2w[n]
    ray = pixel_ray(k_inv[n], i * stride, j * stride, offset)
    direction = wp.transform_vector(camera, wp.normalize(ray))
    for c in range(3):
        rays[n, i, j, c] = camera[c, 3]
        rays[n, i, j, c + 3] = direction[c]


def camera_rays(
    c2w: Array,
    intrinsics: Array,
    height: int,
    width: int,
    *,
    stride: int = 1,
    pixel_offset: float = PIXEL_CENTER,
) -> Array:
    """Origin and unit direction (N, ceil(H/stride), ceil(W/stride), 6) float32 of every stride-th pixel's ray.

    `c2w` (N, 4, 4) maps cameras to the frame of the rays (for the network that of the newest frame: w2c of the
    newest @ c2w), `intrinsics` (N, 3, 3) in pixels. The published code uses pixel centres here, too.
    """
    check_shape("c2w", c2w, None, 4, 4)
    n = len(c2w)
    check_shape("intrinsics", intrinsics, n, 3, 3)
    space = ArraySpace(c2w)
    rays = space.empty((n, -(-height // stride), -(-width // stride), 6))
    with space.stream():
        wp.launch(
            _camera_rays,
            dim=tuple(rays.shape[:3]),
            inputs=[
                space.upload(to_numpy(c2w), wp.mat44),
                space.upload(inverse(intrinsics), wp.mat33),
                stride,
                pixel_offset,
            ],
            outputs=[space.wrap(rays)],
            device=space.device,
        )
    return rays


def space_to_depth(images: Array, patch: int = PATCH) -> Array:
    """Images (N, H, W, C) as (N, C * patch**2, H / patch, W / patch).

    Pixel (v, u) of component c lands in channel c * patch**2 + (v mod patch) * patch + u mod patch.
    Raises InvalidInputError if H or W is not a multiple of `patch`.
    """
    check_shape("images", images, None, None, None, None)
    n, height, width, channels = images.shape
    if height % patch or width % patch:
        raise InvalidInputError(
            f"Image size {width}x{height} is not divisible into {patch}x{patch} patches; use multiples of {patch}."
        )
    blocks = images.reshape(n, height // patch, patch, width // patch, patch, channels)
    order = (0, 5, 2, 4, 1, 3)
    blocks = blocks.permute(*order) if is_torch(blocks) else blocks.transpose(*order)
    return blocks.reshape(n, channels * patch * patch, height // patch, width // patch)
