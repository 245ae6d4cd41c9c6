"""Walls that the side borders of the source image cut: they go on along their own vertical planes to an end.

A plane is looked for near each border (RANSAC on the horizontal line that it stands on); where one carries most of
what stands there, it is shown beyond the border with its own texture at its own scale, row by row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lyra.engines.preview.level import LevelView, pixel_rays
from lyra.engines.preview.tiles import Example, TiledTexture

# Width of the band at a border in which a wall is looked for, and of the strip that it must reach, as shares of the
# image's width.
BAND, OUTERMOST = 0.2, 0.03
# Points on a wall are within this share of their range of its plane.
ON_WALL = 0.04
# A wall carries at least these shares of what stands in the band and in the strip, and of the image's height there.
CARRIES, CARRIES_BORDER, TALL = 0.5, 0.6, 0.25
SAMPLES, TRIALS = 1500, 200
# A wall ends where it is this many times as far as at the border, or at this azimuth beyond it.
FARTHEST, TURN = 2.5, np.radians(150)
# How far a wall goes on under the image, in radians, and how much higher than what the upper border cuts.
UNDER, HIGHER = np.radians(8), 2.5
# Longest side of the map of a wall's texture, in pixels, and the height of its tiles as a share of the wall's.
LONGEST, TILE = 700, 0.22
SMALLEST_TILE = 0.6
# What people build has level and upright lines: this share of the gradients is within this angle of them. It is 0.22
# where there is no preference.
SQUARE, SQUARE_ANGLE = 0.32, np.radians(10)
# Walls seen at a smaller angle than this say nothing of their texture.
GRAZING = np.sin(np.radians(4))


@dataclass(frozen=True)
class Wall:
    """A vertical plane beyond a border: {X : normal . X = 1} in level axes, where `normal` (3,) has y = 0.

    `first`, `last`: azimuths in radians between which it stands, the first one under the image; `top`: its height
    above the camera, inf for one without end; `scale`: pixels of the texture's map per unit.
    """

    normal: np.ndarray
    first: float
    last: float
    top: float
    scale: float
    texture: TiledTexture

    def disparity(self, rays: np.ndarray) -> np.ndarray:
        """Disparity (...) of the wall along `rays` (..., 3) in level axes and of depth 1; 0 where it is not."""
        found = rays @ self.normal
        azimuth = np.arctan2(rays[..., 0], rays[..., 2])
        low, high = sorted((self.first, self.last))
        there = (found > 1e-9) & (azimuth >= low) & (azimuth <= high) & (-rays[..., 1] <= self.top * found)
        return np.where(there, found, 0).astype(np.float32)

    def colours(self, rays: np.ndarray) -> np.ndarray:
        """Colours (n, 3) in [0, 255] along `rays` (n, 3) that meet the wall."""
        rows, columns = _on_map(rays / (rays @ self.normal)[:, None], self.normal, self.scale)
        return self.texture.paint(rows, columns).clip(0, 255)


def find_walls(
    level: LevelView,
    image: np.ndarray,
    disparity: np.ndarray,
    stands: np.ndarray,
    shown: np.ndarray,
    ceiling: float,
    seed: int,
    device="cpu",
) -> list[Wall]:
    """The walls that the left and the right border of `image` (H, W, 3) cut, none or one each.

    `disparity` (H, W); `stands` (H, W) bool, what is neither sky nor ground; `shown` (H, W) bool, what a camera saw;
    `ceiling` is the height of the ceiling above the camera, inf where there is none.
    """
    found = (
        _wall_at(level, image, disparity, stands, shown, side, ceiling, seed + 1 + side, device)
        for side in (-1, 1)
    )
    return [wall for wall in found if wall is not None]


def _wall_at(
    level: LevelView,
    image: np.ndarray,
    disparity: np.ndarray,
    stands: np.ndarray,
    shown: np.ndarray,
    side: int,
    ceiling: float,
    seed: int,
    device: str,
) -> Wall | None:
    """The wall at the left (`side` -1) or right (1) border."""
    height, width = disparity.shape
    rays = pixel_rays(level.intrinsics, height, width) @ level.axes.T
    band = np.zeros(width, bool)
    count = max(8, round(BAND * width))
    band[-count:] = True
    strip = np.zeros(width, bool)
    strip[-max(3, round(OUTERMOST * width)) :] = True
    band, strip = band[::side], strip[::side]
    known = stands & (disparity > 0)
    inverse = np.where(known, disparity, 1)
    points = rays / inverse[..., None]
    normal = _plane(points[known & band][:, [0, 2]], np.random.default_rng(seed))
    if normal is None:
        return None
    on = known & (np.abs(points @ normal - 1) < ON_WALL)
    at_border = on & strip
    if (
        on[known & band].mean() < CARRIES
        or not (known & strip).any()
        or on[known & strip].mean() < CARRIES_BORDER
        or at_border.any(1).mean() < TALL
    ):
        return None
    azimuth, _ = level.angles()
    border = float(np.median(azimuth[:, -1 if side > 0 else 0]))
    last = _end(normal, border, side)
    if abs(last - border) < np.radians(3):
        return None
    # Walls are connected to the border: what else lies on the plane may be another thing.
    patches, _ = ndimage.label(ndimage.binary_closing(on, iterations=3))
    ours = on & (patches > 0) & np.isin(patches, np.unique(patches[at_border]))
    if not ours.any():
        return None
    top = _top(points, ours, strip, ceiling)
    texture, scale = _texture(
        level, image, ours & shown, points, normal, (border, last), side, top, seed, device
    )
    if texture is None:
        return None
    return Wall(normal, border - side * UNDER, last, top, scale, texture)


def _plane(points: np.ndarray, random) -> np.ndarray | None:
    """The line {p : n . p = 1} that most of the horizontal `points` (n, 2) lie on, as (n_x, 0, n_z)."""
    if len(points) < 60:
        return None
    points = points[random.integers(0, len(points), SAMPLES)]
    a, b = (points[random.integers(0, SAMPLES, TRIALS)] for _ in range(2))
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    good = np.abs(area) > 1e-3 * np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    if not good.any():
        return None
    normals = np.stack([b[:, 1] - a[:, 1], a[:, 0] - b[:, 0]], -1)[good] / area[good, None]
    off = np.abs(points @ normals.T - 1)
    best = normals[(off < ON_WALL).sum(0).argmax()]
    for _ in range(3):
        on = np.abs(points @ best - 1) < ON_WALL
        if on.sum() < 30:
            return None
        # Divided by the range, which the errors grow with.
        weight = 1 / np.linalg.norm(points[on], axis=1)
        best, *_ = np.linalg.lstsq(points[on] * weight[:, None], weight, rcond=None)
    return np.array([best[0], 0.0, best[1]])


def _end(normal: np.ndarray, border: float, side: int) -> float:
    """Azimuth at which the wall beyond `border` ends."""
    turns = border + side * np.linspace(0, TURN, 600)
    inverse = normal[0] * np.sin(turns) + normal[2] * np.cos(turns)
    far = inverse < inverse[0] / FARTHEST
    return float(turns[far.argmax() - 1 if far.any() else -1])


def _top(points: np.ndarray, ours: np.ndarray, strip: np.ndarray, ceiling: float) -> float:
    """Height above the camera at which the wall ends."""
    if np.isfinite(ceiling):
        return ceiling
    heights = -points[..., 1][ours]
    highest = float(np.quantile(heights, 0.995))
    cut = ours[: max(2, len(ours) // 60)][:, strip].any()
    lowest = float(np.quantile(heights, 0.005))
    return highest + (HIGHER - 1) * max(highest - lowest, 0) if cut else highest


def _on_map(points: np.ndarray, normal: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns (...) of `points` (..., 3) of a wall on the map of its texture."""
    along = np.array([normal[2], 0.0, -normal[0]]) / np.hypot(normal[0], normal[2])
    return points[..., 1] * scale, (points @ along) * scale


