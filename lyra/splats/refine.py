"""Colours that make the renderings of a cloud equal to the frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import warp as wp

from lyra.common.progress import Progress
from lyra.geometry.gaussians import SH_C0, GaussianCloud
from lyra.geometry.views import View
from lyra.splats.harmonics import sh_colors
from lyra.splats.tiles import DeviceCloud, TiledView

# Gaussians that are hardly seen are moved by less than their residual asks for.
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

    With fixed geometry a rendering is linear in the colours, so this is a linear system, solved by simultaneous
    iterative reconstruction (SIRT, Gilbert 1972): the residuals of all views are spread over the Gaussians in
    proportion to how much of a pixel they make. It undoes the blur of overlapping splats and averages what the
    views disagree on, each as much as it sees of a Gaussian.
    """
    geometry = DeviceCloud(cloud, device)
    colors = sh_colors(cloud, np.zeros(3))
    for step in range(passes):
        sums = wp.zeros(len(cloud), wp.vec4, device=device)
        for done, view in enumerate(views):
            progress.update("splats", (step + done / len(views)) / passes)
            tiled = TiledView(geometry, view.w2c, view.intrinsics, view.height, view.width)
            rgb, _, transmittance = tiled.composite(wp.array(colors, dtype=wp.vec3, device=device))
            # Splats answer for what they cover; made brighter for a gap beside them, they would glow elsewhere.
            target = view.image / np.float32(255) * (1 - transmittance[..., None])
            tiled.gather(target - rgb, sums)
        spread = sums.numpy()
        colors = np.clip(colors + RELAXATION * spread[:, :3] / np.maximum(spread[:, 3:], MIN_WEIGHT), 0, 1)
    sh = ((colors - 0.5) / SH_C0)[:, None].astype(np.float32)
    return GaussianCloud(cloud.means, cloud.log_scales, cloud.rotations, cloud.opacity_logits, sh)
