"""Initial Gaussians, one per pixel: position, scale and orientation from the local plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from lyra.geometry.gaussians import SH_C0, GaussianCloud
from lyra.geometry.planes import SurfacePlanes
from lyra.geometry.views import View

# Standard deviation in pixels of the Gaussian's own view: neighbours one pixel apart cover the surface without gaps,
# even in renderers without a low-pass.
FOOTPRINT = 0.6
# At depth edges, so that silhouettes do not grow by the width of a splat.
EDGE_FOOTPRINT = 0.3
# Limit of the surface slope: change of depth per pixel over the pixel's width. Steeper Gaussians are needles that
# stick out in side views.
MAX_LEAN = 4.0
THICKNESS = 0.15
OPACITY_LOGIT = 4.0


@dataclass(frozen=True)
class SkyShell:
    """The sphere on which the sky is placed: `center` (3,) and `radius` in the world."""

    center: np.ndarray
    radius: float

    def depth(self, view: View) -> np.ndarray:
        """z-depth (H, W) float32 at which each pixel's ray meets the shell from inside."""
        rays = view.camera.rays()
        c2w = np.linalg.inv(view.w2c)
        offset = (c2w[:3, 3] - self.center) @ c2w[:3, :3]
        squared = (rays**2).sum(-1)
        along = rays @ offset
        reach = np.sqrt(along**2 + squared * (self.radius**2 - offset @ offset))
        return ((reach - along) / squared).astype(np.float32)


def settled_inverse_depth(planes: SurfacePlanes) -> np.ndarray:
    """Inverse depth (H, W) without flying pixels; 0 is sky.

    An unsupported pixel between its neighbouring surfaces, as interpolation leaves at edges, snaps to the closest of
    them in inverse depth. One in front of all of them is a thin object and is kept.
    """
    w = planes.inverse_depth
    rows, columns = np.nonzero((w > 0) & ~planes.supported)
    if not len(rows):
        return w
    padded_w, padded_ok = np.pad(w, 1), np.pad(planes.supported, 1)
    offsets = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    near = np.stack([padded_w[rows + i, columns + j] for i, j in offsets])
    usable = np.stack([padded_ok[rows + i, columns + j] for i, j in offsets])
    own = w[rows, columns]
    in_front = own > np.where(usable, near, 0).max(0)
    closest = np.where(usable, np.abs(near - own), np.inf).argmin(0)
    settled = w.copy()
    settled[rows, columns] = np.where(in_front, own, np.take_along_axis(near, closest[None], 0)[0])
    return settled


def seed_gaussians(
    view: View, planes: SurfacePlanes, shell: SkyShell, wanted: np.ndarray, spacing: float = 1.0
) -> GaussianCloud:
    """Gaussians for the pixels `wanted` (H, W) bool, each scaled to `spacing` pixels."""
    inverse = settled_inverse_depth(planes)
    sky = inverse <= 0
    rows, columns = np.nonzero(wanted)
    ray = view.camera.rays()[rows, columns]
    on_sky = sky[rows, columns]
    z = np.where(on_sky, shell.depth(view)[rows, columns], 1 / np.maximum(inverse[rows, columns], 1e-9))
    fx, fy = view.intrinsics[0, 0], view.intrinsics[1, 1]
    # dz/du from the slope of 1/z, limited to MAX_LEAN pixel widths.
    lean_u = (
        np.where(on_sky, 0, np.clip(-z * fx * planes.slope_u[rows, columns], -MAX_LEAN, MAX_LEAN)) * z / fx
    )
    lean_v = (
        np.where(on_sky, 0, np.clip(-z * fy * planes.slope_v[rows, columns], -MAX_LEAN, MAX_LEAN)) * z / fy
    )
    step_u = lean_u[:, None] * ray
    step_u[:, 0] += z / fx
    step_v = lean_v[:, None] * ray
    step_v[:, 1] += z / fy
    scales, axes = _tangent_ellipse(step_u, step_v)
    scales *= spacing * np.where(planes.edge[rows, columns], EDGE_FOOTPRINT, FOOTPRINT)[:, None]
    c2w = np.linalg.inv(view.w2c)
    xyzw = Rotation.from_matrix(c2w[:3, :3] @ axes).as_quat() if len(rows) else np.zeros((0, 4))
    colors = view.image[rows, columns] / np.float32(255)
    return GaussianCloud(
        means=(ray * z[:, None] @ c2w[:3, :3].T + c2w[:3, 3]).astype(np.float32),
        log_scales=np.log(scales).astype(np.float32),
        rotations=xyzw[:, [3, 0, 1, 2]].astype(np.float32),
        opacity_logits=np.full(len(rows), OPACITY_LOGIT, np.float32),
        sh=((colors - 0.5) / SH_C0)[:, None].astype(np.float32),
    )


def _tangent_ellipse(step_u: np.ndarray, step_v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scales (M, 3) and axes (M, 3, 3; columns, right-handed) of the disc that one pixel's square spans.

    `step_u`, `step_v` (M, 3) are the steps on the surface per pixel right and down. With A = [step_u step_v] the
    disc's covariance is A Aᵀ, which projects to a circle of one pixel; its axes are A times the eigenvectors of AᵀA.
    The third axis is the normal.
    """
    uu, vv, uv = (step_u**2).sum(1), (step_v**2).sum(1), (step_u * step_v).sum(1)
    angle = 0.5 * np.arctan2(2 * uv, uu - vv)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    major, minor = cos * step_u + sin * step_v, cos * step_v - sin * step_u
    length_major, length_minor = np.linalg.norm(major, axis=1), np.linalg.norm(minor, axis=1)
    major /= length_major[:, None]
    minor /= length_minor[:, None]
    axes = np.stack([major, minor, np.cross(major, minor)], 2)
    thin = THICKNESS * np.minimum(length_major, length_minor)
    return np.stack([length_major, length_minor, thin], 1), axes


def joined(clouds: list[GaussianCloud]) -> GaussianCloud:
    """Several clouds of the same harmonics degree as one."""
    names = ("means", "log_scales", "rotations", "opacity_logits", "sh")
    return GaussianCloud(*(np.concatenate([getattr(cloud, name) for cloud in clouds]) for name in names))
