"""Adapter from single-image estimators to window estimators."""

from __future__ import annotations

import numpy as np

from lyra.depth.base import DepthEstimator, WindowDepth
from lyra.depth.checks import sanitise


class FrameByFrame:
    """Estimates each frame of a window independently; scales may differ from frame to frame."""

    def __init__(self, estimator: DepthEstimator):
        self.id, self.estimator = estimator.id, estimator

    def estimate_window(self, frames: np.ndarray, w2c: np.ndarray, intrinsics: np.ndarray) -> WindowDepth:
        """Depth of `frames` (N, H, W, 3) uint8 with known `intrinsics` (N, 3, 3); the poses are not used."""
        seen = [
            sanitise(self.estimator.estimate(frame, lens))
            for frame, lens in zip(frames, intrinsics, strict=True)
        ]
        confidence = [estimate.confidence for estimate in seen if estimate.confidence is not None]
        known = len(confidence) == len(seen)
        return WindowDepth(
            np.stack([estimate.depth for estimate in seen]), np.stack(confidence) if known else None
        )
