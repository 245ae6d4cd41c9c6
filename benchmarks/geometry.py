"""Speed of the geometry kernels against the published algorithm in plain torch: `python -m benchmarks.geometry`.

One 80-frame step at 832x480 warps the newest frame and five retrieved ones into 80 cameras, in batches of 16; a
retrieval searches 300 remembered frames. The torch twin is the one in the tests. It warps one batch of 16 targets,
and its time is scaled to all 30 batches.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from lyra.geometry.warp import WarpSettings, splat, splat_source
from lyra.memory import GeometryCache, GreedyCoverage, MemorySettings
from tests.geometry import twins
from tests.geometry.warping import remembered_points

HEIGHT, WIDTH = 480, 832
TARGETS, BATCH, SOURCES = 80, 16, 6
REMEMBERED, FRAME_STRIDE, SLOTS = 300, 8, 5
INTRINSICS = np.array([[600.0, 0, WIDTH / 2], [0, 600, HEIGHT / 2], [0, 0, 1]])


def path(frames: int, turn: float) -> np.ndarray:
    """World-to-camera matrices (frames, 4, 4) of a camera on a curve of `turn` radians."""
    w2c = np.tile(np.eye(4), (frames, 1, 1))
    for pose, a in zip(w2c, np.linspace(0, turn, frames), strict=True):
        pose[:3, :3] = [[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]]
        pose[:3, 3] = 0.3 * np.sin(2 * a), 0.05 * a, -0.4 * a
    return w2c


def depth_map(rng: np.random.Generator) -> np.ndarray:
    """A slanted wall with a box in front of it and a little noise, (H, W) float32."""
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    depth = 3 + 2 * u / WIDTH + v / HEIGHT
    depth[HEIGHT // 4 : HEIGHT // 2, WIDTH // 4 : WIDTH // 2] = 1.8
    return (depth * (1 + 0.002 * rng.standard_normal(depth.shape))).astype(np.float32)


@dataclass(frozen=True)
class Timing:
    """Wall-clock seconds and CPU seconds over all cores; the latter are meaningful on a busy machine, too."""

    wall: float
    cores: float

    def __mul__(self, count: int) -> Timing:
        return Timing(self.wall * count, self.cores * count)

    def __str__(self) -> str:
        return f"{self.wall:9.3f} s wall clock, {self.cores:9.3f} s CPU"


def best(call: Callable[[], object], repeats: int) -> Timing:
    """The least wall-clock and CPU time of `repeats` runs."""
    timings = []
    for _ in range(repeats):
        wall, cores = time.perf_counter(), time.process_time()
        call()
        timings.append((time.perf_counter() - wall, time.process_time() - cores))
    return Timing(*map(min, zip(*timings, strict=True)))


def report(twin: Timing, ours: Timing, wanted: float) -> None:
    print(f"  twin  {twin}")
    print(f"  ours  {ours}")
    ratios = f"{twin.wall / ours.wall:.1f} wall clock, {twin.cores / ours.cores:.1f} CPU"
    print(f"  ratio {ratios} (target: at least {wanted:g})")


def benchmark_warps(repeats: int) -> None:
    """The 480 warps of one step."""
    print(f"Warps of one step: {SOURCES} sources into {TARGETS} cameras at {WIDTH}x{HEIGHT}")
    rng = np.random.default_rng(0)
    depth = depth_map(rng)[None, None]
    image = rng.uniform(-1, 1, (1, 1, HEIGHT, WIDTH, 3)).astype(np.float32)
    sources, targets = path(SOURCES, 0.3)[:, None, None], path(TARGETS + 1, 0.4)[1:]
    k, target_k = INTRINSICS[None, None], np.broadcast_to(INTRINSICS, (TARGETS, 3, 3))
    settings = WarpSettings(pixel_offset=0.0, batch=BATCH)
    warped = None

    def ours(count: int = SOURCES) -> None:
        nonlocal warped
        for w2c in sources[:count]:
            source = splat_source(image, depth, w2c, k, pixel_offset=0.0)
            warped = splat(source, targets, target_k, settings, out=warped)

    as_batch = [
        torch.from_numpy(np.ascontiguousarray(x, np.float32)).expand(BATCH, *x.shape[1:])
        for x in (image.transpose(0, 1, 4, 2, 3), depth, sources[0], k)
    ]
    as_targets = [torch.from_numpy(np.ascontiguousarray(x[:BATCH], np.float32)) for x in (targets, target_k)]

    ours(1)
    twin_image, twin_mask, _ = twins.forward_warp(*as_batch, *as_targets)
    differing = (warped.mask[:BATCH, None] != twin_mask.numpy()).mean()
    deviation = np.abs(warped.values[:BATCH].transpose(0, 3, 1, 2) - twin_image.numpy()).mean()
    print(f"  same results: mean deviation {deviation:.1e}, {100 * differing:.4f} % of mask pixels differ")

    seconds = best(ours, repeats)
    batches = SOURCES * TARGETS // BATCH
    twin = best(lambda: twins.forward_warp(*as_batch, *as_targets), repeats) * batches
    print(f"  the twin is measured on one batch of {BATCH} targets, times {batches}")
    print(f"  ours takes {1000 * seconds.wall / SOURCES / TARGETS:.1f} ms a warp")
    report(twin, seconds, 25)


def benchmark_retrieval(repeats: int) -> None:
    """One search of five frames in a memory of 300."""
    print(f"Retrieval of {SLOTS} frames out of {REMEMBERED} at {WIDTH}x{HEIGHT}")
    rng = np.random.default_rng(0)
    depth, poses = depth_map(rng), path(REMEMBERED + 1, 3.0)
    cache = GeometryCache(HEIGHT, WIDTH, MemorySettings.published())
    for i in range(REMEMBERED):
        cache.add(FRAME_STRIDE * i, depth, poses[i], INTRINSICS)
    view, k = poses[-1:], INTRINSICS[None]
    points = torch.from_numpy(remembered_points(cache))
    grid_k = torch.from_numpy(k).float()
    grid_k[:, :2] /= cache.settings.stride
    as_twin = (points, cache.frame_ids, torch.from_numpy(view).float(), grid_k, cache.grid_hw, SLOTS)

    picked = cache.retrieve(view, k, SLOTS, GreedyCoverage())
    print(f"  picked {picked}, the twin {twins.greedy_coverage(*as_twin)}")
    seconds = best(lambda: cache.retrieve(view, k, SLOTS, GreedyCoverage()), 5 * repeats)
    report(best(lambda: twins.greedy_coverage(*as_twin), repeats), seconds, 5)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.geometry", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--repeats", type=int, default=2, help="the best of so many runs counts (default 2)")
    repeats = parser.parse_args().repeats
    benchmark_retrieval(repeats)
    benchmark_warps(repeats)


if __name__ == "__main__":
    main()
