"""Texture by example on an unbounded map: low-frequency colour plus overlapping tiles of the example's detail.

After Heitz and Neyret, "High-Performance By-Example Noise using a Histogram-Preserving Blending Operator" (2018): a
triangular lattice of tiles, each showing the example around a random place, blended so that the variance is kept.
Tiles along the example's border are chosen by how well they continue it (Efros and Freeman, "Image Quilting", 2001).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp
from scipy import ndimage

from lyra.engines.preview import tile_kernels as kernels

# Candidates tried for a tile at the border, and the positions at which each is compared.
CANDIDATES, COMPARED = 64, 96
# Sizes of tiles that are tried, as shares of the wanted one, and how many places an example must offer.
SIZES, ENOUGH_PLACES = (1.0, 0.7, 0.45, 0.3, 0.15), 24
# This share of a tile must be valid.
WHOLE = 0.93
# Beyond the example goes on what is usual at its sides, the outermost share of every row: this share of it, whose
# colours are the most alike. What lies in the middle alone, a path or a carpet, is not repeated.
OUTERMOST, USUAL = 0.3, 0.85
# Widths of the low-frequency colours that are carried over the border, in cells of the low-frequency grid.
SPREADS = (36.0, 12.0)
CORRECTIONS = (6.0, 2.0)
_ROW = np.sqrt(3) / 2


@dataclass(frozen=True)
class Example:
    """A part of an unbounded map: `colours` (H, W, 3) float32 in [0, 255], `valid` (H, W) bool.

    `origin` is the (row, column) of its first pixel on the map.
    """

    colours: np.ndarray
    valid: np.ndarray
    origin: tuple[float, float]


class TiledTexture:
    """The map continued beyond its example.

    `bounds` are the map's (first row, last row, first column, last column) that will be asked for, `tile` the (rows,
    columns) of a tile, `cell` the spacing of the low-frequency grid and `hold` how far, in rows, a tile may be taken
    from its own row.
    """

    def __init__(
        self,
        example: Example,
        bounds: tuple[float, float, float, float],
        tile: tuple[float, float],
        cell: float,
        hold: float,
        seed: int,
        device="cpu",
    ):
        self.device = device
        self.cell = cell
        self.low_origin = (bounds[0], bounds[2])
        shape = tuple(int(np.ceil((bounds[k + 1] - bounds[k]) / cell)) + 1 for k in (0, 2))
        usual = _usual(example, tile)
        self.low = _low_frequencies(example, usual, self.low_origin, shape, cell)
        inside = self._low_at(self.low, *_grid_of(example))
        detail = np.where(example.valid[..., None], example.colours - inside, 0).astype(np.float32)
        self.detail = np.concatenate([detail, example.valid[..., None].astype(np.float32)], -1)
        self.origin = example.origin
        self.tile, centres = _places(example.valid, tile)
        random = np.random.default_rng(seed)
        self.first, rows, columns = self._lattice(bounds)
        self.sources = np.zeros((*rows.shape, 2))
        if not len(centres):
            return
        kept = centres[usual[tuple(centres.astype(np.int64).T)]]
        kept = kept if len(kept) >= ENOUGH_PLACES else centres
        self.sources = _candidates(rows.ravel() - example.origin[0], kept, hold, 1, random).reshape(
            self.sources.shape
        )
        self._match_border(rows, columns, centres, hold, random)
        self._correct(example)

    def paint(self, rows: np.ndarray, columns: np.ndarray, strength: np.ndarray | float = 1.0) -> np.ndarray:
        """Colours (n, 3) float32 at positions (n,) of the map; `strength` (n,) scales the detail."""
        at = np.stack([rows - self.origin[0], columns - self.origin[1]], -1).astype(np.float32)
        strength = np.broadcast_to(np.float32(strength), len(at)).astype(np.float32)
        low = np.concatenate([self.low, np.zeros((*self.low.shape[:2], 1), np.float32)], -1)
        painted = wp.zeros(len(at), dtype=wp.vec4, device=self.device)
        origin = np.subtract(self.low_origin, self.origin)
        wp.launch(
            kernels.paint_tiles,
            len(at),
            [
                wp.array(at, dtype=wp.vec2, device=self.device),
                wp.array(strength, dtype=float, device=self.device),
                wp.array(self.detail, dtype=wp.vec4, device=self.device),
                wp.array(np.ascontiguousarray(low, np.float32), dtype=wp.vec4, device=self.device),
                wp.vec2(*origin.astype(float)),
                float(self.cell),
                wp.vec2(*(float(side) for side in self.tile)),
                wp.vec2i(*self.first),
                wp.array(self.sources.astype(np.float32), dtype=wp.vec2, device=self.device),
            ],
            [painted],
            device=self.device,
        )
        return painted.numpy()[:, :3]

    def _low_at(self, grid: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        at = [(rows - self.low_origin[0]) / self.cell, (columns - self.low_origin[1]) / self.cell]
        return np.stack(
            [ndimage.map_coordinates(c, at, order=1, mode="nearest") for c in np.moveaxis(grid, -1, 0)], -1
        )

    def _lattice(self, bounds) -> tuple[tuple[int, int], np.ndarray, np.ndarray]:
        """The first vertex (j, i), and the map positions of all vertices (J, I) as rows and columns."""
        top, bottom = ((bounds[k] - self.origin[0]) / self.tile[0] / _ROW for k in (0, 1))
        left, right = ((bounds[k] - self.origin[1]) / self.tile[1] for k in (2, 3))
        j = np.arange(int(np.floor(top)) - 1, int(np.ceil(bottom)) + 2)
        i = np.arange(int(np.floor(left - bottom / 2)) - 2, int(np.ceil(right - top / 2)) + 3)
        rows = j[:, None] * _ROW * self.tile[0] + 0 * i
        columns = (i + j[:, None] / 2) * self.tile[1]
        return (int(j[0]), int(i[0])), rows + self.origin[0], columns + self.origin[1]

    def _match_border(self, rows, columns, centres, hold: float, random) -> None:
        """Replaces the sources of tiles that overlap the example's border by those that continue it best."""
        offsets = random.uniform(-0.8, 0.8, (COMPARED, 2)) * self.tile
        near = self._valid_at(rows[..., None] + offsets[:, 0], columns[..., None] + offsets[:, 1])
        share = near.mean(-1)
        js, is_ = np.nonzero((share > 0.03) & (share < 0.999))
        if not len(js):
            return
        at = np.stack([rows[js, is_], columns[js, is_]], -1)
        candidates = _candidates(at[:, 0] - self.origin[0], centres, hold, CANDIDATES, random)
        known = near[js, is_]
        target = self._detail_at(at[:, None] + offsets - self.origin)[..., :3]
        proposed = self._detail_at(candidates[:, :, None] + offsets)
        weight = known[:, None] * proposed[..., 3]
        cost = ((proposed[..., :3] - target[:, None]) ** 2).sum(-1)
        cost = (cost * weight).sum(-1) / np.maximum(weight.sum(-1), 1e-3) + 1e6 * (weight.sum(-1) < 1)
        best = cost.argmin(1)
        self.sources[js, is_] = candidates[np.arange(len(best)), best]

    def _detail_at(self, at: np.ndarray) -> np.ndarray:
        """Detail and validity (..., 4) at the nearest pixels of positions (..., 2) of the example."""
        pixel = np.rint(at).astype(np.int64)
        height, width = self.detail.shape[:2]
        inside = (pixel >= 0).all(-1) & (pixel[..., 0] < height) & (pixel[..., 1] < width)
        pixel = np.where(inside[..., None], pixel, 0)
        return self.detail[pixel[..., 0], pixel[..., 1]] * inside[..., None]

    def _valid_at(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return self._detail_at(np.stack([rows - self.origin[0], columns - self.origin[1]], -1))[..., 3] > 0

    def _correct(self, example: Example) -> None:
        """Adds to the low-frequency colours what tiles and example differ by at the border, fading outwards."""
        rows, columns = _grid_of(example)
        step = max(1, round(self.cell / 4))
        rows, columns = rows[::step, ::step], columns[::step, ::step]
        valid = example.valid[::step, ::step]
        if not valid.any():
            return
        painted = self.paint(rows[valid], columns[valid])
        off = example.colours[::step, ::step][valid] - painted
        total, count = _binned(
            rows[valid], columns[valid], off, self.low_origin, self.low.shape[:2], self.cell
        )
        added = np.zeros_like(self.low)
        for width in CORRECTIONS:
            added += _spread_out(total - added * count[..., None], count, width)
        self.low += added


def _grid_of(example: Example) -> tuple[np.ndarray, np.ndarray]:
    height, width = example.valid.shape
    rows = example.origin[0] + np.arange(height)[:, None] + np.zeros(width)
    return rows, example.origin[1] + np.arange(width) + np.zeros((height, 1))


def _binned(rows, columns, values, origin, shape, cell) -> tuple[np.ndarray, np.ndarray]:
    """Sums (h, w, 3) and counts (h, w) of values (n, 3) in the cells of a grid."""
    y = np.rint((rows - origin[0]) / cell).astype(np.int64).clip(0, shape[0] - 1)
    x = np.rint((columns - origin[1]) / cell).astype(np.int64).clip(0, shape[1] - 1)
    cells = y * shape[1] + x
    length = shape[0] * shape[1]
    total = np.stack([np.bincount(cells, values[:, c], length) for c in range(values.shape[1])], -1)
    return total.reshape(*shape, -1), np.bincount(cells, minlength=length).reshape(shape).astype(float)


def _spread_out(total: np.ndarray, count: np.ndarray, width: float) -> np.ndarray:
    """Local means (h, w, c) of binned values, fading to 0 some `width` cells away from them."""
    known = (count > 0).astype(float)
    mean = total / np.maximum(count, 1)[..., None]
    weight = ndimage.gaussian_filter(known, width, mode="constant", truncate=3)
    sums = [
        ndimage.gaussian_filter(mean[..., c], width, mode="constant", truncate=3)
        for c in range(mean.shape[-1])
    ]
    return (np.stack(sums, -1) / (weight + 0.06)[..., None]).astype(np.float32)


def _usual(example: Example, tile: tuple[float, float]) -> np.ndarray:
    """Pixels (H, W) bool of the example around which the colours are most like those at its sides."""
    size = [max(3, round(side)) for side in tile]
    weight = ndimage.uniform_filter(example.valid.astype(np.float32), size, mode="constant")
    sums = [
        ndimage.uniform_filter(np.where(example.valid, plane, 0), size, mode="constant")
        for plane in np.moveaxis(example.colours, -1, 0)
    ]
    smooth = np.stack(sums, -1) / np.maximum(weight, 1e-3)[..., None]
    before, counts = np.cumsum(example.valid, 1), example.valid.sum(1)
    limit = np.ceil(OUTERMOST / 2 * counts)[:, None]
    outer = example.valid & ((before <= limit) | (before > counts[:, None] - limit))
    rows = np.flatnonzero(counts)
    if not len(rows):
        return example.valid
    median = np.nanmedian(np.where(outer[rows, :, None], smooth[rows], np.nan), axis=1)
    nearest = np.abs(np.arange(len(smooth))[:, None] - rows).argmin(1)
    median = ndimage.gaussian_filter1d(median[nearest], size[0] / 2, axis=0, mode="nearest")
    off = np.abs(smooth - median[:, None]).max(-1)
    return example.valid & (off <= np.quantile(off[example.valid], USUAL))


def _low_frequencies(example: Example, usual: np.ndarray, origin, shape, cell) -> np.ndarray:
    """Low-frequency colour (h, w, 3) float32 of the whole map.

    The mean of the row's `usual` pixels (H, W), which goes on to both sides, and what differs from it near the example.
    """
    rows, columns = _grid_of(example)
    valid = example.valid
    total, count = _binned(rows[valid], columns[valid], example.colours[valid], origin, shape, cell)
    usual_total, usual_count = _binned(
        rows[usual], columns[usual], example.colours[usual], origin, shape, cell
    )
    per_row, weight = usual_total.sum(1), usual_count.sum(1)
    sums = ndimage.gaussian_filter1d(per_row, 2.0, axis=0, mode="constant")
    weight = ndimage.gaussian_filter1d(weight, 2.0, mode="constant")
    enough = weight > 0.02 * weight.max() if weight.any() else weight > -1
    nearest = ndimage.distance_transform_edt(~enough, return_distances=False, return_indices=True)[0]
    mean = (sums / np.maximum(weight, 1e-9)[:, None])[nearest]
    # Beyond the example's rows the colour levels out.
    mean = ndimage.gaussian_filter1d(mean, 3.0, axis=0, mode="nearest")
    low = np.repeat(mean[:, None], shape[1], 1)
    for width in SPREADS:
        low = low + _spread_out(total - low * count[..., None], count, width)
    return low.astype(np.float32)


def _places(valid: np.ndarray, tile: tuple[float, float]) -> tuple[tuple[float, float], np.ndarray]:
    """The size of tiles that fit the example often enough, and the (row, column) of the places where they do."""
    best = (tile, np.empty((0, 2)))
    for size in SIZES:
        sides = [max(3, round(1.7 * size * side)) for side in tile]
        share = ndimage.uniform_filter(valid.astype(np.float32), sides, mode="constant")
        step = [max(1, side // 12) for side in sides]
        grid = np.zeros(valid.shape, bool)
        grid[:: step[0], :: step[1]] = True
        places = np.argwhere((share > WHOLE) & grid)
        chosen = ((size * tile[0], size * tile[1]), places.astype(float))
        if len(places) >= ENOUGH_PLACES:
            return chosen
        if len(places) > len(best[1]):
            best = chosen
    if not len(best[1]) and valid.any():
        best = ((SIZES[-1] * tile[0], SIZES[-1] * tile[1]), np.argwhere(valid)[::7].astype(float))
    return best


def _candidates(rows: np.ndarray, centres: np.ndarray, hold: float, count: int, random) -> np.ndarray:
    """Random places (n, count, 2) for tiles at `rows` (n,) of the example, mostly within `hold` of their row."""
    order = np.argsort(centres[:, 0], kind="stable")
    sorted_rows = centres[order, 0]
    wanted = rows[:, None] + hold * random.standard_normal((len(rows), count))
    wanted = wanted.clip(sorted_rows[0], sorted_rows[-1])
    span = max(4, len(centres) // 200)
    index = np.searchsorted(sorted_rows, wanted) + random.integers(-span, span + 1, wanted.shape)
    # All places of the row found are equally likely.
    row = sorted_rows[index.clip(0, len(centres) - 1)]
    low, high = np.searchsorted(sorted_rows, row), np.searchsorted(sorted_rows, row, "right")
    pick = low + (random.random(row.shape) * (high - low)).astype(np.int64)
    return centres[order[pick]]
