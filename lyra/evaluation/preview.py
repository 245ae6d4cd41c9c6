"""Protocol of the preview engine on scenes with ground truth, as printed by `lyra eval preview`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.common.progress import SILENT, Progress
from lyra.common.psnr import psnr_of_error
from lyra.depth.base import DepthEstimate, DepthEstimator
from lyra.depth.checks import sanitise
from lyra.depth.place import settled
from lyra.engines.preview import PreviewEngine
from lyra.evaluation.scenes import TrueScene
from lyra.geometry.cameras import Trajectory
from lyra.geometry.views import View

# A pixel is visible in the source image if its depth there agrees within this share.
SEEN_TOLERANCE = 0.01
# Depth at which sky is projected into the source image.
SKY_DEPTH = 1e6
# Reported for identical images.
MAX_PSNR = 99


@dataclass(frozen=True)
class PreviewRow:
    """Metrics of one scene; PSNR in dB.

    `psnr_seen`: against truth over pixels visible in the source image; `psnr_whole`: over whole frames (both are means
    over the frames with truth). `unfilled`: share of pixels without colour and depth. `psnr_loop`: the last frame of
    the round trip against the source image. `psnr_revisit`: the worst frame of the return path against the same camera
    on the outward path, fills included. `seconds`: for the 80 frames of the outward path.
    """

    scene: str
    psnr_seen: float
    psnr_whole: float
    unfilled: float
    psnr_loop: float
    psnr_revisit: float
    seconds: float


def psnr(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 images (H, W, 3), over `mask` (H, W); at most 99."""
    squares = (a.astype(np.float64) - b) ** 2
    error = squares.mean() if mask is None else squares[mask].mean()
    return psnr_of_error(error, peak=255, limit=MAX_PSNR)


def seen_by_source(source: View, depth: np.ndarray, w2c: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Mask (H, W) of the pixels of a view with true `depth` that are visible in the source image."""
    height, width = depth.shape
    y, x = np.mgrid[:height, :width] + 0.5
    z = np.where(np.isfinite(depth), depth, SKY_DEPTH)
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(intrinsics).T
    points = np.concatenate([rays * z[..., None], np.ones((height, width, 1))], -1) @ np.linalg.inv(w2c).T
    projected = points[..., :3] @ source.intrinsics.T
    front = projected[..., 2] > 0
    uv = np.floor(projected[..., :2] / np.where(front, projected[..., 2], 1)[..., None])
    rows, columns = source.depth.shape
    inside = front & (uv >= 0).all(-1) & (uv[..., 0] < columns) & (uv[..., 1] < rows)
    u, v = np.where(inside[..., None], uv, 0).astype(int).transpose(2, 0, 1)
    there = np.where(np.isfinite(source.depth), source.depth, SKY_DEPTH)[v, u]
    return inside & (np.abs(there - projected[..., 2]) <= SEEN_TOLERANCE * projected[..., 2])


def estimated_view(source: View, estimator: DepthEstimator) -> View:
    """The view with estimated depth, scaled to the truth so that paths mean the same in both.

    The scale is the median of true over estimated depth where neither is sky; the intrinsics are the true ones. Raises
    InvalidInputError if there is no such pixel.
    """
    depth = sanitise(estimator.estimate(source.image, source.intrinsics)).depth
    both = np.isfinite(depth) & np.isfinite(source.depth)
    if not both.any():
        raise InvalidInputError(
            f"{estimator.id} takes for sky all that is solid; its depth has no scale. Choose another depth model."
        )
    scale = np.median(source.depth[both] / depth[both])
    return View.at_origin(source.image, (depth * scale).astype(np.float32), source.intrinsics)


def settled_view(view: View) -> View:
    """The view with its estimated depth settled on gravity and ground, as worlds are begun on it."""
    estimate, _ = settled(view.image, DepthEstimate(view.depth, view.intrinsics, False, ""))
    return View.at_origin(view.image, estimate.depth, view.intrinsics)


def evaluate_scene(
    scene: TrueScene,
    progress: Progress = SILENT,
    device: str = "cpu",
    estimator: DepthEstimator | None = None,
) -> PreviewRow:
    """Follows a scene's path out and back, a chunk each; uses frame 0's true depth or that of an `estimator`."""
    engine = PreviewEngine(device)
    source, path = scene.first, scene.trajectory
    state = engine.begin(source if estimator is None else settled_view(estimated_view(source, estimator)))
    started = time.perf_counter()
    there = engine.extend(state, path[1:], "", 0, progress.part(0, 0.5))
    seconds = (time.perf_counter() - started) * 80 / len(there.frames)
    turn = Trajectory(path.w2c[-2::-1], path.intrinsics[-2::-1], path.height, path.width)
    back = engine.extend(state, turn, "", 1, progress.part(0.5, 1))
    seen, whole = [], []
    for frame in scene.frames:
        image, depth = scene.truth(frame)
        mask = seen_by_source(source, depth, path.w2c[frame], path.intrinsics[frame])
        seen.append(psnr(there.frames[frame - 1], image, mask))
        whole.append(psnr(there.frames[frame - 1], image))
    depth = np.concatenate([there.depth, back.depth])
    # Frames 1 ... N - 1 of the outward path have the cameras of frames N - 2 ... 0 of the return path.
    revisits = zip(there.frames[:-1], back.frames[-2::-1], strict=True)
    return PreviewRow(
        scene.name,
        float(np.mean(seen)),
        float(np.mean(whole)),
        float(np.mean(~(depth > np.finfo(np.float16).tiny))),
        psnr(back.frames[-1], source.image),
        min(psnr(first, again) for first, again in revisits),
        seconds,
    )


def evaluate(
    scenes: Sequence[TrueScene],
    progress: Progress = SILENT,
    device: str = "cpu",
    estimator: DepthEstimator | None = None,
) -> list[PreviewRow]:
    """A row for every scene, on its true depth or on that of an `estimator`."""
    share = 1 / max(len(scenes), 1)
    return [
        evaluate_scene(scene, progress.part(number * share, (number + 1) * share), device, estimator)
        for number, scene in enumerate(scenes)
    ]


def table(rows: Sequence[PreviewRow], goals: bool = True) -> str:
    """The metrics as lines of text, with the goals for true depth."""
    head = f"{'scene':<12}{'seen dB':>9}{'whole dB':>10}{'unfilled':>10}{'loop dB':>9}{'revisit dB':>12}{'s / 80':>8}"
    goal = f"{'goal':<12}{'>= 30':>9}{'>= 22':>10}{'0':>10}{'>= 35':>9}{'>= 35':>12}{'<= 30':>8}"
    lines = [
        f"{row.scene:<12}{row.psnr_seen:>9.2f}{row.psnr_whole:>10.2f}{row.unfilled:>10.2%}"
        f"{row.psnr_loop:>9.2f}{row.psnr_revisit:>12.2f}{row.seconds:>8.1f}"
        for row in rows
    ]
    return "\n".join([head, *lines, goal] if goals else [head, *lines])
