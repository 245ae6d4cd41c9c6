"""Directions of a view in level axes: x right, y along gravity, z ahead; azimuth turns right, elevation is up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lyra.geometry.raster_cameras import inverse3


def about_y(angle: float) -> np.ndarray:
    """Rotation (3, 3) about y by `angle` radians, from z towards x."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])


def about_x(angle: float) -> np.ndarray:
    """Rotation (3, 3) about x by `angle` radians, from z towards y."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]])


def pixel_rays(intrinsics: np.ndarray, height: int, width: int) -> np.ndarray:
    """Directions (H, W, 3) of pixel centres in the camera's frame; z is 1."""
    inverse = inverse3(intrinsics)
    columns, rows = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    return columns[..., None] * inverse[:, 0] + rows[..., None] * inverse[:, 1] + inverse[:, 2]


@dataclass(frozen=True)
class LevelView:
    """The source camera in level axes: `axes` (3, 3) from camera to level axes, `intrinsics` (3, 3) in pixels."""

    axes: np.ndarray
    intrinsics: np.ndarray
    height: int
    width: int

    def angles(self) -> tuple[np.ndarray, np.ndarray]:
        """Azimuth and elevation (H, W) of every pixel, in radians."""
        return angles_of(pixel_rays(self.intrinsics, self.height, self.width) @ self.axes.T)

    def pixels(self, azimuth: np.ndarray, elevation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row and column indices of directions, float64, and which of them lie in the image, bool."""
        direction = np.stack(
            [
                np.cos(elevation) * np.sin(azimuth),
                -np.sin(elevation),
                np.cos(elevation) * np.cos(azimuth),
            ],
            -1,
        )
        return self.pixels_of(direction)

    def pixels_of(self, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `pixels`, for directions (..., 3) in level axes."""
        rows, columns, front = self.positions(directions)
        inside = front & (rows > -0.5) & (rows < self.height - 0.5)
        return rows, columns, inside & (columns > -0.5) & (columns < self.width - 0.5)

    def positions(self, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row and column indices of directions (..., 3) in level axes, and which of them lie before the camera."""
        u, v, z = np.moveaxis(directions @ (self.intrinsics @ self.axes.T).T, -1, 0)
        front = z > 1e-6
        z = np.where(front, z, 1.0)
        return v / z - 0.5, u / z - 0.5, front


def angles_of(rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth and elevation (...) in radians of `rays` (..., 3) in level axes."""
    level = np.hypot(rays[..., 0], rays[..., 2])
    return np.arctan2(rays[..., 0], rays[..., 2]), np.arctan2(-rays[..., 1], level)
