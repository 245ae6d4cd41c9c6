"""Ground plane of a scene, the lower bound of inpainted depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lyra.geometry.raster_cameras import inverse3, inverse_camera
from lyra.geometry.views import View

SAMPLES = 4000
TRIALS = 300
MAX_TILT = np.radians(25)
MIN_SHARE = 0.12


@dataclass(frozen=True)
class GroundPlane:
    """The plane {X : normal · X = height} of the world frame; `normal` (3,) points down, `height` is positive."""

    normal: np.ndarray
    height: float

    def disparity(self, w2c: np.ndarray, intrinsics: np.ndarray, height: int, width: int) -> np.ndarray:
        """Disparity (H, W) of the plane in a view; 0 above the horizon and for a camera below the ground."""
        c2w = inverse_camera(w2c)
        above = self.height - self.normal @ c2w[:3, 3]
        if above <= 0.05 * self.height:
            return np.zeros((height, width), np.float32)
        # A plane's disparity is linear in pixel coordinates.
        linear = self.normal @ c2w[:3, :3] @ inverse3(intrinsics) / above
        return np.maximum(over_pixels(linear, height, width), 0)


def over_pixels(linear: np.ndarray, height: int, width: int) -> np.ndarray:
    """`linear` (3,) times (u, v, 1) for each pixel centre (H, W) float32.

    A sum of a row and a column: a matrix product over the image would start BLAS threads, which keep spinning on
    cores needed elsewhere.
    """
    columns = linear[0] * (np.arange(width) + 0.5)
    rows = linear[1] * (np.arange(height) + 0.5) + linear[2]
    return (rows[:, None] + columns).astype(np.float32)


def find_ground_plane(view: View) -> GroundPlane | None:
    """The largest nearly horizontal plane below the camera, by RANSAC; None if there is none.

    Assumes that the source camera is upright within 25 degrees.
    """
    rows = np.arange(len(view.depth))[:, None]
    y, x = np.nonzero(np.isfinite(view.depth) & (rows > len(rows) // 3))
    if len(y) < 100:
        return None
    random = np.random.default_rng(0)
    pick = random.integers(0, len(y), SAMPLES)
    z = view.depth[y[pick], x[pick]].astype(np.float64)
    rays = np.stack([x[pick] + 0.5, y[pick] + 0.5, np.ones(SAMPLES)], -1) @ np.linalg.inv(view.intrinsics).T
    points = rays * z[:, None]
    triples = points[random.integers(0, SAMPLES, (TRIALS, 3))]
    normals = np.cross(triples[:, 1] - triples[:, 0], triples[:, 2] - triples[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    normals = normals / np.maximum(lengths, 1e-12)[:, None]
    normals *= np.where(normals[:, 1] < 0, -1, 1)[:, None]
    heights = np.einsum("ij,ij->i", normals, triples[:, 0])
    upright = (normals[:, 1] > np.cos(MAX_TILT)) & (heights > 0) & (lengths > 0)
    if not upright.any():
        return None
    normals, heights = normals[upright], heights[upright]
    # Inliers lie within 3 % of their depth, since depth errors grow with depth.
    off = np.abs(points @ normals.T - heights) < 0.03 * np.maximum(z[:, None], heights)
    best = int(off.sum(0).argmax())
    on = off[:, best]
    if on.mean() < MIN_SHARE:
        return None
    chosen = GroundPlane(normals[best], float(heights[best]))
    for tolerance in (0.03, 0.01):
        off = np.abs(points @ chosen.normal - chosen.height)
        close = off < tolerance * np.maximum(z, chosen.height)
        if close.sum() < 0.3 * on.sum():
            break
        # n · X = h divided by h z: near points, which are the most accurate, weigh most.
        solution, *_ = np.linalg.lstsq(points[close] / z[close, None], 1 / z[close], rcond=None)
        length = np.linalg.norm(solution)
        if length == 0 or solution[1] < length * np.cos(MAX_TILT):
            break
        chosen = GroundPlane(solution / length, float(1 / length))
    return chosen
