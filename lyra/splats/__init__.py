"""Gaussian splats: reconstruct, rasterise, measure."""

from lyra.splats.quality import psnr_along_path
from lyra.splats.rasterise import Rasteriser, Rendering, rasterise
from lyra.splats.reconstruct import SplatSettings, reconstruct_splats

__all__ = ["Rasteriser", "Rendering", "SplatSettings", "psnr_along_path", "rasterise", "reconstruct_splats"]
