"""Detection of images without features, from which no depth can be estimated."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

NOTHING_TO_READ = (
    "The picture shows next to nothing that depth could be read from: one colour, or one smooth run of colours. What "
    "was made of it is no more than a guess; give a depth file, or block the scene out and take its depth."
)
WORKING_SIDE = 160
# An edge differs by this much (of 255) from its surroundings of a few pixels, after grain is smoothed away.
EDGE, AROUND, GRAIN = 3.0, 4.0, 1.0
# Images with a smaller share of edge pixels are featureless.
FEWEST_EDGES = 0.005
# Smoothing at the border would turn a gradient into an edge there.
MARGIN = 8


def picture_notes(image: np.ndarray) -> tuple[str, ...]:
    """Remarks for the user on an image (H, W, 3) uint8 whose depth is estimated, independent of the estimator."""
    return (NOTHING_TO_READ,) if shows_nothing(image) else ()


def shows_nothing(image: np.ndarray) -> bool:
    """Whether `image` (H, W, 3) uint8 has almost no edges: one colour, a clear sky, any gradient."""
    height, width = image.shape[:2]
    shrink = min(1.0, WORKING_SIDE / max(height, width))
    small = Image.fromarray(image).resize(
        (max(1, round(width * shrink)), max(1, round(height * shrink))), Image.Resampling.BOX
    )
    calm = ndimage.gaussian_filter(np.asarray(small, np.float32), (GRAIN, GRAIN, 0))
    edges = (np.abs(calm - ndimage.gaussian_filter(calm, (AROUND, AROUND, 0))) > EDGE).any(-1)
    margin = min(MARGIN, (min(edges.shape) - 1) // 2)
    inner = edges[margin : edges.shape[0] - margin, margin : edges.shape[1] - margin]
    return bool(inner.mean() < FEWEST_EDGES)
