"""Greedy coverage retrieval: the remembered frames that together cover most of a new view, as in Lyra 2.0.

The points of all remembered frames are projected into the target views. The nearest point per cell of a coarse grid
defines the visible surface, and a frame covers the cells in which it has a visible point. Frames are picked greedily
by the number of cells they add. The newest frame is always given to the model: it is not picked, and its cells count
as covered.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import warp as wp

from lyra.geometry.projection import pinhole
from lyra.memory.cache import GeometryCache, grid_intrinsics

WORD_BITS = 32
FAR = 3.0e38


@dataclass(frozen=True)
class CoverageSettings:
    """A point is visible up to `tolerance` + `relative_tolerance` * z behind the nearest one, in world units.

    `exclude_newest` leaves out the frame with the highest id (if above 0) and counts its cells as covered.
    """

    tolerance: float = 0.1
    relative_tolerance: float = 0.0
    exclude_newest: bool = True


@dataclass(frozen=True)
class GreedyCoverage:
    """The published strategy. Ties go to the frame that was added first."""

    settings: CoverageSettings = field(default_factory=CoverageSettings)

    def select(self, cache: GeometryCache, w2c: np.ndarray, intrinsics: np.ndarray, slots: int) -> list[int]:
        """See `RetrievalStrategy.select`; coverage is summed over the views, each with cells of its own."""
        rows = _rows_in_view(cache, w2c, intrinsics)
        if len(rows) == 0:
            return []
        cells = _visible_cells(cache, rows, w2c, intrinsics, self.settings)
        frame_ids = np.array(cache.frame_ids)[rows]
        covered = wp.zeros(cells.shape[1], dtype=wp.uint32, device=cache.device)
        newest = max(cache.frame_ids)
        excluded = self.settings.exclude_newest and newest > 0
        if excluded and newest in frame_ids:
            _cover(covered, cells, int(np.argmax(frame_ids == newest)))
        picks: list[int] = []
        gains = wp.empty(len(rows), dtype=wp.int32, device=cache.device)
        for _ in range(slots):
            wp.launch(_count_gains, dim=len(rows), inputs=[cells, covered, gains], device=cache.device)
            best = int(np.argmax(gains.numpy()))
            if gains.numpy()[best] <= 0:
                break
            _cover(covered, cells, best)
            picks.append(int(frame_ids[best]))
        return picks[::-1]


def _rows_in_view(cache: GeometryCache, w2c: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Rows of the cache whose bounding box is not entirely outside one frustum plane, for at least one view.

    With a margin of one cell on each side, so that no frame with a point on the grid is missed.
    """
    low, high = cache.bounds[:, 0].astype(np.float64), cache.bounds[:, 1].astype(np.float64)
    choose = np.stack(np.meshgrid(*[[0, 1]] * 3, indexing="ij"), -1).reshape(8, 3)
    corners = np.where(choose, high[:, None], low[:, None])
    grid_h, grid_w = cache.grid_hw
    scaled = grid_intrinsics(intrinsics, cache.settings.stride)
    seen = np.zeros(len(cache), bool)
    for view_w2c, k in zip(w2c, scaled, strict=True):
        p = (corners @ view_w2c[:3, :3].T + view_w2c[:3, 3]) @ k.T
        x, y, z = p[..., 0], p[..., 1], p[..., 2]
        planes = [z, x + z, (grid_w + 1) * z - x, y + z, (grid_h + 1) * z - y]
        # Comparisons with NaN are false, so a frame without points is in no view.
        seen |= np.all([(plane > -1e-3).any(1) for plane in planes], axis=0)
    return np.flatnonzero(seen)


