"""One pinhole camera of a path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: `w2c` (4, 4) float64 world-to-camera in OpenCV axes (x right, y down, z forward), `intrinsics`
    (3, 3) float64 in pixels of a `height` x `width` image.
    """

    w2c: np.ndarray
    intrinsics: np.ndarray
    height: int
    width: int

    @property
    def c2w(self) -> np.ndarray:
        """Camera-to-world matrix (4, 4)."""
        return np.linalg.inv(self.w2c)

    @property
    def center(self) -> np.ndarray:
        """Camera centre in the world (3,)."""
        return self.c2w[:3, 3]

    def rays(self) -> np.ndarray:
        """Rays (H, W, 3) float64 through the pixel centres in camera axes, z = 1; times z-depth they are points."""
        k = self.intrinsics
        v = ((np.arange(self.height) + 0.5 - k[1, 2]) / k[1, 1])[:, None]
        u = (np.arange(self.width) + 0.5 - k[0, 2] - k[0, 1] * v) / k[0, 0]
        rays = np.ones((self.height, self.width, 3))
        rays[..., 0], rays[..., 1] = u, v
        return rays
