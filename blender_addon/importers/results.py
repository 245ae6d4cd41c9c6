"""Import of a world's results into the scene, in short steps.

The functions are generators that a timer advances by one step per tick, so that Blender's interface never blocks.
Between steps the user may undo or load another file, so no Blender object is kept across a `yield`. The last step
links everything at once, as one undo step; it waits until the user has left Edit, Sculpt and Paint Mode.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ..camera import conversion
from ..scene import scaling, worlds
from ..scene.attributes import positions
from ..service.resources import World
from . import camera, mesh, ply, points, splat_nodes, splats

# So many splats are worked on in one step: a few milliseconds.
BLOCK = 20_000


@dataclass(frozen=True)
class ResultFiles:
    """Where the files of a world were downloaded to; None for what it does not have.

    The cameras are in `trajectory`, or in those of its `chunks` where the service is an earlier one.
    """

    splats: Path | None
    mesh: Path | None
    walkthrough: Path | None
    trajectory: Path | None
    chunks: tuple[Path, ...] = ()


# Puts what was made of a world under its empty, all at once; the settings that go with it are those of the scene.
Placement = Callable[[bpy.types.Scene, bpy.types.Object], None]


def import_first_view(world: World, points_file: Path, image_file: Path) -> Iterator[str | None]:
    """The seed points and the camera of a world whose empty stands already; it gets the world's scale here."""
    place = yield from _making_first_view(world, points_file, image_file)
    yield from _waiting(world.id)
    if empty := worlds.find(world.id):  # else the artist has deleted it, or undone its start
        place(worlds.scene_of(empty), empty)
        worlds.push_undo("Import First Picture")


def import_results(world: World, files: ResultFiles) -> Iterator[str | None]:
    """Splats, mesh, the sampled camera and the walkthrough of a world, in place of what stood there before."""
    place = yield from _making_results(world, files)
    yield from _waiting(world.id)
    if empty := worlds.find(world.id):  # else the artist has deleted it, or undone its start
        place(worlds.scene_of(empty), empty)
        worlds.push_undo("Import World")


def import_world(
    world: World,
    points_file: Path,
    image_file: Path,
    files: ResultFiles,
    stand: Callable[[], tuple[bpy.types.Scene, bpy.types.Object]],
) -> Iterator[str | None]:
    """All of a world at once. `stand` gives the scene, and the empty to hang it under, once everything is made."""
    place_first_view = yield from _making_first_view(world, points_file, image_file)
    place_results = yield from _making_results(world, files)
    yield from _waiting(world.id)
    scene, empty = stand()
    place_first_view(scene, empty)
    place_results(scene, empty)
    worlds.push_undo("Open World")


def _waiting(world_id: str) -> Iterator[str]:
    """Waits while the artist edits, sculpts or paints a part of a world: other data would throw their changes out."""
    while mode := _mode(world_id):
        yield f"Leave {mode.replace('_', ' ').title()} Mode to import the results"


def _mode(world_id: str) -> str:
    """The mode of a part of a world that is being changed; empty when all are in Object Mode."""
    empty = worlds.find(world_id)
    if empty is None:
        return ""
    parts = (worlds.part(empty, role) for role in (worlds.POINTS, worlds.SPLATS, worlds.MESH))
    return next((part.mode for part in parts if part and part.mode != "OBJECT"), "")


def _making_first_view(world: World, points_file: Path, image_file: Path) -> Generator[None, None, Placement]:
    """Makes the seed points and the picture of a world; returns their Placement."""
    intrinsics = np.array(world.intrinsics)
    vertices = yield from points.reading(points_file)
    yield
    focal, pixels_per_point = intrinsics[0, 0], world.width * world.height / vertices.count
    attributes = yield from _splat_attributes(
        vertices, lambda part: points.decode(part, focal, pixels_per_point)
    )
    depth = float(np.median(vertices.fields["z"]))
    yield
    name = world.name
    make_points = _Prepared(splats.building(attributes, f"{name} Points"))
    make_nodes = _Prepared([lambda _data: splat_nodes.node_group()])
    make_image = _Prepared([lambda _data: camera.load_image(image_file)])
    for make in (make_points, make_nodes, make_image):
        yield from make.steps()

    def place(scene: bpy.types.Scene, empty: bpy.types.Object) -> None:
        if empty.lyra.is_property_set("depth"):
            # It had its points before: its scale is the artist's.
            scale = conversion.uniform_scale(np.array(empty.matrix_world), empty.name)
        else:
            scale = world.scale / scene.unit_settings.scale_length
            placed = conversion.rigid(np.array(empty.matrix_world), empty.name)
            if empty.lyra.stands_up:
                placed = conversion.standing(placed, world.up)
            empty.matrix_world = worlds.to_matrix(placed @ np.diag([scale, scale, scale, 1.0]))
        worlds.ensure_in_scene(scene, empty)
        worlds.describe(empty, world)
        empty.lyra.depth = depth
        empty.lyra.job = ""

        obj = bpy.data.objects.new(f"{name} Points", make_points.result())
        splat_nodes.attach(worlds.add(empty, worlds.POINTS, obj), make_nodes.result())

        lens = conversion.intrinsics_lens(intrinsics, world.width, world.height)
        data = bpy.data.cameras.new(f"{name} Camera")
        conversion.apply_lens(data, lens)
        scaling.see_far(data, depth * scale, 0.0)
        camera.put_image_behind(data, make_image.result())
        local = conversion.cameras_under_empty(np.eye(4)[None], scale)[0]
        first_camera = worlds.add(
            empty, worlds.FIRST_CAMERA, bpy.data.objects.new(f"{name} Camera", data), local
        )

        worlds.take_camera(scene, first_camera)
        if scene.lyra.match_render_size:
            scene.render.resolution_x, scene.render.resolution_y = world.width, world.height
            scene.render.resolution_percentage = 100
            scene.render.pixel_aspect_x = scene.render.pixel_aspect_y = 1.0
        scene.lyra.world = empty
        scene.lyra.show = "POINTS"
        worlds.look_through_camera(scene)

    return place


