"""A rasterizer for z-depth: triangles seen by a pinhole camera, in short steps. Needs NumPy only.

Every pixel is a ray through its centre, intersected with the triangles whose bounding box covers it. A ray
d = (x, y, 1) meets the plane of a triangle (a, b, c) at z = det[a b c] / (n . d) with n = a x b + b x c + c x a, and
lies inside where the scalar triple products (b x c) . d, (c x a) . d and (a x b) . d have the sign of n . d. There is
no division by a vertex's own depth, so triangles that reach behind the camera need no clipping.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np

# So many triangles, and so many pairs of ray and triangle, are worked on in one step: some milliseconds each.
TRIANGLES = 20_000
PAIRS = 60_000
# Corners, and where the sides cross the near plane: what bounds the part of a triangle before the camera.
_SIDES = ((0, 1), (1, 2), (2, 0))


@dataclass(frozen=True)
class Surface:
    """`vertices` (V, 3), the `corners` (T, 3) of triangles as numbers of vertices, and `to_camera` (4, 4), which
    leads to the camera's OpenCV axes."""

    vertices: np.ndarray
    corners: np.ndarray
    to_camera: np.ndarray


def rasterizing(
    surfaces: list[Surface], intrinsics: np.ndarray, height: int, width: int, near: float
) -> Generator[None, None, np.ndarray]:
    """z-depth (height, width) float32, NaN where no triangle is; returned when it is whole.

    `intrinsics` (3, 3) in pixels. Both sides of a triangle count. What is nearer than `near` is not seen.
    """
    depth = np.full(height * width, np.inf)
    for triangles in _blocks(surfaces):
        part = triangles[(triangles[:, :, 2] > near).any(1)]
        yield
        boxes = _boxes(part, intrinsics, height, width, near)
        seen = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        yield from _fill(depth, part[seen], boxes[seen], intrinsics, width, near)
    depth[np.isinf(depth)] = np.nan
    return depth.reshape(height, width).astype(np.float32)


def _blocks(surfaces: list[Surface]) -> Iterator[np.ndarray]:
    """Corners (T, 3, 3) in the camera's axes, about TRIANGLES at a time, small surfaces together."""
    waiting, count = [], 0
    for surface in surfaces:
        turn, shift = surface.to_camera[:3, :3], surface.to_camera[:3, 3]
        vertices = surface.vertices.astype(np.float64) @ turn.T + shift
        for start in range(0, len(surface.corners), TRIANGLES):
            waiting.append(vertices[surface.corners[start : start + TRIANGLES]])
            count += len(waiting[-1])
            if count >= TRIANGLES:
                yield np.concatenate(waiting)
                waiting, count = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _boxes(triangles: np.ndarray, intrinsics: np.ndarray, height: int, width: int, near: float) -> np.ndarray:
    """Pixels (T, 4) that triangles can cover before the near plane: left, top, and past the right and the bottom."""
    points = [triangles]
    for i, j in _SIDES:
        a, b = triangles[:, i], triangles[:, j]
        crosses = (a[:, 2] > near) != (b[:, 2] > near)
        share = np.where(crosses, near - a[:, 2], np.nan) / np.where(crosses, b[:, 2] - a[:, 2], 1.0)
        points.append((a + share[:, None] * (b - a))[:, None])
    corners = np.concatenate(points, 1)
    z = corners[:, :, 2]
    z = np.where(z >= near * (1 - 1e-9), z, np.nan)
    found = []
    for axis, size in ((0, width), (1, height)):
        at = intrinsics[axis, axis] * corners[:, :, axis] / z + intrinsics[axis, 2]
        # A pixel's centre lies in the box when it is between the bounds; one more on each side costs nothing.
        found += [np.nanmin(at, 1) - 1, np.nanmax(at, 1) + 1, size]
    left, right, across, top, bottom, down = found
    return np.stack(
        [
            np.clip(np.floor(left), 0, across),
            np.clip(np.floor(top), 0, down),
            np.clip(np.ceil(right), 0, across),
            np.clip(np.ceil(bottom), 0, down),
        ],
        1,
    ).astype(np.int64)


def _fill(
    depth: np.ndarray,
    triangles: np.ndarray,
    boxes: np.ndarray,
    intrinsics: np.ndarray,
    width: int,
    near: float,
) -> Iterator[None]:
    """Writes the nearest depth of the triangles into `depth` (height * width)."""
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    # (3, T, 3): the triple products' vectors; their sum is the plane's normal.
    edges = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)])
    volume = np.einsum("ti,ti->t", a, edges[0])
    rows = boxes[:, 3] - boxes[:, 1]
    # One item per triangle and row of pixels.
    item = np.repeat(np.arange(len(triangles)), rows)
    row = boxes[item, 1] + _counted(rows)
    count = boxes[item, 2] - boxes[item, 0]
    ends = np.cumsum(count)
    start = 0
    while start < len(item):
        yield
        limit = (ends[start - 1] if start else 0) + PAIRS
        stop = max(start + 1, int(np.searchsorted(ends, limit, side="right")))
        n = count[start:stop]
        which = np.repeat(item[start:stop], n)
        y = np.repeat(row[start:stop], n)
        x = boxes[which, 0] + _counted(n)
        ray_x = (x + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
        ray_y = (y + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
        near_to = edges[:, which]
        products = near_to[..., 0] * ray_x + near_to[..., 1] * ray_y + near_to[..., 2]
        total = products.sum(0)
        inside = (products >= 0).all(0) | (products <= 0).all(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = volume[which] / total
        hit = inside & (z > near)
        np.minimum.at(depth, y[hit] * width + x[hit], z[hit])
        start = stop


def _counted(lengths: np.ndarray) -> np.ndarray:
    """The ranges 0 ... n - 1 of all lengths n, concatenated."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
