"""Overlap of a new view with remembered frames, as pairs of inverse depths: the memory's and the new frame's.

Frames are compared at block resolution, since a block's median is less noisy than its pixels. A remembered block is a
world point; where it projects into the new view and is not occluded by other remembered points, the new frame's
inverse depth is interpolated between blocks. Inverse depth is linear on planes, so neither the interpolation nor the
flatness test is biased on slanted walls and floors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Blocks along the shorter side of a frame, each of MIN_BLOCK to MAX_BLOCK pixels.
BLOCKS = 120
MIN_BLOCK, MAX_BLOCK = 2, 8
# Depth from here on is sky; the published code places sky there.
SKY_DEPTH = 1e4
# A block is surface if its inverse depth has less relative curvature and slope per block than this.
BEND, LEAN = 0.06, 0.25
# Curvature up to this many standard deviations of the noise is attributed to noise.
NOISE_MARGIN = 4.0
# A remembered point this share behind the nearest one of its cell is occluded. A smaller share would prefer the
# nearest of several noisy copies of one surface, and depth would shrink from chunk to chunk.
HIDDEN = 0.3
# Cell size of the occlusion test in blocks: wide enough that near surfaces have no gaps after forward motion.
HIDING_CELL = 2


@dataclass(frozen=True)
class BlockDepth:
    """Inverse depth of blocks of `block` x `block` pixels.

    `inverse` (h, w) float64 is the block's median, 0 for sky or missing depth; `weight` (h, w) in [0, 1] is its
    confidence, 0 at depth edges; `noise` is the relative deviation between blocks.
    """

    inverse: np.ndarray
    weight: np.ndarray
    block: int
    noise: float

    @classmethod
    def of(cls, depth: np.ndarray, confidence: np.ndarray | None = None) -> BlockDepth:
        """Blocks of `depth` (H, W), where inf or far is sky, NaN and 0 missing; `confidence` (H, W) in [0, 1]."""
        block = int(np.clip(round(min(depth.shape) / BLOCKS), MIN_BLOCK, MAX_BLOCK))
        z = np.asarray(depth, np.float64)
        known = (z > 0) & (z < SKY_DEPTH)
        inverse = np.where(known, 1 / np.where(known, z, 1), 0.0)
        grouped = _blocks(inverse, block)
        whole = grouped.min(-1) > 0
        values = np.where(whole, np.median(grouped, -1), 0.0)
        weight, noise = _flatness(values, whole)
        if confidence is not None:
            weight = weight * np.median(_blocks(np.clip(confidence, 0, 1), block), -1)
        return cls(values, weight, block, noise)

    @property
    def filled(self) -> int:
        """Number of blocks with depth."""
        return int(np.count_nonzero(self.inverse))


def _blocks(values: np.ndarray, block: int) -> np.ndarray:
    """(h, w, block * block): the pixels of each block, with border pixels repeated in partial blocks."""
    height, width = values.shape
    padded = np.pad(values, ((0, -height % block), (0, -width % block)), mode="edge")
    h, w = padded.shape[0] // block, padded.shape[1] // block
    return padded.reshape(h, block, w, block).swapaxes(1, 2).reshape(h, w, block * block)


def _flatness(inverse: np.ndarray, whole: np.ndarray) -> tuple[np.ndarray, float]:
    """Which blocks are surface, as 0 or 1 (h, w), and the relative noise between blocks."""
    bends, leans = [], []
    safe = np.where(whole, inverse, np.nan)
    for axis in (0, 1):
        pad = [(1, 1) if a == axis else (0, 0) for a in (0, 1)]
        padded = np.pad(safe, pad, mode="reflect", reflect_type="odd")
        before, after = (np.take(padded, range(s, s + inverse.shape[axis]), axis) for s in (0, 2))
        bends.append(np.abs(before - 2 * safe + after) / safe)
        leans.append(np.abs(after - before) / (2 * safe))
    measured = np.concatenate([b[np.isfinite(b)] for b in bends])
    # The second difference of noise of deviation s has deviation sqrt(6) s, and a median magnitude of 0.6745 of that.
    noise = float(np.median(measured) / 0.6745 / np.sqrt(6)) if measured.size else 0.0
    allowance = NOISE_MARGIN * noise
    # Comparisons with NaN, next to missing blocks, are false.
    flat = np.all([b < max(BEND, np.sqrt(6) * allowance) for b in bends], axis=0)
    flat &= np.all([lean < LEAN + allowance for lean in leans], axis=0)
    return flat.astype(np.float64), noise


@dataclass(frozen=True)
class KnownPoints:
    """Points of one remembered frame: `world` (n, 3) of every block with depth, `weight` (n,)."""

    world: np.ndarray
    weight: np.ndarray


def known_points(
    blocks: BlockDepth, w2c: np.ndarray, intrinsics: np.ndarray, pixel_offset: float, trust: float = 1.0
) -> KnownPoints:
    """The blocks of a frame with camera `w2c` (4, 4) and `intrinsics` (3, 3) as world points.

    `pixel_offset` as in `lyra.geometry.projection`; `trust` scales the weights.
    """
    rows, columns = np.nonzero(blocks.inverse)
    pixels = np.stack([columns, rows], 1) * blocks.block + (blocks.block - 1) / 2 + pixel_offset
    rays = np.concatenate([pixels, np.ones((len(pixels), 1))], 1) @ np.linalg.inv(intrinsics).T
    c2w = np.linalg.inv(w2c)
    camera = rays / blocks.inverse[rows, columns, None]
    return KnownPoints(camera @ c2w[:3, :3].T + c2w[:3, 3], trust * blocks.weight[rows, columns])


@dataclass(frozen=True)
class Overlap:
    """Pairs of inverse depths at the same positions of a new view.

    `pixels` (n, 2) are x, y as array positions (pixel (i, j) has its centre at (j, i)); `known` (n,) is the memory's
    inverse depth there, `seen` (n,) the new frame's. `weight` (n,) sums to at most 1 over the pairs of a block,
    however many frames remember it; `vote` (n,), for choosing among candidate fits, sums to 1. `cell` (n,) is the
    index of the block in the new frame, `cells` the number of blocks with depth.
    """

    pixels: np.ndarray
    known: np.ndarray
    seen: np.ndarray
    weight: np.ndarray
    vote: np.ndarray
    cell: np.ndarray
    cells: int

    def cells_where(self, chosen: np.ndarray) -> int:
        """Number of blocks with a pair among the `chosen` (n,) bool."""
        return len(np.unique(self.cell[chosen]))


def find_overlap(
    memory: Sequence[KnownPoints],
    blocks: BlockDepth,
    w2c: np.ndarray,
    intrinsics: np.ndarray,
    pixel_offset: float,
) -> Overlap:
    """Pairs of the points in `memory` and the new frame's `blocks`, in the new camera."""
    if memory:
        world = np.concatenate([points.world for points in memory])
        weight = np.concatenate([points.weight for points in memory])
    else:
        world, weight = np.zeros((0, 3)), np.zeros(0)
    camera = world @ w2c[:3, :3].T + w2c[:3, 3]
    front = camera[:, 2] > 1e-6
    camera, weight = camera[front], weight[front]
    z = camera[:, 2]
    pixels = (camera @ intrinsics.T)[:, :2] / z[:, None] - pixel_offset
    place = (pixels - (blocks.block - 1) / 2) / blocks.block
    height, width = blocks.inverse.shape
    inside = np.all((place >= 0) & (place <= (width - 1, height - 1)), 1)
    pixels, place, z, weight = pixels[inside], place[inside], z[inside], weight[inside]
    visible = _visible(place, z, (height, width)) & (weight > 0)
    pixels, place, z, weight = pixels[visible], place[visible], z[visible], weight[visible]
    seen, trust = _between(place, blocks)
    used = trust > 0
    row, column = np.rint(place[used][:, ::-1]).astype(int).T
    cell, weight = row * width + column, (weight * trust)[used]
    total = np.bincount(cell, weight, minlength=1)[cell]
    return Overlap(
        pixels[used],
        1 / z[used],
        seen[used],
        weight / np.maximum(total, 1),
        weight / np.maximum(total, 1e-12),
        cell,
        blocks.filled,
    )


