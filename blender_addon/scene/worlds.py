"""Worlds as objects of a scene: a collection *Lyra Worlds / name*, and an empty that is the parent of all parts.

Worlds are looked up by id and never kept as Python references: undo and loading replace every Blender object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache

import bpy
import numpy as np
from mathutils import Matrix

from ..service.resources import World
from ..service.wire import ProtocolError

# The collection of a scene that holds its worlds' own ones, and what marks it, however the artist renames it.
ROOT, IS_ROOT = "Lyra Worlds", "lyra_worlds"
ROLE = "lyra_role"
# What Camera Path made carries the id of its world under this name.
PATH = "lyra_path"
POINTS, SPLATS, MESH, CAMERA, FIRST_CAMERA = "points", "splats", "mesh", "camera", "seed_camera"
_SHOWN = {"POINTS": {POINTS}, "SPLATS": {SPLATS}, "MESH": {MESH}, "ALL": {POINTS, SPLATS, MESH}}


def is_world(obj: bpy.types.Object) -> bool:
    """Whether an object is the empty of a world of this file. What is linked from another file is grown there."""
    return obj.type == "EMPTY" and bool(obj.lyra.world_id) and _is_local(obj)


def _is_local(data: bpy.types.ID) -> bool:
    return data.library is None and data.override_library is None


def all_worlds(world_id: str = "") -> Iterator[bpy.types.Object]:
    """The empties of all worlds in the file, or those of one: what an artist copies keeps its id."""
    return (
        obj for obj in bpy.data.objects if is_world(obj) and (not world_id or obj.lyra.world_id == world_id)
    )


def find(world_id: str) -> bpy.types.Object | None:
    """The empty of a world. Of copies it is one that panels work on, those of the present scene first."""
    copies = list(all_worlds(world_id))
    chosen = (scene.lyra.world for scene in (bpy.context.scene, *bpy.data.scenes))
    return next((empty for empty in chosen if empty in copies), copies[0] if copies else None)


def scene_of(empty: bpy.types.Object) -> bpy.types.Scene:
    """The scene a world belongs to: of those it stands in, one whose panels work on it, and the present one first."""
    standing = empty.users_scene or tuple(bpy.data.scenes)
    scenes = [scene for scene in standing if scene.lyra.world == empty] or standing
    return bpy.context.scene if bpy.context.scene in scenes else scenes[0]


def description(empty: bpy.types.Object) -> World:
    """The world as the service last described it. Raises ProtocolError for a .blend that holds something else."""
    return _parsed(empty.lyra.world)


@lru_cache(maxsize=64)
def _parsed(text: str) -> World:
    # Panels ask on every redraw, and a long world's description has hundreds of entries.
    try:
        return World.from_json(json.loads(text))
    except ValueError as error:
        raise ProtocolError(
            "What this file says of a world is damaged. Click Open World to get it from the service."
        ) from error


def describe(empty: bpy.types.Object, world: World) -> None:
    """Keeps what the service says of a world, and writes its origin where other tools and people find it."""
    empty.lyra.world_id = world.id
    empty.lyra.world = json.dumps(world.to_json())
    own = (collection for collection in empty.users_collection if is_made_for(collection, world.id))
    for holder in (empty, *own):
        holder["lyra_world_id"] = world.id
        holder["lyra_engine"] = world.engine
        holder["lyra_seed"] = world.seed
        holder["lyra_prompt"] = " | ".join(chunk.prompt for chunk in world.chunks if chunk.prompt)
        holder["lyra_license"] = world.license


def collection_of(empty: bpy.types.Object) -> bpy.types.Collection:
    """The collection of a world; the empty's own one when the artist has moved it."""
    world_id = empty.lyra.world_id
    return next(
        (collection for collection in empty.users_collection if is_made_for(collection, world_id)),
        empty.users_collection[0] if empty.users_collection else bpy.context.scene.collection,
    )


def is_made_for(collection: bpy.types.Collection, world_id: str = "") -> bool:
    """Whether a collection was made for a world, or for this one. A scene's own never was, whatever it carries."""
    marked = collection.get("lyra_world_id", "")
    return bool(marked) and world_id in ("", marked) and not collection.is_embedded_data


def create(scene: bpy.types.Scene, world: World, matrix: np.ndarray) -> bpy.types.Object:
    """The collection and the empty of a new world; `matrix` (4, 4) is the empty's."""
    collection = _new_collection(world)
    _link_to_scene(scene, collection)
    empty = bpy.data.objects.new(world.name, None)
    empty.empty_display_type = "ARROWS"
    empty.empty_display_size = 0.25
    empty.matrix_world = to_matrix(matrix)
    collection.objects.link(empty)
    describe(empty, world)
    return empty