def _visible_cells(
    cache: GeometryCache,
    rows: np.ndarray,
    w2c: np.ndarray,
    intrinsics: np.ndarray,
    settings: CoverageSettings,
) -> wp.array:
    """Bitsets (frames, words) uint32 of the cells of all views in which each frame has a visible point."""
    device = cache.device
    views, (grid_h, grid_w) = len(w2c), cache.grid_hw
    cells = views * grid_h * grid_w
    nearest = wp.full(cells, FAR, dtype=wp.float32, device=device)
    bits = wp.zeros((len(rows), -(-cells // WORD_BITS)), dtype=wp.uint32, device=device)
    k = grid_intrinsics(intrinsics, cache.settings.stride).astype(np.float32)
    scene = [
        cache.points_world,
        wp.array(rows, dtype=wp.int32, device=device),
        wp.array(np.ascontiguousarray(w2c, np.float32), dtype=wp.mat44, device=device),
        wp.array(k, dtype=wp.mat33, device=device),
        grid_h,
        grid_w,
        cache.settings.pixel_offset,
    ]
    dim = (views, len(rows), cache.points_per_frame)
    wp.launch(_find_nearest, dim=dim, inputs=scene, outputs=[nearest], device=device)
    tolerances = [settings.tolerance, settings.relative_tolerance]
    wp.launch(_mark_visible, dim=dim, inputs=[*scene, nearest, *tolerances], outputs=[bits], device=device)
    return bits


def _cover(covered: wp.array, cells: wp.array, row: int) -> None:
    wp.launch(_add_cells, dim=covered.size, inputs=[cells, row, covered], device=covered.device)


@wp.func
def _cell_of(projected: wp.vec3, grid_h: wp.int32, grid_w: wp.int32, offset: wp.float32) -> wp.int32:
    """The grid cell of a projected point; -1 outside the grid or behind the camera."""
    if not projected[2] > wp.float32(0.0):
        return wp.int32(-1)
    # Rounds half to even, as torch does.
    u = wp.rint(projected[0] - offset)
    v = wp.rint(projected[1] - offset)
    if u >= wp.float32(0.0) and u < wp.float32(grid_w) and v >= wp.float32(0.0) and v < wp.float32(grid_h):
        return wp.int32(v) * grid_w + wp.int32(u)
    return wp.int32(-1)


@wp.kernel(enable_backward=False)
def _find_nearest(
    points: wp.array2d(dtype=wp.vec3),
    rows: wp.array1d(dtype=wp.int32),
    w2c: wp.array1d(dtype=wp.mat44),
    k: wp.array1d(dtype=wp.mat33),
    grid_h: wp.int32,
    grid_w: wp.int32,
    offset: wp.float32,
    nearest: wp.array1d(dtype=wp.float32),
):
    view, entry, p = wp.tid()
    projected = pinhole(w2c[view], k[view], points[rows[entry], p])
    cell = _cell_of(projected, grid_h, grid_w, offset)
    if cell >= 0:
        wp.atomic_min(nearest, view * grid_h * grid_w + cell, projected[2])


@wp.kernel(enable_backward=False)
def _mark_visible(
    points: wp.array2d(dtype=wp.vec3),
    rows: wp.array1d(dtype=wp.int32),
    w2c: wp.array1d(dtype=wp.mat44),
    k: wp.array1d(dtype=wp.mat33),
    grid_h: wp.int32,
    grid_w: wp.int32,
    offset: wp.float32,
    nearest: wp.array1d(dtype=wp.float32),
    tolerance: wp.float32,
    relative_tolerance: wp.float32,
    bits: wp.array2d(dtype=wp.uint32),
):
    view, entry, p = wp.tid()
    projected = pinhole(w2c[view], k[view], points[rows[entry], p])
    cell = _cell_of(projected, grid_h, grid_w, offset)
    if cell >= 0:
        key = view * grid_h * grid_w + cell
        near = nearest[key]
        if projected[2] <= near + tolerance + relative_tolerance * near:
            wp.atomic_or(bits, entry, key // 32, wp.uint32(1) << wp.uint32(key % 32))


@wp.func
def _population(word: wp.uint32) -> wp.int32:
    """Number of set bits."""
    v = word - ((word >> wp.uint32(1)) & wp.uint32(0x55555555))
    v = (v & wp.uint32(0x33333333)) + ((v >> wp.uint32(2)) & wp.uint32(0x33333333))
    v = (v + (v >> wp.uint32(4))) & wp.uint32(0x0F0F0F0F)
    return wp.int32((v * wp.uint32(0x01010101)) >> wp.uint32(24))


@wp.kernel(enable_backward=False)
def _count_gains(
    cells: wp.array2d(dtype=wp.uint32),
    covered: wp.array1d(dtype=wp.uint32),
    gains: wp.array1d(dtype=wp.int32),
):
    entry = wp.tid()
    gain = wp.int32(0)
    for word in range(covered.shape[0]):
        gain += _population(cells[entry, word] & ~covered[word])
    gains[entry] = gain


@wp.kernel(enable_backward=False)
def _add_cells(cells: wp.array2d(dtype=wp.uint32), row: wp.int32, covered: wp.array1d(dtype=wp.uint32)):
    word = wp.tid()
    covered[word] = covered[word] | cells[row, word]
