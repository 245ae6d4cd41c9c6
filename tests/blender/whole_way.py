"""Run inside Blender: the installed zip against a real backend process, from an image to a world and back."""

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

from tests.blender.playing import install, module, refused, uninstall, until
from tests.blender.recorder import drawn

WIDTH, HEIGHT = 208, 112
FLIP = np.diag([1.0, -1, -1, 1])


def settings():
    return bpy.context.scene.lyra


def job():
    return session.current.jobs[settings().world.lyra.world_id]


def world():
    return worlds.description(settings().world)


def idle():
    return not session.current.tasks and not session.current.client.busy and not session.current.followers


def evaluated(obj):
    bpy.context.view_layer.update()
    return np.array(obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world)


def check_refusals_before_anything(image):
    refused(bpy.ops.lyra.start_world, "Choose an image first")
    refused(bpy.ops.lyra.generate, "Start a world first")
    refused(bpy.ops.lyra.install_service, "Allow Online Access")
    texts = drawn(bpy.types.LYRA_PT_service, bpy.context)
    assert "packages" in texts and "lyra.install_service" in texts, texts
    settings().image = str(image.with_name("gone.png"))
    refused(bpy.ops.lyra.start_world, "There is no file")
    settings().image = str(image)
    refused(bpy.ops.lyra.start_world, "The service is not installed")


def start(image, depth, folder):
    chosen = preferences.get()
    chosen.worlds_folder = str(folder / "worlds")
    chosen.source, chosen.service_python = "PYTHON", os.environ["LYRA_ENGINE_PYTHON"]
    scene = bpy.context.scene
    stand = bpy.data.objects.new("Stand", bpy.data.cameras.new("Stand"))
    scene.collection.objects.link(stand)
    stand.location, stand.rotation_euler, stand.scale = (4, -3, 2), (1.4, 0, 0.7), (2, 2, 2)
    scene.camera = stand
    bpy.context.view_layer.update()
    settings().image, settings().depth_file = str(image), str(depth)
    settings().size, settings().width, settings().height = "CUSTOM", WIDTH, HEIGHT
    settings().use_camera_lens, stand.data.lens = True, 40
    assert bpy.ops.lyra.start_world() == {"FINISHED"}
    until(lambda: settings().world is not None and worlds.part(settings().world, worlds.FIRST_CAMERA))
    assert session.current.health.owner == "blender"
    return stand


def check_seed(stand):
    empty, seed = settings().world, worlds.part(settings().world, worlds.FIRST_CAMERA)
    collection = worlds.collection_of(empty)
    assert collection.name == "image" and collection.name in bpy.data.collections["Lyra Worlds"].children
    assert bpy.context.scene.camera == seed
    # It stands where the artist's camera stood and heads where that did, without its scale and pitch: upright.
    stood = conversion.upright(evaluated(stand) @ np.diag([0.5, 0.5, 0.5, 1]))
    np.testing.assert_allclose(stood[:3, 3], (4, -3, 2), atol=1e-6)
    up = evaluated(empty)[:3, :3] @ world().up
    np.testing.assert_allclose(up, [0, 0, 1], atol=1e-5)
    np.testing.assert_allclose(evaluated(empty), evaluated(seed) @ FLIP, atol=1e-5)
    np.testing.assert_allclose(evaluated(empty), conversion.standing(stood @ FLIP, world().up), atol=1e-5)
    assert abs(seed.data.lens / seed.data.sensor_width - 40 / 36) < 1e-3
    points = worlds.part(empty, worlds.POINTS)
    position = np.empty(len(points.data.attributes["position"].data) * 3, np.float32)
    points.data.attributes["position"].data.foreach_get("vector", position)
    depth = position.reshape(-1, 3)[:, 2]
    assert 1000 < len(depth) <= WIDTH * HEIGHT and abs(np.median(depth) - empty.lyra.depth) < 1e-3
    np.testing.assert_allclose(np.quantile(depth, [0.02, 0.98]), [5, 12], atol=0.3)


