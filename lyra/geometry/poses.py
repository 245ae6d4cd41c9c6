"""Validation of foreign camera poses: rigid, not mirrored, not transposed."""

from __future__ import annotations

import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.geometry.lens import shown

ROTATION_TOLERANCE = 1e-3
LAST_ROW_TOLERANCE = 1e-6


def check_poses(w2c: np.ndarray) -> None:
    """Raises InvalidInputError about the first of `w2c` (N, 4, 4) that is no rotation and translation."""
    finite = np.isfinite(w2c).all((1, 2))
    if not finite.all():
        i = int(np.argmin(finite))
        raise InvalidInputError(f"w2c of frame {i} is not finite: {shown(w2c[i])}. Export the path again.")
    rotations = w2c[:, :3, :3]
    # Beyond what float64 can square nothing is a rotation.
    sized = np.abs(rotations).max((1, 2)) < 1e100
    products = np.where(sized[:, None, None], rotations, 0)
    products = products @ products.transpose(0, 2, 1)
    rigid = np.abs(products - np.eye(3)).max((1, 2)) < ROTATION_TOLERANCE
    upright = np.linalg.det(np.where(rigid[:, None, None], rotations, 0)) > 0
    good = rigid & upright & (np.abs(w2c[:, 3] - [0, 0, 0, 1]).max(1) < LAST_ROW_TOLERANCE)
    if not good.all():
        i = int(np.argmin(good))
        raise InvalidInputError(_fault(i, w2c[i], bool(rigid[i]), products[i]))


def _fault(i: int, w2c: np.ndarray, rigid: bool, product: np.ndarray) -> str:
    """`product` (3, 3) is the matrix' linear part times its own transpose."""
    rotation = w2c[:3, :3]
    said = f"w2c of frame {i} is no rotation and translation: {shown(rotation)}"
    if rigid and np.abs(w2c[3, :3]).max() > LAST_ROW_TOLERANCE:
        if np.abs(w2c[:3, 3]).max() < LAST_ROW_TOLERANCE:
            return (
                f"w2c of frame {i} is no rotation and translation but transposed: its last row is {shown(w2c[3])}. "
                "Transpose every matrix."
            )
        return f"w2c of frame {i} has the last row {shown(w2c[3])}; it must be 0, 0, 0, 1."
    if rigid and np.linalg.det(rotation) < 0:
        return f"{said}. It is mirrored; convert the path to right-handed OpenCV axes (x right, y down, z forward)."
    if rigid:
        return f"w2c of frame {i} has the last row {shown(w2c[3])}; it must be 0, 0, 0, 1."
    size = np.sqrt(product[0, 0])
    if size > 0 and np.abs(product / product[0, 0] - np.eye(3)).max() < ROTATION_TOLERANCE:
        return f"{said}. It is scaled by {size:.4g}; remove the camera's scale."
    return f"{said}. Remove the camera's scale and shear."
