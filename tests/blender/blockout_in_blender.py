"""Run inside Blender: depth of a blockout against Blender's own ray casts, and what is sent of it."""

import math
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector

from tests.blender.kept_worlds import Service, serve
from tests.blender.playing import install, module, refused, uninstall, until
from tests.blender.recorder import drawn

WIDTH, HEIGHT = 96, 64


def link(name, data):
    obj = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(obj)
    return obj


def cube(name="cube"):
    mesh = bpy.data.meshes.new(name)
    corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh.from_pydata(corners, [], faces)
    return mesh


def block_out():
    """A slab as floor, a subdivided cube, an instanced collection, a thick curve, and things that do not count."""
    floor = link("floor", cube())
    floor.scale, floor.location = (6, 6, 0.1), (0, 4, 0)
    ball = link("ball", cube())
    ball.location, ball.rotation_euler = (-1, 6, 1.2), (0.3, 0.2, 0.5)
    ball.modifiers.new("Subdivision", "SUBSURF").levels = 2
    source = bpy.data.collections.new("source")
    source.objects.link(bpy.data.objects.new("hidden", cube()))
    for x in (1.5, 3.5):
        instance = link(f"instance {x}", None)
        instance.instance_type, instance.instance_collection = "COLLECTION", source
        instance.location, instance.scale = (x, 7, 1), (0.5, 0.5, 1.5)
    curve = bpy.data.curves.new("pipe", "CURVE")
    curve.dimensions, curve.bevel_depth = "3D", 0.2
    spline = curve.splines.new("POLY")
    spline.points.add(1)
    spline.points[0].co, spline.points[1].co = (-3, 5, 0, 1), (-3, 5, 4, 1)
    link("pipe", curve)
    cutter = link("cutter", cube())
    cutter.location, cutter.display_type = (0, 2, 1.5), "WIRE"
    part = link("part", cube())
    part.location, part["lyra_role"] = (0, 2.5, 1.5), "mesh"
    camera = link("camera", bpy.data.cameras.new("camera"))
    camera.location, camera.rotation_euler = (0, 0, 1.5), (math.radians(86), 0, 0.05)
    camera.data.lens, camera.data.shift_x = 30, 0.02
    bpy.context.scene.camera = camera
    for obj in (cutter, part):  # ray casts see these too
        obj.hide_set(False)
    return camera, cutter, part, *block_out_unseen(source)


def block_out_unseen(source):
    """A cube and an instance right before the camera, in a collection whose eye is closed; an instance beside them
    whose own objects stand in that collection counts.
    """
    unseen = bpy.data.collections.new("unseen")
    bpy.context.scene.collection.children.link(unseen)
    alone, instance = bpy.data.objects.new("alone", cube()), bpy.data.objects.new("made", None)
    instance.instance_type, instance.instance_collection = "COLLECTION", source
    for obj, x in ((alone, -0.5), (instance, 0.5)):
        obj.location, obj.scale = (x, 2.2, 1.5), (0.4, 0.1, 0.4)
        unseen.objects.link(obj)
    shown = link("shown", None)
    shown.instance_type, shown.instance_collection = "COLLECTION", bpy.data.collections.new("parts")
    unseen.children.link(shown.instance_collection)
    shown.instance_collection.objects.link(bpy.data.objects.new("in parts", cube()))
    shown.location, shown.scale = (0.5, 5, 2.5), (0.6, 0.6, 0.6)
    bpy.context.view_layer.layer_collection.children["unseen"].hide_viewport = True
    return alone, instance


def cast(camera, intrinsics):
    """z-depth by Scene.ray_cast, NaN where nothing is hit."""
    depsgraph = bpy.context.evaluated_depsgraph_get()
    origin, found = camera.matrix_world.translation, np.full((HEIGHT, WIDTH), np.nan)
    axes = camera.matrix_world.to_3x3()
    for v in range(1, HEIGHT, 3):
        for u in range(1, WIDTH, 3):
            x, y = (
                (u + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0],
                (v + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1],
            )
            ray = axes @ Vector((x, -y, -1))
            hit, place, *_ = bpy.context.scene.ray_cast(depsgraph, origin, ray.normalized())
            if hit:
                found[v, u] = (place - origin).length / ray.length
    return found


