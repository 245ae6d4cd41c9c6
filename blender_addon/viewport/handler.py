"""The draw handler of the 3D viewports: splats of the file's worlds, and the sampled camera path."""

from __future__ import annotations

import bpy
import numpy as np

from ..importers import splat_nodes, splats
from ..scene import sampled_path, worlds
from ..service import preferences
from .path import PathDrawing
from .splats import SplatDrawing

# By the session id of the object's data: undo and renaming change everything else.
_drawings: dict[int, SplatDrawing] = {}
# The drawing of a path, with the path it was made from.
_path: tuple[sampled_path.KeptPath, PathDrawing] | None = None
# A path that is out of date is drawn with this part of its opacity.
OUTDATED = 0.4
_handle = None


def forget() -> None:
    """Frees what lies on the GPU; it is made again when it is drawn."""
    global _path
    _drawings.clear()
    _path = None


def _drawn(context) -> list[bpy.types.Object]:
    """The splat objects to draw here: those that render through nodes, as Blender does not draw them itself."""
    return [
        obj
        for obj in context.scene.objects
        if obj.get(worlds.ROLE) in (worlds.POINTS, worlds.SPLATS)
        and splat_nodes.GROUP in obj.modifiers
        and splats.BASE in obj.data.attributes
        and obj.visible_get(viewport=context.space_data)
    ]


def drawing_of(obj: bpy.types.Object, limit: int) -> SplatDrawing:
    """The drawing of an object's splats, made anew once the artist has deleted some. In Edit Mode the data cannot be
    read: the drawing of before stays until that is left."""
    uid = obj.data.session_uid
    drawing = _drawings.get(uid)
    if drawing is None or (
        obj.mode == "OBJECT" and drawing.total != len(obj.data.attributes[splats.BASE].data)
    ):
        drawing = _drawings[uid] = SplatDrawing(splats.stored_cloud(obj.data), limit)
    return drawing


def _draw() -> None:
    context = bpy.context
    region, region_data = context.region, context.region_data
    if region_data is None:
        return
    view, projection = np.array(region_data.view_matrix), np.array(region_data.window_matrix)
    drawn = _drawn(context)
    for obj in drawn:
        drawing = drawing_of(obj, preferences.get().splat_limit)
        drawing.draw(view @ np.array(obj.matrix_world), projection, region.width, region.height, linear=True)
    _forget_removed()
    if context.space_data.overlay.show_overlays:
        _draw_path(context, view, projection, region)


def _draw_path(context, view: np.ndarray, projection: np.ndarray, region) -> None:
    global _path
    kept = sampled_path.shown(context.scene)
    if kept is None:
        return
    if _path is None or _path[0].sampled is not kept.sampled:
        _path = kept, PathDrawing(kept.sampled, kept.size)
    theme = context.preferences.themes[0].view_3d
    opacity = 1.0 if sampled_path.is_current(context.scene) else OUTDATED
    color = np.array([*theme.after_current_frame, opacity])
    scale = context.preferences.system.ui_scale
    _path[1].draw(view, projection, region.width, region.height, color, scale)


def _forget_removed() -> None:
    if _drawings:
        there = {data.session_uid for kind in (bpy.data.pointclouds, bpy.data.meshes) for data in kind}
        for gone in _drawings.keys() - there:
            del _drawings[gone]


def start() -> None:
    """Draws in every 3D viewport from now on."""
    global _handle
    _handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW")


def stop() -> None:
    """Draws no more, and frees what lies on the GPU."""
    global _handle
    bpy.types.SpaceView3D.draw_handler_remove(_handle, "WINDOW")
    _handle = None
    forget()
