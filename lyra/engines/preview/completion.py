"""Completion of a view: depth and texture for its holes, as a new layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from lyra.engines.preview.depth_fill import Gap, Witness, fill_depth, find_gap, hides_seen
from lyra.engines.preview.layers import Layer
from lyra.engines.preview.scene import PreviewScene
from lyra.engines.preview.seams import blend_seams
from lyra.engines.preview.texture_fill import Exemplar, fill_texture, place_guide
from lyra.geometry.raster import NEAR_SIDE, Rasterizer

# Fills overlap their surroundings by this many pixels, to avoid cracks.
OVERLAP = 2
# If less than this share of a view is known, the source image serves as a texture source as well.
ENOUGH_KNOWN = 0.3
# Regions taken from the mirrored image are thicker than twice this many pixels.
SCRAP = 3


@dataclass(frozen=True)
class Completed:
    """A view without holes: `image` (H, W, 3) float32 in [0, 255], `disparity` (H, W), and the layer that completes it.

    `filled` is the share of the view that was missing.
    """

    image: np.ndarray
    disparity: np.ndarray
    layer: Layer
    filled: float


class _View(NamedTuple):
    """A rendered view: `image` (H, W, 3) float32, `disparity` (H, W), -1 in holes, and `side` (H, W)."""

    image: np.ndarray
    disparity: np.ndarray
    side: np.ndarray


def complete_view(
    scene: PreviewScene,
    rasterizer: Rasterizer,
    w2c: np.ndarray,
    intrinsics: np.ndarray,
    seed: int,
    tick: Callable[[], None],
) -> Completed | None:
    """Fills the holes of a view of the rasterizer's size; None if none is worth a layer.

    The scene is not changed. `tick` is called several times a second and may raise to stop.
    """
    height, width = rasterizer.height, rasterizer.width
    surfaces = scene.surfaces(w2c, intrinsics, height, width)
    seen = _View(*rasterizer.draw(surfaces, w2c, intrinsics).numpy())
    tick()
    hole = seen.disparity < 0
    if hole.sum() <= negligible(height, width):
        return None
    witnesses = scene.witnesses(w2c, intrinsics)
    # Holes at the view's sides lie beyond the sides of the source image; other holes are disocclusions.
    beyond = hole[:, [0, -1]].any()
    image, disparity, side = (
        _with_mirrored(scene, seen, rasterizer, w2c, intrinsics, witnesses) if beyond else seen
    )
    gap = find_gap(disparity, side == NEAR_SIDE, max(3, width // 130))
    space = scene.space
    full = fill_depth(disparity, gap, w2c, intrinsics, space.ground, space.far, witnesses, scene.device)
    tick()
    guide = place_guide(full, w2c, intrinsics, space.typical, space.ground)
    extra = _seed_exemplar(scene) if (~gap.fill & ~gap.near).mean() < ENOUGH_KNOWN else None
    painted = fill_texture(image, full, gap.fill, gap.near, guide, seed, extra, tick, scene.device)
    tick()
    painted = blend_seams(painted, full, gap.fill, gap.near)
    drawn = _drawn(seen.disparity, full, gap)
    layer = Layer.cut(painted, full, drawn, w2c, intrinsics)
    shown = np.where(hole[..., None], painted, seen.image)
    return Completed(shown, np.where(hole, full, seen.disparity), layer, float(hole.mean()))


def negligible(height: int, width: int) -> int:
    """The number of missing pixels up to which holes are closed in the frame, without a layer."""
    return max(4, height * width // 8000)


def _with_mirrored(
    scene: PreviewScene,
    seen: _View,
    rasterizer: Rasterizer,
    w2c: np.ndarray,
    intrinsics: np.ndarray,
    witnesses: Sequence[Witness],
) -> _View:
    """The view with its holes filled from the mirrored image, wherever that occludes nothing observed."""
    mirrored = _View(*rasterizer.draw(scene.mirrored, w2c, intrinsics).numpy())
    taken = (seen.disparity < 0) & (mirrored.disparity >= 0)
    pixels = np.flatnonzero(taken)
    hides = hides_seen(mirrored.disparity, pixels, w2c, intrinsics, witnesses, scene.device)
    taken.ravel()[pixels[hides]] = False
    # Small scraps between known surfaces would look like dirt.
    taken = ndimage.binary_opening(taken, iterations=SCRAP)
    return _View(
        np.where(taken[..., None], mirrored.image, seen.image),
        np.where(taken, mirrored.disparity, seen.disparity),
        np.where(taken, mirrored.side, seen.side),
    )


def _drawn(disparity: np.ndarray, full: np.ndarray, gap: Gap) -> np.ndarray:
    """Mask of the new layer: holes, pixels well behind foreground, and a rim of the fill's own surface."""
    hole = disparity < 0
    behind = gap.fill & ~hole & (full < 0.95 * disparity)
    core = hole | behind
    nearest = ndimage.distance_transform_edt(~core, return_distances=False, return_indices=True)
    beside = full[tuple(nearest)]
    rim = ndimage.binary_dilation(core, np.ones((3, 3), bool), iterations=OVERLAP) & ~core & ~gap.near
    return core | (rim & ~hole & (np.abs(disparity - beside) <= 0.1 * np.maximum(disparity, beside)))


def _seed_exemplar(scene: PreviewScene) -> Exemplar:
    view = scene.view
    guide = place_guide(scene.disparity, np.eye(4), view.intrinsics, scene.space.typical, scene.space.ground)
    return Exemplar(view.image.astype(np.float32), scene.disparity, guide)
