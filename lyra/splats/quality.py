"""Reconstruction quality: PSNR of a cloud against the frames it was made from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lyra.common.progress import SILENT, Progress
from lyra.common.psnr import psnr_of_error
from lyra.geometry.gaussians import GaussianCloud
from lyra.geometry.views import View
from lyra.splats.rasterize import SplatRasterizer

# Finite for a perfect rendering; rounding to 8 bits alone gives about 59 dB.
MAX_PSNR = 60.0


def psnr_along_path(
    cloud: GaussianCloud, views: Sequence[View], progress: Progress = SILENT, device: str = "cpu"
) -> float:
    """Mean PSNR in dB of the cloud's renderings against the frames of `views`, on black."""
    rasterizer = SplatRasterizer(cloud, device)
    values = []
    for done, view in enumerate(views):
        progress.update("checking splats", done / len(views))
        rendering = rasterizer.render(view.w2c, view.intrinsics, view.height, view.width)
        error = float(np.mean((rendering.rgb - view.image / np.float32(255)) ** 2))
        values.append(psnr_of_error(error, peak=1, limit=MAX_PSNR))
    return float(np.mean(values))
