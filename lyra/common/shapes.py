"""Sizes of arrays as pairs that a type checker knows."""

from __future__ import annotations

import numpy as np


def height_width(image: np.ndarray) -> tuple[int, int]:
    """(height, width) of an image or map (H, W, ...)."""
    height, width = image.shape[:2]
    return height, width
