"""Colour of Gaussians from spherical harmonics, with the constants and signs of the 3DGS reference code."""

from __future__ import annotations

import numpy as np

from lyra.geometry.gaussians import SH_C0, GaussianCloud

_C1 = 0.4886025119029199
_C2 = (1.0925484305920792, -1.0925484305920792, 0.31539156525252005, -1.0925484305920792, 0.5462742152960396)
_C3 = (
    -0.5900435899266435,
    2.890611442640554,
    -0.4570457994644658,
    0.3731763325901154,
    -0.4570457994644658,
    1.445305721320277,
    -0.5900435899266435,
)


def sh_basis(directions: np.ndarray, degree: int) -> np.ndarray:
    """Basis values (M, (degree + 1)²) for unit directions (M, 3), degree 0 to 3."""
    x, y, z = directions.T
    columns = [np.full_like(x, SH_C0)]
    if degree > 0:
        columns += [-_C1 * y, _C1 * z, -_C1 * x]
    if degree > 1:
        columns += [
            _C2[0] * x * y,
            _C2[1] * y * z,
            _C2[2] * (2 * z * z - x * x - y * y),
            _C2[3] * x * z,
            _C2[4] * (x * x - y * y),
        ]
    if degree > 2:
        columns += [
            _C3[0] * y * (3 * x * x - y * y),
            _C3[1] * x * y * z,
            _C3[2] * y * (4 * z * z - x * x - y * y),
            _C3[3] * z * (2 * z * z - 3 * x * x - 3 * y * y),
            _C3[4] * x * (4 * z * z - x * x - y * y),
            _C3[5] * z * (x * x - y * y),
            _C3[6] * x * (x * x - 3 * y * y),
        ]
    return np.stack(columns, 1)


def sh_colors(cloud: GaussianCloud, camera_center: np.ndarray) -> np.ndarray:
    """sRGB colours (M, 3) float32, at least 0, as seen from `camera_center` (3,) in the world."""
    degree = round(np.sqrt(cloud.sh.shape[1])) - 1
    if degree == 0:
        return np.maximum(SH_C0 * cloud.sh[:, 0] + 0.5, 0).astype(np.float32)
    directions: np.ndarray = cloud.means - np.asarray(camera_center, np.float32)
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    basis = sh_basis(directions, degree)
    return np.maximum(np.einsum("mk,mkc->mc", basis, cloud.sh) + 0.5, 0).astype(np.float32)
