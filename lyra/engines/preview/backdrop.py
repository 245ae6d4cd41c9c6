"""What stands around the place beyond the borders of its image: strips of the image, quilted along the horizon.

On a cylinder around the camera every column keeps its distance when it is copied to another azimuth. Strips are
chosen by how well they continue their neighbour (Efros and Freeman, "Image Quilting", 2001), far things before near
ones and unused ones before used ones, and joined along a minimum-cut seam. They are never reversed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from lyra.engines.preview.level import LevelView
from lyra.engines.preview.tiles import Example, TiledTexture

# Columns of the coarse map on which strips are chosen, per radian.
COARSE = 115.0
# Shortest and longest strip, the overlap of two, and how far the first one goes on under the image, in radians.
SHORTEST, LONGEST, OVERLAP, UNDER = np.radians([12, 26, 4, 12])
# Costs of what is made up in a strip, and of its repetition, against differences at its seam.
MADE_UP, AGAIN = 0.3, 0.5
# Differences of log distance, and of standing or not, against those of colour (of 0 ... 1).
FAR_WEIGHT, MASK_WEIGHT = 0.15, 0.5
# A column's distance is this quantile of its inverse ranges; what is this many times nearer is in front of it.
BACK, IN_FRONT = 0.3, 1.6
# What is nearer than all within this angle is in front as well. Narrow pieces are left out, and those of which more
# than this share is made up unless they are as wide as this.
WIDE, NARROW, MADE_WIDE, MOSTLY = *np.radians([24, 3, 15]), 0.5
# Columns whose lowest part is this far above the horizon hang in the air, and pieces of which most do are left out.
HANGS = np.radians(1)
# What is cut by the upper border goes on for this much higher, in radians.
LOWER_TOP, HIGHER_TOP = np.radians([3, 14])
# Colours of a strip are shifted by at most this much (of 255) to match its neighbour, fading over this angle.
SHIFT, FADE = 22.0, np.radians(14)
# Angle over which the distances of neighbouring strips are levelled.
LEVELLED = np.radians(3)


@dataclass(frozen=True)
class Cylinder:
    """Upright columns around the camera, in level axes.

    `colours` (H, W, 3) float32; `stands` (H, W) bool, what is there; `unwanted` (H, W) float32, what speaks against
    showing it again; `covered` (H, W) bool, what the image covers; `inverse` (W,), one over each column's range.
    Azimuth a and elevation e lie in column `density` * a - `left` and row `density` * -tan(e) - `top`.
    """

    colours: np.ndarray
    stands: np.ndarray
    unwanted: np.ndarray
    covered: np.ndarray
    inverse: np.ndarray
    density: float
    top: int
    left: int

    def look_up(self, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Colours (H, W, 3), disparity and mask (H, W) along `rays` (H, W, 3) of depth 1 in level axes."""
        level = np.hypot(rays[..., 0], rays[..., 2])
        columns = np.arctan2(rays[..., 0], rays[..., 2]) * self.density - self.left
        rows = rays[..., 1] / np.maximum(level, 1e-6) * self.density - self.top
        y, x = np.rint(rows), np.rint(columns)
        height, width = self.stands.shape
        shown = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        y, x = (np.where(shown, axis, 0).astype(np.int64) for axis in (y, x))
        shown &= self.stands[y, x]
        # Between a column and what does not stand there is nothing to blend.
        whole = ndimage.minimum_filter(self.stands, 3)[y, x] & shown
        colours = self.colours[y, x]
        at = np.stack([rows[whole], columns[whole]]).astype(np.float32)
        for channel in range(3):
            plane = self.colours[..., channel]
            colours[whole, channel] = ndimage.map_coordinates(plane, at, order=1, mode="nearest")
        disparity = np.where(shown, self.inverse[x] * level, 0)
        return colours, disparity.astype(np.float32), shown


