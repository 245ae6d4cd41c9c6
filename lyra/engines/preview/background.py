"""The layer behind the things of the source image: made once, as wide as a step of 40 % of the depth uncovers.

A layered depth image of two layers, after Shih et al., "3D Photography using Context-aware Layered Depth Inpainting"
(2020), with exemplar-based inpainting from the far side of each depth edge in place of networks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lyra.engines.preview.depth_fill import Gap, Witness, fill_depth
from lyra.engines.preview.ground import GroundPlane
from lyra.engines.preview.layers import Layer
from lyra.engines.preview.seams import blend_seams
from lyra.engines.preview.texture_fill import fill_texture, place_guide

# The step, as a share of the median depth, that opens no hole behind a thing.
STEP = 0.4
# Widest strip behind a thing, as a share of the image's width.
WIDEST = 0.27
# The near side of an edge has at least this many times the disparity of the far side.
EDGE = 1.15
# Widths, as shares of the widest, for which edges are collected apart: a wide gap hides behind a slight one otherwise.
WIDTHS = (0.06, 0.14, 0.3, 0.6, 1.0)
# Pixels on the far side of an edge with the mixed colours of both.
MIXED = 2
# What is filled has at most these shares of the disparity of the image there: behind a thing, and beside it.
BEHIND, ASIDE = 0.87, 0.98
# Above this share the fill has too little to go by.
MOST = 0.7


@dataclass(frozen=True)
class Background:
    """The source image without the things in front: `image` (H, W, 3) float32 in [0, 255] and `disparity` (H, W).

    `filled` (H, W) bool is what is made up; `layer` holds those pixels, None where nothing stands in front.
    """

    image: np.ndarray
    disparity: np.ndarray
    filled: np.ndarray
    layer: Layer | None


def behind_things(
    image: np.ndarray,
    disparity: np.ndarray,
    intrinsics: np.ndarray,
    lies: np.ndarray,
    ground: GroundPlane | None,
    typical: float,
    far: float,
    seed: int,
    tick: Callable[[], None] = lambda: None,
    device="cpu",
) -> Background:
    """What lies behind the things of `image` (H, W, 3), whose camera is the world's origin.

    `lies` (H, W) bool is the ground, which is no thing; `typical` is the median disparity and `far` that of the
    background; `tick` may raise to cancel.
    """
    gap, thing = hidden(disparity, intrinsics, lies, typical)
    none = Background(image.astype(np.float32), disparity, np.zeros(disparity.shape, bool), None)
    if not gap.fill.any() or gap.fill.mean() > MOST:
        return none
    origin = np.eye(4)
    own = [Witness(disparity, origin, intrinsics)]
    # Beside a thing only the colours are mixed, the depth is not.
    full = fill_depth(disparity, Gap(thing, gap.near), origin, intrinsics, ground, far, own, device)
    tick()
    full = np.where(thing, np.minimum(full, BEHIND * disparity), full)
    full = np.where(gap.fill & ~thing, ASIDE * disparity, full).astype(np.float32)
    guide = place_guide(full, origin, intrinsics, typical, ground)
    painted = fill_texture(
        image.astype(np.float32), full, gap.fill, gap.near, guide, seed, None, tick, device
    )
    tick()
    painted = blend_seams(painted, full, gap.fill, gap.near)
    layer = Layer.cut(painted, full, gap.fill, origin, intrinsics)
    return Background(painted, full, gap.fill, layer)


def hidden(
    disparity: np.ndarray, intrinsics: np.ndarray, lies: np.ndarray, typical: float
) -> tuple[Gap, np.ndarray]:
    """The pixels behind which a step of STEP shows something else, and which (H, W) of them are things.

    The others are mixed with the colours of a thing beside them.
    """
    height, width = disparity.shape
    near_edge, beyond = _edges(disparity)
    near_edge &= ~lies
    widest = WIDEST * width
    # Pixels by which the two sides of an edge move apart.
    apart = np.where(near_edge, intrinsics[0, 0] * STEP / max(typical, 1e-9) * (disparity - beyond), 0)
    fill = np.zeros((height, width), bool)
    near = np.zeros((height, width), bool)
    for share in WIDTHS:
        reach = share * widest
        edge = near_edge & (apart >= 0.5 * reach)
        if not edge.any():
            continue
        away, nearest = ndimage.distance_transform_edt(~edge, return_indices=True)
        nearest = tuple(nearest)
        thing = ~lies & (disparity > EDGE * beyond[nearest])
        thing &= np.abs(disparity - disparity[nearest]) < 0.3 * disparity[nearest]
        fill |= thing & (away <= np.minimum(np.minimum(apart[nearest], reach), widest))
        near |= thing & (away <= reach + 6)
    if not fill.any():
        return Gap(fill, near), fill
    # Mixed colours on the far side would stay behind as a ghost of the outline.
    ring = ndimage.binary_dilation(fill & near_edge, np.ones((3, 3), bool), iterations=MIXED) & ~near
    edge_distance = ndimage.distance_transform_edt(
        ~(fill & near_edge), return_distances=False, return_indices=True
    )
    mixed = ring & (disparity * EDGE < disparity[tuple(edge_distance)])
    return Gap(fill | mixed, near | fill), fill


def _edges(disparity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mask (H, W) of pixels on the near side of a depth edge, and the disparity beyond it (0 elsewhere)."""
    lowest = ndimage.minimum_filter(disparity, 3)
    # On a slanted plane neighbours differ evenly; an edge differs on one side alone.
    highest = ndimage.maximum_filter(disparity, 3)
    step = (disparity > EDGE * lowest) & (disparity - lowest > 2 * (highest - disparity))
    return step, np.where(step, lowest, 0)