def _new_collection(world: World) -> bpy.types.Collection:
    collection = bpy.data.collections.new(world.name)
    collection["lyra_world_id"] = world.id
    return collection


def _link_to_scene(scene: bpy.types.Scene, collection: bpy.types.Collection) -> None:
    """Links a world's own collection below the scene's root, wherever the artist has filed that."""
    there = scene.collection.children_recursive
    if collection in there:
        return
    root = next((one for one in there if _is_root(one, scene)), None)
    if root is None:
        root = bpy.data.collections.new(ROOT)
        scene.collection.children.link(root)
    root[IS_ROOT] = True
    root.children.link(collection)
    for layer in scene.view_layers:
        # Asking for the active one brings the layer's collections up to date; a new scene's layer has none before.
        if layer.active_layer_collection is not None:
            _include(layer.layer_collection, collection)


def _is_root(collection: bpy.types.Collection, scene: bpy.types.Scene) -> bool:
    """Whether a collection is the root of this scene alone. Several scenes may share one, in copies of a scene."""
    if not _is_local(collection) or not (collection.get(IS_ROOT) or collection.name == ROOT):
        return False
    others = (other for other in bpy.data.scenes if other != scene)
    return not any(collection in other.collection.children_recursive for other in others)


def _include(layer: bpy.types.LayerCollection, collection: bpy.types.Collection) -> None:
    """Shows a collection also below one that the artist has excluded from the view layer."""
    for child in layer.children:
        if child.collection == collection:
            child.exclude = False
        _include(child, collection)


def ensure_in_scene(scene: bpy.types.Scene, empty: bpy.types.Object) -> None:
    """Has a world stand in a scene, with what is left of its parts.

    One of another scene stands in both from then on. An empty that was deleted in the viewport stays in the file while
    a scene's settings point at it: such a one comes back.
    """
    if scene in empty.users_scene:
        return
    collection = _own_collection(scene, empty) or _new_collection(description(empty))
    _link_to_scene(scene, collection)
    for obj in (empty, *empty.children):
        if scene not in obj.users_scene:
            collection.objects.link(obj)


def _own_collection(scene: bpy.types.Scene, empty: bpy.types.Object) -> bpy.types.Collection | None:
    """The collection of a world that is not in the scene: one that is there, or one that no copy of it stands in."""
    world_id = empty.lyra.world_id
    own = _own_collections(world_id)
    copies = set(all_worlds(world_id)) - {empty}
    free = (one for one in own if copies.isdisjoint(one.objects))
    return next((one for one in scene.collection.children_recursive if one in own), next(free, None))


def _own_collections(world_id: str) -> list[bpy.types.Collection]:
    return [one for one in bpy.data.collections if is_made_for(one, world_id) and _is_local(one)]


def choose(scene: bpy.types.Scene, empty: bpy.types.Object) -> None:
    """Makes a world the one that the panels of a scene work on, has it stand there, and selects its empty."""
    ensure_in_scene(scene, empty)
    scene.lyra.world = empty
    for layer in scene.view_layers:
        active = layer.objects.active  # asking for it brings the layer's objects up to date
        # A linked object may have the same name.
        if empty in layer.objects[:] and (active is None or active.mode == "OBJECT"):
            for other in list(layer.objects.selected):
                other.select_set(False, view_layer=layer)
            empty.select_set(True, view_layer=layer)
            layer.objects.active = empty


def add_to_path(empty: bpy.types.Object, obj: bpy.types.Object) -> None:
    """Puts a new object of a camera path beside a world: it follows the world's scale, and nothing else of it."""
    obj[PATH] = empty.lyra.world_id
    collection_of(empty).objects.link(obj)


def part(empty: bpy.types.Object, role: str) -> bpy.types.Object | None:
    """The child of a world that plays a role."""
    return next((child for child in empty.children if child.get(ROLE) == role), None)


def add(
    empty: bpy.types.Object, role: str, obj: bpy.types.Object, local: np.ndarray | None = None
) -> bpy.types.Object:
    """Puts a new object into a world, in the place of the one that played its role before; returns what stands there.

    Scenes, constraints, markers, animation and collections of the artist may point at the one before, so that one
    stays and takes the data of the new one, which goes. `local` (4, 4) is its matrix under the empty.
    """
    old = part(empty, role)
    if old is not None and _take_data(old, obj):
        obj = old
    else:
        _link(empty, role, obj)
    if licence := description(empty).license:
        # Splats and mesh are carried on into other files, where the empty does not come along.
        obj["lyra_license"] = licence
    obj.parent = empty
    obj.matrix_parent_inverse = Matrix()
    obj.matrix_basis = to_matrix(np.eye(4) if local is None else local)
    return obj


