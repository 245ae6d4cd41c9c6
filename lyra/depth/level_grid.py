"""A picture seen by a level camera, in cells: there every vertical line of the world is one column at one depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.color import rgb2lab

from lyra.common.shapes import height_width

# Cells across a picture's longer side, and the fewest pixels a cell measures.
CELLS, SMALLEST = 208, 2
# Largest tangent of the angle between a ray and the level camera's axis.
WIDEST = 2.5
# Smoothing of the depth before its slope is taken, in cells.
SLOPE_SMOOTHING = 1.5


def level_rotation(up: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) from camera axes to those of the level camera with the same heading; `up` (3,) in camera axes."""
    down = -np.asarray(up, np.float64)
    ahead = np.array([0.0, 0.0, 1.0]) - down[2] * down
    ahead /= np.linalg.norm(ahead)
    return np.stack([np.cross(down, ahead), down, ahead])


@dataclass(frozen=True)
class LevelGrid:
    """The picture in cells of a level camera at the same place.

    `x` (C,) and `y` (R,) are tangents at the cells' middles, y grows downwards and is 0 at the horizon.
    `log_inverse` (R, C) is the log of 1 / level depth, -inf in the sky and nan outside the picture; `slope` (R, C) its
    change for a relative change of y, 1 on level ground and 0 on what stands upright, nan where unknown. `lab`
    (R, C, 3) is the colour. `cell` (H, W) int is each pixel's flat index into the grid, -1 outside; `ahead` (H, W)
    float32 is level depth over z-depth of a pixel.
    """

    x: np.ndarray
    y: np.ndarray
    log_inverse: np.ndarray
    slope: np.ndarray
    lab: np.ndarray
    cell: np.ndarray
    ahead: np.ndarray
    size: float

    @property
    def shape(self) -> tuple[int, int]:
        return height_width(self.log_inverse)

    def pixels(self, values: np.ndarray, outside: float) -> np.ndarray:
        """`values` (R, C) of the cells at the picture's pixels (H, W), `outside` where there is no cell."""
        return np.where(self.cell >= 0, values.ravel()[self.cell], np.asarray(outside, values.dtype))


def level_grid(image: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray, up: np.ndarray) -> LevelGrid:
    """The grid of `image` (H, W, 3) uint8 with its z-depth (H, W), inf for sky, for a camera with `up` (3,)."""
    height, width = depth.shape
    rotation = level_rotation(up)
    across = ((np.arange(width) + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0])[None, :]
    down = ((np.arange(height) + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1])[:, None]
    right, below, ahead = (row[0] * across + row[1] * down + row[2] for row in rotation)
    seen = ahead > 1 / (WIDEST * 4)
    ahead_or_one = np.where(seen, ahead, 1)
    right, below = right / ahead_or_one, below / ahead_or_one
    seen &= (np.abs(right) < WIDEST) & (np.abs(below) < WIDEST)
    size = max(SMALLEST, max(height, width) / CELLS) / float(np.sqrt(intrinsics[0, 0] * intrinsics[1, 1]))
    left, top = right[seen].min(), below[seen].min()
    columns = int((right[seen].max() - left) / size) + 1
    rows = int((below[seen].max() - top) / size) + 1
    cell = ((below - top) / size).astype(np.int64) * columns + ((right - left) / size).astype(np.int64)
    cell = np.where(seen, cell, -1)
    x, y = left + (np.arange(columns) + 0.5) * size, top + (np.arange(rows) + 0.5) * size

    # What the middle of each cell shows, as a lookup in the picture.
    rays = rotation.T @ np.stack([*(grid.ravel() for grid in np.meshgrid(x, y)), np.ones(rows * columns)])
    front = rays[2] > 1e-6
    u = np.floor(rays[0] / np.where(front, rays[2], 1) * intrinsics[0, 0] + intrinsics[0, 2]).astype(np.int64)
    v = np.floor(rays[1] / np.where(front, rays[2], 1) * intrinsics[1, 1] + intrinsics[1, 2]).astype(np.int64)
    inside = front & (u >= 0) & (v >= 0) & (u < width) & (v < height)
    u, v = np.where(inside, u, 0), np.where(inside, v, 0)
    with np.errstate(divide="ignore"):
        log_inverse = -np.log(depth[v, u].astype(np.float64) * ahead[v, u].clip(1e-9))
    log_inverse = np.where(inside, log_inverse, np.nan).reshape(rows, columns)
    smooth = np.stack([ndimage.uniform_filter(image[..., c].astype(np.float32), 3) for c in range(3)], -1)
    lab = rgb2lab(smooth[v, u] / 255).astype(np.float32).reshape(rows, columns, 3)
    slope = _slope(log_inverse, y, size)
    return LevelGrid(x, y, log_inverse, slope, lab, cell, ahead.astype(np.float32), size)


def _slope(log_inverse: np.ndarray, y: np.ndarray, size: float) -> np.ndarray:
    """As `LevelGrid.slope`: normalised convolution along the columns, so that sky and border have no part in it."""
    solid = np.isfinite(log_inverse)
    weight = solid.astype(np.float64)
    values = np.where(solid, log_inverse, 0)
    rows = np.arange(len(y), dtype=np.float64)[:, None]

    def smooth(array: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(array, (SLOPE_SMOOTHING, 0.7), mode="constant")

    # The least-squares line through the neighbours, weighted by the Gaussian.
    w, r, v = smooth(weight), smooth(weight * rows), smooth(values)
    rr, rv = smooth(weight * rows**2), smooth(values * rows)
    w = np.maximum(w, 1e-9)
    variance = rr / w - (r / w) ** 2
    change = (rv / w - (r / w) * (v / w)) / np.maximum(variance, 1e-6)
    return np.where(solid & (variance > 0.3), change / size * y[:, None], np.nan)
