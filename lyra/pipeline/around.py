"""Views beside a world's path, turned to its sides, so that splats and mesh contain what lies around it."""

from __future__ import annotations

import numpy as np

from lyra.common.progress import Progress
from lyra.engines.preview import PreviewEngine
from lyra.geometry.cameras import Trajectory
from lyra.geometry.views import View
from lyra.world.folder import World

# Turns, in degrees, of the first and the newest camera; views overlap.
TURNS = (-70.0, -35.0, 35.0, 70.0)


def views_around(world: World, device: str, progress: Progress) -> list[View]:
    """What the first and the newest camera of the world see when they are turned to the sides.

    They are rendered from the layered scene of the preview engine, that of the world itself where it was made by
    this engine and that of its first frame otherwise. They are no part of the walkthrough.
    """
    engine = PreviewEngine(device)
    chunks = world.chunks if world.engine == engine.id else []
    scene = engine.restore(world.seed_view(), chunks)
    path = world.trajectory()
    picks = [0] if len(path) == 1 else [0, len(path) - 1]
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
    angle = np.radians(degrees)
    result = np.eye(4)
    result[0, 0] = result[2, 2] = np.cos(angle)
    result[0, 2], result[2, 0] = -np.sin(angle), np.sin(angle)
    return result
