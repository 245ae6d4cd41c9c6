"""Depth of generated frames: estimated for some, aligned to the memory, warped into those between.

Published in Lyra 2.0: every eighth frame back from the newest, ten of them, is estimated with the known cameras and
remembered. The frames between get theirs from the two estimated neighbours for the world folder only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lyra.depth.align import SCALE, SCALE_AND_SHIFT, DepthAligner
from lyra.depth.base import WindowDepthEstimator
from lyra.depth.fit import InverseFit
from lyra.geometry.cameras import Trajectory
from lyra.geometry.raster import Rasterizer, Surface
from lyra.memory import GeometryCache
from lyra.world.chunks import rounded_depth

FRAME_STEP = 8
MOST_FRAMES = 10
# Nothing nearer than this share of the nearest depth is drawn.
NEAR_SHARE = 0.1


def window(newest: int) -> list[int]:
    """The frames whose depth is estimated when frame `newest` is the newest, in the order of time."""
    return [
        frame
        for frame in range(newest - FRAME_STEP * (MOST_FRAMES - 1), newest + 1, FRAME_STEP)
        if frame >= 0
    ]


@dataclass(frozen=True)
class LoopDepth:
    """Depth (N, H, W) float32 of the frames `ids`, inf where the sky is; `fit` scaled the last that was fitted."""

    ids: tuple[int, ...]
    depth: np.ndarray
    fit: InverseFit | None = None
    notes: tuple[str, ...] = ()


def estimate_window(
    estimator: WindowDepthEstimator,
    aligner: DepthAligner | None,
    images: np.ndarray,
    ids: Sequence[int],
    path: Trajectory,
    memory: GeometryCache,
    previous: InverseFit | None = None,
) -> LoopDepth:
    """Depth of the frames `ids`, `images` (N, H, W, 3) uint8, at the scale of `memory`.

    Without an `aligner` the depth stays as the estimator scaled it. `previous` is the fit of the last window.
    """
    cameras = path[list(ids)]
    estimated = estimator.estimate_window(images, cameras.w2c, cameras.intrinsics)
    if aligner is None:
        return LoopDepth(tuple(ids), estimated.depth, previous)
    alignment = aligner.align(
        memory,
        estimated.depth,
        cameras.w2c,
        cameras.intrinsics,
        estimated.confidence,
        scaled_by_cameras=estimated.scaled_by_cameras,
        previous=previous,
    )
    fitted = [frame.fit for frame in alignment.frames if frame.method in (SCALE, SCALE_AND_SHIFT)]
    return LoopDepth(tuple(ids), alignment.depth, fitted[-1] if fitted else previous, alignment.notes())


def depth_between(
    known: dict[int, np.ndarray], frames: Sequence[int], path: Trajectory, device: str
) -> np.ndarray:
    """Depth (len(frames), H, W) float32 as the world folder keeps it, from that of the frames in `known`.

    A frame whose depth is not known gets that of its known neighbours in time, drawn into its camera; what neither
    shows continues from the farther side of its rim.
    """
    height, width = next(iter(known.values())).shape
    result = np.empty((len(frames), height, width), np.float32)
    solid = [depth[np.isfinite(depth) & (depth > 0)] for depth in known.values()]
    nearest = min((float(depth.min()) for depth in solid if len(depth)), default=1.0)
    rasterizer = Rasterizer(height, width, NEAR_SHARE * nearest, device)
    surfaces: dict[int, Surface] = {}

    def surface(frame: int) -> Surface:
        if frame not in surfaces:
            blank = np.zeros((height, width, 3), np.uint8)
            disparity = _disparity(known[frame])
            surfaces[frame] = Surface(
                blank, disparity, path.w2c[frame], path.intrinsics[frame], device=device
            )
        return surfaces[frame]

    for place, frame in enumerate(frames):
        if frame in known:
            result[place] = rounded_depth(_disparity(known[frame]))
            continue
        before = max((other for other in known if other < frame), default=None)
        after = min((other for other in known if other > frame), default=None)
        around = sorted(
            (other for other in (before, after) if other is not None), key=lambda other: abs(other - frame)
        )
        # Frames go by in order: older surfaces are not needed again.
        surfaces = {other: kept for other, kept in surfaces.items() if other in around}
        picture = rasterizer.draw(
            [surface(other) for other in around], path.w2c[frame], path.intrinsics[frame]
        )
        result[place] = rounded_depth(np.maximum(rasterizer.close_rest(picture).disparity.numpy(), 0))
    return result


def _disparity(depth: np.ndarray) -> np.ndarray:
    """1 / depth (H, W) float32; sky, and what has no depth, is 0."""
    with np.errstate(divide="ignore"):
        return np.where(depth > 0, 1 / depth, 0).astype(np.float32)
