"""Sky and lens of a picture, as the built-in network sees them: for depth that comes without one or the other.

Depth Anything V2 says neither, a depth file no lens. One reading of the network tells both, in a fraction of a second.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy import ndimage

from lyra.depth.learned import SKY_STEP, WEIGHTS, estimated_intrinsics, readings, without_specks
from lyra.depth.network import DepthNetwork
from lyra.depth.network_detail import drawn_to_edges

# Pixels that the network sees, about 128 x 224.
PIXELS = 28_672


@functools.cache
def _network() -> DepthNetwork:
    return DepthNetwork.load(WEIGHTS)


def seen_sky(image: np.ndarray) -> np.ndarray:
    """Where `image` (H, W, 3) uint8 sRGB shows sky, bool (H, W), its rim on the picture's own edges."""
    both, small = readings(_network(), image, PIXELS)
    soft = np.mean([reading.sky for reading in both], 0)
    guide, colors = small.astype(np.float32) / 255, image.astype(np.float32) / 255
    mask = drawn_to_edges(soft, guide, colors, SKY_STEP) > 0.5
    return without_specks(without_specks(mask), of=False)


def seen_lens(image: np.ndarray) -> tuple[np.ndarray, str]:
    """Intrinsics (3, 3) in pixels of `image` (H, W, 3) uint8 sRGB, and the remark that they are estimated."""
    both, _ = readings(_network(), image, PIXELS)
    focal = float(np.exp(np.mean([np.log(reading.focal) for reading in both])))
    return estimated_intrinsics(focal, image.shape[:2])


def joined_to_the_upper_edge(mask: np.ndarray) -> np.ndarray:
    """The regions of `mask` (H, W) bool that touch the picture's upper edge."""
    regions, _ = ndimage.label(mask)
    return mask & np.isin(regions, np.setdiff1d(regions[0], [0]))
