"""Colours that make the renderings of a cloud equal to the frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import warp as wp

from lyra.geometry.views import View
from lyra.progress import Progress
from lyra.splats.gaussians import SH_C0, GaussianCloud
from lyra.splats.harmonics import sh_colors
from lyra.splats.tiles import DeviceCloud, TiledView

# Gaussians that are hardly seen are moved by less than their residual asks for.
MIN_WEIGHT = 0.2


def refine_colors(
    cloud: GaussianCloud, views: Sequence[View], passes: int, progress: Progress, device: str = "cpu"
) -> GaussianCloud:
    """The cloud with colours fitted to `views`, geometry and opacity unchanged; harmonics of degree 0.

    With fixed geometry a rendering is linear in the colours, so this is a linear system, solved by the
    simultaneous algebraic reconstruction technique (Andersen and Kak 1984): each view's residual is spread over
    the Gaussians in proportion to how much of a pixel they make. It undoes the blur of overlapping splats and
    averages what the views disagree on.
    """
    geometry = DeviceCloud(cloud, device)
    colors = sh_colors(cloud, np.zeros(3))
    for step, index in enumerate(_visits(len(views), passes)):
        progress.update("splats", step / (passes * len(views)))
        view = views[index]
        # Later passes correct by less, so that no view has the last word.
        step_size = 1 / (1 + step // len(views))
        tiled = TiledView(geometry, view.w2c, view.intrinsics, view.height, view.width)
        rgb, _, _ = tiled.composite(wp.array(colors, dtype=wp.vec3, device=device))
        sums = wp.zeros(len(cloud), wp.vec4, device=device)
        tiled.gather(view.image / np.float32(255) - rgb, sums)
        spread = sums.numpy()
        colors = np.clip(colors + step_size * spread[:, :3] / np.maximum(spread[:, 3:], MIN_WEIGHT), 0, 1)
    sh = ((colors - 0.5) / SH_C0)[:, None].astype(np.float32)
    return GaussianCloud(cloud.means, cloud.log_scales, cloud.rotations, cloud.opacity_logits, sh)


def _visits(count: int, passes: int) -> list[int]:
    """Every view once per pass, neighbours far apart, the same order each time."""
    generator = np.random.default_rng(0)
    return [int(i) for _ in range(passes) for i in generator.permutation(count)]
