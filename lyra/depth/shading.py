"""False colours for depth maps."""

from __future__ import annotations

import numpy as np


def shaded(inverse: np.ndarray, sky: np.ndarray | None = None) -> np.ndarray:
    """Inverse depth (H, W) in false colours (H, W, 3) uint8: by rank, near bright, sky dark blue."""
    ranks = np.searchsorted(np.sort(inverse, None), inverse) / inverse.size
    stops = np.array([[10, 5, 40], [110, 20, 110], [220, 70, 60], [250, 160, 40], [255, 250, 190]], float)
    position = ranks * (len(stops) - 1)
    colors = np.stack([np.interp(position, np.arange(len(stops)), stops[:, c]) for c in range(3)], -1)
    if sky is not None:
        colors[sky] = (60, 90, 140)
    return colors.astype(np.uint8)
