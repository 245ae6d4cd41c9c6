"""Where worlds stand in a scene: a free and level place for a new one, its floor, and moving one with its paths."""

from __future__ import annotations

import bpy
import numpy as np

from ..camera import conversion
from . import reference_image, scaling, worlds

# A world keeps this many median depths of the first view away from the first cameras of others.
APART = 3.0
# Of the points around the first camera, up to this many median depths away, the floor has this part below it.
AROUND, STRAY = 2.0, 0.05


def place_for(context, camera: bpy.types.Object | None) -> np.ndarray:
    """The level matrix (4, 4) of a new world's first camera: where the scene's `camera` stands, heading where it does,
    and beside the worlds that are there. Raises conversion.CameraError for a camera of no use."""
    home = _world_of(camera)
    if home is None:
        matrix = reference_image.first_camera(context, camera)
    else:
        # The camera of a world has walked through it: the next world stands beside its beginning.
        matrix = conversion.blender_from_opencv(conversion.rigid(np.array(home.matrix_world), home.name))
    return beside(context.scene, conversion.upright(matrix))


def _world_of(camera: bpy.types.Object | None) -> bpy.types.Object | None:
    if camera is None or not worlds.is_made_camera(camera):
        return None
    if camera.parent is not None and worlds.is_world(camera.parent):
        return camera.parent
    return worlds.find(camera.get(worlds.PATH, ""))


def beside(scene: bpy.types.Scene, matrix: np.ndarray, but: str = "") -> np.ndarray:
    """A camera's matrix (4, 4), moved to its right until it is clear of the scene's worlds; `but` names one whose place
    does not count."""
    taken = [
        (np.array(obj.matrix_world)[:2, 3], APART * obj.lyra.depth * max(obj.matrix_world.to_scale()))
        for obj in scene.objects
        if worlds.is_world(obj) and obj.lyra.world_id != but
    ]
    moved, right = matrix.copy(), matrix[:2, 0]
    # A place to the right of a world is never left for one to its left, so this ends.
    while blocking := [
        (center, apart)
        for center, apart in taken
        if np.linalg.norm(moved[:2, 3] - center) < apart * (1 - 1e-6)
    ]:
        center, apart = blocking[0]
        away = moved[:2, 3] - center
        along = right @ away
        moved[:2, 3] += right * (np.sqrt(along**2 + apart**2 - away @ away) - along)
    return moved


def floor(empty: bpy.types.Object) -> float:
    """Height in the scene of what a world has below and around its first camera."""
    points = scaling.points_in_scene(empty)
    reach = AROUND * empty.lyra.depth * max(empty.matrix_world.to_scale())
    near = np.linalg.norm(points[:, :2] - np.array(empty.matrix_world)[:2, 3], axis=1) < reach
    heights = points[near, 2] if near.any() else points[:, 2]
    return float(np.quantile(heights, STRAY))


def move(empty: bpy.types.Object, motion: np.ndarray) -> None:
    """Moves a world by a rigid `motion` (4, 4) of the scene, and the camera paths that were made for it."""
    matrix = worlds.to_matrix(motion)
    for obj in scaling.path_objects(empty):
        # What follows a curve is carried and turned by it.
        if obj.parent is None and not any(one.type == "FOLLOW_PATH" for one in obj.constraints):
            obj.matrix_basis = matrix @ obj.matrix_basis
    empty.matrix_world = matrix @ empty.matrix_world
    bpy.context.view_layer.update()
