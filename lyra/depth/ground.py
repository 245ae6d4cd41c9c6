"""The ground and the ceiling of a picture: level planes, found in the grid of a level camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lyra.depth.level_grid import LevelGrid

# Steps and smoothing of the histogram of log heights.
STEP, SPREAD = 0.02, 0.09
# Cells nearer than this to the horizon (tangent) say next to nothing about the height of a plane.
TOO_FLAT = 0.03
# How far the slope of a cell on a level plane may be from 1.
SLOPE_SPREAD = 0.45
# The farther below the camera, the more likely is a plane the ground: exponent of the height.
LOWEST = 0.25
# Least share of the cells below the horizon, and of the picture, that lies on a plane.
MIN_SUPPORT, MIN_SHARE = 0.08, 0.02
# Estimated ground bends against the plane: width of its mode, and largest change from one row to the next.
BEND_SPREAD, BEND_STEP = 0.09, 0.05


@dataclass(frozen=True)
class LevelPlane:
    """A level plane `height` below the camera (above it for a ceiling), on which the share `support` of the cells on
    its side of the horizon lies. `bend` (R,) is how far the estimate deviates from it in log inverse depth, by row."""

    height: float
    support: float
    bend: np.ndarray


def find_plane(grid: LevelGrid, above: bool = False) -> LevelPlane | None:
    """The ground, or the ceiling `above`; None where too little of the picture lies on one plane.

    One parameter is searched, the height: the mode over the cells whose slope is that of a level plane.
    """
    y = -grid.y if above else grid.y
    solid = np.isfinite(grid.log_inverse) & (y > TOO_FLAT)[:, None]
    if not solid.any():
        return None
    rows, columns = np.nonzero(solid)
    height = np.log(y[rows]) - grid.log_inverse[rows, columns]
    slope = np.nan_to_num(grid.slope[rows, columns], nan=9.0)
    weight = np.exp(-0.5 * ((slope - 1) / SLOPE_SPREAD) ** 2)
    low = height.min()
    histogram = np.bincount(((height - low) / STEP).astype(int), weight)
    smooth = ndimage.gaussian_filter1d(histogram, SPREAD / STEP, mode="constant")
    middles = low + (np.arange(len(smooth)) + 0.5) * STEP
    best = float(middles[(smooth * np.exp(0 if above else LOWEST * middles)).argmax()])
    for _ in range(3):
        near = weight * np.exp(-0.5 * ((height - best) / SPREAD) ** 2) * y[rows]
        best = float((near * height).sum() / max(near.sum(), 1e-12))
    on = np.abs(height - best) < 2 * SPREAD
    on &= np.abs(slope - 1) < 2 * SLOPE_SPREAD
    if on.mean() < MIN_SUPPORT or on.sum() < MIN_SHARE * grid.log_inverse.size:
        return None
    return LevelPlane(float(np.exp(best)), float(on.mean()), _bend(grid, y, np.exp(best)))


def _bend(grid: LevelGrid, y: np.ndarray, height: float) -> np.ndarray:
    """The mode of the deviation from the plane, followed by mean shift from the nearest row to the horizon."""
    bend = np.zeros(len(y))
    last = 0.0
    order = np.argsort(-y)
    for row in order[y[order] > 0]:
        off = grid.log_inverse[row] - np.log(y[row] / height)
        off = off[np.isfinite(off)]
        mode = last
        for _ in range(2):
            weight = np.exp(-0.5 * ((off - mode) / BEND_SPREAD) ** 2)
            # As many cells' worth of staying where it was as are needed to hold through a crowded row.
            mode = ((weight * off).sum() + 8 * mode) / (weight.sum() + 8)
        last = last + float(np.clip(mode - last, -BEND_STEP, BEND_STEP))
        bend[row] = last
    return ndimage.gaussian_filter1d(bend, 1.5)
