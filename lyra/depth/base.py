"""The contracts of depth estimators: of one image, and of a window of frames with known cameras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class DepthEstimate:
    """Depth of one image.

    `depth` (H, W) float32 is z-depth in world units (metres where `metric`), positive, `inf` where the sky is;
    never 0 or NaN. `intrinsics` (3, 3) in pixels of the same image. `confidence` (H, W) float32 in [0, 1] or None.
    `normals` (H, W, 3) float32 are unit vectors of the surfaces in the camera's frame (OpenCV), facing the camera, 0
    where the sky is, or None. `source` is what the user reads about where the depth comes from; `notes` are remarks
    for the user.
    """

    depth: np.ndarray
    intrinsics: np.ndarray
    metric: bool
    source: str
    confidence: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    normals: np.ndarray | None = None

    @property
    def sky(self) -> np.ndarray:
        """Where there is sky, bool (H, W)."""
        return np.isinf(self.depth)


class DepthEstimator(Protocol):
    """Says how far everything in an image is."""

    id: str

    def estimate(self, image: np.ndarray, intrinsics: np.ndarray | None = None) -> DepthEstimate:
        """Depth of `image` (H, W, 3) uint8 sRGB; `intrinsics` (3, 3) are used when they are known."""
        ...


@dataclass(frozen=True)
class WindowDepth:
    """Depth of N frames at once.

    `depth` (N, H, W) float32 is z-depth, positive, `inf` where the sky is. `confidence` (N, H, W) float32 in [0, 1]
    or None. `scaled_by_cameras` says that the estimator brought the depth to the units of the given cameras; where
    it is False each frame's scale is the estimator's own guess.
    """

    depth: np.ndarray
    confidence: np.ndarray | None = None
    scaled_by_cameras: bool = False


class WindowDepthEstimator(Protocol):
    """Says how far everything is in several frames of one scene whose cameras are known."""

    id: str

    def estimate_window(self, frames: np.ndarray, w2c: np.ndarray, intrinsics: np.ndarray) -> WindowDepth:
        """Depth of `frames` (N, H, W, 3) uint8 sRGB, sorted by time, the newest last.

        `w2c` (N, 4, 4) in the world frame, `intrinsics` (N, 3, 3) in pixels of the frames.
        """
        ...
