"""Validation of depth maps: positive, finite or sky (inf), never 0 or NaN."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage

from lyra.common.errors import InvalidInputError
from lyra.common.quoting import one_line
from lyra.common.shapes import height_width
from lyra.depth.base import DepthEstimate
from lyra.geometry.lens import (
    CROPPED,
    check_lens,
    check_pinhole,
    is_normalised,
    lens_fault,
    lens_remark,
    one_lens,
)

# Chunks keep depth as float16, whose largest number is 65504; what is farther is sky.
FARTHEST = 6e4
NEAREST = 1e-3
# What is moved to these bounds is said from this share of the picture on.
NOTABLE = 5e-4


def sanitise(estimate: DepthEstimate) -> DepthEstimate:
    """The estimate as the contract in base.py promises it.

    Pixels that are 0, negative or not a number take the depth of the nearest good pixel, what is beyond FARTHEST is
    sky, what is nearer than NEAREST stands there, a lens that no picture has gives way to the assumed one, and the user
    reads it.
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
    intrinsics, said = believed_lens(estimate.intrinsics, *height_width(depth), "the estimator")
    notes += [said] if said else []
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
    filled, missing = values.copy(), ~good
    filled[missing] = values[tuple(index[missing] for index in nearest)]
    return filled


def file_lens(intrinsics: np.ndarray, height: int, width: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """The lens (3, 3) float64 in pixels that a file holds beside a height x width depth, and remarks on it.

    Intrinsics in shares of the picture, as MoGe writes them, are brought to pixels; a principal point that was left
    out is put in the middle. Raises InvalidInputError for a lens that no such picture has.
    """
    whose = "the file"
    lens, notes = one_lens(intrinsics, whose), ()
    check_pinhole(lens[None], lambda _: whose)
    if is_normalised(lens) and (lens[:2, 2] > 0).all():
        scaled = np.array([[width], [height], [1]]) * lens
        if not lens_remark(scaled, whose):
            lens = scaled
            notes = (
                f"The file's intrinsics are in shares of the picture; times {width}x{height} the focal length is "
                f"{lens[0, 0]:.0f} px.",
            )
    elif not lens[:2, 2].any() and not is_normalised(lens):
        lens[:2, 2] = width / 2, height / 2
        notes = ("The file's principal point is (0, 0), left out; the middle of the picture was taken.",)
    check_lens(lens[None], height, width, lambda _: whose)
    remark = lens_remark(lens, whose)
    return lens, (*notes, remark) if remark else notes


def believed_lens(intrinsics: np.ndarray, height: int, width: int, whose: str) -> tuple[np.ndarray, str]:
    """An estimator's guess (3, 3) at the lens of a height x width picture, or the assumed one in place of a guess that
    no picture has; then with the remark that says so.

    Whoever reads the remark can give the lens; the guess itself they cannot mend.
    """
    fault = lens_fault(intrinsics, height, width, whose, CROPPED)
    if not fault:
        return one_lens(intrinsics, whose), ""
    lens, said = assumed_intrinsics(height, width)
    return lens, one_line(f"{fault} {said}")


def assumed_intrinsics(height: int, width: int) -> tuple[np.ndarray, str]:
    """The lens that is assumed when nobody knows it, 60 degrees over the longer side, and the remark that says so."""
    focal = max(height, width) / 2 / np.tan(np.radians(30))
    matrix = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return matrix, "The lens is assumed: a field of view of 60° over the longer side."
