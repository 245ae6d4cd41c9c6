"""Views: frames with their camera and depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lyra.geometry.camera import Camera


@dataclass(frozen=True)
class View:
    """One frame of a world: `image` (H, W, 3) uint8 sRGB, `depth` (H, W) float32 z-depth in world units (inf where
    there is sky), its `camera`, and `index`, the frame's number in the world.
    """

    image: np.ndarray
    depth: np.ndarray
    camera: Camera
    index: int = 0

    @classmethod
    def at_origin(cls, image: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray) -> View:
        """Frame 0 of a world, whose camera is the world's origin; `intrinsics` (3, 3) in pixels."""
        return cls(image, depth, Camera(np.eye(4), intrinsics, *depth.shape))

    @property
    def w2c(self) -> np.ndarray:
        """World-to-camera (4, 4) of its camera."""
        return self.camera.w2c

    @property
    def intrinsics(self) -> np.ndarray:
        """Intrinsics (3, 3) of its camera."""
        return self.camera.intrinsics

    @property
    def height(self) -> int:
        return self.image.shape[0]

    @property
    def width(self) -> int:
        return self.image.shape[1]


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """Indices of `wanted` of `count` views, evenly spaced, with the first and the last; all where there are fewer."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(int)).tolist()