def check_paths():
    """Every preset begins exactly at the seed camera."""
    seed = worlds.part(settings().world, worlds.FIRST_CAMERA)
    for preset in ("PULL_OUT", "ORBIT", "CRANE", "WALK", "LOOK_AROUND", "PUSH_IN"):
        assert bpy.ops.lyra.add_path(preset=preset) == {"FINISHED"}
        camera = settings().camera
        assert (settings().first_frame, settings().last_frame) == (1, 81)
        bpy.context.scene.frame_set(1)
        np.testing.assert_allclose(evaluated(camera), evaluated(seed), atol=2e-4, err_msg=preset)
        bpy.context.scene.frame_set(81)
        assert np.abs(evaluated(camera) - evaluated(seed)).max() > 0.1, preset
    bpy.context.scene.frame_set(1)


def check_path_shown():
    """What is drawn is what was sampled, until something that moves the camera changes."""
    scene = bpy.context.scene
    bpy.context.view_layer.update()
    bpy.ops.lyra.update_path()
    bpy.context.view_layer.update()
    assert sampled_path.is_current(scene)
    kept = sampled_path.shown(scene)
    assert kept.sampled.matrices.shape == (81, 4, 4)
    curve = settings().camera.constraints[0].target
    curve.data.splines[0].bezier_points[-1].co.z += 1
    bpy.context.view_layer.update()
    assert not sampled_path.is_current(scene) and sampled_path.shown(scene)
    assert bpy.ops.lyra.update_path() == {"FINISHED"}
    bpy.context.view_layer.update()
    raised = sampled_path.shown(scene).sampled.matrices[-1, 2, 3] - kept.sampled.matrices[-1, 2, 3]
    assert sampled_path.is_current(scene) and abs(raised - 1) < 1e-5
    settings().chunks = 2
    assert not sampled_path.is_current(scene)
    settings().chunks = 1
    settings().show_path = False
    assert sampled_path.shown(scene) is None
    settings().show_path = True
    curve.data.splines[0].bezier_points[-1].co.z -= 1


def check_scale():
    """Two points of the world get a true length between them; all that hangs under it, and its path, follow."""
    empty, seed = settings().world, worlds.part(settings().world, worlds.FIRST_CAMERA)
    cameras = [obj for obj in worlds.collection_of(empty).objects if obj.type == "CAMERA"]
    assert len(cameras) == 7  # one of each kind of path, and the first picture's
    before = [evaluated(obj) for obj in (empty, seed)]
    bpy.context.scene.frame_set(81)
    ends = [evaluated(camera) for camera in cameras]
    refused(bpy.ops.lyra.set_scale, "are the same", point_a=(1, 2, 3), point_b=(1, 2, 3))
    refused(bpy.ops.lyra.set_scale, "A length of 0", point_a=(0, 0, 0), point_b=(0, 0, 2), length=0)
    options = {"point_a": (0, 0, 0), "point_b": (0, 0, 2), "by": "HEIGHT"}
    refused(bpy.ops.lyra.set_scale, "no object 'nobody'", object="nobody", **options)
    cube = bpy.data.objects.new("person", bpy.data.meshes.new("person"))
    cube.data.from_pydata([(0, 0, 0), (0.3, 0, 1)], [], [])
    cube.scale = (1, 1, 6)
    bpy.context.scene.collection.objects.link(cube)
    bpy.context.view_layer.update()
    assert bpy.ops.lyra.set_scale(object="person", **options) == {"FINISHED"}
    stood = before[0][:3, 3]
    for camera, end in zip(cameras, ends, strict=True):
        end[:3, 3] = stood + 3 * (end[:3, 3] - stood)
        np.testing.assert_allclose(evaluated(camera), end, atol=1e-3, err_msg=camera.name)
    bpy.context.scene.frame_set(1)
    np.testing.assert_allclose(evaluated(empty), before[0] @ np.diag([3, 3, 3, 1]), atol=1e-4)
    np.testing.assert_allclose(evaluated(seed), before[1], atol=1e-4)
    until(idle)
    assert abs(world().scale - 3) < 1e-4 and not session.current.message
    assert json.loads((Path(world().folder) / "world.json").read_text())["scale"] == world().scale
    bpy.data.objects.remove(cube)
    # What undo does to the file, and what it calls then: the service is told the scale that holds again.
    for scale in (1.0, 3.0):
        worlds.describe(empty, replace(world(), scale=scale))
        for handler in list(bpy.app.handlers.undo_post):
            handler(bpy.context.scene)
        until(idle)
        assert json.loads((Path(world().folder) / "world.json").read_text())["scale"] == scale


