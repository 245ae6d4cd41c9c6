"""Views: frames with their camera and depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class View:
    """One frame with its camera and geometry.

    `index` is the frame's number in the world; `image` (H, W, 3) uint8 sRGB; `depth` (H, W) float32 z-depth
    in world units, inf where there is sky; `w2c` (4, 4) float64 world-to-camera in OpenCV axes; `intrinsics`
    (3, 3) float64 in pixels.
    """

    index: int
    image: np.ndarray
    depth: np.ndarray
    w2c: np.ndarray
    intrinsics: np.ndarray

    @property
    def height(self) -> int:
        return self.image.shape[0]

    @property
    def width(self) -> int:
        return self.image.shape[1]


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """Indices of `wanted` of `count` views, evenly spaced, with the first and the last; all where there are fewer."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(int)).tolist()
