"""Mirror extension: the source image continued past its sides by reflection, seamless at the border.

At every elevation, directions beyond a side border are reflected into the image, to the same elevation and distance.
Colours and depth thus continue across the border, the ground stays ground and the horizon straight.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from lyra.depth.level_grid import level_rotation
from lyra.engines.preview.ground import GroundPlane
from lyra.engines.preview.level import about_y, pixel_rays
from lyra.geometry.raster import Surface
from lyra.geometry.views import View

# Mirrored images on each side, and the rotation from one to the next as a share of the field of view.
COPIES, TURN = 2, 0.9
# Nothing is mirrored beyond this angle from the source camera's axis.
MOST = np.radians(170)


def mirror_surfaces(
    view: View, disparity: np.ndarray, ground: GroundPlane | None, device: str
) -> list[Surface]:
    """Mirrored surfaces to the left and right, those closest to the source image first.

    `disparity` (H, W) is that of `view`, whose camera is the world's origin; "up" is the ground's normal or, without
    ground, the camera's up axis.
    """
    down = np.array([0.0, 1.0, 0.0]) if ground is None else ground.normal
    level = level_rotation(-down)
    height, width = disparity.shape
    rays = pixel_rays(view.intrinsics, height, width) @ level.T
    field = np.arctan2(rays[..., 0], rays[..., 2])
    step = TURN * (field[:, -1] - field[:, 0]).min()
    surfaces = []
    for copy in range(1, COPIES + 1):
        for turn in (-copy * step, copy * step):
            if abs(turn) + step / 2 > MOST:
                continue
            image, folded, drawn = _folded(view, disparity, level, rays, turn)
            w2c = np.eye(4)
            w2c[:3, :3] = level.T @ about_y(turn).T @ level
            if drawn.any():
                surfaces.append(Surface(image, folded, w2c, view.intrinsics, drawn, device=device))
    return surfaces


def _folded(
    view: View, disparity: np.ndarray, level: np.ndarray, rays: np.ndarray, turn: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image (H, W, 3) float32, disparity (H, W) and mask (H, W) seen with the source camera turned by `turn`.

    `rays` (H, W, 3) are the source camera's in gravity-aligned axes.
    """
    height, width = disparity.shape
    seen = rays @ about_y(turn).T
    azimuth = np.arctan2(seen[..., 0], seen[..., 2])
    slope = seen[..., 1] / np.hypot(seen[..., 0], seen[..., 2])
    left, right = (_border(rays[:, column], slope) for column in (0, -1))
    with np.errstate(invalid="ignore"):
        drawn = (azimuth < left) | (azimuth > right)
        span = right - left
        inside = np.abs((azimuth - left + span) % (2 * span) - span) + left
    # From azimuth and slope back to pixels of the source image.
    direction = np.stack([np.sin(inside), slope, np.cos(inside)], -1) @ level
    drawn &= direction[..., 2] > 1e-6
    u, v, z = np.moveaxis(np.where(drawn[..., None], direction, 1.0) @ view.intrinsics.T, -1, 0)
    at = np.stack([v / z - 0.5, u / z - 0.5])
    drawn &= (at[0] > -0.5) & (at[0] < height - 0.5) & (at[1] > -1) & (at[1] < width)
    at = np.where(drawn, at, 0.0)
    image = [ndimage.map_coordinates(c, at, np.float32, order=1, mode="nearest") for c in _channels(view)]
    # The distance along the ray is preserved; disparity is relative to z.
    longer = np.linalg.norm(seen, axis=-1) / np.linalg.norm(direction, axis=-1) * direction[..., 2]
    folded = ndimage.map_coordinates(disparity, at, np.float32, order=0, mode="nearest") * longer
    return np.stack(image, -1), np.where(drawn, folded, 0).astype(np.float32), drawn


def _border(rays: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Azimuth of a border with `rays` (H, 3) at each `slope`; NaN outside the border's range of slopes."""
    azimuth = np.arctan2(rays[:, 0], rays[:, 2])
    slopes = rays[:, 1] / np.hypot(rays[:, 0], rays[:, 2])
    order = np.argsort(slopes)
    return np.interp(slope, slopes[order], azimuth[order], np.nan, np.nan)


def _channels(view: View) -> np.ndarray:
    return np.moveaxis(view.image, -1, 0).astype(np.float32)
