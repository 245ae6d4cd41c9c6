"""Batches of random images with ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.synthetic.film import develop
from lyra.synthetic.layouts import KINDS, LAYOUTS
from lyra.synthetic.render import Shot, Stage, intrinsics_of
from lyra.synthetic.scene import Scene
from lyra.synthetic.span_kernels import FAR

# Seeds from here on are for evaluation; training seeds start far below.
HELD_OUT_SEED = 2_000_000_000
PROBE = (12, 20)
CLOSEST = 0.25


@dataclass(frozen=True)
class Samples:
    """Images with ground truth.

    `images` (N, H, W, 3) uint8 sRGB, `depth` (N, H, W) float32 z-depth in metres, inf for sky,
    `normals` (N, H, W, 3) float32 in OpenCV camera axes, facing the camera, 0 for sky, `intrinsics` (N, 3, 3) in
    continuous pixels, `up` (N, 3) float32 the unit vector against gravity in camera axes, `kinds` (N,) names of the
    layouts."""

    images: np.ndarray
    depth: np.ndarray
    normals: np.ndarray
    intrinsics: np.ndarray
    up: np.ndarray
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def sky(self) -> np.ndarray:
        """(N, H, W) bool."""
        return np.isinf(self.depth)


def require_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """Returns `kinds`. Raises InvalidInputError if one is unknown or there are none."""
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown or not kinds:
        raise InvalidInputError(f"There is no kind of scene {unknown}; choose among {', '.join(KINDS)}.")
    return tuple(kinds)


def build_scene(rng: np.random.Generator, kind: str) -> Scene:
    """A random scene of one kind; its cameras may still be obstructed."""
    scene = Scene(kind, rng)
    LAYOUTS[kind][0](scene)
    for camera in scene.cameras:
        camera.roll = float(rng.normal(0, 0.02) if rng.random() < 0.9 else rng.normal(0, 0.2))
    return scene


def generate(
    seed: int,
    count: int,
    height: int,
    width: int,
    kinds: Sequence[str] | None = None,
    device: str = "cpu",
) -> Samples:
    """`count` images of height x width of as many random scenes, deterministic for the same arguments.

    `kinds` restricts the layouts to some of KINDS. Raises InvalidInputError for an unknown kind or fewer than one
    image.
    """
    names = require_kinds(KINDS if kinds is None else kinds)
    if count < 1:
        raise InvalidInputError(f"{count} pictures are not possible; give 1 or more.")
    rng = np.random.default_rng(seed)
    weights = np.array([LAYOUTS[name][1] for name in names])
    drawn = [names[k] for k in rng.choice(len(names), count, p=weights / weights.sum())]
    scenes = [build_scene(child, kind) for child, kind in zip(rng.spawn(count), drawn, strict=True)]
    stage = Stage(scenes, device)
    shots = best_shots(stage, width / height)
    linear, depth, normals = stage.render(shots, height, width)
    images = develop(linear, depth, normals, [scene.rng for scene in scenes])
    intrinsics = intrinsics_of(shots, height, width)
    up = np.array([shot.camera.up for shot in shots], np.float32)
    return Samples(images, depth, normals, intrinsics, up, tuple(drawn))


def best_shots(stage: Stage, aspect: float) -> list[Shot]:
    """The best shot of each scene: the camera with the most varied and unobstructed view."""
    tall = PROBE[0]
    wide = max(4, round(tall * aspect))
    shots: list[Shot] = []
    for index, scene in enumerate(stage.scenes):
        shots += [Shot(index, camera, scene.fov) for camera in scene.cameras]
    depth = stage.probe(shots, tall, wide)
    scores = view_scores(depth)
    best: dict[int, int] = {}
    for k, shot in enumerate(shots):
        if shot.scene not in best or scores[k] > scores[best[shot.scene]]:
            best[shot.scene] = k
    return [shots[best[index]] for index in range(len(stage.scenes))]


def view_scores(depth: np.ndarray) -> np.ndarray:
    """Scores (V,) of views (V, H, W z-depth, FAR for sky): high for varied depth and no close obstacle."""
    solid = depth < FAR
    log = np.log(np.where(solid, np.maximum(depth, 0.02), 1.0))
    share = solid.mean((1, 2))
    mean = (log * solid).sum((1, 2)) / np.maximum(solid.sum((1, 2)), 1)
    spread = np.sqrt(
        (solid * (log - mean[:, None, None]) ** 2).sum((1, 2)) / np.maximum(solid.sum((1, 2)), 1)
    )
    blocked = (depth < CLOSEST).mean((1, 2)) + 0.5 * (depth < 4 * CLOSEST).mean((1, 2))
    return np.minimum(spread, 1.0) - 3 * blocked - 2 * np.maximum(0.25 - share, 0)
