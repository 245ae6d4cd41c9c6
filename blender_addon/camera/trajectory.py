"""Sampling of an animated Blender camera: poses and intrinsics at evenly spaced moments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import conversion

CHUNK_FRAMES = 80


@dataclass(frozen=True)
class Sampled:
    """`matrices` (N, 4, 4): evaluated camera matrices in the scene; `intrinsics` (N, 3, 3) in pixels of
    a width x height picture."""

    matrices: np.ndarray
    intrinsics: np.ndarray
    width: int
    height: int

    def w2c(self, empty_matrix: np.ndarray, name: str) -> np.ndarray:
        """w2c (N, 4, 4) in OpenCV axes, in the frame and units of the world under `empty_matrix` (4, 4)."""
        return conversion.cameras_in_world(self.matrices, empty_matrix, name)


def frame_count(chunks: int) -> int:
    """How many frames a path of so many chunks has, the first camera included."""
    return 1 + CHUNK_FRAMES * chunks


def sample(context, camera, first: float, last: float, count: int, width: int, height: int) -> Sampled:
    """The evaluated `camera` object at `count` evenly spaced moments of the frames first ... last.

    Goes through the dependency graph, so paths, constraints, parents, drivers and the NLA all count, and puts the
    scene back on its frame. The picture is width x height with square pixels, whatever the scene renders. Raises
    conversion.CameraError for a camera that is not a perspective one at any of these moments, or was deleted.
    """
    scene = context.scene
    if not camera.users_scene:
        raise conversion.CameraError(
            f"Camera '{camera.name}' was deleted from the scene. Choose another one."
        )
    now = scene.frame_current, scene.frame_subframe
    scene_camera = scene.camera
    matrices = np.empty((count, 4, 4))
    intrinsics = np.empty((count, 3, 3))
    try:
        for i, moment in enumerate(np.linspace(first, last, count)):
            # Frames are whole numbers plus a subframe in [0, 1); 41.9999999 is frame 42.
            frame = int(np.floor(moment + 1e-6))
            scene.frame_set(frame, subframe=float(min(max(moment - frame, 0.0), 1.0 - 1e-6)))
            _make_scene_camera(scene, camera)
            evaluated = camera.evaluated_get(context.evaluated_depsgraph_get())
            conversion.check_camera(camera.name, evaluated.data)
            matrices[i] = evaluated.matrix_world
            intrinsics[i] = conversion.camera_intrinsics(evaluated.data, width, height)
    finally:
        _make_scene_camera(scene, scene_camera)
        scene.frame_set(now[0], subframe=now[1])
        _make_scene_camera(scene, scene_camera)
    return Sampled(conversion.rigid(matrices, camera.name), intrinsics, width, height)


def _make_scene_camera(scene, camera) -> None:
    """Of objects that are disabled, excluded or in another scene Blender moves the scene's camera alone. A marker may
    have made another one that on any frame. Saying again what holds would cost as much as a change."""
    if scene.camera != camera:
        scene.camera = camera
