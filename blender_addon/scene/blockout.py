"""The visible surfaces of a scene as triangles, for Depth from Scene."""

from __future__ import annotations

import bpy
import numpy as np

from ..camera.depth_raster import Surface
from . import worlds

_WITH_SURFACE = {"MESH", "CURVE", "SURFACE", "FONT", "META"}
# Shown as lines only: boolean cutters, cages, helpers. They hide nothing.
_SEE_THROUGH = {"WIRE", "BOUNDS"}


def surfaces(context, camera_c2w: np.ndarray) -> list[Surface]:
    """All visible surfaces with the way to the OpenCV axes of a camera, in scene units.

    `camera_c2w` (4, 4) is the camera's OpenCV matrix in the scene. Modifiers, instances and collections count as the
    viewport shows them; worlds, which are pictures already, and objects shown as wires do not.
    """
    camera_w2c = np.linalg.inv(camera_c2w)
    # Objects whose collection is hidden by its eye are in the dependency graph all the same.
    hidden = {obj for obj in context.view_layer.objects if not obj.visible_get(view_layer=context.view_layer)}
    known: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    found = []
    for instance in context.evaluated_depsgraph_get().object_instances:
        obj = instance.object
        # An instance is hidden with the object that makes it; its own object may stand in no scene at all.
        if (instance.parent or obj).original in hidden:
            continue
        if obj.type not in _WITH_SURFACE or obj.display_type in _SEE_THROUGH or worlds.ROLE in obj:
            continue
        # Many instances share one mesh: it is read once.
        key = obj.data.as_pointer()
        if key not in known:
            known[key] = _local(obj)
        if len(known[key][1]):
            found.append(Surface(*known[key], camera_w2c @ np.array(instance.matrix_world)))
    return found


def _local(obj: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) of an evaluated object's surface in its own space, and the corners (T, 3) of its triangles."""
    mesh = obj.to_mesh()
    if mesh is None:
        return np.empty((0, 3), np.float32), np.empty((0, 3), np.int32)
    try:
        mesh.calc_loop_triangles()
        corners = np.empty(3 * len(mesh.loop_triangles), np.int32)
        mesh.loop_triangles.foreach_get("vertices", corners)
        positions = np.empty(3 * len(mesh.vertices), np.float32)
        mesh.vertices.foreach_get("co", positions)
    finally:
        obj.to_mesh_clear()
    return positions.reshape(-1, 3), corners.reshape(-1, 3)
