"""Pictures of a Gaussian cloud: Warp on any machine, gsplat where it is installed and the device is CUDA."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import numpy as np
import warp as wp

from lyra.geometry.gaussians import GaussianCloud
from lyra.splats.harmonics import sh_colors
from lyra.splats.tiles import DeviceCloud, TiledView


@dataclass(frozen=True)
class Rendering:
    """What a camera sees of a cloud: `rgb` (H, W, 3) float32 sRGB in [0, 1], `alpha` (H, W) float32 in [0, 1], and
    `depth` (H, W) float32, the z-depth averaged with the compositing weights (inf where nothing is seen).
    """

    rgb: np.ndarray
    alpha: np.ndarray
    depth: np.ndarray


class SplatRasterizer:
    """Renders one cloud from many cameras; the cloud is uploaded once.

    Splats are widened by 0.3 px² and keep their opacity, as in the 3DGS paper and the viewers that follow it.
    """

    def __init__(self, cloud: GaussianCloud, device: str = "cpu"):
        self.cloud = cloud
        self.device = device
        self._uploaded = None if uses_gsplat(device) else DeviceCloud(cloud, device)

    def render(
        self,
        w2c: np.ndarray,
        intrinsics: np.ndarray,
        height: int,
        width: int,
        background: np.ndarray | None = None,
    ) -> Rendering:
        """The view of a camera; `background` (3,) sRGB in [0, 1] is black by default."""
        if self._uploaded is None:
            from lyra.splats.gsplat_backend import render_sums

            rgb, depth, transmittance = render_sums(
                self.cloud, w2c, intrinsics, height, width, device=self.device
            )
        else:
            colors = sh_colors(self.cloud, np.linalg.inv(w2c)[:3, 3])
            view = TiledView(self._uploaded, w2c, intrinsics, height, width)
            rgb, depth, transmittance = view.composite(wp.array(colors, dtype=wp.vec3, device=self.device))
        return finish(rgb, depth, transmittance, background)


def rasterize(
    cloud: GaussianCloud,
    w2c: np.ndarray,
    intrinsics: np.ndarray,
    height: int,
    width: int,
    background: np.ndarray | None = None,
    device: str = "cpu",
) -> Rendering:
    """One view of a cloud; for several views of the same cloud keep a `SplatRasterizer`.

    `w2c` (4, 4) in OpenCV axes, `intrinsics` (3, 3) in pixels, `background` (3,) sRGB in [0, 1], black by default.
    """
    return SplatRasterizer(cloud, device).render(w2c, intrinsics, height, width, background)


def uses_gsplat(device: str) -> bool:
    """Whether `device` is CUDA and gsplat is installed."""
    return device.startswith("cuda") and importlib.util.find_spec("gsplat") is not None


def finish(
    rgb: np.ndarray, depth: np.ndarray, transmittance: np.ndarray, background: np.ndarray | None
) -> Rendering:
    """Weighted sums over front-to-back splats as a `Rendering`."""
    alpha = 1 - transmittance
    if background is not None:
        rgb = rgb + transmittance[..., None] * np.asarray(background, np.float32)
    seen = alpha > 0
    expected = np.full(alpha.shape, np.inf, np.float32)
    np.divide(depth, alpha, out=expected, where=seen)
    return Rendering(np.clip(rgb, 0, 1), alpha, expected)
