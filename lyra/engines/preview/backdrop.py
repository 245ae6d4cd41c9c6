"""What stands around the place beyond the borders of its image: strips of the image, quilted along the horizon.

On a cylinder around the camera every column keeps its distances when it is copied to another azimuth. Strips are
chosen by how well they continue their neighbour (Efros and Freeman, "Image Quilting", 2001), far things before near
ones and unused ones before used ones, and joined along a minimum-cut seam. They are never reversed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lyra.engines.preview.level import LevelView
from lyra.engines.preview.tiles import Example, TiledTexture

# Columns of the coarse map on which strips are chosen, per radian.
COARSE = 115.0
# Shortest and longest strip and the overlap of two, in radians.
SHORTEST, LONGEST, OVERLAP = np.radians([12, 26, 4])
# Costs of a strip's near things, of what is made up in it, and of its repetition, against differences at its seam.
NEAR, MADE_UP, AGAIN = 1.5, 0.3, 0.6
# Differences of log distance, and of standing or not, against those of colour (of 0 ... 1).
FAR_WEIGHT, MASK_WEIGHT = 0.25, 0.5
# Things this many times nearer than the median are in front of the backdrop.
IN_FRONT = 2.5
# What is cut by the upper border goes on for this much higher, in radians.
HIGHER = np.radians([3, 14])
# Colours of a strip are shifted by at most this much (of 255) to match its neighbour, fading over this angle.
SHIFT, FADE = 22.0, np.radians(14)


@dataclass(frozen=True)
class Cylinder:
    """A cylinder around the camera in level axes: `colours` (H, W, 3) float32, `inverse` (H, W) one over the level
    range, `stands` (H, W) bool. Column and row of azimuth a and elevation e: `density` times a and -tan(e), minus
    `left` and `top`.
    """

    colours: np.ndarray
    inverse: np.ndarray
    stands: np.ndarray
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
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        y, x = (np.where(inside, axis, 0).astype(np.int64) for axis in (y, x))
        shown = inside & self.stands[y, x]
        colours = np.zeros((*shown.shape, 3), np.float32)
        at = np.stack([rows[shown], columns[shown]]).astype(np.float32)
        for channel in range(3):
            colours[shown, channel] = ndimage.map_coordinates(
                self.colours[..., channel], at, order=1, mode="nearest"
            )
        return colours, np.where(shown, self.inverse[y, x] * level, 0).astype(np.float32), shown


def unrolled(
    level: LevelView, image: np.ndarray, disparity: np.ndarray, stands: np.ndarray, density: float
) -> Cylinder:
    """The image on a cylinder; the columns that it covers over most of its height."""
    azimuth, elevation = level.angles()
    left, right = azimuth[:, 0].mean(), azimuth[:, -1].mean()
    top, bottom = np.tan(elevation.max()), np.tan(max(elevation.min(), np.radians(-70)))
    first = (int(np.floor(-top * density)), int(np.ceil(left * density)))
    rows = np.arange(first[0], int(np.ceil(-bottom * density)))[:, None]
    columns = np.arange(first[1], int(np.floor(right * density)))
    shape = (len(rows), len(columns))
    y, x, inside = level.pixels(
        np.broadcast_to(columns / density, shape), np.broadcast_to(np.arctan(-rows / density), shape)
    )
    y, x = (np.where(inside, axis, 0).astype(np.float32) for axis in (y, x))
    colours = [ndimage.map_coordinates(image[..., c].astype(np.float32), [y, x], order=1) for c in range(3)]
    nearest = np.rint(y).astype(int).clip(0, level.height - 1), np.rint(x).astype(int).clip(0, level.width - 1)
    rays = np.stack([np.sin(columns / density) + 0 * rows, rows / density + 0 * columns], -1)
    direction = np.concatenate([rays, (np.cos(columns / density) + 0 * rows)[..., None]], -1) @ level.axes
    inverse = np.where(inside, disparity[nearest] * direction[..., 2], 0)
    return Cylinder(
        np.stack(colours, -1).astype(np.float32),
        inverse.astype(np.float32),
        inside & stands[nearest],
        density,
        first[0],
        first[1],
    )


def quilted(source: Cylinder, made_up: np.ndarray, seed: int, device="cpu") -> Cylinder:
    """The source continued around the whole horizon. `made_up` (H, W) bool: pixels that no camera saw."""
    random = np.random.default_rng(seed)
    source, touching = _raised(source, random, device)
    height, width = source.stands.shape
    half = int(np.pi * source.density)
    sides = []
    for side in (-1, 1):
        length = half + source.left if side < 0 else half - source.left - width
        sides.append(_continued(source, made_up, side, max(length, 1), random))
    left, right = sides
    middle = (source.colours, source.inverse, source.stands)
    parts = [
        np.concatenate([a[:, ::-1], b, c], 1)
        for a, b, c in zip(left, middle, right, strict=True)
    ]
    return Cylinder(*parts, source.density, source.top, source.left - left[2].shape[1])


def _raised(source: Cylinder, random, device) -> tuple[Cylinder, np.ndarray]:
    """The source with what its upper border cuts going on above it, and which columns that is."""
    height, width = source.stands.shape
    highest = np.argmax(source.stands, 0)
    covered = np.argmax(source.inverse > 0, 0)
    known = source.stands.any(0)
    border = max(2, height // 60)
    # The border of the image, as a curve on the cylinder.
    touching = known & (highest <= np.maximum(_upper_border(source), 0) + border)
    if not touching.any():
        return source, touching
    more = int(np.tan(HIGHER[1]) * source.density * 1.3)
    noise = ndimage.gaussian_filter1d(random.standard_normal(width), max(1, 0.03 * source.density), mode="nearest")
    noise += 0.3 * ndimage.gaussian_filter1d(random.standard_normal(width), 2, mode="nearest")
    noise = (noise - noise.min()) / max(np.ptp(noise), 1e-9)
    inner = ndimage.distance_transform_edt(np.pad(touching, 1))[1:-1]
    higher = source.density * (HIGHER[0] + (HIGHER[1] - HIGHER[0]) * noise)
    # Narrow things end lower, as a trunk's crown does.
    higher = np.minimum(higher, 1.2 * inner + 0.02 * source.density)
    rows = np.arange(-more, height)[:, None]
    fresh = touching & (rows >= highest - higher) & (rows < highest)
    stands = np.pad(source.stands, ((more, 0), (0, 0)))
    colours = np.pad(source.colours, ((more, 0), (0, 0), (0, 0)))
    inverse = np.pad(source.inverse, ((more, 0), (0, 0)))
    upper = source.stands & (np.arange(height)[:, None] < highest + 0.35 * source.density)
    upper &= touching
    example = Example(source.colours, ndimage.binary_erosion(upper, iterations=2) | upper & False, (0.0, 0.0))
    if example.valid.sum() > 50:
        side = 0.06 * source.density
        texture = TiledTexture(
            example, (-more, height, 0, width), (side, side), max(4, side / 4), height, int(random.integers(1 << 30)), device
        )
        y, x = np.nonzero(fresh)
        colours[y, x] = texture.paint((y - more).astype(float), x.astype(float)).clip(0, 255)
        stands |= fresh
        inverse = np.where(fresh, source.inverse[highest, np.arange(width)], inverse)
    return (
        Cylinder(colours, inverse, stands, source.density, source.top - more, source.left),
        touching,
    )


def _upper_border(source: Cylinder) -> np.ndarray:
    """Row of the first pixel (W,) of the image in each column."""
    seen = source.colours.any(-1)
    return np.where(seen.any(0), np.argmax(seen, 0), 0)


def _continued(source: Cylinder, made_up: np.ndarray, side: int, length: int, random):
    """Colours, inverse ranges and mask of `length` columns beyond a border, the nearest column first.

    For the left side (`side` -1) everything is reversed, and reversed back by the caller.
    """
    turned = slice(None, None, side)
    colours, inverse, stands = (a[:, turned] for a in (source.colours, source.inverse, source.stands))
    made_up = made_up[:, turned]
    count = stands.shape[1]
    step = max(1, round(source.density / COARSE))
    features, cost = _features(colours, inverse, stands, made_up, step)
    columns = features.shape[0]
    overlap = max(2, round(OVERLAP * source.density / step))
    shortest, longest = (max(overlap + 2, round(angle * source.density / step)) for angle in (SHORTEST, LONGEST))
    shortest = min(shortest, max(3, columns // 2))
    longest = min(longest, max(shortest, columns - overlap - 1))
    used = np.zeros(columns)
    total = length + OVERLAP * source.density
    out = [np.zeros((stands.shape[0], int(total) + 4 * step, *a.shape[2:]), a.dtype) for a in (colours, inverse, stands)]
    # What the newest strip would go on with: the image itself up to its border.
    at, place = columns - overlap, -overlap
    first = True
    while place * step < length:
        size = int(random.integers(shortest, longest + 1))
        starts = np.arange(0, max(1, columns - size - overlap))
        window = np.arange(overlap)
        known = features[(at + window).clip(0, columns - 1)]
        difference = ((features[starts[:, None] + window] - known) ** 2).mean((1, 2))
        ahead = starts[:, None] + np.arange(size)
        total_cost = difference + cost[ahead].mean(1) + AGAIN * used[ahead].mean(1)
        # Going on where one is would be the same strip.
        total_cost += 10.0 * (np.abs(starts - at) < overlap)
        start = int(starts[total_cost.argmin()])
        used *= 0.8
        used[start : start + size] += 1
        _lay(out, (colours, inverse, stands), start * step, place * step, (size + overlap) * step, overlap * step, first, source, count, at * step)
        at, place, first = start + size, place + size, False
    return [a[:, :length] for a in out]


def _features(colours, inverse, stands, made_up, step):
    """What columns are compared by (columns, n), and what each costs (columns,), on the coarse map."""
    count = stands.shape[1] // step
    rows = max(1, stands.shape[0] // step)

    def shrunk(values):
        cut = values[: rows * step, : count * step].astype(np.float32)
        return cut.reshape(rows, step, count, step, -1).mean((1, 3))

    share = shrunk(stands[..., None])
    solid = np.maximum(share, 1e-3)
    colour = shrunk(colours * stands[..., None]) / solid / 255
    far = shrunk(np.log(np.maximum(inverse, 1e-6))[..., None] * stands[..., None]) / solid
    standing = share[..., 0] > 0.5
    middle = np.median(far[..., 0][standing]) if standing.any() else 0.0
    features = np.concatenate(
        [colour * share, FAR_WEIGHT * (far - middle).clip(-2, 2) * share, MASK_WEIGHT * share], -1
    )
    in_front = standing & (far[..., 0] > middle + np.log(IN_FRONT))
    height = np.maximum(standing.sum(0), 1)
    cost = NEAR * in_front.sum(0) / height + MADE_UP * shrunk(made_up[..., None])[..., 0].mean(0)
    return features.transpose(1, 0, 2).reshape(count, -1), cost


def _lay(out, source, start, place, size, overlap, first, cylinder, count, at) -> None:
    """Lays the source's columns from `start` on over `out` from `place` on, joined along a seam in the overlap."""
    width = out[0].shape[1]
    size = min(size, count - start, width - place)
    if size <= 0:
        return
    fresh = [a[:, start : start + size].copy() for a in source]
    there = np.arange(place, place + min(overlap, size))
    if first:
        # The overlap lies in the image.
        old = [a[:, np.clip(at + np.arange(len(there)), 0, count - 1)] for a in source]
    else:
        old = [a[:, there] for a in out]
    shift = _colour_shift(old, [a[:, : len(there)] for a in fresh], cylinder.density)
    fade = np.exp(-np.arange(size) / (FADE * cylinder.density))[:, None]
    fresh[0] = (fresh[0] + shift[:, None] * fade).clip(0, 255).astype(np.float32)
    if first:
        kept = np.arange(size) >= -place
        for a, b in zip(out, fresh, strict=True):
            a[:, place + np.flatnonzero(kept)] = b[:, kept]
        return
    seam = _seam(old, [a[:, : len(there)] for a in fresh])
    new = np.arange(size) >= seam[:, None]
    for a, b in zip(out, fresh, strict=True):
        target = a[:, place : place + size]
        target[new] = b[new]


