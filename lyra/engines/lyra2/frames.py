"""Decoded VAE frames as images."""

from __future__ import annotations

import numpy as np
import torch


def to_uint8(frames: torch.Tensor, rounded: bool = False) -> np.ndarray:
    """Frames (1, 3, F, H, W) in [-1, 1] as (F, H, W, 3) uint8.

    As published: clamped and cut off for what people see, `rounded` for the depth estimator.
    """
    values = (frames[0].float() * 0.5 + 0.5).clamp(0, 1) * 255 + (0.5 if rounded else 0.0)
    return values.to(torch.uint8).permute(1, 2, 3, 0).cpu().numpy()
