"""Depth inpainting of a view's holes, extrapolated from the background side of each disocclusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import warp as wp
from scipy import ndimage

from lyra.engines.preview import depth_kernels as kernels
from lyra.engines.preview.ground import GroundPlane
from lyra.geometry.raster_cameras import relative_camera

# Next to known surfaces a fill may lie below the ground by this share of the ground's disparity; at this share of the
# image width from them, not at all.
GROUND_DIP = 0.6
GROUND_REACH = 0.12
SMOOTHING_STEPS = (1, 1, 2, 4, 8, 16, 16, 8, 8, 4, 4, 2, 1, 1)


@dataclass(frozen=True)
class Witness:
    """A past view whose visible surfaces no fill may occlude: `disparity` (H, W), -1 in holes."""

    disparity: np.ndarray
    w2c: np.ndarray
    intrinsics: np.ndarray


@dataclass(frozen=True)
class Gap:
    """The pixels of a view to be filled.

    `fill` (H, W) bool: holes, and the background just behind the foreground at their rims, so that a small further
    move opens no new hole. `near` (H, W) bool: pixels of that foreground, which are no source for a fill.
    """

    fill: np.ndarray
    near: np.ndarray


def find_gap(disparity: np.ndarray, near_side: np.ndarray, reach: int) -> Gap:
    """Separates the surroundings of the holes (disparity < 0) into foreground and background.

    `near_side` (H, W) bool marks the near sides of disoccluded edges; `reach` is the number of pixels to fill behind.
    """
    hole = disparity < 0
    rim = near_side & ndimage.binary_dilation(hole, iterations=3) & ~hole
    if not rim.any():
        return Gap(hole, np.zeros_like(hole))
    away, nearest = ndimage.distance_transform_edt(~rim, return_indices=True)
    same_thing = ~hole & (disparity > 0.85 * disparity[tuple(nearest)])
    return Gap(hole | (same_thing & (away <= reach)), same_thing & (away <= reach + 4))


def fill_depth(
    disparity: np.ndarray,
    gap: Gap,
    w2c: np.ndarray,
    intrinsics: np.ndarray,
    ground: GroundPlane | None,
    fallback: float,
    witnesses: Sequence[Witness],
    device="cpu",
) -> np.ndarray:
    """Disparity (H, W) of the view with `gap.fill` filled.

    Surfaces next to a hole are continued into it as planes, never below `ground` and never in front of a surface
    visible to a witness. Where no surface is close enough, disparity is `fallback`.
    """
    height, width = disparity.shape
    state = np.full((height, width), kernels.KNOWN, np.uint8)
    state[gap.near] = kernels.NEAR_THING
    state[gap.fill] = kernels.UNKNOWN
    pixels = np.flatnonzero(gap.fill).astype(np.int32)
    some = np.flatnonzero(_every_other(gap.fill)).astype(np.int32)
    disparity_device = wp.array(disparity, dtype=wp.float32, device=device)
    state_device = wp.array(state, dtype=wp.uint8, device=device)
    slopes = wp.zeros((height, width), dtype=wp.vec2, device=device)
    pixels_device = wp.array(pixels, dtype=wp.int32, device=device)
    found = wp.zeros(len(some), dtype=wp.float32, device=device)
    wp.launch(
        kernels.fit_slopes,
        (height, width),
        [disparity_device, state_device, max(4, width // 80)],
        [slopes],
        device=device,
    )
    wp.launch(
        kernels.extrapolate,
        len(some),
        [wp.array(some, dtype=wp.int32, device=device), disparity_device, state_device, slopes, width / 5],
        [found],
        device=device,
    )
    filled = _tidy_sky(_spread(found.numpy(), some, gap.fill), disparity, gap)[gap.fill]
    filled[filled < 0] = fallback
    if ground is not None:
        floor = ground.disparity(w2c, intrinsics, height, width).ravel()[pixels]
        # Close to known surfaces the ground may dip; far from them the plane is the only evidence.
        inside = ndimage.distance_transform_edt(np.pad(gap.fill, 1, mode="edge"))[1:-1, 1:-1][gap.fill]
        sure = np.clip(inside / (GROUND_REACH * width), 0, 1)
        filled = np.maximum(filled, floor * (GROUND_DIP + (1 - GROUND_DIP) * sure))
    index = np.full((height, width), -1, np.int32)
    index.ravel()[pixels] = np.arange(len(pixels))
    values = wp.array(filled.astype(np.float32), dtype=wp.float32, device=device)
    values = _smoothed(values, index, pixels_device, device)
    _push_behind(values, pixels_device, width, w2c, intrinsics, witnesses, device)
    result = disparity.copy()
    result.ravel()[pixels] = values.numpy()
    return result


def hides_seen(
    disparity: np.ndarray,
    pixels: np.ndarray,
    w2c: np.ndarray,
    intrinsics: np.ndarray,
    witnesses: Sequence[Witness],
    device="cpu",
) -> np.ndarray:
    """Which `pixels` (n,) of a view with `disparity` (H, W) would occlude a surface visible to a witness, (n,) bool."""
    given = disparity.ravel()[pixels].astype(np.float32)
    values = wp.array(given, dtype=wp.float32, device=device)
    pixels_device = wp.array(pixels.astype(np.int32), dtype=wp.int32, device=device)
    _push_behind(values, pixels_device, disparity.shape[1], w2c, intrinsics, witnesses, device)
    return values.numpy() != given


def _push_behind(
    values: wp.array,
    pixels: wp.array,
    width: int,
    w2c: np.ndarray,
    intrinsics: np.ndarray,
    witnesses: Sequence[Witness],
    device,
) -> None:
    for witness in witnesses:
        matrix, shift = relative_camera(w2c, intrinsics, witness.w2c, witness.intrinsics)
        wp.launch(
            kernels.push_behind,
            len(pixels),
            [
                pixels,
                width,
                wp.array(witness.disparity, dtype=wp.float32, device=device),
                wp.mat33(matrix.astype(np.float32)),
                wp.vec3(*shift),
            ],
            [values],
            device=device,
        )


def _every_other(fill: np.ndarray) -> np.ndarray:
    """A regular quarter of the pixels of `fill`, plus those without a neighbour in that quarter."""
    some = np.zeros_like(fill)
    some[::2, ::2] = fill[::2, ::2]
    return some | (fill & ~ndimage.maximum_filter(some, 3))


def _spread(values: np.ndarray, pixels: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """Values (H, W) at some pixels of `fill`, spread to the others by nearest neighbour."""
    grid = np.zeros(fill.shape, np.float32)
    given = np.zeros(fill.shape, bool)
    grid.ravel()[pixels] = values
    given.ravel()[pixels] = True
    nearest = ndimage.distance_transform_edt(~given, return_distances=False, return_indices=True)
    return grid[tuple(nearest)]


def _tidy_sky(found: np.ndarray, disparity: np.ndarray, gap: Gap) -> np.ndarray:
    """`found` (H, W) with a smooth border between sky (0) and solid surfaces, which rays decide per pixel."""
    sky = np.where(gap.fill, found, disparity) == 0
    solid = gap.fill & (found != 0)
    if not sky.any() or not solid.any():
        return found
    calm = ndimage.uniform_filter(sky.astype(np.float32), 15) > 0.5
    calm = _without_islands(np.where(gap.fill, calm, sky), gap.fill)
    nearest = ndimage.distance_transform_edt(~solid, return_distances=False, return_indices=True)
    return np.where(calm, 0, found[tuple(nearest)])


def _without_islands(sky: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """`sky` (H, W) bool without patches of sky or solid that are not connected to known pixels of their kind."""
    for kind in (sky, ~sky):
        patches, count = ndimage.label(kind)
        rooted = np.zeros(count + 1, bool)
        rooted[patches[~fill]] = True
        rooted[0] = True
        # Without any known sky or any known solid, the result of the rays stands.
        if rooted[1:].any():
            sky = sky ^ ~rooted[patches]
    return sky


def _smoothed(values: wp.array, index: np.ndarray, pixels: wp.array, device) -> wp.array:
    """Smooths the disparities of neighbouring rays, more strongly deep inside wide holes."""
    fill = index >= 0
    inside = ndimage.distance_transform_edt(np.pad(fill, 1, mode="edge"))[1:-1, 1:-1][fill]
    index_device = wp.array(index, dtype=wp.int32, device=device)
    inside_device = wp.array(inside, dtype=wp.float32, device=device)
    spare = wp.empty_like(values)
    for step in SMOOTHING_STEPS:
        wp.launch(
            kernels.smooth,
            len(pixels),
            [index_device, pixels, inside_device, step, values],
            [spare],
            device=device,
        )
        values, spare = spare, values
    return values
