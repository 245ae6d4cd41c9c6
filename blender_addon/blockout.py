"""The geometry that stands in a scene, as the triangles a camera sees: what *Depth from Scene* renders."""

from __future__ import annotations

import bpy
import numpy as np

from . import worlds

_WITH_SURFACE = {"MESH", "CURVE", "SURFACE", "FONT", "META"}
# Shown as lines only: boolean cutters, cages, helpers. They hide nothing.
_SEE_THROUGH = {"WIRE", "BOUNDS"}


def triangles(context, camera_c2w: np.ndarray) -> np.ndarray:
    """Corners (T, 3, 3) float32 of all visible surfaces, in the OpenCV axes of the camera and in scene units.

    `camera_c2w` (4, 4) is the camera's OpenCV matrix in the scene. Modifiers, instances and collections count as the
    viewport shows them; worlds, which are pictures already, and objects shown as wires do not.
    """
    camera_w2c = np.linalg.inv(camera_c2w)
    known: dict[int, np.ndarray] = {}
    found = []
    for instance in context.evaluated_depsgraph_get().object_instances:
        obj = instance.object
        if obj.type not in _WITH_SURFACE or obj.display_type in _SEE_THROUGH or worlds.ROLE in obj:
            continue
        # Many instances share one mesh: it is read once.
        key = obj.data.as_pointer()
        if key not in known:
            known[key] = _local(obj)
        matrix = camera_w2c @ np.array(instance.matrix_world)
        found.append((known[key] @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32))
    return np.concatenate(found) if found else np.empty((0, 3, 3), np.float32)


def _local(obj: bpy.types.Object) -> np.ndarray:
    """Corners (T, 3, 3) of an evaluated object's surface in its own space."""
    mesh = obj.to_mesh()
    if mesh is None:
        return np.empty((0, 3, 3))
    try:
        mesh.calc_loop_triangles()
        corners = np.empty(3 * len(mesh.loop_triangles), np.int32)
        mesh.loop_triangles.foreach_get("vertices", corners)
        positions = np.empty(3 * len(mesh.vertices), np.float32)
        mesh.vertices.foreach_get("co", positions)
    finally:
        obj.to_mesh_clear()
    return positions.reshape(-1, 3).astype(np.float64)[corners].reshape(-1, 3, 3)