def unrolled(
    level: LevelView,
    image: np.ndarray,
    disparity: np.ndarray,
    stands: np.ndarray,
    made_up: np.ndarray,
    density: float,
) -> Cylinder:
    """The image (H, W, 3) on a cylinder: what `stands` (H, W), each column at the distance of its farther part."""
    azimuth, elevation = level.angles()
    left, right = azimuth[:, 0].mean(), azimuth[:, -1].mean()
    top, bottom = np.tan(elevation.max()), np.tan(max(elevation.min(), np.radians(-70)))
    first = (int(np.floor(-top * density)), int(np.ceil(left * density)))
    rows = np.arange(first[0], int(np.ceil(-bottom * density)))[:, None] / density
    columns = np.arange(first[1], max(first[1] + 1, int(np.floor(right * density)))) / density
    rays = np.stack(np.broadcast_arrays(np.sin(columns), rows, np.cos(columns)), -1)
    y, x, covered = level.pixels_of(rays)
    y, x = (np.where(covered, axis, 0).astype(np.float32) for axis in (y, x))
    colours = [
        ndimage.map_coordinates(np.ascontiguousarray(plane, np.float32), [y, x], order=1, mode="nearest")
        for plane in np.moveaxis(image, -1, 0)
    ]
    nearest = tuple(
        np.rint(axis).astype(int).clip(0, side - 1) for axis, side in zip((y, x), stands.shape, strict=True)
    )
    standing = covered & stands[nearest]
    inverse = disparity[nearest] * (rays @ level.axes[:, 2])
    distance = _column_distance(inverse, standing, density)
    standing = _without_pieces(
        standing & (inverse < IN_FRONT * distance), made_up[nearest], -first[0], density
    )
    unwanted = MADE_UP * (made_up[nearest] & standing)
    return Cylinder(
        np.stack(colours, -1), standing, unwanted.astype(np.float32), covered, distance, density, *first
    )


def _without_pieces(standing: np.ndarray, made_up: np.ndarray, horizon: int, density: float) -> np.ndarray:
    """`standing` (H, W) bool without pieces that are narrow, hang in the air or are for the most part made up.

    `horizon` is its row.
    """
    pieces, count = ndimage.label(ndimage.binary_closing(standing, iterations=2))
    if not count:
        return standing
    numbers = np.arange(count + 1)
    made = ndimage.mean(made_up, pieces, numbers)
    wide = np.array([0, *(box[1].stop - box[1].start for box in ndimage.find_objects(pieces))])
    lowest = np.full((count + 1, standing.shape[1]), -1)
    rows, columns = np.nonzero(pieces)
    np.maximum.at(lowest, (pieces[rows, columns], columns), rows)
    hangs = (lowest >= 0) & (lowest < horizon - density * np.tan(HANGS))
    hanging = hangs.sum(1) / np.maximum((lowest >= 0).sum(1), 1)
    least = np.where(made < MOSTLY, NARROW, MADE_WIDE) * density
    kept = (wide > least) & (hanging < MOSTLY)
    return standing & kept[pieces]


def _column_distance(inverse: np.ndarray, standing: np.ndarray, density: float) -> np.ndarray:
    """One over the range (W,) of what is far off in each column, over the `standing` (H, W) of `inverse` (H, W)."""
    known = standing.any(0)
    if not known.any():
        return np.ones(len(known))
    logs = np.where(standing, np.log(np.maximum(inverse, 1e-9)), np.nan)
    back = np.full(len(known), np.nan)
    back[known] = np.nanquantile(logs[:, known], BACK, axis=0)
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)[0]
    back = ndimage.median_filter(back[nearest], max(3, round(0.08 * density)), mode="nearest")
    back = ndimage.grey_opening(back, min(max(3, round(WIDE * density)), len(back)), mode="nearest")
    return np.exp(ndimage.gaussian_filter1d(back, 0.02 * density, mode="nearest"))


def quilted(source: Cylinder, seed: int, device="cpu") -> Cylinder:
    """The source continued around the whole horizon, and a little under its own borders."""
    random = np.random.default_rng(seed)
    source = _raised(source, random, device)
    width = source.stands.shape[1]
    half = int(np.pi * source.density)
    left = _Quilt(source, -1, half + source.left)
    right = _Quilt(source, 1, half - source.left - width)
    for quilt in (left, right):
        quilt.sew(random)
    between = max(0, width - 2 * left.under)
    shape = (len(source.stands), between)
    colours = [left.colours[:, ::-1], np.zeros((*shape, 3), np.float32), right.colours]
    stands = [left.stands[:, ::-1], np.zeros(shape, bool), right.stands]
    gap = np.geomspace(left.inverse[0], right.inverse[0], between)
    distance = np.log(np.concatenate([left.inverse[::-1], gap, right.inverse]))
    distance = ndimage.gaussian_filter1d(distance, LEVELLED * source.density, mode="nearest")
    return replace(
        source,
        colours=np.concatenate(colours, 1),
        stands=np.concatenate(stands, 1),
        inverse=np.exp(distance),
        left=source.left + left.under - left.stands.shape[1],
    )


