"""Cameras and surface maps of views as arguments of the mesh kernels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp

from lyra.geometry.planes import fit_planes
from lyra.geometry.views import View
from lyra.mesh import kernels
from lyra.mesh.contraction import Contraction

# At depth edges depth and colour may blend both sides; any other view of the surface takes precedence.
EDGE_CONFIDENCE = 0.1


def kernel_camera(view: View, contraction: Contraction) -> kernels.FusionCamera:
    """The view's camera, for points relative to the contraction's centre."""
    camera = kernels.FusionCamera()
    rotation = view.w2c[:3, :3]
    camera.rotation = wp.mat33(*rotation.astype(np.float32).ravel())
    camera.translation = wp.vec3(*(view.w2c[:3, 3] + rotation @ contraction.center).astype(np.float32))
    camera.fx, camera.fy = float(view.intrinsics[0, 0]), float(view.intrinsics[1, 1])
    camera.cx, camera.cy = float(view.intrinsics[0, 2]), float(view.intrinsics[1, 2])
    camera.radius = float(contraction.radius)
    return camera


@dataclass(frozen=True)
class SurfaceMaps:
    """The planes of one view in Warp arrays (H, W); `confidence` in [0, 1] is 0 for sky."""

    inverse_depth: wp.array
    slope_u: wp.array
    slope_v: wp.array
    confidence: wp.array

    @classmethod
    def of(cls, view: View, device: str) -> SurfaceMaps:
        planes = fit_planes(view.depth, device)
        confidence = np.where(planes.edge, EDGE_CONFIDENCE, 1).astype(np.float32) * planes.supported
        maps = (planes.inverse_depth, planes.slope_u, planes.slope_v, confidence)
        return cls(*(wp.array(values, device=device) for values in maps))
