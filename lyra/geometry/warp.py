"""Forward warping: views splatted into other cameras with a soft z-buffer.

The published Lyra 2.0 splat. Each pixel with reliable depth becomes a world point, which is distributed bilinearly
over four target pixels with the weight exp(-50 log1p(z) / max log1p(z)), so that nearer points dominate. The maximum
is over the batch of targets and includes the world's origin, where pixels without reliable depth are placed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import warp as wp

from lyra.common.errors import InvalidInputError
from lyra.geometry.arrays import Array, ArraySpace, check_shape, to_numpy
from lyra.geometry.projection import PIXEL_CENTER, unproject
from lyra.geometry.reliability import reliable_depth_mask
from lyra.geometry.splat_kernels import SplatKernels, farthest_z, splat_kernels

# Targets that share one canvas on a GPU: 16 of 832x480 with five values per cell take 128 MB.
CANVAS_TARGETS = 16
GPU_REDUCTION_THREADS = 16384


@dataclass(frozen=True)
class WarpSettings:
    """`pixel_offset` as in `lyra.geometry.projection` (the published code: 0), for sources and targets alike.

    `sharpness`: the exponent at the farthest point. `batch`: how many consecutive targets share the maximum depth in
    the weights. `fill`: the value of holes. `limits`: the range to which values are clamped.
    """

    pixel_offset: float = PIXEL_CENTER
    sharpness: float = 50.0
    batch: int = 16
    fill: float = -1.0
    limits: tuple[float, float] = (-1.0, 1.0)


@dataclass(frozen=True)
class SplatSource:
    """World points of N groups of views, to be splatted into any number of cameras.

    `points_world` (N, V*H*W, 3) float32, `valid` (N, V*H*W) bool, `values` (N, V*H*W, C) float32.
    """

    points_world: Array
    valid: Array
    values: Array
    height: int
    width: int


@dataclass(frozen=True)
class WarpedViews:
    """T splatted images: `values` (T, H, W, C) float32, `depth` (T, H, W) z-depth, 0 in holes, `mask` (T, H, W)."""

    values: Array
    depth: Array
    mask: Array


def splat_source(
    values: Array,
    depth: Array,
    w2c: Array,
    intrinsics: Array,
    *,
    mask: Array | None = None,
    pixel_offset: float = PIXEL_CENTER,
) -> SplatSource:
    """Un-projects `values` (N, V, H, W, C), N groups of V views that are splatted together. C may be 0.

    `depth` (N, V, H, W), `w2c` (N, V, 4, 4), `intrinsics` (N, V, 3, 3). `mask` (N, V, H, W) selects pixels, by
    default `reliable_depth_mask`; pixels without depth are never used.
    """
    check_shape("values", values, None, None, None, None, None)
    n, views, height, width, channels = values.shape
    check_shape("depth", depth, n, views, height, width)
    check_shape("w2c", w2c, n, views, 4, 4)
    check_shape("intrinsics", intrinsics, n, views, 3, 3)
    flat = depth.reshape(n * views, height, width)
    if mask is None:
        valid = reliable_depth_mask(flat)
    else:
        check_shape("mask", mask, n, views, height, width)
        # NaN depth means far, not missing, and NaN <= 0 is false.
        valid = mask.reshape(flat.shape) & ~(flat <= 0)
    # Unused pixels become points at the world's origin, where they still count towards the maximum depth.
    used = ArraySpace(depth).where(valid, flat, 0.0)
    points = unproject(used, w2c.reshape(-1, 4, 4), intrinsics.reshape(-1, 3, 3), pixel_offset=pixel_offset)
    count = views * height * width
    return SplatSource(
        points.reshape(n, count, 3),
        valid.reshape(n, count),
        values.reshape(n, count, channels),
        height,
        width,
    )


def splat(
    source: SplatSource,
    target_w2c: Array,
    target_intrinsics: Array,
    settings: WarpSettings | None = None,
    size: tuple[int, int] | None = None,
    out: WarpedViews | None = None,
    farthest: np.ndarray | None = None,
) -> WarpedViews:
    """Splats into T cameras: `target_w2c` (T, 4, 4), `target_intrinsics` (T, 3, 3), images of `size` (H, W).

    The source has one group, splatted into every target, or T groups, one per target. The size defaults to the
    source's. `out` is an earlier result of the same shape to overwrite, which saves more than half of the time on the
    CPU, where allocating half a gigabyte is slow. `farthest` (T,) is the maximum depth in each target's weights, if
    known from `farthest_depths` of a larger set of targets.
    Raises InvalidInputError for wrong shapes.
    """
    settings = settings or WarpSettings()
    targets, groups = len(target_w2c), len(source.points_world)
    check_shape("target_w2c", target_w2c, None, 4, 4)
    check_shape("target_intrinsics", target_intrinsics, targets, 3, 3)
    if groups not in (1, targets):
        raise InvalidInputError(
            f"The source has {groups} groups for {targets} targets; give one group or {targets}."
        )
    height, width = size or (source.height, source.width)
    channels = source.values.shape[2]
    space = ArraySpace(source.points_world)
    out = out or WarpedViews(
        space.empty((targets, height, width, channels)),
        space.empty((targets, height, width)),
        space.as_bool(space.empty((targets, height, width), wp.uint8)),
    )
    check_shape("out.values", out.values, targets, height, width, channels)
    with space.stream():
        launches = _Launches(space, source, target_w2c, settings)
        launches.run(target_intrinsics, out, launches.farthest() if farthest is None else farthest)
    return out


def farthest_depths(
    source: SplatSource, target_w2c: Array, settings: WarpSettings | None = None
) -> np.ndarray:
    """The greatest z (T,) float32 of the source in each target `target_w2c` (T, 4, 4) or in others of its batch."""
    check_shape("target_w2c", target_w2c, None, 4, 4)
    space = ArraySpace(source.points_world)
    with space.stream():
        return _Launches(space, source, target_w2c, settings or WarpSettings()).farthest()


class _Launches:
    """The kernel launches of one splat call: a thread per core on the CPU, large launches on a GPU."""

    def __init__(self, space: ArraySpace, source: SplatSource, w2c: Array, settings: WarpSettings):
        self.space, self.settings, self.device = space, settings, space.device
        self.targets, self.source_width = len(w2c), source.width
        self.groups, self.points, channels = source.values.shape
        self.kernels: SplatKernels = splat_kernels(channels)
        self.kernels.load(self.device)
        self.points_world = space.wrap(source.points_world).view(wp.vec3)
        self.valid = space.wrap(space.as_bytes(source.valid), wp.uint8)
        self.values = space.wrap(source.values)
        self.w2c = space.upload(to_numpy(w2c), wp.mat44)
        share = CANVAS_TARGETS if self.device.is_cuda else 1
        self.parts = [(first, min(share, self.targets - first)) for first in range(0, self.targets, share)]
        self.workers = 1 if self.device.is_cuda else min(_usable_cores(), len(self.parts))

    def farthest(self) -> np.ndarray:
        """The greatest z (targets,) of all points, the largest of each batch of targets."""
        each = wp.zeros(self.targets, dtype=wp.float32, device=self.device)
        _in_threads(
            [partial(self._find_farthest, first, count, each) for first, count in self.parts], self.workers
        )
        batch = self.settings.batch
        largest = np.maximum.reduceat(each.numpy(), np.arange(0, self.targets, batch))
        return np.repeat(largest, batch)[: self.targets]

    def run(self, intrinsics: Array, out: WarpedViews, farthest: np.ndarray) -> None:
        """Splats into cameras with `intrinsics`; `farthest` (targets,) is the maximum depth in their weights."""
        self.height, self.width, channels = out.values.shape[1:]
        pixels = self.height * self.width
        self.intrinsics = self.space.upload(to_numpy(intrinsics), wp.mat33)
        self.out = [
            self.space.wrap(out.values.reshape(self.targets, pixels, channels)),
            self.space.wrap(out.depth.reshape(self.targets, pixels)),
            self.space.wrap(self.space.as_bytes(out.mask).reshape(self.targets, pixels), wp.uint8),
        ]
        scale = self.settings.sharpness / (np.log1p(farthest) + np.float32(1e-7))
        self.exponent_scale = wp.array(scale.astype(np.float32), dtype=wp.float32, device=self.device)
        # Worker i processes every workers-th part on a canvas of its own.
        workers = self.workers
        _in_threads([partial(self._splat_parts, self.parts[i::workers]) for i in range(workers)], workers)

    def _find_farthest(self, first: int, count: int, farthest: wp.array) -> None:
        if self.device.is_cuda:
            threads = GPU_REDUCTION_THREADS
            chunk, step, step_of_chunk = -(-self.points // threads), threads, 1
        else:
            threads, chunk, step, step_of_chunk = 1, self.points, 1, self.points
        wp.launch(
            farthest_z,
            dim=(count, threads),
            inputs=[self.points_world, self.w2c, first, self.groups, chunk, step, step_of_chunk],
            outputs=[farthest],
            device=self.device,
        )

    def _splat_parts(self, parts: list[tuple[int, int]]) -> None:
        cells = (self.height + 2) * (self.width + 2)
        canvas = wp.zeros((parts[0][1], cells), dtype=self.kernels.cell, device=self.device)
        for first, count in parts:
            self._splat(first, count, canvas)

    def _splat(self, first: int, count: int, canvas: wp.array) -> None:
        source_span, target_span = (1, 1) if self.device.is_cuda else (self.source_width, self.width)
        scene = [self.points_world, self.valid, self.values, self.w2c, self.intrinsics, self.exponent_scale]
        offset = 1.0 - self.settings.pixel_offset
        wp.launch(
            self.kernels.splat,
            dim=(count, self.points // source_span),
            inputs=[*scene, first, self.groups, source_span, offset, self.height, self.width],
            outputs=[canvas],
            device=self.device,
        )
        wp.launch(
            self.kernels.normalize,
            dim=(count, self.height * self.width // target_span),
            inputs=[canvas, first, target_span, self.width, self.settings.fill, *self.settings.limits],
            outputs=self.out,
            device=self.device,
        )


def _usable_cores() -> int:
    """Cores this process may run on; only Linux can restrict them per process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_threads(calls: list[Callable[[], None]], workers: int) -> None:
    """Runs the calls in `workers` threads; CPU kernel launches block and release the GIL."""
    if workers == 1:
        for call in calls:
            call()
        return
    with ThreadPoolExecutor(workers) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result()
