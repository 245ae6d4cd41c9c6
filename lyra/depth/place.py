"""The place that a picture shows: gravity, the ground, and what stands on it; and depth that fits them.

Estimated depth bends the ground and lets things lean. Here the camera's up is found, the ground becomes one level
plane, and what stands upright is held upright where its foot is. Only estimated depth is treated so: true depth, from
a file, is as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from lyra.common.shapes import height_width
from lyra.depth.base import DepthEstimate
from lyra.depth.checks import FARTHEST, NEAREST
from lyra.depth.edges import crisp, crisp_source
from lyra.depth.gravity import LEVEL, Gravity, find_gravity
from lyra.depth.ground import LevelPlane, find_plane
from lyra.depth.level_grid import LevelGrid, level_grid, level_rotation
from lyra.depth.picture import shows_nothing
from lyra.depth.pieces import Pieces, find_pieces
from lyra.depth.standing import CEILING, FREE, GROUND, SKY, UPRIGHT, find_stixels

__all__ = ["CEILING", "FREE", "GROUND", "SKY", "UPRIGHT", "Ground", "find_ground", "settle", "settled"]

# Below this confidence the camera is taken as level and nothing is straightened.
SURE = 0.3
# Smaller pictures are left alone.
SMALLEST_SIDE = 48
# Roundness of slender things: share of half their width by which their sides lie farther than their middle.
ROUNDNESS = 0.5
# The ground is put on its plane where that is nearer to the estimate than this factor, and up to this many times the
# camera's height away.
SAME_GROUND, FARTHEST_GROUND = 2.0, 60.0
UNSURE = "Which way is up could not be told from the picture; the camera is taken as level and depth left as estimated."
NO_GROUND = "No ground was found in the picture; things were left at their estimated depth."


@dataclass(frozen=True)
class Ground:
    """Where up is in a view, and what lies, stands and floats in it.

    `up` (3,) float64 is the unit vector against gravity in the camera's OpenCV axes, (0, -1, 0) for a level camera.
    `height` is the distance of the camera above the ground plane in units of depth, nan when there is no ground.
    `confidence` is in [0, 1]; below SURE the camera is taken as level and nothing is straightened. `labels` (H, W)
    uint8 are SKY, GROUND, UPRIGHT, FREE or CEILING, `pieces` (H, W) int32 the number of the standing piece, 0 for none.
    `settled` (H, W) float32 is z-depth that fits all this, None where nothing is straightened.
    """

    up: np.ndarray
    height: float
    confidence: float
    labels: np.ndarray
    pieces: np.ndarray
    settled: np.ndarray | None = field(default=None, repr=False)


def find_ground(image: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray) -> Ground:
    """Gravity, ground and standing pieces of `image` (H, W, 3) uint8 with its z-depth (H, W), inf for sky.

    `intrinsics` (3, 3) in pixels. Where the picture says too little the result is a level camera without ground, and
    all that is not sky is free.
    """
    solid = np.isfinite(depth)
    if not _worth_a_look(image, depth):
        return _unknown(solid, 0.0)
    gravity = find_gravity(image, depth, intrinsics)
    if gravity.confidence < SURE:
        return _unknown(solid, gravity.confidence)
    grid = level_grid(image, depth, intrinsics, gravity.up)
    ground, ceiling = find_plane(grid), find_plane(grid, above=True)
    lines = _line_cells(grid, gravity, height_width(depth))
    pieces = find_pieces(grid, ground, find_stixels(grid, ground, ceiling, lines))
    return _at_pixels(image, depth, intrinsics, grid, ground, pieces, gravity)


def _unknown(solid: np.ndarray, confidence: float) -> Ground:
    labels = np.where(solid, FREE, SKY).astype(np.uint8)
    return Ground(LEVEL.copy(), float("nan"), confidence, labels, np.zeros(solid.shape, np.int32))


def _line_cells(grid: LevelGrid, gravity: Gravity, size_hw: tuple[int, int]) -> np.ndarray:
    """The cells (R, C) bool through which the vertical lines of the picture pass."""
    steps = np.linspace(0, 1, 64)[:, None]
    lines = gravity.lines[gravity.vertical][:, None]
    points = (lines[..., :2] * (1 - steps) + lines[..., 2:] * steps).reshape(-1, 2).astype(int)
    x, y = points[((points >= 0) & (points < size_hw[::-1])).all(1)].T
    cells = grid.cell[y, x]
    marked = np.zeros(grid.shape, bool)
    marked.ravel()[cells[cells >= 0]] = True
    return marked


def _at_pixels(
    image: np.ndarray,
    depth: np.ndarray,
    intrinsics: np.ndarray,
    grid: LevelGrid,
    ground: LevelPlane | None,
    pieces: Pieces,
    gravity: Gravity,
) -> Ground:
    """The cells' findings at the pixels, with their borders on the picture's edges."""
    solid = np.isfinite(depth)
    labels = grid.pixels(pieces.labels, FREE)
    # The estimate's own sky is finer than the cells.
    labels = np.where(solid, np.where(labels == SKY, FREE, labels), SKY).astype(np.uint8)
    tilt, offset = grid.pixels(pieces.tilt, 0.0), grid.pixels(pieces.offset, np.nan)
    number = np.where(labels == UPRIGHT, grid.pixels(pieces.number, 0), 0)
    labels[(labels == UPRIGHT) & (number == 0)] = FREE
    height = float("nan") if ground is None else ground.height
    x = _level_x(intrinsics, gravity.up, height_width(depth))
    standing = _standing(tilt, offset, x, grid, number, pieces.slender)
    plane = _plane_depth(intrinsics, gravity.up, height, height_width(depth))
    source = crisp_source(image, _put(depth, labels, plane, standing))
    labels, number, tilt, offset = (found.ravel()[source] for found in (labels, number, tilt, offset))
    # What stands and lies is seen along each pixel's own ray; the others take the depth of their source.
    standing = _standing(tilt, offset, x, grid, number, pieces.slender)
    labels[(labels == UPRIGHT) & ~np.isfinite(standing)] = FREE
    number[labels != UPRIGHT] = 0
    moved = _put(depth.ravel()[source], labels, plane, standing)
    moved = np.where(np.isfinite(moved), np.clip(moved, NEAREST, FARTHEST), moved)
    return Ground(gravity.up, height, gravity.confidence, labels, number, moved)


def _level_x(intrinsics: np.ndarray, up: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Tangent to the right (H, W) of every pixel's ray in the axes of the level camera."""
    right, _, ahead = level_rotation(up)
    return _along(right, intrinsics, size_hw) / np.maximum(_along(ahead, intrinsics, size_hw), 1e-3)


