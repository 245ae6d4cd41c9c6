"""The preview engine: 80 frames at a time from one image with depth, on any machine."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import warp as wp

from lyra.common.progress import Progress
from lyra.engines.preview import depth_kernels, texture_kernels, tile_kernels
from lyra.engines.preview.completion import Completed, complete_view, negligible
from lyra.engines.preview.kept import checked_state
from lyra.engines.preview.layers import Layer
from lyra.engines.preview.scene import PreviewScene
from lyra.geometry.cameras import Trajectory
from lyra.geometry.raster import MODULES as RASTER_MODULES
from lyra.geometry.raster import Rasterizer
from lyra.geometry.views import View
from lyra.world.chunks import Chunk, ChunkFrames, rounded_depth

# Spacing of the keyframes that are considered first when a chunk is completed.
KEYFRAME_STEP = 10
# A keyframe is completed before the sweep through all frames if this share of it is missing.
KEYFRAME_HOLES = 0.003
# A view with more than this share missing is completed only after its neighbours.
MOST_HOLES = 0.45
# In the sweep a frame is completed if it misses this many times what is closed without a layer.
SWEPT = 3
# Margin around keyframes, as a share of the width, that is completed for the following frames.
OVERSCAN = 0.02
# A view with at least this share filled becomes a witness.
WITNESS_SHARE = 0.02
STAGE = "frames"
# Share of the first chunk's progress in which what lies behind and around the source image is made.
PREPARING = 0.3
MAX_THREADS = 8


class PreviewEngine:
    """Warps the source image into every view and inpaints the holes; needs no weights and no GPU.

    A chunk is completed before it is rendered: views with the largest holes first, every fill kept as an RGB-D layer
    of the world. All frames are then rendered from the same layers, so fills are consistent across frames. The prompt
    has no influence; the seed varies the texture of fills. Deterministic.
    """

    id = "preview"

    def __init__(self, device: str = "cpu"):
        self.device = device

    def announce(self, prompts: Sequence[str]) -> None:
        """Prompts have no influence here."""

    def close(self) -> None:
        """Does nothing: the engine holds no resources beyond the state."""

    def begin(self, view: View) -> PreviewScene:
        """The world of one frame. Kernels are compiled here, so that no frame waits for the compiler."""
        for module in (*RASTER_MODULES, depth_kernels, texture_kernels, tile_kernels):
            wp.load_module(module, device=self.device)
        return PreviewScene(view, self.device)

    def restore(self, view: View, chunks: Sequence[Chunk]) -> PreviewScene:
        """The scene after the first frame and a line of chunks, as an uninterrupted run would have left it."""
        scene = self.begin(view)
        for chunk in chunks:
            size = (scene.height, scene.width)
            scene.add_packed(checked_state(chunk.load_state(), chunk.folder / "state.npz", size))
            scene.frames += len(chunk.load_trajectory())
        return scene

    def extend(
        self, state: PreviewScene, cameras: Trajectory, prompt: str, seed: int, progress: Progress
    ) -> ChunkFrames:
        """See lyra.engines.base.Engine; takes any number of cameras."""
        first_witness = len(state.memory)
        start = 0.0
        prepared: list[Layer] = []
        if state.frames == 1 and not state.mirrored:
            start = PREPARING
            prepared = state.prepare(lambda: progress.update(STAGE, 0, state.view.image))
        layers = self._complete_world(state, cameras, seed, progress.part(start, 0.6))
        frames, depth = self._draw(state, cameras, progress.part(0.6, 1))
        state.frames += len(cameras)
        return ChunkFrames(frames, depth, state.packed([*prepared, *layers], first_witness, len(prepared)))

    def _complete_world(
        self, scene: PreviewScene, trajectory: Trajectory, seed: int, progress: Progress
    ) -> list[Layer]:
        """Adds layers until no frame of the path has holes, and returns them."""
        margin = round(OVERSCAN * scene.width)
        wide = Rasterizer(scene.height + 2 * margin, scene.width + 2 * margin, scene.space.near, self.device)
        exact = Rasterizer(scene.height, scene.width, scene.space.near, self.device)
        keyframes = list(range(len(trajectory) - 1, -1, -KEYFRAME_STEP))
        total = 1.5 * len(keyframes)
        layers: list[Layer] = []
        newest = scene.view.image

        def complete(frame: int, rasterizer: Rasterizer, border: int, done: float) -> None:
            nonlocal newest
            w2c, intrinsics = trajectory.w2c[frame], trajectory.intrinsics[frame].copy()
            intrinsics[:2, 2] += border

            def tick() -> None:
                progress.update(STAGE, done, newest)

            number = scene.frames + frame
            completed = complete_view(scene, rasterizer, w2c, intrinsics, _mixed(seed, number), tick)
            if completed is None:
                return
            scene.add_layer(completed.layer)
            layers.append(completed.layer)
            newest = _remember(scene, completed, number, trajectory, frame, border)
            tick()

        done = 0
        while keyframes:
            holes = self._missing(scene, trajectory, keyframes)
            progress.update(STAGE, done / total, newest)
            keyframes = [
                frame for frame, share in zip(keyframes, holes, strict=True) if share > KEYFRAME_HOLES
            ]
            holes = [share for share in holes if share > KEYFRAME_HOLES]
            if not keyframes:
                break
            frame = keyframes.pop(_next_keyframe(holes))
            complete(frame, wide, margin, done / total)
            done += 1
        limit = SWEPT * negligible(scene.height, scene.width) / (scene.height * scene.width)
        left = self._missing(
            scene, trajectory, range(len(trajectory)), lambda: progress.update(STAGE, 0.7, newest)
        )
        swept = sorted(np.flatnonzero(np.array(left) > limit).tolist(), key=lambda frame: -left[frame])
        known = len(layers)
        for number, frame in enumerate(swept):
            share = 0.75 + 0.25 * number / len(swept)
            progress.update(STAGE, share, newest)
            # A fill of the sweep may have closed this frame's holes as well.
            if len(layers) == known or self._missing(scene, trajectory, [frame])[0] > limit:
                complete(frame, exact, 0, share)
        return layers

    def _missing(
        self,
        scene: PreviewScene,
        trajectory: Trajectory,
        frames: Sequence[int],
        tick: Callable[[], None] = lambda: None,
    ) -> list[float]:
        """The share of hole pixels in each of these frames."""
        shares = []

        def missing(rasterizer: Rasterizer, frame: int) -> float:
            w2c, intrinsics = trajectory.w2c[frame], trajectory.intrinsics[frame]
            surfaces = scene.surfaces(w2c, intrinsics, scene.height, scene.width)
            return rasterizer.holes(surfaces, w2c, intrinsics) / (scene.height * scene.width)

        for share in self._each(scene, frames, missing):
            shares.append(share)
            tick()
        return shares

    def _draw(
        self, scene: PreviewScene, trajectory: Trajectory, progress: Progress
    ) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(trajectory), scene.height, scene.width)
        frames, depth = np.empty((*shape, 3), np.uint8), np.empty(shape, np.float32)

        def draw(rasterizer: Rasterizer, frame: int) -> tuple[np.ndarray, np.ndarray]:
            w2c, intrinsics = trajectory.w2c[frame], trajectory.intrinsics[frame]
            surfaces = scene.surfaces(w2c, intrinsics, scene.height, scene.width)
            picture = rasterizer.close_rest(rasterizer.draw(surfaces, w2c, intrinsics, soften=True))
            image, disparity, _ = picture.numpy()
            return image, disparity

        for number, (image, disparity) in enumerate(self._each(scene, range(len(trajectory)), draw)):
            frames[number] = np.rint(image)
            depth[number] = rounded_depth(disparity)
            progress.update(STAGE, (number + 1) / len(trajectory), frames[number])
        return frames, depth

    def _each(
        self, scene: PreviewScene, frames: Sequence[int], work: Callable[[Rasterizer, int], Any]
    ) -> Iterator:
        """Results of `work` for each frame, in order; on a CPU in parallel, one frame per core."""
        threads = 1 if self.device != "cpu" else min(os.cpu_count() or 1, MAX_THREADS)
        idle: queue.SimpleQueue[Rasterizer] = queue.SimpleQueue()
        for _ in range(min(threads, len(frames))):
            idle.put(Rasterizer(scene.height, scene.width, scene.space.near, self.device))

        def task(frame: int):
            rasterizer = idle.get()
            result = work(rasterizer, frame)
            idle.put(rasterizer)
            return result

        pool = ThreadPoolExecutor(threads)
        try:
            yield from pool.map(task, frames)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _next_keyframe(holes: list[float]) -> int:
    """The view with the largest hole that still shows enough to complete it; failing that, the smallest hole."""
    fit = [share if share <= MOST_HOLES else -share for share in holes]
    return int(np.argmax(fit))


def _mixed(seed: int, frame: int) -> int:
    return (seed * 1_000_003 + frame * 7_919) % (1 << 30)


def _remember(
    scene: PreviewScene, completed: Completed, number: int, trajectory: Trajectory, frame: int, border: int
) -> np.ndarray:
    """Keeps a completed view as a witness if enough of it is new; returns its image (H, W, 3) uint8."""
    inner = np.s_[border : border + scene.height, border : border + scene.width]
    if completed.filled >= WITNESS_SHARE:
        depth = rounded_depth(completed.disparity[inner]).astype(np.float16)
        scene.add_witness(number, depth, trajectory.w2c[frame], trajectory.intrinsics[frame])
    return np.rint(completed.image[inner]).astype(np.uint8)