def _link(empty: bpy.types.Object, role: str, obj: bpy.types.Object) -> None:
    """Links a new object to a world's collection. What pointed at the one before points at the new one."""
    for other in list(obj.users_collection):
        other.objects.unlink(obj)
    collection_of(empty).objects.link(obj)
    if old := part(empty, role):
        old.user_remap(obj)
        remove(empty, role)
    obj[ROLE] = role


def _take_data(old: bpy.types.Object, new: bpy.types.Object) -> bool:
    """Moves the data of a new object into the old one and removes the new one; the artist's materials stay.

    False where that cannot be: the artist has converted the old one's data. It must be in Object Mode.
    """
    before, data = old.data, new.data
    if type(before) is not type(data):
        return False
    materials, name = list(getattr(before, "materials", ())), before.name
    old.data = data
    bpy.data.objects.remove(new)
    if materials:
        data.materials.clear()
        for material in materials:
            data.materials.append(material)
    if before.users == 0:
        bpy.data.batch_remove([before])
        data.name = name
    return True


def remove(empty: bpy.types.Object, role: str) -> None:
    """Takes the object that plays a role, and its data, out of the file."""
    old = part(empty, role)
    if old is None:
        return
    data = old.data
    bpy.data.objects.remove(old)
    if data.users == 0:
        bpy.data.batch_remove([data])


def is_made_camera(obj: bpy.types.Object) -> bool:
    """Whether a camera is part of a world, or was added as a camera path."""
    return PATH in obj or obj.get(ROLE) in (CAMERA, FIRST_CAMERA)


def is_camera_of_another(camera: bpy.types.Object, empty: bpy.types.Object) -> bool:
    """Whether a camera was made for another world than this one."""
    if not is_made_camera(camera):
        return False
    owner = camera.parent.lyra.world_id if camera.parent else ""
    return empty.lyra.world_id not in (owner, camera.get(PATH))


def newest_path(scene: bpy.types.Scene, empty: bpy.types.Object) -> bpy.types.Object | None:
    """The camera of the path that was added last for a world in this session, if it has one in the scene."""
    world_id = empty.lyra.world_id
    paths = [obj for obj in scene.objects if obj.type == "CAMERA" and obj.get(PATH) == world_id]
    return max(paths, key=lambda obj: obj.session_uid, default=None)


def take_camera(scene: bpy.types.Scene, camera: bpy.types.Object) -> None:
    """Makes a camera of a world that of the scene, and remembers the scene's own one."""
    if scene.camera is not None and not is_made_camera(scene.camera):
        scene.lyra.own_camera = scene.camera
    scene.camera = camera


def _give_camera_back(empty: bpy.types.Object) -> None:
    """Where a scene looks through a camera of this world, gives it its own one again, if that still is there."""
    for scene in bpy.data.scenes:
        camera, own = scene.camera, scene.lyra.own_camera
        if camera is None or own is None or own.name not in scene.objects:
            continue
        if camera.parent == empty or camera.get(PATH) == empty.lyra.world_id:
            scene.camera = own


def delete(empty: bpy.types.Object) -> None:
    """Takes a world out of the file: its parts, its empty and its collection, unless that holds something else."""
    own = _own_collections(empty.lyra.world_id)
    if not any(other != empty for other in all_worlds(empty.lyra.world_id)):
        _give_camera_back(empty)
    for role in (POINTS, SPLATS, MESH, CAMERA, FIRST_CAMERA):
        remove(empty, role)
    bpy.data.objects.remove(empty)
    for collection in own:
        if not collection.all_objects and not collection.children:
            bpy.data.collections.remove(collection)


def show(empty: bpy.types.Object, what: str) -> None:
    """Shows and renders the parts that `what` (see properties) names and hides the others."""
    for role in (POINTS, SPLATS, MESH):
        if obj := part(empty, role):
            hidden = role not in _SHOWN[what]
            obj.hide_viewport = obj.hide_render = hidden


def shown(empty: bpy.types.Object) -> str:
    """What of a world is shown, as in properties; empty when nothing is."""
    parts = {role: part(empty, role) for role in (POINTS, SPLATS, MESH)}
    visible = {role for role, obj in parts.items() if obj and not obj.hide_viewport}
    if len(visible) > 1:
        return "ALL"
    return next((what for what, roles in _SHOWN.items() if roles == visible), "")


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
