"""Gaussian splats: reconstruct, rasterise, read, write."""

from lyra.formats.splat_ply import read_ply, write_ply
from lyra.splats.gaussians import GaussianCloud
from lyra.splats.quality import psnr_along_path
from lyra.splats.rasterise import Rasteriser, Rendering, rasterise
from lyra.splats.reconstruct import SplatSettings, reconstruct_splats

__all__ = [
    "GaussianCloud",
    "Rasteriser",
    "Rendering",
    "SplatSettings",
    "psnr_along_path",
    "rasterise",
    "read_ply",
    "reconstruct_splats",
    "write_ply",
]
