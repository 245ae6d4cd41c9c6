"""The contract of depth, enforced: positive, finite or sky, never 0 or NaN."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage

from lyra.common.errors import InvalidInputError
from lyra.depth.base import DepthEstimate

# Chunks keep depth as float16, whose largest number is 65504; what is farther is sky.
FARTHEST = 6e4
NEAREST = 1e-3
# What is moved to these bounds is said from this share of the picture on.
NOTABLE = 5e-4


def sanitise(estimate: DepthEstimate) -> DepthEstimate:
    """The estimate as the contract in base.py promises it.

    Pixels that are 0, negative or not a number take the depth of the nearest good pixel, what is beyond FARTHEST is
    sky, what is nearer than NEAREST stands there, and the user reads it.
    Raises InvalidInputError when no pixel is good or shapes do not fit.
    """
    depth = np.asarray(estimate.depth, np.float32)
    if depth.ndim != 2:
        raise InvalidInputError(f"The depth has the shape {depth.shape}; one value per pixel is needed.")
    notes = list(estimate.notes)
    good = depth > 0
    if not good.any():
        raise InvalidInputError("No pixel has a positive depth; use another depth estimator or file.")
    if not good.all():
        depth = filled_from_nearest(depth, good)
        notes.append(f"{(~good).mean():.1%} of the depth was unknown and was filled from its neighbours.")
    beyond, before = (depth > FARTHEST) & np.isfinite(depth), depth < NEAREST
    if beyond.mean() > NOTABLE:
        notes.append(
            f"{beyond.mean():.1%} of the depth is beyond {FARTHEST / 1000:g} km and was taken as sky."
        )
    if before.mean() > NOTABLE:
        notes.append(
            f"{before.mean():.1%} of the depth is nearer than {NEAREST * 1000:g} mm and was moved there."
        )
    depth = np.where(depth > FARTHEST, np.float32(np.inf), np.maximum(depth, np.float32(NEAREST)))
    confidence = estimate.confidence
    if confidence is not None:
        confidence = np.clip(np.nan_to_num(np.asarray(confidence, np.float32)), 0, 1)
    intrinsics = checked_intrinsics(estimate.intrinsics, "The estimator's")
    return dataclasses.replace(
        estimate,
        depth=np.ascontiguousarray(depth, np.float32),
        intrinsics=intrinsics,
        confidence=confidence,
        notes=tuple(notes),
    )


def filled_from_nearest(values: np.ndarray, good: np.ndarray) -> np.ndarray:
    """`values` (H, W) with every pixel outside the mask `good` taken from the nearest one inside."""
    nearest = ndimage.distance_transform_edt(~good, return_distances=False, return_indices=True)
    return values[tuple(nearest)]


def checked_intrinsics(intrinsics: np.ndarray, whose: str) -> np.ndarray:
    """(3, 3) float64 pinhole intrinsics; otherwise InvalidInputError that quotes them."""
    matrix = np.asarray(intrinsics, np.float64)
    good = matrix.shape == (3, 3) and np.isfinite(matrix).all() and matrix[0, 0] > 0 and matrix[1, 1] > 0
    if not good or np.abs(matrix[[1, 2, 2, 2], [0, 0, 1, 2]] - [0, 0, 0, 1]).max() > 1e-6:
        shown = np.array2string(matrix, precision=4, separator=", ").replace("\n", "")
        raise InvalidInputError(
            f"{whose} intrinsics are {shown}; a pinhole matrix (3, 3) in pixels is needed."
        )
    return matrix


def assumed_intrinsics(height: int, width: int) -> tuple[np.ndarray, str]:
    """The lens that is assumed when nobody knows it, 60 degrees over the longer side, and the remark that says so."""
    focal = max(height, width) / 2 / np.tan(np.radians(30))
    matrix = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return matrix, "The lens is assumed: a field of view of 60° over the longer side."
