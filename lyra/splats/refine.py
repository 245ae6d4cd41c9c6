"""Least-squares colours of a cloud for given frames, with fixed geometry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import warp as wp

from lyra.common.progress import Progress
from lyra.geometry.gaussians import SH_C0, GaussianCloud
from lyra.geometry.views import View
from lyra.splats.harmonics import sh_colors
from lyra.splats.tiles import DeviceCloud, TiledView

# Damps the update of Gaussians that are barely visible.
MIN_WEIGHT = 0.2
# Above 1 converges faster; the iteration is stable below 2.
RELAXATION = 1.5


def refine_colors(
    cloud: GaussianCloud,
    views: Sequence[View],
    passes: int,
    progress: Progress,
    device: str = "cpu",
) -> GaussianCloud:
    """The cloud with colours fitted to `views`, geometry and opacity unchanged; harmonics of degree 0.

    With fixed geometry a rendering is linear in the colours. The linear system is solved by simultaneous iterative
    reconstruction (SIRT, Gilbert 1972): the residuals of all views are distributed over the Gaussians in proportion
    to their weights in a pixel. This removes the blur of overlapping splats and averages conflicting views, weighted
    by visibility.
    """
    geometry = DeviceCloud(cloud, device)
    colors = sh_colors(cloud, np.zeros(3))
    for step in range(passes):
        sums = wp.zeros(len(cloud), wp.vec4, device=device)
        for done, view in enumerate(views):
            progress.update("splats", (step + done / len(views)) / passes)
            tiled = TiledView(geometry, view.w2c, view.intrinsics, view.height, view.width)
            rgb, _, transmittance = tiled.composite(wp.array(colors, dtype=wp.vec3, device=device))
            # Splats are fitted to what they cover: brightened to fill gaps beside them, they would glow in other views.
            target = view.image / np.float32(255) * (1 - transmittance[..., None])
            tiled.gather(target - rgb, sums)
        spread = sums.numpy()
        colors = np.clip(colors + RELAXATION * spread[:, :3] / np.maximum(spread[:, 3:], MIN_WEIGHT), 0, 1)
    sh = ((colors - 0.5) / SH_C0)[:, None].astype(np.float32)
    return GaussianCloud(cloud.means, cloud.log_scales, cloud.rotations, cloud.opacity_logits, sh)
