"""Exemplar-based inpainting of disoccluded texture.

Patches of the known image are matched to the hole, coarse to fine, by the similarity of colours and of positions in
the world: depth and height above the ground. Foreground at a rim is neither a source nor part of the cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import warp as wp
from scipy import ndimage

from lyra.engines.preview import texture_kernels as kernels
from lyra.engines.preview.ground import GroundPlane, over_pixels
from lyra.geometry.raster_cameras import inverse3, inverse_camera

# Rounds of matching and voting at the coarsest level, at the finest, and in between; each improves matches twice.
FIRST_ROUNDS, BETWEEN_ROUNDS, LAST_ROUNDS = 8, 3, 1
MAX_LEVELS = 4
# A coarser level is added while holes are thicker than this and this share of the sources still has whole patches.
THIN = 5
SOURCES_LEFT = 0.5
# Cost of one octave of depth as a difference in colour (of 0 ... 1).
DEPTH_WEIGHT = 0.08
PLACE_WEIGHT = 0.25
GROUND_WEIGHT = 0.15
# Pixels within this share of the ground's disparity lie on the ground.
ON_GROUND = 0.2


@dataclass(frozen=True)
class Exemplar:
    """Another complete image as a texture source: `image` in [0, 255], `disparity` and `guide` as in a level."""

    image: np.ndarray
    disparity: np.ndarray
    guide: np.ndarray


@dataclass(frozen=True)
class Level:
    """One pyramid level: `image` (H, W, 3) in [0, 1], `disparity` (H, W), `guide` (H, W, 3); bool masks."""

    image: np.ndarray
    disparity: np.ndarray
    guide: np.ndarray
    fill: np.ndarray
    source: np.ndarray

    @cached_property
    def usable(self) -> np.ndarray:
        """Centres of patches that lie entirely in the sources, (H, W) bool."""
        return ndimage.minimum_filter(self.source, 2 * kernels.PATCH_RADIUS + 1, mode="constant", cval=False)

    def halved(self) -> Level:
        known = (~self.fill).astype(np.float32)
        image = _shrink(self.image * known[..., None])
        share = _shrink(known)
        fill = share < 0.5
        image = np.where(fill[..., None], 0, image / np.maximum(share, 0.25)[..., None])
        return Level(
            image.astype(np.float32),
            _shrink(self.disparity),
            _shrink(self.guide),
            fill,
            _shrink(self.source.astype(np.float32)) > 0.99,
        )


def _shrink(array: np.ndarray) -> np.ndarray:
    """Mean of 2 x 2 pixels; an odd last row or column is repeated."""
    height, width = array.shape[:2]
    array = np.pad(array, [(0, height % 2), (0, width % 2)] + [(0, 0)] * (array.ndim - 2), mode="edge")
    return 0.25 * (array[::2, ::2] + array[1::2, ::2] + array[::2, 1::2] + array[1::2, 1::2])


def place_guide(
    disparity: np.ndarray,
    w2c: np.ndarray,
    intrinsics: np.ndarray,
    reference: float,
    ground: GroundPlane | None,
) -> np.ndarray:
    """Guide channels (H, W, 3) of each pixel's position in the world, scaled so that squared differences are costs.

    Octaves of depth; height in the world; distance to the ground, or elevation in the sky. `reference` is a typical
    disparity of the scene.
    """
    height, width = disparity.shape
    c2w = inverse_camera(w2c)
    rays = [over_pixels(linear, height, width) for linear in c2w[:3, :3] @ inverse3(intrinsics)]
    least = np.float32(reference / 256)
    sky = disparity < least
    solid = np.maximum(disparity, least)
    octaves = np.log2(solid / np.float32(reference))
    world_y = rays[1] / solid + np.float32(c2w[1, 3])
    altitude = np.where(sky, 0, np.arcsinh(world_y * np.float32(reference * 4)))
    elevation = np.where(sky, rays[1] / np.sqrt(rays[0] ** 2 + rays[1] ** 2 + rays[2] ** 2), 0)
    lying = np.zeros_like(disparity)
    if ground is not None:
        floor = ground.disparity(w2c, intrinsics, height, width)
        off = np.abs(disparity - floor) / solid
        lying = np.where(sky | (floor <= 0), 0, np.clip(1 - off / ON_GROUND, 0, 1))
    # Sky and solid surfaces are never matched.
    guide = [
        DEPTH_WEIGHT * octaves + 2.0 * sky,
        PLACE_WEIGHT * altitude,
        PLACE_WEIGHT * elevation + GROUND_WEIGHT * lying,
    ]
    return np.stack(guide, -1).astype(np.float32)


def fill_texture(
    image: np.ndarray,
    disparity: np.ndarray,
    fill: np.ndarray,
    near: np.ndarray,
    guide: np.ndarray,
    seed: int,
    extra: Exemplar | None = None,
    tick: Callable[[], None] = lambda: None,
    device="cpu",
) -> np.ndarray:
    """`image` (H, W, 3) float32 in [0, 255] with the pixels `fill` synthesised.

    `disparity` (H, W) is complete; `near` marks foreground that must not spread into the fill; `guide` is from
    `place_guide`; `extra` is a second source; `tick` is called regularly and may raise to cancel. Deterministic for
    a given `seed`.
    """
    source = ~fill & ~ndimage.binary_dilation(near, iterations=2)
    start = np.where(fill[..., None], 0, image / np.float32(255)).astype(np.float32)
    first = Level(start, disparity, guide, fill, source)
    levels = [first if extra is None else _beside(first, extra)]
    while len(levels) < MAX_LEVELS and ndimage.distance_transform_edt(levels[-1].fill).max() > THIN:
        coarser = levels[-1].halved()
        if coarser.usable.mean() < SOURCES_LEFT * levels[0].source.mean():
            break
        levels.append(coarser)
    matches = None
    for number in reversed(range(len(levels))):
        rounds = BETWEEN_ROUNDS if number else LAST_ROUNDS
        rounds = FIRST_ROUNDS if number == len(levels) - 1 else rounds
        filled, matches = _fill_level(levels[number], matches, rounds, seed + 7919 * number, tick, device)
        if number:
            finer = levels[number - 1]
            grown = filled.repeat(2, 0).repeat(2, 1)[: finer.fill.shape[0], : finer.fill.shape[1]]
            finer.image[finer.fill] = grown[finer.fill]
    result = image.copy()
    result[fill] = np.clip(255 * filled[: fill.shape[0], : fill.shape[1]][fill], 0, 255)
    return result


def _beside(level: Level, extra: Exemplar) -> Level:
    """The level with a second image below it that serves only as a source."""
    rows, columns = level.fill.shape
    height, width = extra.disparity.shape

    def stacked(upper: np.ndarray, lower: np.ndarray, blank) -> np.ndarray:
        result = np.full((rows + height, max(columns, width), *upper.shape[2:]), blank, upper.dtype)
        result[:rows, :columns] = upper
        result[rows:, :width] = lower
        return result

    source = stacked(level.source, np.ones((height, width), bool), False)
    # No patch spans both images.
    source[rows - 1 : rows + 1] = False
    return Level(
        stacked(level.image, extra.image / np.float32(255), 0),
        stacked(level.disparity, extra.disparity, 0),
        stacked(level.guide, extra.guide, 0),
        stacked(level.fill, np.zeros((height, width), bool), False),
        source,
    )


def _fill_level(level: Level, coarser, rounds: int, seed: int, tick, device) -> tuple[np.ndarray, np.ndarray]:
    usable = level.usable
    if not usable.any() or not level.fill.any():
        return _nearest_colours(level), coarser
    if coarser is None:
        level.image[level.fill] = _nearest_colours(level)[level.fill]
    height, width = level.fill.shape
    pixels = wp.array(np.flatnonzero(level.fill).astype(np.int32), dtype=wp.int32, device=device)
    sources = wp.array(np.flatnonzero(usable).astype(np.int32), dtype=wp.int32, device=device)
    # Matches far from known pixels are less reliable.
    depth_inside = ndimage.distance_transform_edt(level.fill)
    trust = np.where(level.fill, np.maximum(0.9**depth_inside, 0.02), 1).astype(np.float32)
    trust = wp.array(trust, dtype=wp.float32, device=device)
    image = wp.array(level.image, dtype=wp.vec3, device=device)
    disparity = wp.array(level.disparity.astype(np.float32), dtype=wp.float32, device=device)
    guide = wp.array(level.guide, dtype=wp.vec3, device=device)
    allowed = wp.array(usable.astype(np.uint8), dtype=wp.uint8, device=device)
    start = _finer_matches(coarser, level.fill, usable)
    matches = wp.array(start, dtype=wp.vec2i, device=device)
    spare = wp.clone(matches)
    costs = wp.zeros((height, width), dtype=wp.float32, device=device)
    voted = wp.zeros(len(pixels), dtype=wp.vec3, device=device)
    fields = [image, trust, disparity, guide]
    wp.launch(
        kernels.start_matches, len(pixels), [pixels, sources, *fields, seed, 24], [matches], device=device
    )
    # Matches from a coarser level are refined locally; the coarsest level searches globally.
    search = 3.0 if coarser is not None else float(max(height, width))
    for turn in range(rounds):
        tick()
        for jump in (4, 1) if turn % 2 == 0 else (2, 1):
            wp.launch(
                kernels.improve_matches,
                len(pixels),
                [pixels, *fields, allowed, jump, search, seed + 31 * turn + jump, matches],
                [spare, costs],
                device=device,
            )
            matches, spare = spare, matches
        wp.launch(
            kernels.vote,
            len(pixels),
            [pixels, image, trust, disparity, matches, costs, 200.0],
            [voted],
            device=device,
        )
        wp.launch(kernels.write_pixels, len(pixels), [pixels, voted], [image], device=device)
    return image.numpy().copy(), matches.numpy().copy()


def _nearest_colours(level: Level) -> np.ndarray:
    """Holes initialised with the colour of the source pixel nearest in image position and guide."""
    known = level.source if level.source.any() else ~level.fill
    if not known.any():
        return level.image
    indices = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    painted = level.image.copy()
    painted[level.fill] = level.image[tuple(indices)][level.fill]
    return painted


def _finer_matches(coarser: np.ndarray | None, fill: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Matches (H, W, 2) int32 (row, column) at this level from the next coarser one; -1 where there is none."""
    height, width = fill.shape
    matches = np.full((height, width, 2), -1, np.int32)
    if coarser is None:
        return matches
    rows, columns = np.nonzero(fill)
    parents = coarser[rows // 2, columns // 2]
    children = 2 * parents + np.stack([rows % 2, columns % 2], -1)
    inside = (parents[:, 0] >= 0) & (children[:, 0] < height) & (children[:, 1] < width)
    inside[inside] = usable[tuple(children[inside].T)]
    matches[rows[inside], columns[inside]] = children[inside]
    return matches
