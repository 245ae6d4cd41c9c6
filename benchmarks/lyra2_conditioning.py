"""Conditioning of one Lyra 2.0 chunk on a CPU against the published algorithm in plain torch.

    python -m benchmarks.lyra2_conditioning [--size 832x480] [--repeats 1]

One chunk retrieves five of 40 remembered frames, warps the newest frame and their coordinates into 80 cameras in
batches of 16, and lays out rays and correspondences. The VAE is excluded on both sides. The twin is measured on one
batch of 16 targets of one source, and its time is scaled to all 30 batches.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch.nn import functional

from benchmarks.geometry import Timing, best, depth_map, path
from lyra.engines.lyra2.conditioning import PUBLISHED_SPLAT, Conditioner, Conditioning
from lyra.engines.lyra2.correspondence import canonical_coordinates
from lyra.engines.lyra2.framepack import PUBLISHED_LAYOUT, FramePackLayout
from lyra.engines.lyra2.history import History
from lyra.engines.lyra2.retrieval import Retrieval
from lyra.geometry.cameras import Trajectory
from lyra.memory import GeometryCache, MemorySettings
from tests.geometry import twins
from tests.geometry.warping import remembered_points

TARGETS, FRAME_STEP, REMEMBERED, SLOTS = 80, 8, 40, 5
KNOWN = FRAME_STEP * REMEMBERED + 1
LAYOUT = FramePackLayout.parse(PUBLISHED_LAYOUT)
WANTED = 10.0


class PoolingVae:
    """Replaces the VAE at no cost: means of 8x8 pixels, the three colours repeated to 16 channels."""

    def encode(self, video, cache=None):
        pooled = functional.avg_pool2d(video[0, :, ::4].flatten(0, 1)[:, None], 8)
        return pooled.view(3, -1, *pooled.shape[2:]).repeat(6, 1, 1, 1)[None, :16], None


def scene(height: int, width: int) -> tuple[History, GeometryCache, Trajectory]:
    """A walk of 321 frames, ten of every 80 remembered, and its cameras with the next 80."""
    rng = np.random.default_rng(0)
    focal = 0.72 * width
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    w2c = path(KNOWN + TARGETS, 1.2)
    cameras = Trajectory(w2c, np.tile(intrinsics, (len(w2c), 1, 1)), height, width)
    memory = GeometryCache(height, width, MemorySettings.published())
    depth = depth_map(rng)
    depth = functional.interpolate(torch.from_numpy(depth)[None, None], (height, width))[0, 0].numpy()
    latent = torch.zeros(1, 16, 1, height // 8, width // 8)
    frames = range(0, KNOWN, FRAME_STEP)
    for frame in frames:
        memory.add(frame, depth, w2c[frame], intrinsics)
    newest = torch.from_numpy(rng.uniform(-1, 1, (1, 3, height, width)).astype(np.float32))
    recent = latent.repeat(1, 1, len(LAYOUT.temporal_slots) - 1, 1, 1)
    return (
        History(latent, recent, newest, KNOWN, dict.fromkeys(frames, latent), None, None),
        memory,
        cameras,
    )


def twin_warp(memory: GeometryCache, cameras: Trajectory, frame: int, image: torch.Tensor):
    """One source, `image` (3, H, W) of `frame`, in the first 16 targets."""
    batch = PUBLISHED_SPLAT.batch

    def repeated(array) -> torch.Tensor:
        return torch.as_tensor(np.asarray(array), dtype=torch.float32).expand(batch, 1, *array.shape)

    entry, targets = memory[frame], slice(KNOWN, KNOWN + batch)
    return twins.forward_warp(
        image.expand(batch, 1, *image.shape),
        *(repeated(array) for array in (entry.depth, entry.w2c, entry.intrinsics)),
        *(torch.from_numpy(array[targets]).float() for array in (cameras.w2c, cameras.intrinsics)),
    )


def twin_retrieval(memory: GeometryCache, cameras: Trajectory) -> list[int]:
    points = torch.from_numpy(remembered_points(memory))
    k = torch.from_numpy(cameras.intrinsics[-1:]).float()
    k[:, :2] /= memory.settings.stride
    w2c = torch.from_numpy(cameras.w2c[-1:]).float()
    return twins.greedy_coverage(points, memory.frame_ids, w2c, k, memory.grid_hw, SLOTS)


def twin_layout(cameras: Trajectory, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rays of 45 slots and a correspondence buffer of that many, as channels of 8x8 sub-pixels."""
    frames = torch.arange(len(cameras) - LAYOUT.slots, len(cameras))
    w2c = torch.from_numpy(cameras.w2c).float()
    relative = w2c[KNOWN - 1] @ torch.linalg.inv(w2c[frames])
    grid = twins.pixel_grid(height, width)
    grid[..., :2] += 0.5
    k = torch.linalg.inv(torch.from_numpy(cameras.intrinsics[frames]).float())
    directions = functional.normalize((k[:, None, None] @ grid[..., None])[..., 0], dim=-1)
    directions = (relative[:, None, None, :3, :3] @ directions[..., None])[..., 0]
    origins = relative[:, None, None, :3, 3].expand_as(directions)
    rays = functional.pixel_unshuffle(torch.cat([origins, directions], -1).permute(0, 3, 1, 2), 8)
    coordinates = torch.from_numpy(canonical_coordinates(height, width))
    depth = torch.ones(SLOTS, height, width, 1)
    blocks = torch.cat([coordinates, depth], -1).permute(0, 3, 1, 2).repeat(1, SLOTS, 1, 1)
    generated = torch.zeros(LAYOUT.generated, 4 * SLOTS, height, width)
    return rays, functional.pixel_unshuffle(torch.cat([blocks, generated]), 8)


