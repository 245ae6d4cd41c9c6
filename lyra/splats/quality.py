"""How well a cloud shows the frames it was made from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lyra.common.progress import SILENT, Progress
from lyra.geometry.gaussians import GaussianCloud
from lyra.geometry.views import View
from lyra.splats.rasterize import SplatRasterizer

# A perfect rendering would have no finite value; 8-bit rounding alone is about 59 dB.
MAX_PSNR = 60.0


def psnr(rendered: np.ndarray, image: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of rgb (H, W, 3) float in [0, 1] against an image (H, W, 3) uint8."""
    error = float(np.mean((rendered - image / np.float32(255)) ** 2))
    return min(MAX_PSNR, -10 * np.log10(max(error, 1e-12)))


def psnr_along_path(
    cloud: GaussianCloud, views: Sequence[View], progress: Progress = SILENT, device: str = "cpu"
) -> float:
    """Mean PSNR in dB of the cloud's renderings against the frames of `views`, black behind the cloud."""
    rasterizer = SplatRasterizer(cloud, device)
    values = []
    for done, view in enumerate(views):
        progress.update("checking splats", done / len(views))
        rendering = rasterizer.render(view.w2c, view.intrinsics, view.height, view.width)
        values.append(psnr(rendering.rgb, view.image))
    return float(np.mean(values))
