"""The contract of every depth estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class DepthEstimate:
    """Depth of one image.

    `depth` (H, W) float32 is z-depth in world units (metres where `metric`), positive, `inf` where the sky is;
    never 0 or NaN. `intrinsics` (3, 3) in pixels of the same image. `confidence` (H, W) float32 in [0, 1] or None.
    `source` is what the user reads about where the depth comes from; `notes` are remarks for the user.
    """

    depth: np.ndarray
    intrinsics: np.ndarray
    metric: bool
    source: str
    confidence: np.ndarray | None = None
    notes: tuple[str, ...] = ()


class DepthEstimator(Protocol):
    """Says how far everything in an image is."""

    id: str

    def estimate(self, image: np.ndarray, intrinsics: np.ndarray | None = None) -> DepthEstimate:
        """Depth of `image` (H, W, 3) uint8 sRGB; `intrinsics` (3, 3) are used when they are known."""
        ...
