"""Correspondence maps: canonical coordinates of retrieved frames, warped into the target views.

Each retrieved frame gets an image of its own pixel coordinates, canonical to [-1, 1], with the memory slot as third
component. Splatted into the new cameras, it says for every pixel which pixel of which slot it should look like.
A buffer has `slots` blocks, the best frame's first, of four components (x, y, slot, depth) of 8x8 sub-pixels each.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lyra.engines.lyra2.latents import FRAMES_PER_LATENT
from lyra.geometry.arrays import Array, ArraySpace, to_numpy
from lyra.geometry.rays import space_to_depth
from lyra.geometry.warp import WarpSettings, farthest_depths, splat, splat_source
from lyra.memory.cache import GeometryCache

SLOTS = 5
EMPTY_BLOCK = (-1.0, -1.0, -1.0, 1.0)
# The published depth model puts sky at this quantile of a frame's other depth, but no farther than this many metres.
SKY_QUANTILE, FARTHEST_SKY = 0.99, 200.0


def with_sky_wall(depth: Array) -> np.ndarray:
    """Depth (H, W) float32 as the published network knows it: sky (inf) is a wall behind the frame's other depth.

    At infinity it would leave nothing of the range [-1, 1] to what is near.
    """
    depth = to_numpy(depth, np.float32)
    sky = np.isinf(depth)
    if not sky.any():
        return depth
    solid = depth[~sky & (depth > 0)]
    wall = min(float(np.quantile(solid, SKY_QUANTILE)), FARTHEST_SKY) if len(solid) else FARTHEST_SKY
    return np.where(sky, np.float32(wall), depth)


def canonical_coordinates(height: int, width: int, slots: int = SLOTS) -> np.ndarray:
    """Images (slots, H, W, 3) float32: x, y run over [-1, 1] from pixel to pixel, z from slot to slot."""
    x, y, z = (np.linspace(-1, 1, n, dtype=np.float32) for n in (width, height, slots))
    return np.stack(np.broadcast_arrays(x, y[:, None], z[:, None, None]), -1)


def history_correspondences(height: int, width: int, slots: int = SLOTS) -> np.ndarray:
    """Buffer (slots, slots * 256, H/8, W/8) float32 of the memory slots themselves, worst slot first.

    A slot sees its own coordinates, in the first block with the least depth, in the others with the greatest.
    """
    own = np.broadcast_to(
        canonical_coordinates(height, width, slots)[:, :, :, None], (slots, height, width, slots, 3)
    )
    depth = np.ones((slots, height, width, slots, 1), np.float32)
    depth[:, :, :, 0] = -1
    return space_to_depth(np.concatenate([own, depth], -1).reshape(slots, height, width, slots * 4))


def warped_correspondences(
    cache: GeometryCache,
    frame_ids: list[int],
    target_w2c: Array,
    target_intrinsics: Array,
    splat_settings: WarpSettings | None = None,
    slots: int = SLOTS,
    like: Array | None = None,
) -> Array:
    """Buffer (T/4, slots * 256, H/8, W/8) float32 of `frame_ids`, best last, in every fourth of T target cameras.

    `target_w2c` (T, 4, 4), `target_intrinsics` (T, 3, 3). Depth is scaled to [-1, 1] over all retrieved frames and all
    T targets, holes (depth 0) included; blocks without a frame are (-1, -1, -1, 1). The work is done where `like` is
    and the result is of its kind, by default that of the cached depth: a memory on the host serves a GPU.
    """
    settings = splat_settings or WarpSettings(pixel_offset=cache.settings.pixel_offset)
    height, width = cache.height, cache.width
    kept = slice(FRAMES_PER_LATENT - 1, None, FRAMES_PER_LATENT)
    if like is None:
        like = cache[frame_ids[-1]].depth if frame_ids else target_w2c
    space = ArraySpace(like)
    buffer = space.empty((len(target_w2c) // FRAMES_PER_LATENT, height, width, slots, 4))
    for component, value in enumerate(EMPTY_BLOCK):
        buffer[..., component] = value
    coordinates = canonical_coordinates(height, width, slots)
    rest = np.setdiff1d(np.arange(len(target_w2c)), np.arange(len(target_w2c))[kept])
    warped = unseen = None
    lowest, highest = np.inf, -np.inf
    for block, frame_id in enumerate(reversed(frame_ids)):
        entry = cache[frame_id]
        source = splat_source(
            space.take(coordinates[slots - 1 - block])[None, None],
            space.bring(with_sky_wall(entry.depth))[None, None],
            space.bring(entry.w2c)[None, None],
            space.bring(entry.intrinsics)[None, None],
            pixel_offset=settings.pixel_offset,
        )
        farthest = farthest_depths(source, target_w2c, settings)
        warped = splat(
            source, target_w2c[kept], target_intrinsics[kept], settings, out=warped, farthest=farthest[kept]
        )
        # Of the targets between, only the range of depth is asked for.
        bare = replace(source, values=source.values[..., :0])
        unseen = splat(
            bare, target_w2c[rest], target_intrinsics[rest], settings, out=unseen, farthest=farthest[rest]
        )
        buffer[..., block, :3] = warped.values
        buffer[..., block, 3] = warped.depth
        for depth in (warped.depth, unseen.depth):
            lowest, highest = min(lowest, float(depth.min())), max(highest, float(depth.max()))
    if frame_ids:
        depth = buffer[..., : len(frame_ids), 3]
        buffer[..., : len(frame_ids), 3] = 2 * (depth - lowest) / max(highest - lowest, 1e-6) - 1
    return space_to_depth(buffer.reshape(*buffer.shape[:3], slots * 4))
