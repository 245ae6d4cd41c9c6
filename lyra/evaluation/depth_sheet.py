"""Contact sheet of depth estimates: image, depth and the point cloud from the side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lyra.common.errors import InvalidInputError
from lyra.common.shapes import height_width
from lyra.depth.base import DepthEstimate, DepthEstimator
from lyra.depth.shading import shaded
from lyra.evaluation.depth_pairs import PICTURES
from lyra.media.images import PORTRAIT_SIZE, fit, load_image, model_size

# Azimuth and elevation, in degrees, of the side view around the middle of the scene.
ASIDE, ABOVE = 35.0, 12.0
# Points farther than this, in median depths, are omitted as backdrop.
BACKDROP = 12.0
# (height, width) of a landscape image; portraits are transposed.
SIZE = (288, 512)
BEHIND = (28, 30, 36)


def side_view(image: np.ndarray, estimate: DepthEstimate) -> np.ndarray:
    """The point cloud of `image` (H, W, 3) at its estimated depth, from a camera orbited around its middle.

    Returns (H, W, 3) uint8. Every point is one pixel, so gaps show stretched surfaces and flying pixels.
    """
    height, width = image.shape[:2]
    solid = np.isfinite(estimate.depth)
    solid[solid] = estimate.depth[solid] < BACKDROP * np.median(estimate.depth[solid])
    rows, columns = np.nonzero(solid)
    pixels = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))])
    points = np.linalg.inv(estimate.intrinsics) @ pixels * estimate.depth[solid]
    middle = np.array([0, 0, np.median(points[2])])[:, None]
    turn, tilt = np.radians([ASIDE, ABOVE])
    around = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    over = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    moved = over @ around @ (points - middle) + middle * [[1], [1], [1.35]]
    x, y = (estimate.intrinsics @ (moved / np.maximum(moved[2], 1e-6)))[:2].astype(np.int64)
    shown = (moved[2] > 1e-3) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    # Far points first, so that the nearest one in a pixel is written last.
    order = np.flatnonzero(shown)[np.argsort(-moved[2][shown])]
    result = np.empty_like(image)
    result[:] = BEHIND
    result[y[order], x[order]] = image[rows[order], columns[order]]
    return result


def draw_depth_sheet(estimator: DepthEstimator, folder: Path, picture: Path) -> list[DepthEstimate]:
    """Writes `picture`, with a row for every image of `folder`: image, depth, side view. Returns the estimates.

    Each is cropped like the image of a world, to 512x288 or 288x512. Raises InvalidInputError if the folder holds no
    image or `picture` has no image suffix.
    """
    if picture.suffix.lower() not in PICTURES:
        raise InvalidInputError(
            f"{picture} is no name of a picture; let it end with one of {', '.join(PICTURES)}."
        )
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    if not files:
        raise InvalidInputError(f"{folder} holds no image ({', '.join(PICTURES)}); give another folder.")
    rows, estimates = [], []
    for path in files:
        loaded = load_image(path)
        upright = model_size(height_width(loaded.pixels)) == PORTRAIT_SIZE
        image = fit(loaded, SIZE[::-1] if upright else SIZE).image
        estimate = estimator.estimate(image)
        depth = shaded(1 / estimate.depth, np.isinf(estimate.depth))
        rows.append(np.concatenate([image, depth, side_view(image, estimate)], 1))
        estimates.append(estimate)
    Image.fromarray(stacked(rows)).save(picture)
    return estimates


def stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Images (H, W, 3) uint8 stacked vertically, narrower ones padded with a dark margin on the right."""
    width = max(row.shape[1] for row in rows)
    sheet = np.empty((sum(row.shape[0] for row in rows), width, 3), np.uint8)
    sheet[:] = BEHIND
    top = 0
    for row in rows:
        sheet[top : top + row.shape[0], : row.shape[1]] = row
        top += row.shape[0]
    return sheet