def check_depth(image):
    scene, settings = bpy.context.scene, bpy.context.scene.lyra
    refused(bpy.ops.lyra.depth_from_scene, "Choose an image")
    settings.image = str(image)
    refused(bpy.ops.lyra.depth_from_scene, "Add a camera")
    lone = link("lone", bpy.data.cameras.new("lone"))
    scene.camera = lone
    refused(bpy.ops.lyra.depth_from_scene, "no visible surface")
    bpy.data.objects.remove(lone)
    camera, *others = block_out()
    scene.unit_settings.scale_length = 0.5
    settings.size, settings.width, settings.height = "CUSTOM", WIDTH, HEIGHT
    bpy.context.view_layer.update()
    render_depth()
    assert "POST /v1/pictures/measure" in service.requests
    assert settings.depth_blend and not session.current.message
    with np.load(settings.depth_file) as stored:
        depth, intrinsics = stored["depth"], stored["intrinsics"]
    assert depth.shape == (HEIGHT, WIDTH) and depth.dtype == np.float32
    assert abs(np.isfinite(depth).mean() - settings.depth_known) < 1e-6 and 0.3 < settings.depth_known < 0.95
    # The picture is 100 x 100 and the world's pictures are wider: the crop keeps the horizontal field of view.
    assert abs(intrinsics[0, 0] - 30 / 36 * WIDTH) < 1e-6 and abs(intrinsics[0, 0] - intrinsics[1, 1]) < 1e-9
    for obj in others:
        obj.hide_viewport = True
    bpy.context.view_layer.update()
    expected = cast(camera, intrinsics)
    tried = np.isfinite(expected)
    assert np.isfinite(depth[1::3, 1::3]).mean() - tried[1::3, 1::3].mean() < 0.02
    near = np.isclose(depth[tried], 0.5 * expected[tried], rtol=1e-3)
    assert near.mean() > 0.98, near.mean()
    camera.rotation_euler[0] = math.radians(179)
    bpy.context.view_layer.update()
    render_depth()
    assert "The camera sees no surface" in session.current.message
    camera.rotation_euler[0] = math.radians(86)
    bpy.context.view_layer.update()


def check_what_is_sent(image):
    settings = bpy.context.scene.lyra
    new = start.new_world(bpy.context)
    assert new.depth == Path(settings.depth_file) and new.settings.depth_blend is True
    assert new.settings.depth == "auto" and new.settings.size == (WIDTH, HEIGHT)
    assert "lyra.depth_from_scene" in drawn(bpy.types.LYRA_PT_image_options, bpy.context)
    settings.depth_file = str(image)
    assert not settings.depth_blend and "depth_blend" not in start.new_world(bpy.context).settings.to_json()


def render_depth():
    assert bpy.ops.lyra.depth_from_scene() == {"FINISHED"}
    until(is_rendered)


def is_rendered():
    current = session.current
    return not current.tasks and not current.is_asking(module("operators.depth").MEASURING)


def stale(says):
    bpy.context.view_layer.update()
    try:
        start.new_world(bpy.context)
    except depth_file.StaleDepthError as error:
        assert says in str(error) and "Press Depth from Scene again, or clear Depth File" in str(error), error
    else:
        raise AssertionError(f"not refused; expected: {says}")


def check_options_of_depth(image):
    """Each setting is shown and sent where it has a part in the depth, and only there."""
    settings = bpy.context.scene.lyra

    def sent():
        return start.new_world(bpy.context).settings.to_json()

    def shown():
        return drawn(bpy.types.LYRA_PT_image_options, bpy.context)

    settings.depth_file = ""
    assert "depth_scene" in shown() and "depth_values" not in shown() and "depth_scene" not in sent()
    settings.depth_scene = "indoor"
    for depth, matters in (("auto", True), ("depth-anything-v2-large", True), ("builtin", False)):
        settings.depth = depth
        assert (sent().get("depth_scene") == "indoor") == ("depth_scene" in shown()) == matters, depth
    settings.depth, settings.depth_values = "auto", "inverse"
    assert "depth_values" not in sent()
    settings.depth_file = str(image)  # metres until something else is said of this file
    assert not {"depth", "depth_scene", "depth_values", "depth_blend"} & set(sent())
    assert "depth_values" in shown() and "depth_blend" in shown() and "depth_scene" not in shown()
    settings.depth_blend = True
    assert sent()["depth_blend"] is True and sent()["depth_scene"] == "indoor"
    # The estimate gives an inverse file its scale, and so cannot fill it in as well.
    settings.depth_values = "inverse"
    assert sent()["depth_values"] == "inverse" and sent()["depth"] == "auto" and "depth_blend" not in sent()
    assert sent()["depth_scene"] == "indoor" and "depth_blend" not in shown()
    render_depth()
    settings.depth_values = "inverse"
    assert "depth_values" not in sent() and "depth_values" not in shown() and sent()["depth_blend"] is True
    settings.depth_scene = "auto"


