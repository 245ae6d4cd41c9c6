"""Sky mask and intrinsics by the built-in network, for depth sources that lack them.

Depth Anything V2 predicts neither, depth files have no intrinsics. The sky takes one pass of the network, less than a
tenth of a second, so it can be computed for every frame; the intrinsics are those of the full estimate.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy import ndimage

from lyra.common.shapes import height_width
from lyra.depth.edge_upsampling import upsampled_to_edges
from lyra.depth.learned import (
    SKY_STEP,
    WEIGHTS,
    WHOLE_PIXELS,
    estimated_intrinsics,
    readings,
    shrunk,
    without_small_regions,
)
from lyra.depth.network import DepthNetwork


@functools.cache
def _network() -> DepthNetwork:
    return DepthNetwork.load(WEIGHTS)


def seen_sky(image: np.ndarray) -> np.ndarray:
    """Sky mask (H, W) bool of `image` (H, W, 3) uint8 sRGB, refined to the image's edges."""
    network = _network()
    small = shrunk(network, image, WHOLE_PIXELS[-1])
    soft = network.predict(small).sky
    guide, colors = small.astype(np.float32) / 255, image.astype(np.float32) / 255
    mask = upsampled_to_edges(soft, guide, colors, SKY_STEP) > 0.5
    return without_small_regions(without_small_regions(mask), of=False)


def seen_lens(image: np.ndarray) -> tuple[np.ndarray, str]:
    """Intrinsics (3, 3) in pixels of `image` (H, W, 3) uint8 sRGB, and the note that they are estimated."""
    seen = [reading for pixels in WHOLE_PIXELS for reading in readings(_network(), image, pixels)[0]]
    focal = float(np.exp(np.mean([np.log(reading.focal) for reading in seen])))
    return estimated_intrinsics(focal, height_width(image))


def touching_upper_edge(mask: np.ndarray) -> np.ndarray:
    """The regions of `mask` (H, W) bool that touch the upper edge."""
    regions, _ = ndimage.label(mask)
    return mask & np.isin(regions, np.setdiff1d(regions[0], [0]))