def _colour_shift(old, new, density) -> np.ndarray:
    """What to add to the new colours, per row (H, 3)."""
    both = (old[2] & new[2]).astype(np.float32)
    weight = ndimage.gaussian_filter1d(both.sum(1), max(1, 0.04 * density))
    difference = ((old[0] - new[0]) * both[..., None]).sum(1)
    difference = ndimage.gaussian_filter1d(difference, max(1, 0.04 * density), axis=0)
    return (difference / (weight + 0.1 * both.shape[1])[:, None]).clip(-SHIFT, SHIFT)


def _seam(old, new) -> np.ndarray:
    """The first column (H,) that the new strip shows in each row: the path of least difference, top to bottom."""
    cost = ((old[0] - new[0]) ** 2).sum(-1) / 255**2
    cost = np.where(old[2] & new[2], cost, np.where(old[2] | new[2], 0.3, 0.0)) + 1e-4
    height, width = cost.shape
    best = cost.copy()
    for row in range(1, height):
        before = np.pad(best[row - 1], 1, constant_values=np.inf)
        best[row] += np.minimum(np.minimum(before[:-2], before[1:-1]), before[2:])
    path = np.empty(height, np.int64)
    path[-1] = best[-1].argmin()
    for row in range(height - 2, -1, -1):
        low = max(path[row + 1] - 1, 0)
        path[row] = low + best[row, low : path[row + 1] + 2].argmin()
    return path