def _raised(source: Cylinder, random, device) -> Cylinder:
    """The source with what the upper border of its image cuts going on above it."""
    height, width = source.stands.shape
    highest = np.argmax(source.stands, 0)
    touching = source.stands.any(0) & (highest <= np.argmax(source.covered, 0) + max(2, height // 60))
    upper = source.stands & touching & (np.arange(height)[:, None] < highest + 0.35 * source.density)
    upper = ndimage.binary_erosion(upper, iterations=2)
    if upper.sum() < 50:
        return source
    more = int(1.3 * np.tan(HIGHER_TOP) * source.density)
    rough, fine = (
        ndimage.gaussian_filter1d(random.standard_normal(width), reach, mode="nearest")
        for reach in (max(1, 0.03 * source.density), 2)
    )
    noise = rough / max(np.ptp(rough), 1e-9) + 0.15 * fine
    noise = (noise - noise.min()) / max(np.ptp(noise), 1e-9)
    higher = source.density * (LOWER_TOP + (HIGHER_TOP - LOWER_TOP) * noise)
    # Narrow things end lower, as the crown of a trunk does.
    inner = ndimage.distance_transform_edt(np.pad(touching, 1))[1:-1]
    higher = np.minimum(higher, 1.2 * inner + 0.02 * source.density)
    rows = np.arange(-more, height)[:, None]
    fresh = touching & (rows >= highest - higher) & (rows < highest)
    colours, stands, unwanted, covered = (
        np.pad(plane, ((more, 0), *((0, 0),) * (plane.ndim - 1)))
        for plane in (source.colours, source.stands, source.unwanted, source.covered)
    )
    tile = 0.06 * source.density
    seed = int(random.integers(1 << 30))
    example = Example(source.colours, upper, (0.0, 0.0))
    bounds = (-more, height, 0, width)
    texture = TiledTexture(example, bounds, (tile, tile), max(2, tile / 4), height, seed, device)
    y, x = np.nonzero(fresh)
    colours[y, x] = texture.paint(y - float(more), x.astype(float)).clip(0, 255)
    return replace(
        source,
        colours=colours,
        stands=stands | fresh,
        unwanted=unwanted,
        covered=covered,
        top=source.top - more,
    )


class _Quilt:
    """Columns beyond one border of the source, and `under` ones on this side of it; the innermost is first.

    For the left border (`side` -1) everything is reversed here, and reversed back by `quilted`.
    """

    def __init__(self, source: Cylinder, side: int, length: int):
        self.density = source.density
        self.step = max(1, round(source.density / COARSE))
        self.source = [plane[:, ::side] for plane in (source.colours, source.stands)]
        self.distance = source.inverse[::side]
        self.overlap, self.under = (
            min(max(2, round(angle * source.density / self.step)) * self.step, source.stands.shape[1] // 3)
            for angle in (OVERLAP, UNDER)
        )
        shape = (len(source.stands), max(length, 0) + self.under)
        self.colours = np.zeros((*shape, 3), np.float32)
        self.stands = np.zeros(shape, bool)
        self.inverse = np.ones(shape[1])
        self.features, self.cost = _features(source, side, self.step)

    def sew(self, random) -> None:
        """Lays strip after strip."""
        count = len(self.features)
        overlap = max(1, self.overlap // self.step)
        most = max(1, count - 2 * overlap)
        sizes = [min(max(overlap, round(a * self.density / self.step)), most) for a in (SHORTEST, LONGEST)]
        used = np.zeros(count)
        # Where in the source the quilt goes on so far, and its next free column.
        at, place = count - overlap, self.under - self.overlap
        while place < self.stands.shape[1]:
            size = int(random.integers(sizes[0], sizes[1] + 1))
            starts = np.arange(max(1, count - size - overlap))
            window = np.arange(overlap)
            known = self.features[at + window]
            cost = ((self.features[starts[:, None] + window] - known) ** 2).mean((1, 2))
            ahead = starts[:, None] + np.arange(size)
            cost += self.cost[ahead].mean(1) + AGAIN * used[ahead].mean(1)
            # Going on where it is would be the same strip.
            cost += 10.0 * (np.abs(starts - at) < overlap)
            start = int(starts[cost.argmin()])
            used *= 0.8
            used[start : start + size] += 1
            self._lay(at * self.step, start * self.step, place, size * self.step + self.overlap)
            at, place = start + size, place + size * self.step

    def _lay(self, at: int, start: int, place: int, size: int) -> None:
        """Lays `size` columns of the source from `start` on at `place`, over those that go on from `at` there."""
        width, count = self.stands.shape[1], len(self.distance)
        size = min(size, count - start, width - place)
        overlap = min(self.overlap, size)
        first = place < self.under
        colours, stands = (plane[:, start : start + size].copy() for plane in self.source)
        if first:
            there = np.clip(at + np.arange(overlap), 0, count - 1)
            old = [plane[:, there] for plane in self.source]
        else:
            old = [plane[:, place : place + overlap].copy() for plane in (self.colours, self.stands)]
        shift = _colour_shift(old, (colours[:, :overlap], stands[:, :overlap]), self.density)
        fade = np.exp(-np.arange(size) / (FADE * self.density))[:, None]
        colours = (colours + shift[:, None] * fade).clip(0, 255)
        new = np.ones(stands.shape, bool)
        if not first:
            new = np.arange(size) >= _seam(old, (colours[:, :overlap], stands[:, :overlap]))[:, None]
        target = np.s_[:, place : place + size]
        self.colours[target][new] = colours[new]
        self.stands[target][new] = stands[new]
        self.inverse[place + overlap // 2 : place + size] = self.distance[start + overlap // 2 : start + size]
        if first:
            self._lay_under(start, place, shift)

    def _lay_under(self, start: int, place: int, shift: np.ndarray) -> None:
        """Continues the first strip under the image's border with the columns before it, as far as there are any."""
        more = min(place, start)
        target = np.s_[:, place - more : place]
        self.colours[target] = (self.source[0][:, start - more : start] + shift[:, None]).clip(0, 255)
        self.stands[target] = self.source[1][:, start - more : start]
        self.inverse[: place + self.overlap // 2 + 1] = self.distance[start + self.overlap // 2]


def _features(source: Cylinder, side: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """What columns are compared by (columns, n), and what each costs (columns,), on the coarse map."""
    rows, count = (max(1, side // step) for side in source.stands.shape)

    def shrunk(plane: np.ndarray) -> np.ndarray:
        cut = plane[:, ::side][: rows * step, : count * step].astype(np.float32)
        return cut.reshape(rows, min(step, cut.shape[0]), count, min(step, cut.shape[1]), -1).mean((1, 3))

    share = shrunk(source.stands)
    # Weighted by what stands there, so that a missing thing differs from every other.
    colour = shrunk(source.colours * source.stands[..., None]) / 255
    far = np.log(source.inverse[::side][: count * step].reshape(count, -1).mean(1))
    far = np.repeat((far - np.median(far)).clip(-2, 2)[None, :, None], rows, 0) * share
    features = np.concatenate([colour, FAR_WEIGHT * far, MASK_WEIGHT * share], -1)
    cost = shrunk(source.unwanted)[..., 0].sum(0) / np.maximum(share[..., 0].sum(0), 1)
    return features.transpose(1, 0, 2).reshape(count, -1), cost


def _colour_shift(old, new, density: float) -> np.ndarray:
    """What to add to the new colours in each row (H, 3), smooth; `old` and `new` are colours and masks."""
    both = (old[1] & new[1]).astype(np.float32)
    weight = ndimage.gaussian_filter1d(both.sum(1), max(1, 0.04 * density))
    difference = ((old[0] - new[0]) * both[..., None]).sum(1)
    difference = ndimage.gaussian_filter1d(difference, max(1, 0.04 * density), axis=0)
    return (difference / (weight + 0.1 * both.shape[1])[:, None]).clip(-SHIFT, SHIFT)


def _seam(old, new) -> np.ndarray:
    """The first column (H,) that the new strip shows in each row: the path of least difference, top to bottom."""
    cost = ((old[0] - new[0]) ** 2).sum(-1) / 255**2
    cost = np.where(old[1] & new[1], cost, np.where(old[1] | new[1], 0.3, 0.0)) + 1e-4
    best = cost.copy()
    for row in range(1, len(cost)):
        before = np.pad(best[row - 1], 1, constant_values=np.inf)
        best[row] += np.minimum(np.minimum(before[:-2], before[1:-1]), before[2:])
    path = np.empty(len(cost), np.int64)
    path[-1] = best[-1].argmin()
    for row in range(len(cost) - 2, -1, -1):
        low = max(path[row + 1] - 1, 0)
        path[row] = low + best[row, low : path[row + 1] + 2].argmin()
    return path