def _along(axis: np.ndarray, intrinsics: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """The component (H, W) along `axis` (3,) of every pixel's ray with z = 1."""
    x = (np.arange(size_hw[1]) + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (np.arange(size_hw[0]) + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
    return axis[0] * x[None, :] + axis[1] * y[:, None] + axis[2]


def _standing(
    tilt: np.ndarray,
    offset: np.ndarray,
    x: np.ndarray,
    grid: LevelGrid,
    number: np.ndarray,
    slender: np.ndarray,
) -> np.ndarray:
    """z-depth (H, W) float32 of the upright surfaces, slender ones rounded; nan where nothing stands."""
    inverse = tilt * x + offset
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.where((inverse > 0) & (number > 0), 1 / inverse, np.nan)
    thin = slender[number]
    if thin.any():
        level = level + np.where(thin, _roundness(number, x, thin) * level, 0)
    return (level / grid.ahead).astype(np.float32)


def _roundness(number: np.ndarray, x: np.ndarray, thin: np.ndarray) -> np.ndarray:
    """By which share of their depth pixels (H, W) of slender pieces lie behind the middle of their row."""
    rows = np.broadcast_to(np.arange(len(number))[:, None], number.shape)
    key = (rows[thin].astype(np.int64) * (int(number.max()) + 1)) + number[thin]
    _, key = np.unique(key, return_inverse=True)
    left, right = np.full(key.max() + 1, np.inf), np.full(key.max() + 1, -np.inf)
    np.minimum.at(left, key, x[thin])
    np.maximum.at(right, key, x[thin])
    half = np.maximum((right - left) / 2, 1e-6)[key]
    across = np.clip((x[thin] - ((left + right) / 2)[key]) / half, -1, 1)
    behind = np.zeros(number.shape)
    behind[thin] = ROUNDNESS * half * (1 - np.sqrt(1 - 0.98 * across**2))
    return behind


def _plane_depth(
    intrinsics: np.ndarray, up: np.ndarray, height: float, size_hw: tuple[int, int]
) -> np.ndarray:
    """z-depth (H, W) float32 of the ground plane, nan where a pixel does not see it or far towards the horizon."""
    down = -_along(up, intrinsics, size_hw)
    return np.where(down > 1 / FARTHEST_GROUND, height / np.maximum(down, 1e-6), np.nan).astype(np.float32)


def _put(depth: np.ndarray, labels: np.ndarray, plane: np.ndarray, standing: np.ndarray) -> np.ndarray:
    """`depth` (H, W) with the ground on its plane and upright things where they stand."""
    moved = depth.astype(np.float32)
    moved = np.where((labels == UPRIGHT) & np.isfinite(standing), standing, moved)
    with np.errstate(invalid="ignore", divide="ignore"):
        near = np.abs(np.log(plane / depth)) < np.log(SAME_GROUND)
    return np.where((labels == GROUND) & near, plane, moved)


def settle(image: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray, ground: Ground) -> np.ndarray:
    """Estimated z-depth (H, W) float32 with the ground on its plane, things upright, and crisp edges; inf for sky.

    `ground` is that of `find_ground` for the same picture, depth and `intrinsics` (3, 3).
    """
    return crisp(image, depth).astype(np.float32) if ground.settled is None else ground.settled


def settled(
    image: np.ndarray,
    estimate: DepthEstimate,
    intrinsics: np.ndarray | None = None,
    *,
    measured: bool = False,
) -> tuple[DepthEstimate, np.ndarray]:
    """The estimate of `image` (H, W, 3) uint8 with its depth settled, and `up` (3,) as in `Ground`.

    `intrinsics` (3, 3) are taken in place of the estimate's where they are known. Where the picture says too little,
    the depth is left as it is, with a note; `measured` depth is always left as it is.
    """
    lens = estimate.intrinsics if intrinsics is None else intrinsics
    if measured:
        if not _worth_a_look(image, estimate.depth):
            return estimate, LEVEL.copy()
        gravity = find_gravity(image, estimate.depth, lens)
        return estimate, gravity.up if gravity.confidence >= SURE else LEVEL.copy()
    ground = find_ground(image, estimate.depth, lens)
    if ground.confidence < SURE:
        return replace(estimate, notes=(*estimate.notes, UNSURE)), ground.up
    notes = (*estimate.notes, NO_GROUND) if np.isnan(ground.height) else estimate.notes
    return replace(estimate, depth=settle(image, estimate.depth, lens, ground), notes=notes), ground.up


def _worth_a_look(image: np.ndarray, depth: np.ndarray) -> bool:
    return min(depth.shape) >= SMALLEST_SIDE and bool(np.isfinite(depth).any()) and not shows_nothing(image)
