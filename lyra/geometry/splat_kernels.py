"""Warp kernels of the forward splat, one set per number of channels.

One thread splats `span` consecutive points: a whole row on the CPU, where a kernel is one loop, a single point on a
GPU. A canvas cell holds (weight, weight * z, weight * channels...), so a point is written in one go. The canvas has a
border of one pixel that is never read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import warp as wp

from lyra.geometry.projection import pinhole


@dataclass(frozen=True)
class SplatKernels:
    """Kernels and the vector type of a canvas cell for one number of channels."""

    channels: int
    cell: Any
    splat: wp.Kernel
    normalize: wp.Kernel

    def load(self, device: wp.Device) -> None:
        """Compiles and loads the kernels, after which several threads may launch them."""
        for kernel in (farthest_z, self.splat, self.normalize):
            kernel.module.load(device)


@wp.kernel(enable_backward=False, module="unique")
def farthest_z(
    points: wp.array2d(dtype=wp.vec3),
    w2c: wp.array1d(dtype=wp.mat44),
    first_target: wp.int32,
    items: wp.int32,
    chunk: wp.int32,
    step: wp.int32,
    step_of_chunk: wp.int32,
    farthest: wp.array1d(dtype=wp.float32),
):
    """The largest z (at least 0) of all points in each target camera.

    Thread (target, c) reduces the points c * step_of_chunk + k * step for k < chunk.
    """
    local, c = wp.tid()
    target = first_target + local
    item = wp.min(target, items - 1)
    camera = w2c[target]
    best = wp.float32(0.0)
    for k in range(chunk):
        p = c * step_of_chunk + k * step
        if p < points.shape[1]:
            q = points[item, p]
            best = wp.max(
                best, camera[2, 0] * q[0] + camera[2, 1] * q[1] + camera[2, 2] * q[2] + camera[2, 3]
            )
    wp.atomic_max(farthest, target, best)


@lru_cache
def splat_kernels(channels: int) -> SplatKernels:
    """The kernels for values of `channels` channels; 0 for depth alone."""
    cell = wp.types.vector(length=channels + 2, dtype=wp.float32)

    @wp.kernel(enable_backward=False, module="unique")
    def splat(
        points: wp.array2d(dtype=wp.vec3),
        valid: wp.array2d(dtype=wp.uint8),
        values: wp.array3d(dtype=wp.float32),
        w2c: wp.array1d(dtype=wp.mat44),
        k: wp.array1d(dtype=wp.mat33),
        exponent_scale: wp.array1d(dtype=wp.float32),
        first_target: wp.int32,
        items: wp.int32,
        span: wp.int32,
        offset: wp.float32,
        height: wp.int32,
        width: wp.int32,
        canvas: wp.array2d(dtype=cell),
    ):
        local, first = wp.tid()
        target = first_target + local
        item = wp.min(target, items - 1)
        camera, intrinsics, scale = w2c[target], k[target], exponent_scale[target]
        for i in range(span):
            p = first * span + i
            if valid[item, p] != wp.uint8(0):
                projected = pinhole(camera, intrinsics, points[item, p])
                z = projected[2]
                u = projected[0] + offset
                v = projected[1] + offset
                # Outside these bounds all four corners lie on the border of the canvas.
                inside = u > 0.0 and v > 0.0 and u < wp.float32(width + 1) and v < wp.float32(height + 1)
                if z > 0.0 and inside:
                    # exp(-scale * log1p(z)) as one power, rounded once.
                    weight = wp.pow(wp.float32(1.0) + z, -scale)
                    splatted = cell()
                    splatted[0] = weight
                    splatted[1] = weight * z
                    for c in range(channels):
                        splatted[c + 2] = weight * values[item, p, c]
                    right = u - wp.floor(u)
                    lower = v - wp.floor(v)
                    # As published: floor and ceil of an integer coordinate are the same pixel, which then counts twice.
                    left = wp.where(right == 0.0, wp.float32(2.0), wp.float32(1.0) - right)
                    upper = wp.where(lower == 0.0, wp.float32(2.0), wp.float32(1.0) - lower)
                    corner = wp.int32(v) * (width + 2) + wp.int32(u)
                    wp.atomic_add(canvas, local, corner, (left * upper) * splatted)
                    wp.atomic_add(canvas, local, corner + 1, (right * upper) * splatted)
                    wp.atomic_add(canvas, local, corner + width + 2, (left * lower) * splatted)
                    wp.atomic_add(canvas, local, corner + width + 3, (right * lower) * splatted)

    @wp.kernel(enable_backward=False, module="unique")
    def normalize(
        canvas: wp.array2d(dtype=cell),
        first_target: wp.int32,
        span: wp.int32,
        width: wp.int32,
        fill: wp.float32,
        lowest: wp.float32,
        highest: wp.float32,
        values: wp.array3d(dtype=wp.float32),
        depth: wp.array2d(dtype=wp.float32),
        mask: wp.array2d(dtype=wp.uint8),
    ):
        local, first = wp.tid()
        target = first_target + local
        for i in range(span):
            p = first * span + i
            index = (p // width + 1) * (width + 2) + p % width + 1
            total = canvas[local, index]
            # Clears the canvas for the next targets.
            canvas[local, index] = cell()
            if total[0] > 0.0:
                scale = wp.float32(1.0) / total[0]
                for c in range(channels):
                    values[target, p, c] = wp.clamp(total[c + 2] * scale, lowest, highest)
                depth[target, p] = total[1] * scale
                mask[target, p] = wp.uint8(1)
            else:
                for c in range(channels):
                    values[target, p, c] = fill
                depth[target, p] = wp.float32(0.0)
                mask[target, p] = wp.uint8(0)

    return SplatKernels(channels, cell, splat, normalize)
