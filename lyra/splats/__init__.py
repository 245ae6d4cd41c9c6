"""Gaussian splats: reconstruct, rasterize, measure."""

from lyra.splats.quality import psnr_along_path
from lyra.splats.rasterize import Rendering, SplatRasterizer, rasterize
from lyra.splats.reconstruct import SplatSettings, reconstruct_splats

__all__ = [
    "Rendering",
    "SplatRasterizer",
    "SplatSettings",
    "psnr_along_path",
    "rasterize",
    "reconstruct_splats",
]
