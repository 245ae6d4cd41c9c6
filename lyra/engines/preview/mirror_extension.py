"""What may lie beside the source picture: its own mirror image, the guess that fits at the border without a seam.

At every elevation the directions beyond a side border are folded back into the picture, to the same elevation and
the same distance. So colours and depth go on across the border, the ground stays ground, and the horizon straight.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from lyra.engines.preview.ground import Ground
from lyra.geometry.raster import Surface
from lyra.geometry.raster_cameras import inverse3
from lyra.geometry.views import View

# Pictures on each side, and the share of the field of view by which each is turned from the one before.
COPIES, TURN = 2, 0.9
# Beyond this angle from the source camera's axis nothing is mirrored.
MOST = np.radians(170)


def mirror_surfaces(view: View, disparity: np.ndarray, ground: Ground | None, device: str) -> list[Surface]:
    """Pictures of what lies to the left and right, nearest to the source picture first.

    `disparity` (H, W) belongs to `view`, whose camera is the world's origin; "up" is the ground's, or the camera's.
    """
    down = np.array([0.0, 1.0, 0.0]) if ground is None else ground.normal
    level = _level_axes(down)
    height, width = disparity.shape
    rays = _rays(view.intrinsics, height, width) @ level.T
    field = np.arctan2(rays[..., 0], rays[..., 2])
    step = TURN * (field[:, -1] - field[:, 0]).min()
    surfaces = []
    for copy in range(1, COPIES + 1):
        for turn in (-copy * step, copy * step):
            if abs(turn) + step / 2 > MOST:
                continue
            image, folded, drawn = _folded(view, disparity, level, rays, turn)
            w2c = np.eye(4)
            w2c[:3, :3] = level.T @ _about_y(turn).T @ level
            if drawn.any():
                surfaces.append(Surface(image, folded, w2c, view.intrinsics, drawn, device=device))
    return surfaces


def _level_axes(down: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) from the camera's frame to one with y straight down and z ahead."""
    ahead = np.array([0.0, 0.0, 1.0]) - down[2] * down
    ahead /= np.linalg.norm(ahead)
    return np.stack([np.cross(down, ahead), down, ahead])


def _about_y(angle: float) -> np.ndarray:
    """Rotation (3, 3) that turns what is ahead (z) by `angle` to the right (x)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])


def _rays(intrinsics: np.ndarray, height: int, width: int) -> np.ndarray:
    """Directions (H, W, 3) of pixel centres in the camera's frame; z is 1."""
    inverse = inverse3(intrinsics)
    columns, rows = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    return columns[..., None] * inverse[:, 0] + rows[..., None] * inverse[:, 1] + inverse[:, 2]


def _folded(
    view: View, disparity: np.ndarray, level: np.ndarray, rays: np.ndarray, turn: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image (H, W, 3) float32, disparity (H, W) and mask (H, W) seen with the source camera turned by `turn`.

    `rays` (H, W, 3) are the source camera's in level axes.
    """
    height, width = disparity.shape
    seen = rays @ _about_y(turn).T
    azimuth = np.arctan2(seen[..., 0], seen[..., 2])
    slope = seen[..., 1] / np.hypot(seen[..., 0], seen[..., 2])
    left, right = (_border(rays[:, column], slope) for column in (0, -1))
    with np.errstate(invalid="ignore"):
        drawn = (azimuth < left) | (azimuth > right)
        span = right - left
        inside = np.abs((azimuth - left + span) % (2 * span) - span) + left
    # Back from azimuth and slope to pixels of the source picture.
    direction = np.stack([np.sin(inside), slope, np.cos(inside)], -1) @ level
    drawn &= direction[..., 2] > 1e-6
    u, v, z = np.moveaxis(np.where(drawn[..., None], direction, 1.0) @ view.intrinsics.T, -1, 0)
    at = np.stack([v / z - 0.5, u / z - 0.5])
    drawn &= (at[0] > -0.5) & (at[0] < height - 0.5) & (at[1] > -1) & (at[1] < width)
    at = np.where(drawn, at, 0.0)
    image = [ndimage.map_coordinates(c, at, np.float32, order=1, mode="nearest") for c in _channels(view)]
    # Disparity belongs to z, the distance along the ray is what stays.
    longer = np.linalg.norm(seen, axis=-1) / np.linalg.norm(direction, axis=-1) * direction[..., 2]
    folded = ndimage.map_coordinates(disparity, at, np.float32, order=0, mode="nearest") * longer
    return np.stack(image, -1), np.where(drawn, folded, 0).astype(np.float32), drawn


def _border(rays: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Azimuth at each `slope` of a border whose pixels look along `rays` (H, 3); NaN where it has no such slope."""
    azimuth = np.arctan2(rays[:, 0], rays[:, 2])
    slopes = rays[:, 1] / np.hypot(rays[:, 0], rays[:, 2])
    order = np.argsort(slopes)
    return np.interp(slope, slopes[order], azimuth[order], np.nan, np.nan)


def _channels(view: View) -> np.ndarray:
    return np.moveaxis(view.image, -1, 0).astype(np.float32)
