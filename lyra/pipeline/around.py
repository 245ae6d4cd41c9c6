"""Views beside a world's path, turned to its sides, so that splats and mesh contain what lies around it."""

from __future__ import annotations

import numpy as np

from lyra.common.progress import Progress
from lyra.engines.preview import PreviewEngine
from lyra.engines.preview.level import about_y
from lyra.geometry.cameras import Trajectory
from lyra.geometry.views import View
from lyra.world.folder import World

# Turns of a camera, in degrees; views overlap.
TURNS = (-70.0, -35.0, 35.0, 70.0)


def views_around(world: World, device: str, progress: Progress) -> list[View]:
    """What the cameras of the world see when they are turned to the sides. They are no part of the walkthrough.

    They are rendered by the preview engine: in a world of its own from the first and the newest camera, in that of
    another engine from the first alone, for of what that engine made farther on it knows nothing.
    """
    engine, path = PreviewEngine(device), world.trajectory()
    own = world.engine == engine.id
    scene = engine.restore(world.seed_view(), world.chunks if own else [])
    picks = [0, len(path) - 1] if own and len(path) > 1 else [0]
    turned = np.stack([_turn(angle) @ path.w2c[index] for index in picks for angle in TURNS])
    lenses = np.stack([path.intrinsics[index] for index in picks for _ in TURNS])
    cameras = Trajectory(turned, lenses, world.height, world.width)
    made = engine.extend(scene, cameras, "", world.settings.seed, progress)
    first = len(path)
    return [
        View(frame, depth, cameras[number], first + number)
        for number, (frame, depth) in enumerate(zip(made.frames, made.depth, strict=True))
    ]


def _turn(degrees: float) -> np.ndarray:
    """World-to-camera (4, 4) of a camera turned to the right by `degrees` about the y axis of camera axes."""
    result = np.eye(4)
    result[:3, :3] = about_y(np.radians(degrees)).T
    return result