def same_results(
    ours: Conditioning, retrieved: list[int], memory: GeometryCache, cameras: Trajectory
) -> None:
    """The best frame's coordinates in the first batch of targets, and the choice of frames."""
    assert retrieved == twin_retrieval(memory, cameras), "other frames were retrieved"
    height, width = memory.height, memory.width
    image = torch.from_numpy(canonical_coordinates(height, width)[-1]).permute(2, 0, 1)
    warped, _, _ = twin_warp(memory, cameras, retrieved[-1], image)
    expected = functional.pixel_unshuffle(warped[3::4], 8)
    block = ours.correspondence[0, : 3 * 64, LAYOUT.history_slots :][:, : len(expected)].transpose(0, 1)
    print(f"  same results: mean deviation {(block - expected).abs().mean():.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lyra2_conditioning")
    parser.add_argument("--size", default="832x480", help="width x height, multiples of 16")
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    history, memory, cameras = scene(height, width)
    conditioner, vae = Conditioner(LAYOUT), PoolingVae()
    print(
        f"Conditioning of one chunk at {width}x{height}, {REMEMBERED + 1} frames remembered, without the VAE"
    )
    retrieval = Retrieval(SLOTS)

    def conditioned() -> Conditioning:
        return conditioner.build(history, memory, cameras, retrieval.frames(memory, cameras, KNOWN), vae)

    retrieved = retrieval.frames(memory, cameras, KNOWN)
    same_results(conditioned(), retrieved, memory, cameras)

    seconds = best(conditioned, options.repeats)
    image = history.newest[0]
    warp = best(lambda: twin_warp(memory, cameras, KNOWN - 1, image), options.repeats)
    batches = (1 + len(retrieved)) * TARGETS // PUBLISHED_SPLAT.batch
    others = [
        best(lambda: twin_retrieval(memory, cameras), options.repeats),
        best(lambda: twin_layout(cameras, height, width), options.repeats),
    ]
    parts = [warp * batches, *others]
    twin = Timing(sum(part.wall for part in parts), sum(part.cores for part in parts))
    print(f"  twin  {twin}  (one batch of warps measured, times {batches})")
    print(f"  ours  {seconds}")
    wall, cores = twin.wall / seconds.wall, twin.cores / seconds.cores
    print(f"  ratio {wall:.1f} wall clock, {cores:.1f} CPU (target: at least {WANTED:g})")


if __name__ == "__main__":
    main()