def _visible(place: np.ndarray, z: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Which points (n,) at `place` (n, 2) on a grid of `size` (h, w) blocks are not occluded by others."""
    across = size[1] // HIDING_CELL + 1
    column, row = (place / HIDING_CELL).astype(int).T
    cell = row * across + column
    nearest = np.full(across * (size[0] // HIDING_CELL + 1), np.inf)
    np.minimum.at(nearest, cell, z)
    return z <= nearest[cell] * (1 + HIDDEN)


def _between(place: np.ndarray, blocks: BlockDepth) -> tuple[np.ndarray, np.ndarray]:
    """Bilinear inverse depth (n,) and weight (n,), 0 if one of the four blocks around has weight 0."""
    height, width = blocks.inverse.shape
    corner = np.minimum(place.astype(int), (max(width - 2, 0), max(height - 2, 0)))
    share = place - corner
    value, trust, least = np.zeros(len(place)), np.zeros(len(place)), np.ones(len(place))
    for dy in (0, 1):
        for dx in (0, 1):
            row = np.minimum(corner[:, 1] + dy, height - 1)
            column = np.minimum(corner[:, 0] + dx, width - 1)
            part = np.where(dx, share[:, 0], 1 - share[:, 0]) * np.where(dy, share[:, 1], 1 - share[:, 1])
            value += part * blocks.inverse[row, column]
            trust += part * blocks.weight[row, column]
            least = np.minimum(least, blocks.weight[row, column])
    return value, np.where(least > 0, trust, 0)
