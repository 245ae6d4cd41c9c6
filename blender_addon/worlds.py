"""Worlds as they stand in a scene: a collection *Lyra Worlds / name* and one empty that everything hangs under.

Worlds are always looked up by their id and never held on to: undo and loading replace every Blender object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import bpy
import numpy as np
from mathutils import Matrix

ROOT = "Lyra Worlds"
ROLE = "lyra_role"
# What Camera Path made carries the id of its world under this name.
PATH = "lyra_path"
POINTS, SPLATS, MESH, CAMERA, SEED_CAMERA = "points", "splats", "mesh", "camera", "seed_camera"
_SHOWN = {"POINTS": {POINTS}, "SPLATS": {SPLATS}, "MESH": {MESH}, "ALL": {POINTS, SPLATS, MESH}}


def every() -> Iterator[bpy.types.Object]:
    """The empties of all worlds in the file."""
    return (obj for obj in bpy.data.objects if obj.type == "EMPTY" and obj.lyra.world_id)


def find(world_id: str) -> bpy.types.Object | None:
    return next((empty for empty in every() if empty.lyra.world_id == world_id), None)


def scene_of(empty: bpy.types.Object) -> bpy.types.Scene:
    """The scene a world stands in; the present one when it was unlinked."""
    return next((scene for scene in bpy.data.scenes if empty.name in scene.objects), bpy.context.scene)


def description(empty: bpy.types.Object) -> dict:
    """The world as the backend last described it."""
    return json.loads(empty.lyra.world or "{}")


def describe(empty: bpy.types.Object, world: dict) -> None:
    """Keeps what the backend says of a world, and writes its origin where other tools and people find it."""
    empty.lyra.world_id = world["id"]
    empty.lyra.world = json.dumps(world)
    collection = collection_of(empty)
    for holder in (empty, collection):
        holder["lyra_world_id"] = world["id"]
        holder["lyra_engine"] = world["engine"]
        holder["lyra_seed"] = world["seed"]
        holder["lyra_prompt"] = " | ".join(chunk["prompt"] for chunk in world["chunks"] if chunk["prompt"])
        holder["lyra_license"] = world["license"]


def collection_of(empty: bpy.types.Object) -> bpy.types.Collection:
    """The collection of a world; the empty's own one when the artist has moved it."""
    return next(
        (collection for collection in empty.users_collection if collection.get("lyra_world_id")),
        empty.users_collection[0] if empty.users_collection else bpy.context.scene.collection,
    )


def create(scene: bpy.types.Scene, world: dict, matrix: np.ndarray) -> bpy.types.Object:
    """The collection and the empty of a new world; `matrix` (4, 4) is the empty's."""
    root = bpy.data.collections.get(ROOT) or bpy.data.collections.new(ROOT)
    if root.name not in scene.collection.children:
        scene.collection.children.link(root)
    collection = bpy.data.collections.new(world["name"])
    collection["lyra_world_id"] = world["id"]
    root.children.link(collection)
    empty = bpy.data.objects.new(world["name"], None)
    empty.empty_display_type = "ARROWS"
    empty.empty_display_size = 0.25
    empty.matrix_world = to_matrix(matrix)
    collection.objects.link(empty)
    describe(empty, world)
    return empty


def add_to_path(empty: bpy.types.Object, obj: bpy.types.Object) -> None:
    """Puts a new object of a camera path beside a world: it follows the world's scale, and nothing else of it."""
    obj[PATH] = empty.lyra.world_id
    collection_of(empty).objects.link(obj)


def part(empty: bpy.types.Object, role: str) -> bpy.types.Object | None:
    """The child of a world that plays a role."""
    return next((child for child in empty.children if child.get(ROLE) == role), None)


def add(empty: bpy.types.Object, role: str, obj: bpy.types.Object, local: np.ndarray | None = None) -> None:
    """Puts an object into a world, in the place of the one that played its role before."""
    remove(empty, role)
    obj[ROLE] = role
    if licence := description(empty)["license"]:
        # Splats and mesh are carried on into other files, where the empty does not come along.
        obj["lyra_license"] = licence
    collection = collection_of(empty)
    for other in list(obj.users_collection):
        other.objects.unlink(obj)
    collection.objects.link(obj)
    obj.parent = empty
    obj.matrix_parent_inverse = Matrix()
    obj.matrix_basis = to_matrix(np.eye(4) if local is None else local)


def remove(empty: bpy.types.Object, role: str) -> None:
    """Takes the object that plays a role, and its data, out of the file."""
    old = part(empty, role)
    if old is None:
        return
    data = old.data
    bpy.data.objects.remove(old)
    if data.users == 0:
        bpy.data.batch_remove([data])


def delete(empty: bpy.types.Object) -> None:
    """Takes a world out of the file: its parts, its empty and its collection."""
    collection = collection_of(empty)
    for role in (POINTS, SPLATS, MESH, CAMERA, SEED_CAMERA):
        remove(empty, role)
    bpy.data.objects.remove(empty)
    if collection.get("lyra_world_id") and not collection.all_objects and not collection.children:
        bpy.data.collections.remove(collection)


def show(empty: bpy.types.Object, what: str) -> None:
    """Shows and renders the parts that `what` (see properties) names and hides the others."""
    for role in (POINTS, SPLATS, MESH):
        if obj := part(empty, role):
            hidden = role not in _SHOWN[what]
            obj.hide_viewport = obj.hide_render = hidden


def show_vertex_colors() -> None:
    """Has solid viewports that show material colours show the meshes' own: a world's mesh has no other."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D" and area.spaces.active.shading.color_type == "MATERIAL":
                area.spaces.active.shading.color_type = "VERTEX"


def look_through_camera(scene: bpy.types.Scene) -> None:
    """Has the largest 3D viewport of each window on this scene look through the scene's camera."""
    for window in bpy.context.window_manager.windows:
        areas = [area for area in window.screen.areas if area.type == "VIEW_3D"]
        if areas and window.scene == scene:
            largest = max(areas, key=lambda area: area.width * area.height)
            largest.spaces.active.region_3d.view_perspective = "CAMERA"


def to_matrix(matrix: np.ndarray) -> Matrix:
    return Matrix([[float(value) for value in row] for row in matrix])


def push_undo(message: str) -> None:
    """One undo step for what a timer changed. Outside an operator Blender makes none of its own."""
    windows = bpy.context.window_manager.windows
    if bpy.app.background or not windows:
        return
    with bpy.context.temp_override(window=windows[0]):
        bpy.ops.ed.undo_push(message=message)