def check_depth_of_another_time(image, photo):
    """Depth from the scene is for one image and one camera; a file the artist chose is for whatever they say."""
    scene, settings = bpy.context.scene, bpy.context.scene.lyra
    camera = scene.camera
    render_depth()
    assert start.new_world(bpy.context).depth == Path(settings.depth_file)
    camera.location.x += 0.01
    stale("camera has moved since")
    camera.location.x -= 0.01
    camera.data.lens += 1
    stale("The lens of the scene's camera or the frame size")
    camera.data.lens -= 1
    settings.width += 16
    stale("The lens of the scene's camera or the frame size")
    settings.width -= 16
    scene.camera = None
    stale("camera has moved since")
    scene.camera = other = link("other", camera.data)
    stale("camera has moved since")
    other.matrix_world = camera.matrix_world
    bpy.context.view_layer.update()
    assert start.new_world(bpy.context).depth
    # The same image by another name for its path is the same image.
    settings.image = str(image.parent / "." / image.name)
    assert settings.depth_file and settings.depth_blend
    kept = settings.depth_origin
    assert bpy.ops.lyra.choose_image(filepath=str(photo)) == {"FINISHED"}
    assert not settings.depth_file and not settings.depth_blend and not settings.depth_origin
    assert start.new_world(bpy.context).depth is None
    settings.depth_file, settings.depth_origin = str(image), kept  # as a script that sets what no artist sees
    stale("another image, image.png")
    # The image changes while its depth is rendered.
    settings.depth_file = ""
    assert bpy.ops.lyra.depth_from_scene() == {"FINISHED"}
    settings.image = str(image)
    until(is_rendered)
    assert not settings.depth_file and "The image has changed" in session.current.message
    settings.depth_file = str(photo)
    settings.image = str(photo)
    camera.location.x += 1
    assert settings.depth_file == str(photo) and start.new_world(bpy.context).depth == photo


def check_old_files():
    """Rendered depth of long ago goes with the next, unless the file still refers to it."""
    scene, settings = bpy.context.scene, bpy.context.scene.lyra
    settings.depth_file = ""
    render_depth()
    folder = Path(settings.depth_file).parent
    kept, unused, recent = (folder / f"scene-{number}.npz" for number in (9001, 9002, 9003))
    for file in (kept, unused, recent):
        file.write_bytes(b"")
    long_ago = time.time() - 8 * 24 * 3600
    for file in (kept, unused):
        os.utime(file, (long_ago, long_ago))
    other = bpy.data.scenes.new("other")
    other.lyra.depth_file = str(kept)
    before = Path(settings.depth_file)
    render_depth()
    assert kept.exists() and recent.exists() and before.exists() and not unused.exists()
    assert Path(settings.depth_file).name == "scene-9004.npz"
    bpy.data.scenes.remove(other)
    assert bpy.context.scene == scene


def check_upright(photo):
    """A camera held upright stores 120 x 90 pixels and how they are turned: the service says 90 x 120."""
    settings, pictures = bpy.context.scene.lyra, module("service.pictures")
    settings.depth_file, settings.image, sizes = "", str(photo), []
    pictures.measure(photo, sizes.append, "a test")
    until(lambda: sizes)
    assert sizes == [(90, 120)] and pictures.known(photo) == (90, 120)
    settings.size = "DRAFT"
    assert module("scene.reference_image").frame_size(settings)(90, 120) == (240, 416)
    new = start.new_world(bpy.context)
    assert new.of_size((90, 120)) == replace(new.settings, size=(240, 416)) and new.settings.size is None
    settings.use_camera_lens = True
    sent = start.new_world(bpy.context).of_size((90, 120))
    assert sent.intrinsics_size == (90, 120) and abs(sent.intrinsics[1][1] - 30 / 36 * 120) < 1e-4
    settings.size, settings.use_camera_lens = "CUSTOM", False
    assert start.new_world(bpy.context).of_size is None
    photo.write_bytes(photo.read_bytes() + b"more")
    try:
        pictures.known(photo)
    except OSError as error:
        assert "measured by the service" in str(error)
    else:
        raise AssertionError("another picture has the size of the one before")


def main():
    zip_file, image, photo = sys.argv[1:]
    install(zip_file)
    global depth_file, start, service, session
    service = Service()
    chosen = module("service.preferences").get()
    chosen.source, chosen.address, chosen.token = "ADDRESS", f"127.0.0.1:{serve(service)}", service.token
    depth_file, start, session = (
        module("scene.depth_file"),
        module("operators.start"),
        module("service.session"),
    )
    check_depth(Path(image))
    check_what_is_sent(Path(image))
    check_options_of_depth(Path(image))
    check_old_files()
    check_depth_of_another_time(Path(image), Path(photo))
    check_upright(Path(photo))
    uninstall()


main()
