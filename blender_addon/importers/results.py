"""From the files of a world to objects in the scene, a little at a time.

The functions are generators: a timer takes one step of them per tick so that Blender never stands still. Between
steps the artist may undo or load another file, so no Blender object is held over a `yield`: data is kept in numpy
until the last step, which makes and links everything at once and is one undo step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from .. import conversion, worlds
from . import camera, mesh, points, splat_nodes, splats


@dataclass(frozen=True)
class Files:
    """Where the files of a world were downloaded to; None for what it does not have."""

    splats: Path | None
    mesh: Path | None
    walkthrough: Path | None
    chunks: list[Path]


def import_seed(world: dict, points_file: Path, image_file: Path) -> Iterator[None]:
    """The seed points and the camera of a world whose empty stands already; it gets the world's scale here."""
    intrinsics = np.array(world["intrinsics"])
    cloud, depth = points.read(points_file, intrinsics[0, 0], world["width"] * world["height"])
    yield
    extra = splat_nodes.attributes(cloud)
    yield
    empty = worlds.find(world["id"])
    if empty is None:
        return  # the artist has deleted it, or undone its start
    scene = worlds.scene_of(empty)
    scale = world["scale"] / scene.unit_settings.scale_length
    placed = conversion.rigid(np.array(empty.matrix_world), empty.name)
    empty.matrix_world = worlds.to_matrix(placed @ np.diag([scale, scale, scale, 1.0]))
    worlds.describe(empty, world)
    empty.lyra.depth = depth
    empty.lyra.job = ""
    name = world["name"]

    obj = bpy.data.objects.new(f"{name} Points", splats.build(cloud, f"{name} Points", extra))
    worlds.add(empty, worlds.POINTS, obj)
    splat_nodes.attach(obj)

    seed_camera = bpy.data.objects.new(f"{name} Camera", bpy.data.cameras.new(f"{name} Camera"))
    lens = conversion.intrinsics_lens(intrinsics, world["width"], world["height"])
    conversion.apply_lens(seed_camera.data, lens)
    camera.put_image_behind(seed_camera.data, image_file)
    local = conversion.cameras_under_empty(np.eye(4)[None], scale)[0]
    worlds.add(empty, worlds.SEED_CAMERA, seed_camera, local)

    scene.camera = seed_camera
    if scene.lyra.match_render_size:
        scene.render.resolution_x, scene.render.resolution_y = world["width"], world["height"]
        scene.render.resolution_percentage = 100
        scene.render.pixel_aspect_x = scene.render.pixel_aspect_y = 1.0
    scene.lyra.world = empty
    scene.lyra.show = "POINTS"
    worlds.push_undo("Import First Picture")


def import_results(world: dict, files: Files) -> Iterator[None]:
    """Splats, mesh, the sampled camera and the walkthrough of a world, in place of what stood there before."""
    cloud = extra = triangles = None
    if files.splats and not splats.NATIVE:
        cloud = splats.read(files.splats)
        yield
        extra = splat_nodes.attributes(cloud)
        yield
    if files.mesh:
        triangles = mesh.read(files.mesh)
        yield
    path = camera.read_path(world, files.chunks)
    yield
    empty = worlds.find(world["id"])
    if empty is None:
        return  # the artist has deleted it, or undone its start
    name = world["name"]
    scale = conversion.uniform_scale(np.array(empty.matrix_world), empty.name)
    worlds.describe(empty, world)
    empty.lyra.job = ""
    for role in (worlds.SPLATS, worlds.MESH, worlds.CAMERA):
        worlds.remove(empty, role)
    if files.splats:
        worlds.add(empty, worlds.SPLATS, _splat_object(name, cloud, extra, files.splats))
    if triangles:
        obj = bpy.data.objects.new(f"{name} Mesh", mesh.build(*triangles, f"{name} Mesh"))
        worlds.add(empty, worlds.MESH, obj)
    if len(path.w2c) > 1:
        first = empty.lyra.first_frame
        obj = camera.build(path, f"{name} Walkthrough", scale, first)
        worlds.add(empty, worlds.CAMERA, obj, camera.local_scale(scale))
        if files.walkthrough:
            camera.put_clip_behind(obj.data, files.walkthrough, first)
    scene = worlds.scene_of(empty)
    shown = "SPLATS" if files.splats else "MESH" if files.mesh else "POINTS"
    worlds.show(empty, shown)
    if scene.lyra.world == empty:
        scene.lyra.show = shown
    worlds.push_undo("Import World")


def _splat_object(name: str, cloud: splats.Cloud | None, extra: dict | None, file: Path) -> bpy.types.Object:
    if splats.NATIVE:
        obj = splats.import_native(file)
        obj.name = f"{name} Splats"
        return obj
    obj = bpy.data.objects.new(f"{name} Splats", splats.build(cloud, f"{name} Splats", extra))
    splat_nodes.attach(obj)
    return obj
