"""Inverses and relative poses of single cameras, without LAPACK.

Even a 3 x 3 `np.linalg.inv` wakes OpenBLAS's threads, which then spin for a tenth of a second on cores that the
rasterizer needs. These products are computed for every surface of every frame.
"""

from __future__ import annotations

import numpy as np


def inverse3(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a regular (3, 3) matrix from its cofactors."""
    a, b, c = np.asarray(matrix, np.float64)
    adjugate = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], 1)
    return adjugate / (a @ adjugate[:, 0])


def inverse_camera(camera: np.ndarray) -> np.ndarray:
    """c2w (4, 4) of w2c (4, 4), or the other way round."""
    result = np.eye(4)
    result[:3, :3] = inverse3(camera[:3, :3])
    result[:3, 3] = -result[:3, :3] @ camera[:3, 3]
    return result


def relative_camera(surface_w2c, surface_intrinsics, w2c, intrinsics) -> tuple[np.ndarray, np.ndarray]:
    """M (3, 3) and m (3,) that map a surface's (u, v, 1) and disparity w to M (u, v, 1) + m w in the target."""
    relative = w2c @ inverse_camera(surface_w2c)
    return intrinsics @ relative[:3, :3] @ inverse3(surface_intrinsics), intrinsics @ relative[:3, 3]
