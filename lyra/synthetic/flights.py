"""Camera flights through random scenes, with true depth at every frame."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.geometry.cameras import Trajectory
from lyra.synthetic.film import exposure_gain, plain
from lyra.synthetic.generate import best_shots, build_scene, require_kinds
from lyra.synthetic.render import Shot, Stage, intrinsics_of
from lyra.synthetic.scene import Pose

MOTIONS = ("forward", "sideways", "orbit", "rise", "walk", "turn")
BATCH_PIXELS = 2_000_000
# Least distance of a camera from surfaces, as a share of the first view's median depth.
MARGIN = 0.04
CHECKED = 24
SHRINK = 0.7
TRIES = 12
# A randomly chosen motion is accepted if this share of its full size is free.
GOOD_REACH = 0.3


@dataclass(frozen=True)
class Flight:
    """`images` (F, H, W, 3) uint8 sRGB in one exposure, `depth` (F, H, W) float32 z-depth in metres, inf for sky,
    `normals` (F, H, W, 3) float32 in each camera's OpenCV axes, and the `trajectory`, whose world is the OpenCV
    frame of its first camera. `motion` is one of MOTIONS, `reach` the share of its full size that was free.
    """

    images: np.ndarray
    depth: np.ndarray
    normals: np.ndarray
    trajectory: Trajectory
    kind: str
    motion: str
    reach: float


def flight(
    seed: int,
    kind: str,
    frames: int,
    height: int,
    width: int,
    motion: str | None = None,
    device: str = "cpu",
) -> Flight:
    """A flight of `frames` cameras through a random scene of the given kind; without a motion, a random one that
    fits.

    The path is eased in and out and scaled down until it keeps its distance from every surface, if necessary to a
    pure rotation (`reach` 0). Raises InvalidInputError for an unknown kind or motion, or for fewer than one frame.
    """
    require_kinds([kind])
    if motion is not None and motion not in MOTIONS:
        raise InvalidInputError(f"Unknown motion {motion!r}; choose one of {', '.join(MOTIONS)}.")
    if frames < 1:
        raise InvalidInputError(f"A flight of {frames} frames is not possible; give 1 or more.")
    rng = np.random.default_rng(seed)
    scene = build_scene(rng, kind)
    stage = Stage([scene], device)
    start = best_shots(stage, width / height)[0]
    options = [motion] if motion else [MOTIONS[k] for k in rng.permutation(len(MOTIONS))]
    for chosen in options:
        cameras, reach = _free_path(stage, start, chosen, frames, width / height, rng)
        if reach > GOOD_REACH:
            break
    shots = [Shot(0, camera, start.fov) for camera in cameras]
    per_batch = max(1, BATCH_PIXELS // (height * width))
    parts, gain = [], None
    for first in range(0, len(shots), per_batch):
        linear, depth, normals = stage.render(shots[first : first + per_batch], height, width)
        gain = exposure_gain(linear[0]) if gain is None else gain
        parts.append((plain(linear, gain), depth, normals))
    images, depth, normals = (np.concatenate(part) for part in zip(*parts, strict=True))
    trajectory = Trajectory(_poses(cameras), intrinsics_of(shots, height, width), height, width).rebased()
    return Flight(images, depth, normals, trajectory, kind, chosen, reach)


def _poses(cameras: list[Pose]) -> np.ndarray:
    """World-to-camera (F, 4, 4) in the scene frame."""
    c2w = np.tile(np.eye(4), (len(cameras), 1, 1))
    c2w[:, :3, :3] = [camera.rotation for camera in cameras]
    c2w[:, :3, 3] = [camera.eye for camera in cameras]
    return np.linalg.inv(c2w)


def _free_path(
    stage: Stage, start: Shot, motion: str, frames: int, aspect: float, rng: np.random.Generator
) -> tuple[list[Pose], float]:
    """Cameras of the largest collision-free path, and its size relative to the full one."""
    depth = stage.probe([start], 12, max(4, round(12 * aspect)))
    size = float(np.clip(np.median(depth), 1.0, 200.0))
    side = rng.choice([-1.0, 1.0])
    strength = rng.uniform(0.5, 1.0)
    share = 0.5 - 0.5 * np.cos(np.linspace(0, math.pi, max(frames, 2)))[:frames]
    checked = 0.5 - 0.5 * np.cos(np.linspace(0, math.pi, CHECKED))
    room = stage.clearance(0, np.array([start.camera.eye]), _directions()).min()
    margin = min(MARGIN * size, 0.7 * float(room))
    reach = 1.0
    for _ in range(TRIES):
        points = np.array(
            [_camera(start.camera, motion, size, side * strength, s, reach).eye for s in checked]
        )
        if _is_free(stage, points, margin):
            break
        reach *= SHRINK
    else:
        reach = 0.0
    return [_camera(start.camera, motion, size, side * strength, s, reach) for s in share], reach


def _camera(start: Pose, motion: str, size: float, amount: float, share: float, reach: float) -> Pose:
    """The camera at a share of a motion; `size` is the scene's, `amount` in [-1, 1] the motion's strength and side."""
    axes = start.rotation
    right, forward = axes[:, 0], axes[:, 2]
    step = size * share * reach
    eye, yaw, pitch = np.array(start.eye), start.yaw, start.pitch
    if motion == "forward":
        eye = eye + 0.35 * abs(amount) * step * forward
        yaw += 0.15 * amount * share
    elif motion == "sideways":
        eye = eye + 0.22 * amount * step * right
        yaw += 0.2 * amount * share * reach
    elif motion == "orbit":
        angle = 0.5 * amount * share * reach
        eye = eye + size * (math.sin(angle) * right + (1 - math.cos(angle)) * forward)
        yaw += angle
    elif motion == "rise":
        eye = eye + np.array([0.0, 0.0, 0.15 * abs(amount) * step])
        pitch -= 0.15 * abs(amount) * share * reach
    elif motion == "walk":
        eye = eye + 0.3 * abs(amount) * step * forward + 0.08 * amount * step * math.sin(3 * share) * right
        eye = eye + np.array([0.0, 0.0, 0.004 * size * math.sin(14 * share) * share * reach])
        yaw += 0.2 * amount * math.sin(4 * share) * share
    if motion == "turn":
        yaw += 0.7 * amount * share
        pitch += 0.1 * amount * math.sin(math.pi * share)
    return Pose(tuple(eye), yaw, pitch, start.roll)


def _directions() -> np.ndarray:
    """(26, 3) unit vectors towards the faces, edges and corners of a cube."""
    grid = np.array([d for d in itertools.product((-1, 0, 1), repeat=3) if any(d)], float)
    return grid / np.linalg.norm(grid, axis=1, keepdims=True)


def _is_free(stage: Stage, points: np.ndarray, margin: float) -> bool:
    """Whether every point keeps its distance and the path between consecutive points is free."""
    if (stage.clearance(0, points, _directions()) < margin).any():
        return False
    steps = np.diff(points, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    if lengths.max() < 1e-6:
        return True
    ahead = steps / np.maximum(lengths, 1e-9)[:, None]
    return bool((np.diagonal(stage.clearance(0, points[:-1], ahead)) > lengths).all())
