"""The scale of a world: picking of points under the mouse, and all that follows a new scale."""

from __future__ import annotations

import re
from dataclasses import replace

import bpy
import numpy as np

from ..camera import conversion
from . import worlds
from .attributes import positions

# A point counts as under the mouse within so many pixels ...
REACH = 14.0
# ... and as part of the foremost surface there up to this much before and behind it: a part of its distance, or of
# what an orthographic view shows from side to side.
SAME_SURFACE = 0.05
# Of the points under the mouse the foremost few are passed over: stray splats float before surfaces.
STRAY = 0.1
# The far plane in median depths of the first view, and in distances of the farthest splat: the sky mostly stands some
# hundred median depths away.
FAR_PLANE_DEPTHS = 1000.0
FAR_PLANE_MARGIN = 1.1
_TRACKS = {"TRACK_TO", "DAMPED_TRACK"}


def points_in_scene(empty: bpy.types.Object) -> np.ndarray:
    """The positions (M, 3) of a world's splats, or of its first picture's points, in the scene."""
    part = worlds.part(empty, worlds.SPLATS) or worlds.part(empty, worlds.POINTS)
    matrix = np.array(part.matrix_world)
    return positions(part.data) @ matrix[:3, :3].T + matrix[:3, 3]


def under_mouse(
    points: np.ndarray,
    view: np.ndarray,
    projection: np.ndarray,
    width: int,
    height: int,
    mouse: tuple[float, float],
) -> np.ndarray | None:
    """Of points (M, 3), the one (3,) that the mouse is on; None where there is none.

    `view` (4, 4) leads from the scene to the axes of a viewport, which looks along its -Z; `projection` (4, 4) from
    there to clip space, in perspective or orthographic. `mouse` is in pixels of a width x height region from its
    lower left corner.
    """
    in_view = points @ view[:3, :3].T + view[:3, 3]
    clip = in_view @ projection[:, :3].T + projection[:, 3]
    w = clip[:, 3]
    # The near plane has z = -w. What lies before it, behind the eye, is not shown.
    shown = np.flatnonzero((w > 1e-6) & (clip[:, 2] >= -w))
    at = (clip[shown, :2] / w[shown, None] * 0.5 + 0.5) * [width, height]
    away = np.linalg.norm(at - mouse, axis=1)
    near = away < REACH
    if not near.any():
        return None
    candidates, away = shown[near], away[near]
    # Not w, which is the same for all points in an orthographic view.
    distance = -in_view[candidates, 2]
    surface = np.quantile(distance, STRAY, method="nearest")
    orthographic = not projection[3, :3].any()
    reference = 2 / min(projection[0, 0], projection[1, 1]) if orthographic else surface
    on_it = np.abs(distance - surface) < SAME_SURFACE * reference
    return points[candidates[np.where(on_it, away, np.inf).argmin()]]


def object_height(obj: bpy.types.Object) -> float:
    """Height of an object in the scene: the extent of its bounding box along Z."""
    corners = np.array(obj.bound_box) @ np.array(obj.matrix_world)[:3, :3].T
    return float(np.ptp(corners[:, 2]))


def metres_per_unit(empty: bpy.types.Object) -> float:
    """The scale that a world has as it stands now. Raises conversion.CameraError for an uneven one."""
    scale = conversion.uniform_scale(np.array(empty.matrix_world), empty.name)
    return scale * worlds.scene_of(empty).unit_settings.scale_length


def apply(empty: bpy.types.Object, factor: float) -> float:
    """Scales a world about its first camera, and the camera paths made for it; returns its metres per unit.

    Splats, mesh and points follow their empty. The cameras under it keep their own size. Raises
    conversion.CameraError for a world that is scaled unevenly, before anything has changed.
    """
    bpy.context.view_layer.update()
    scale = factor * conversion.uniform_scale(np.array(empty.matrix_world), empty.name)
    paths = path_objects(empty)
    cameras = [part for role in (worlds.CAMERA, worlds.FIRST_CAMERA) if (part := worlds.part(empty, role))]
    empty.scale *= factor
    for camera in cameras:
        camera.scale /= factor
    pivot = empty.matrix_world.translation.copy()
    for obj in paths:
        if obj.parent is None:
            _follow(obj, pivot, factor)
    bpy.context.view_layer.update()
    see_sky(empty, scale)
    world = replace(worlds.description(empty), scale=metres_per_unit(empty))
    worlds.describe(empty, world)
    return world.scale


def see_sky(empty: bpy.types.Object, scale: float) -> None:
    """Lets the cameras of a world that has `scale` scene units per unit, and those made for it, see its sky."""
    parts = (worlds.part(empty, role) for role in (worlds.CAMERA, worlds.FIRST_CAMERA))
    for obj in (*parts, *path_objects(empty)):
        if obj and obj.type == "CAMERA":
            see_far(obj.data, empty.lyra.depth * scale, empty.lyra.reach * scale)


def see_far(camera: bpy.types.Camera, depth: float, reach: float) -> None:
    """Moves the far plane behind a world's sky, if it is not there: `depth` of its picture, `reach` of its splats.

    Both are in the scene's units, the median depth and what the function `reach` tells; 0 without splats.
    """
    camera.clip_end = max(camera.clip_end, 1000.0, FAR_PLANE_DEPTHS * depth, FAR_PLANE_MARGIN * reach)


def path_objects(empty: bpy.types.Object) -> list[bpy.types.Object]:
    """The curves, cameras and targets that Camera Path made for a world, wherever in its scene they are kept."""
    world_id = empty.lyra.world_id
    found = [obj for obj in worlds.scene_of(empty).objects if obj.get(worlds.PATH) == world_id]
    for obj in worlds.collection_of(empty).objects:
        if obj.type == "CAMERA" and worlds.PATH not in obj:
            found += [part for part in _unmarked_path(obj) if part not in found]
    return found


def _unmarked_path(camera: bpy.types.Object) -> list[bpy.types.Object]:
    """A path as Camera Path made it before it marked its objects: with its curve and its target if it has one.

    Empty for a camera of the artist's own. Names tell, those of the data, which renaming an object leaves as they are.
    """
    follow = next((constraint for constraint in camera.constraints if constraint.type == "FOLLOW_PATH"), None)
    if follow is None or follow.target is None or follow.target.type != "CURVE":
        return []
    name = _without_number(camera.data.name)
    if _without_number(follow.target.data.name) != f"{name} Path":
        return []
    targets = [constraint.target for constraint in camera.constraints if constraint.type in _TRACKS]
    return [camera, follow.target, *(t for t in targets if t and _without_number(t.name) == f"{name} Target")]


def _without_number(name: str) -> str:
    """A name without the .001 that Blender puts behind one that is taken."""
    return re.sub(r"\.\d{3,}$", "", name)


def _follow(obj: bpy.types.Object, pivot, factor: float) -> None:
    """Moves an object of a camera path along with its world's scale."""
    if any(constraint.type == "FOLLOW_PATH" for constraint in obj.constraints):
        # Its place is the path's; its own location is an offset from that.
        obj.location *= factor
    else:
        obj.location = pivot + factor * (obj.location - pivot)
    if obj.type == "CURVE":
        obj.scale *= factor
    elif obj.type == "EMPTY":
        obj.empty_display_size *= factor
    elif obj.type == "CAMERA":
        obj.data.display_size *= factor