def check_bad_cameras():
    data = settings().camera.data
    for kind, word in (("ORTHO", "orthographic"), ("PANO", "panoramic")):
        data.type = kind
        refused(bpy.ops.lyra.generate, word)
    data.type = "PERSP"
    settings().camera.scale = (-1, 1, 1)
    refused(bpy.ops.lyra.generate, "mirrored")
    settings().camera.scale = (1, 3, 1)


def generate():
    bpy.context.scene.frame_set(17)
    assert bpy.ops.lyra.generate() == {"FINISHED"}
    assert bpy.context.scene.frame_current == 17, "sampling must put the frame back"
    until(lambda: settings().world.lyra.job and job().kind == "extend")


def check_reopened(blend):
    """Saved while the job runs, closed, opened: the file knows its world and finds the job."""
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    world_id, job_id = settings().world.lyra.world_id, job().id
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=False)
    assert not session.current.followers
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    assert settings().world.lyra.world_id == world_id and settings().world.lyra.job == job_id
    until(lambda: world_id in session.current.jobs)
    assert job().id == job_id


def check_results():
    empty = settings().world
    description = world()
    assert description.frames == 81 and empty.lyra.job == ""
    assert empty["lyra_world_id"] == description.id and empty["lyra_engine"] == "preview"
    assert empty["lyra_prompt"] == "a ruin" and "lyra_seed" in empty
    parts = {role: worlds.part(empty, role) for role in (worlds.SPLATS, worlds.MESH, worlds.CAMERA)}
    assert all(worlds.collection_of(empty) in obj.users_collection for obj in parts.values())
    splats = parts[worlds.SPLATS]
    assert len(splats.data.attributes["position"].data) == description.results.splats
    mesh = parts[worlds.MESH].data
    assert len(mesh.polygons) == description.results.faces and not mesh.validate()
    assert not splats.hide_render and parts[worlds.MESH].hide_render

    # The sampled camera repeats the artist's, frame by frame.
    camera, path = parts[worlds.CAMERA], settings().camera
    for frame in (1, 2, 40, 81):
        bpy.context.scene.frame_set(frame)
        wanted = evaluated(path)
        wanted[:3, :3] /= np.linalg.norm(wanted[:3, :3], axis=0)
        np.testing.assert_allclose(evaluated(camera), wanted, atol=1e-3)
    (background,) = camera.data.background_images
    assert background.source == "MOVIE_CLIP" and background.clip.frame_duration == 81
    assert tuple(background.clip.size) == (WIDTH, HEIGHT)
    assert abs(camera.data.lens - path.data.lens) < 1e-2


def check_extend_cancel_resume():
    """The next path begins at the newest frame; a cancelled job keeps what was whole."""
    assert bpy.ops.lyra.add_path(preset="WALK") == {"FINISHED"}
    assert (settings().first_frame, settings().last_frame) == (81, 161)
    bpy.context.scene.frame_set(81)
    np.testing.assert_allclose(
        evaluated(settings().camera), evaluated(worlds.part(settings().world, worlds.CAMERA)), atol=1e-3
    )
    generate()
    refused(bpy.ops.lyra.generate, "Wait for the world's job")
    until(lambda: job().state == "running")
    assert bpy.ops.lyra.cancel() == {"FINISHED"}
    until(lambda: job().state == "cancelled" and idle())
    assert world().frames == 81 and worlds.part(settings().world, worlds.SPLATS)
    assert bpy.ops.lyra.resume() == {"FINISHED"}
    until(lambda: job().state in ("queued", "running"))
    assert bpy.ops.lyra.cancel() == {"FINISHED"}
    until(lambda: job().state == "cancelled" and idle())