def _making_results(world: World, files: ResultFiles) -> Generator[None, None, Placement]:
    """Makes splats, mesh, keys and the clip of a world; returns their Placement."""
    name = world.name
    make_splats = make_mesh = make_clip = None
    if files.splats and not splats.NATIVE:
        vertices = (yield from ply.reading(files.splats))["vertex"]
        yield
        attributes = yield from _splat_attributes(vertices, lambda part: splats.decode(part, files.splats))
        make_splats = _Prepared(splats.building(attributes, f"{name} Splats"))
        make_nodes = _Prepared([lambda _data: splat_nodes.node_group()])
        yield from make_splats.steps()
        yield from make_nodes.steps()
    if files.mesh:
        surface = yield from mesh.preparing(files.mesh)
        make_mesh = _Prepared(mesh.building(surface, f"{name} Mesh"))
        yield from make_mesh.steps()
    if files.walkthrough:
        make_clip = _Prepared([lambda _data: camera.load_clip(files.walkthrough)])
        yield from make_clip.steps()
    if files.trajectory:
        path = camera.read_trajectory(world, files.trajectory)
    else:
        path = camera.read_chunk_trajectories(world, list(files.chunks))
    keys = camera.keys(path)
    yield

    def place(scene: bpy.types.Scene, empty: bpy.types.Object) -> None:
        scale = conversion.uniform_scale(np.array(empty.matrix_world), empty.name)
        worlds.ensure_in_scene(scene, empty)
        worlds.describe(empty, world)
        empty.lyra.job = ""
        if make_splats:
            obj = bpy.data.objects.new(f"{name} Splats", make_splats.result())
            splat_nodes.attach(worlds.add(empty, worlds.SPLATS, obj), make_nodes.result())
        elif files.splats:
            obj = splats.import_native(files.splats)
            obj.name = f"{name} Splats"
            worlds.add(empty, worlds.SPLATS, obj)
        else:
            worlds.remove(empty, worlds.SPLATS)
        if make_mesh:
            worlds.add(empty, worlds.MESH, bpy.data.objects.new(f"{name} Mesh", make_mesh.result()))
        else:
            worlds.remove(empty, worlds.MESH)
        if len(path.w2c) > 1:
            _place_camera(
                empty, f"{name} Walkthrough", keys, make_clip.result() if make_clip else None, scale
            )
        else:
            worlds.remove(empty, worlds.CAMERA)
        drawn = worlds.part(empty, worlds.SPLATS)
        empty.lyra.reach = camera.reach(path, positions(drawn.data)) if drawn else 0.0
        scaling.see_sky(empty, scale)
        shown = "SPLATS" if files.splats else "MESH" if files.mesh else "POINTS"
        worlds.show(empty, shown)
        if scene.lyra.world == empty:
            scene.lyra.show = shown

    return place


def _place_camera(
    empty: bpy.types.Object, name: str, keys: camera.Keys, clip: bpy.types.MovieClip | None, scale: float
) -> None:
    """The sampled camera of a world: the one that stands there gets other keys, and the walkthrough behind it."""
    obj = worlds.part(empty, worlds.CAMERA)
    if obj is None:
        obj = worlds.add(empty, worlds.CAMERA, bpy.data.objects.new(name, bpy.data.cameras.new(name)))
    obj.matrix_basis = worlds.to_matrix(camera.local_scale(scale))
    camera.key(obj, keys, empty.lyra.first_frame)
    if clip:
        camera.put_clip_behind(obj.data, clip, empty.lyra.first_frame)


def _splat_attributes(
    vertices: ply.Element, decode: Callable[[ply.Element], splats.Cloud]
) -> Generator[None, None, splats.Attributes]:
    """All that is stored of a file's splats, worked out a block at a time; returned when it is whole.

    `decode` makes splats of some of the file's rows.
    """
    whole: splats.Attributes = {}
    for start in range(0, max(1, vertices.count), BLOCK):
        cloud = decode(vertices.part(start, start + BLOCK))
        block = splats.attributes(cloud) | splat_nodes.cards(cloud) | splat_nodes.colors(cloud)
        for name, (kind, key, values) in block.items():
            if not start:
                whole[name] = kind, key, np.empty((vertices.count, *values.shape[1:]), np.float32)
            whole[name][2][start : start + BLOCK] = values
        yield
    return whole


class _Prepared:
    """Data made in steps before it is linked. When an undo in between has removed it, it is made again.

    Each of `making` gets the data as it is so far, the first one None, and returns it.
    """

    def __init__(self, making: list[Callable[[bpy.types.ID | None], bpy.types.ID]]):
        self._making = making
        self._uid = 0
        self._done = 0

    def steps(self) -> Iterator[None]:
        while self._done < len(self._making):
            self._advance(self._done + 1)
            yield

    def result(self) -> bpy.types.ID:
        return self._advance(len(self._making))

    def _advance(self, upto: int) -> bpy.types.ID:
        data = next((data for kind in _kinds() for data in kind if data.session_uid == self._uid), None)
        for make in self._making[self._done if data else 0 : upto]:
            data = make(data)
        self._uid, self._done = data.session_uid, upto
        return data


def _kinds() -> tuple:
    return bpy.data.meshes, bpy.data.pointclouds, bpy.data.images, bpy.data.movieclips, bpy.data.node_groups