def _texture(
    level: LevelView,
    image: np.ndarray,
    source: np.ndarray,
    points: np.ndarray,
    normal: np.ndarray,
    span: tuple[float, float],
    side: int,
    top: float,
    seed: int,
    device: str,
) -> tuple[TiledTexture | None, float]:
    """The wall's texture over the azimuths `span`, and the scale of its map; None where too little of it is seen."""
    rays = points / np.linalg.norm(points, axis=-1, keepdims=True)
    facing = np.abs(rays @ normal) / np.linalg.norm(normal) > GRAZING
    source = ndimage.binary_erosion(source & facing, iterations=2, border_value=1)
    if source.sum() < 200:
        return None, 0.0
    rows, columns = _on_map(points[source], normal, 1.0)
    # Near parts are the sharpest, far ones would make the map long.
    low, high = np.quantile(columns, [0.02, 0.98])
    upper, lower = np.quantile(rows, [0.005, 0.995])
    extent = max(high - low, lower - upper)
    if not extent > 0:
        return None, 0.0
    focal = level.intrinsics[0, 0]
    scale = min(
        LONGEST / extent, focal * float(np.quantile(1 / np.linalg.norm(points[source], axis=-1), 0.75))
    )
    distance = 1 / np.linalg.norm(normal)
    outward = normal * distance
    along = np.array([outward[2], 0.0, -outward[0]])
    at_rows = np.arange(int(np.floor(upper * scale)), int(np.ceil(lower * scale)) + 1)[:, None]
    at_columns = np.arange(int(np.floor(low * scale)), int(np.ceil(high * scale)) + 1)[None]
    at = (
        outward * distance
        + (at_columns / scale)[..., None] * along
        + (at_rows / scale)[..., None] * np.array([0.0, 1.0, 0.0])
    )
    y, x, inside = level.pixels_of(at)
    y, x = (np.where(inside, axis, 0).astype(np.float32) for axis in (y, x))
    colours = [
        ndimage.map_coordinates(np.ascontiguousarray(image[..., c]), [y, x], order=1, mode="nearest")
        for c in range(3)
    ]
    valid = inside & source[np.rint(y).astype(int), np.rint(x).astype(int)]
    if valid.sum() < 200:
        return None, 0.0
    if _squareness(colours, valid) < SQUARE:
        return None, 0.0
    example = Example(
        np.stack(colours, -1).astype(np.float32), valid, (float(at_rows[0, 0]), float(at_columns[0, 0]))
    )
    seen = (lower - upper) * scale
    ends = [_along(normal, azimuth) * scale for azimuth in (span[0] - side * UNDER, span[1])]
    bottom = lower * scale + seen
    bounds = (-min(top * scale, 4 * seen - upper * scale), bottom, min(ends) - 2, max(ends) + 2)
    tile = TILE * seen
    texture = TiledTexture(example, bounds, (tile, tile), max(2.0, tile / 6), 0.25 * tile, seed, device)
    # Small tiles, for want of places for larger ones, make a pattern and no wall.
    return (texture, scale) if texture.tile[0] > SMALLEST_TILE * tile else (None, 0.0)


def _squareness(colours: list[np.ndarray], valid: np.ndarray) -> float:
    """Share of the gradients, by strength, that lie along the rows or the columns of the map within SQUARE_ANGLE."""
    grey = ndimage.gaussian_filter(sum(colours) / 3, 1.0)
    down, right = ndimage.sobel(grey, 0), ndimage.sobel(grey, 1)
    strength = np.hypot(down, right) * ndimage.binary_erosion(valid, iterations=3)
    angle = np.abs(np.arctan2(down, right)) % (np.pi / 2)
    along = np.minimum(angle, np.pi / 2 - angle) < SQUARE_ANGLE
    return float((strength * along).sum() / max(strength.sum(), 1e-9))


def _along(normal: np.ndarray, azimuth: float) -> float:
    """How far along the wall it is met at an azimuth."""
    ray = np.array([np.sin(azimuth), 0.0, np.cos(azimuth)])
    point = ray / max(float(ray @ normal), 1e-6)
    return float(_on_map(point, normal, 1.0)[1])
