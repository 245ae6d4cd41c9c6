"""Sky and lens of a picture, as the built-in network sees them: for depth that comes without one or the other.

Depth Anything V2 says neither, a depth file no lens. For the sky one reading is enough, which takes less than a
tenth of a second, so that every frame can have it; the lens is that of the whole estimate.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy import ndimage

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
    """Where `image` (H, W, 3) uint8 sRGB shows sky, bool (H, W), its rim on the picture's own edges."""
    network = _network()
    small = shrunk(network, image, WHOLE_PIXELS[-1])
    soft = network.predict(small).sky
    guide, colors = small.astype(np.float32) / 255, image.astype(np.float32) / 255
    mask = upsampled_to_edges(soft, guide, colors, SKY_STEP) > 0.5
    return without_small_regions(without_small_regions(mask), of=False)


def seen_lens(image: np.ndarray) -> tuple[np.ndarray, str]:
    """Intrinsics (3, 3) in pixels of `image` (H, W, 3) uint8 sRGB, and the remark that they are estimated."""
    seen = [reading for pixels in WHOLE_PIXELS for reading in readings(_network(), image, pixels)[0]]
    focal = float(np.exp(np.mean([np.log(reading.focal) for reading in seen])))
    return estimated_intrinsics(focal, image.shape[:2])


def touching_upper_edge(mask: np.ndarray) -> np.ndarray:
    """The regions of `mask` (H, W) bool that touch the picture's upper edge."""
    regions, _ = ndimage.label(mask)
    return mask & np.isin(regions, np.setdiff1d(regions[0], [0]))