def check_revert():
    refused(bpy.ops.lyra.revert, "The world has 1 chunk;", keep=1)
    assert bpy.ops.lyra.revert(keep=0) == {"FINISHED"}
    until(lambda: world().frames == 1 and idle())
    assert worlds.part(settings().world, worlds.SPLATS) is None
    assert worlds.part(settings().world, worlds.CAMERA) is None
    assert not worlds.part(settings().world, worlds.POINTS).hide_viewport


def check_engines():
    """The service's engines with their states, as the panel shows them."""
    lyra = engines.find("lyra2")
    assert engines.status(lyra) in {"ready", *engines._LACKS}, lyra
    assert engines.setting("lyra2", "steps").default == 35 and engines.setting("preview", "steps") is None
    settings().engine = "lyra2"
    texts = drawn(bpy.types.LYRA_PT_image, bpy.context)
    lack = engines.lack(lyra)
    assert (f"{lyra.label}: {lack}" if lack else lyra.label) in texts, texts
    settings().engine = "preview"


def check_blockout():
    """A world from a box before the camera: there the depth is the box's, elsewhere it is estimated."""
    scene, stand = bpy.context.scene, bpy.data.objects["Stand"]
    box = bpy.data.objects.new("box", bpy.data.meshes.new("box"))
    corners = [(x, y, 0) for x in (-1, 1) for y in (-1, 1)]
    box.data.from_pydata(corners, [], [(0, 1, 3, 2)])
    scene.collection.objects.link(box)
    scene.camera = stand
    box.matrix_world = Matrix(evaluated(stand) @ np.diag([0.5, 0.5, 0.5, 1])) @ Matrix.Translation(
        (0, 0, -4.5)
    )
    bpy.context.view_layer.update()
    first = settings().world
    assert bpy.ops.lyra.depth_from_scene() == {"FINISHED"}
    until(lambda: settings().depth_origin)
    settings().depth = "builtin"
    assert bpy.ops.lyra.start_world() == {"FINISHED"}
    until(
        lambda: settings().world != first and worlds.part(settings().world, worlds.FIRST_CAMERA) and idle(),
        60,
    )
    with np.load(Path(world().folder) / "seed.npz") as seed, np.load(settings().depth_file) as given:
        depth, known = seed["depth"], np.isfinite(given["depth"])
    assert 0.02 < known.mean() < 0.5 and (depth > 0).all()
    np.testing.assert_allclose(depth[known], 4.5, rtol=1e-3)
    assert np.ptp(depth[~known & np.isfinite(depth)]) > 1
    # The world's first camera sees what the artist's saw: another world may start from the same depth.
    assert scene.camera == worlds.part(settings().world, worlds.FIRST_CAMERA)
    bpy.context.view_layer.update()
    assert module("operators.start").new_world(bpy.context).depth == Path(settings().depth_file)


def check_end(state_file):
    """The extension started the service, and nothing runs: it ends with Blender."""
    assert state_file.exists()
    pid = json.loads(state_file.read_text())["pid"]
    session.current.close()
    end = time.monotonic() + 20
    while state_file.exists():
        assert time.monotonic() < end, f"the service {pid} goes on"
        time.sleep(0.05)


def main():
    zip_file, image, depth, folder = sys.argv[1:]
    install(zip_file)
    global conversion, engines, preferences, sampled_path, session, worlds
    conversion = module("camera.conversion")
    engines, preferences, sampled_path = (
        module("service.engines"),
        module("service.preferences"),
        module("scene.sampled_path"),
    )
    session, worlds = module("service.session"), module("scene.worlds")
    check_refusals_before_anything(Path(image))
    stand = start(Path(image), Path(depth), Path(folder))
    check_seed(stand)
    check_paths()
    check_path_shown()
    check_scale()
    check_bad_cameras()
    settings().prompt = "a ruin"
    generate()
    check_reopened(Path(folder) / "world.blend")
    until(lambda: worlds.part(settings().world, worlds.CAMERA) and idle())
    check_results()
    check_extend_cancel_resume()
    check_revert()
    check_engines()
    check_blockout()
    check_end(session.state_file())
    uninstall()
    assert not hasattr(bpy.types.Scene, "lyra")
    print("whole way: ok")


main()
