"""Local planes of a depth map: one least-squares fit per pixel.

A plane in the world is linear in inverse depth over the image, 1/z = a u + b v + c, so one small least-squares fit
gives the slope and a denoised depth, on ground seen at a grazing angle as well as on walls facing the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp

wp.set_module_options({"enable_backward": False})

RADIUS = wp.constant(wp.int32(2))
# Neighbours whose inverse depth deviates from the local slope by more than this share lie on another surface.
CONTINUITY = wp.constant(wp.float32(0.02))
# A pixel with fewer neighbours (of 24) on its surface is a thin object or a flying pixel between two surfaces.
MIN_SUPPORT = 5


@dataclass(frozen=True)
class SurfacePlanes:
    """Per pixel of one depth map, all (H, W): inverse depth at the pixel's centre and its change per pixel.

    `inverse_depth`, `slope_u`, `slope_v` float32 (0 for sky); `edge` bool, whether a direct neighbour lies on
    another surface; `supported` bool, whether enough neighbours lie on the same surface (False for sky).
    """

    inverse_depth: np.ndarray
    slope_u: np.ndarray
    slope_v: np.ndarray
    edge: np.ndarray
    supported: np.ndarray


@wp.func
def _inverse(depth: wp.array2d(dtype=wp.float32), i: wp.int32, j: wp.int32) -> wp.float32:
    row = wp.clamp(i, 0, depth.shape[0] - 1)
    column = wp.clamp(j, 0, depth.shape[1] - 1)
    return wp.float32(1.0) / depth[row, column]


@wp.func
def _slope(
    depth: wp.array2d(dtype=wp.float32), i: wp.int32, j: wp.int32, di: wp.int32, dj: wp.int32
) -> wp.float32:
    """The smaller of the forward and backward slopes along (di, dj), jumps to another surface excluded.

    A step is not a jump if it is slight or continues over the next pixel.
    """
    centre = _inverse(depth, i, j)
    best = wp.float32(0.0)
    found = wp.bool(False)
    for side in range(2):
        direction = 1 - 2 * side
        near = _inverse(depth, i + direction * di, j + direction * dj)
        step = near - centre
        further = _inverse(depth, i + 2 * direction * di, j + 2 * direction * dj) - near
        tolerance = CONTINUITY * centre
        if wp.abs(step) <= tolerance or wp.abs(further - step) <= tolerance:
            slope = step * wp.float32(direction)
            if not found or wp.abs(slope) < wp.abs(best):
                best = slope
                found = wp.bool(True)
    return best


@wp.kernel(enable_backward=False)
def _fit_planes(
    depth: wp.array2d(dtype=wp.float32),
    inverse_depth: wp.array2d(dtype=wp.float32),
    slope_u: wp.array2d(dtype=wp.float32),
    slope_v: wp.array2d(dtype=wp.float32),
    edge: wp.array2d(dtype=wp.uint8),
    support: wp.array2d(dtype=wp.uint8),
):
    i, j = wp.tid()
    centre = _inverse(depth, i, j)
    along_u = _slope(depth, i, j, 0, 1)
    along_v = _slope(depth, i, j, 1, 0)
    suu = wp.float32(0.0)
    suv = wp.float32(0.0)
    svv = wp.float32(0.0)
    su = wp.float32(0.0)
    sv = wp.float32(0.0)
    suw = wp.float32(0.0)
    svw = wp.float32(0.0)
    sw = wp.float32(0.0)
    count = wp.float32(0.0)
    is_edge = wp.uint8(0)
    tolerance = CONTINUITY * centre
    for di in range(-RADIUS, RADIUS + 1):
        for dj in range(-RADIUS, RADIUS + 1):
            row = i + di
            column = j + dj
            if row >= 0 and row < depth.shape[0] and column >= 0 and column < depth.shape[1]:
                u = wp.float32(dj)
                v = wp.float32(di)
                difference = wp.float32(1.0) / depth[row, column] - centre
                if wp.abs(difference - along_u * u - along_v * v) <= tolerance:
                    suu += u * u
                    suv += u * v
                    svv += v * v
                    su += u
                    sv += v
                    suw += u * difference
                    svw += v * difference
                    sw += difference
                    count += wp.float32(1.0)
                elif wp.abs(di) + wp.abs(dj) == 1:
                    is_edge = wp.uint8(1)
    offset = wp.float32(0.0)
    normal_matrix = wp.mat33(suu, suv, su, suv, svv, sv, su, sv, count)
    if centre > wp.float32(0.0) and wp.determinant(normal_matrix) > wp.float32(1.0):
        solution = wp.inverse(normal_matrix) * wp.vec3(suw, svw, sw)
        along_u = solution[0]
        along_v = solution[1]
        offset = wp.clamp(solution[2], -tolerance, tolerance)
    inverse_depth[i, j] = centre + offset
    slope_u[i, j] = along_u
    slope_v[i, j] = along_v
    edge[i, j] = is_edge
    support[i, j] = wp.uint8(0)
    if centre > wp.float32(0.0):
        support[i, j] = wp.uint8(count) - wp.uint8(1)


def fit_planes(depth: np.ndarray, device: str = "cpu") -> SurfacePlanes:
    """Least-squares planes in inverse depth over 5x5 windows of a z-depth map (H, W); inf is sky.

    Only neighbours that continue the pixel's smaller one-sided slope are used, so a fit does not cross a depth
    edge.
    """
    shape = depth.shape
    floats = [wp.empty(shape, wp.float32, device=device) for _ in range(3)]
    flags = [wp.empty(shape, wp.uint8, device=device) for _ in range(2)]
    source = wp.array(np.ascontiguousarray(depth, np.float32), device=device)
    wp.launch(_fit_planes, shape, inputs=[source], outputs=[*floats, *flags], device=device)
    edge, support = (array.numpy() for array in flags)
    numbers = [array.numpy() for array in floats]
    return SurfacePlanes(numbers[0], numbers[1], numbers[2], edge.astype(bool), support >= MIN_SUPPORT)
