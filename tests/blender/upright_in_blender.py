"""Run inside Blender: worlds stand upright, beside each other and where the artist puts them, with their paths."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np

from tests.blender.kept_worlds import Service, serve
from tests.blender.playing import install, module, refused, uninstall, until
from tests.blender.recorder import drawn

# The image was taken 20 degrees downward and 10 degrees to a side.
PITCH, ROLL = np.radians([20, 10])


def settings():
    return bpy.context.scene.lyra


def evaluated(obj):
    bpy.context.view_layer.update()
    return np.array(obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world)


def up_of_image():
    return [float(np.sin(ROLL)), -float(np.cos(PITCH) * np.cos(ROLL)), -float(np.sin(PITCH) * np.cos(ROLL))]


def up_in_scene(empty):
    up = evaluated(empty)[:3, :3] @ worlds.description(empty).up
    return up / np.linalg.norm(up)


def choose():
    undo.clear()
    assert bpy.ops.lyra.choose_world(world="w1") == {"FINISHED"}
    until(lambda: undo and not session.current.tasks and not session.current.client.busy)
    return settings().world


def check_opened_upright():
    bpy.context.scene.cursor.location = (3, 4, 5)
    empty = choose()
    np.testing.assert_allclose(up_in_scene(empty), [0, 0, 1], atol=1e-5)
    np.testing.assert_allclose(evaluated(empty)[:3, 3], [3, 4, 6.6], atol=1e-5)
    forward = evaluated(empty)[:3, 2]
    assert forward[1] > 0 and forward[2] < -0.3 * np.linalg.norm(forward)  # as the image looks down
    return empty


def own_camera():
    camera = bpy.data.objects.new("Own", bpy.data.cameras.new("Own"))
    bpy.context.scene.collection.objects.link(camera)
    camera.location, camera.rotation_euler = (10, 0, 2), (1.1, 0.2, 0.8)
    bpy.context.view_layer.update()
    return camera


def asked(image):
    settings().image = str(image)
    return module("operators.start").new_world(bpy.context)


def check_new_one_is_level(camera, image):
    """The heading and place of the scene's camera, not its pitch and roll."""
    first, scene = settings().world, bpy.context.scene
    shown, scene.camera = scene.camera, camera
    stood = asked(image)
    level, forward = stood.first_camera, -evaluated(camera)[:2, 2]
    np.testing.assert_allclose(level[:3, 1], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(-level[:2, 2], forward / np.linalg.norm(forward), atol=1e-6)
    far = np.linalg.norm(level[:2, 3] - evaluated(first)[:2, 3])
    assert stood.stands_up and far >= 3 * first.lyra.depth * 2 * (1 - 1e-5) and abs(level[2, 3] - 2) < 1e-6
    # Far from every world, exactly where the camera stands.
    camera.location = (200, 0, 2)
    bpy.context.view_layer.update()
    np.testing.assert_allclose(asked(image).first_camera[:3, 3], [200, 0, 2], atol=1e-5)
    scene.camera = shown
    # By the camera of the first world: beside it, not in it.
    assert worlds.is_made_camera(scene.camera)
    beside = asked(image).first_camera
    moved = beside[:3, 3] - evaluated(first)[:3, 3]
    np.testing.assert_allclose(beside[:3, 1], [0, 0, 1], atol=1e-6)
    assert abs(np.linalg.norm(moved) - 6 * first.lyra.depth) < 1e-3 and moved @ beside[:3, 0] > 0


def check_operators(camera):
    empty, scene = settings().world, bpy.context.scene
    path = []
    for preset in ("PUSH_IN", "LOOK_AROUND", "ORBIT"):
        assert bpy.ops.lyra.add_path(preset=preset) == {"FINISHED"}
        path.append(settings().camera)
    first = worlds.part(empty, worlds.FIRST_CAMERA)

    def seen():
        """Poses of the paths' cameras in the axes of the world's first camera."""
        found = []
        for frame in (1, 41, 81):
            scene.frame_set(frame)
            origin = np.linalg.inv(evaluated(first))
            found += [origin @ evaluated(one) for one in path]
        scene.frame_set(1)
        return found

    def goes_along(before):
        for here, there in zip(seen(), before, strict=True):
            np.testing.assert_allclose(here, there, atol=2e-3)

    before = seen()
    turn = np.eye(4)
    turn[:3, :3] = [[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]
    module("scene.standing").move(empty, turn)
    goes_along(before)

    stood = evaluated(empty)
    assert bpy.ops.lyra.drop_to_floor() == {"FINISHED"}
    heights = scaling.points_in_scene(empty)[:, 2]
    assert abs(np.quantile(heights, 0.05)) < 0.2 and abs(module("scene.standing").floor(empty)) < 1e-4
    np.testing.assert_allclose(evaluated(empty)[:2], stood[:2], atol=1e-4)
    goes_along(before)

    scene.cursor.location = (-7, 8, 1.5)
    assert bpy.ops.lyra.stand_here() == {"FINISHED"}
    np.testing.assert_allclose(evaluated(empty)[:2, 3], [-7, 8], atol=1e-4)
    assert abs(module("scene.standing").floor(empty) - 1.5) < 1e-3
    goes_along(before)

    bpy.context.view_layer.objects.active = empty
    refused(bpy.ops.lyra.align_to_camera, "Select the camera")
    for other in list(bpy.context.selected_objects):
        other.select_set(False)
    path[0].select_set(True)
    bpy.context.view_layer.objects.active = path[0]
    refused(bpy.ops.lyra.align_to_camera, "moves along")
    camera.select_set(True)
    bpy.context.view_layer.objects.active = camera
    assert bpy.ops.lyra.align_to_camera() == {"FINISHED"}
    np.testing.assert_allclose(evaluated(first), evaluated(camera), atol=1e-4)
    assert up_in_scene(empty)[2] < 0.99

    assert bpy.ops.lyra.level() == {"FINISHED"}
    np.testing.assert_allclose(up_in_scene(empty), [0, 0, 1], atol=1e-5)
    np.testing.assert_allclose(evaluated(empty)[:3, 3], evaluated(camera)[:3, 3], atol=1e-4)
    for operator in (bpy.types.LYRA_OT_level, bpy.types.LYRA_OT_align_to_camera):
        assert "UNDO" in operator.bl_options


def check_camera_given_back(camera):
    scene = bpy.context.scene
    assert bpy.ops.lyra.remove_world() == {"FINISHED"}
    assert scene.camera == camera
    # And after a path of the world was the scene's camera.
    empty = choose()
    assert scene.camera == worlds.part(empty, worlds.FIRST_CAMERA)
    assert bpy.ops.lyra.add_path(preset="PUSH_IN") == {"FINISHED"}
    assert scene.camera == settings().camera != camera
    assert bpy.ops.lyra.remove_world() == {"FINISHED"}
    assert scene.camera == camera
    # A camera that the artist chose meanwhile stays.
    choose()
    other = scene.camera = bpy.data.objects.new("Other", bpy.data.cameras.new("Other"))
    scene.collection.objects.link(other)
    assert bpy.ops.lyra.remove_world() == {"FINISHED"}
    assert scene.camera == other


def check_each_world_keeps_its_own():
    """Camera and what is shown are those of the world that is chosen."""
    scene, first = bpy.context.scene, choose()
    assert bpy.ops.lyra.add_path(preset="PUSH_IN") == {"FINISHED"}
    path = settings().camera
    assert settings().show == "SPLATS"
    facts = replace(worlds.description(first), id="w9", chunks=(), frames=1, results=None)
    second = worlds.create(scene, facts, np.eye(4))
    points = bpy.data.objects.new("points", worlds.part(first, worlds.POINTS).data.copy())
    worlds.add(second, worlds.POINTS, points)
    settings().world = second
    assert settings().camera is None and settings().show == "POINTS"
    settings().show = "ALL"
    settings().camera = own = bpy.data.objects["Own"]
    settings().world = first
    assert settings().show == "SPLATS" and settings().camera == own  # the artist's own goes with any
    settings().camera = None
    settings().world = second
    settings().camera = path
    settings().world = first
    assert settings().camera == path
    settings().world = second
    assert settings().camera is None
    settings().world = first
    worlds.delete(second)


def check_texts(service):
    empty = settings().world
    size = sum(len(data) for data in service.files.values())
    question = module("operators.results").deletion(worlds.description(empty))
    assert question == f"Delete world 'yard' with its 1 chunk, {size / 1e6:.1f} MB?", question
    opening, choices = module("jobs.opening"), module("operators.opening")
    (world,) = opening.listed
    assert choices._choices(None, None)[0][1] == "yard, 81 frames"
    opening.listed.append(replace(world, id="yard-0123abcd"))
    labels = [label for _, label, _ in choices._choices(None, None)]
    assert labels[1] == "yard (0123abcd), 81 frames" and labels[0] != labels[1]
    del opening.listed[1]
    add = bpy.types.LYRA_OT_add_path
    presets = module("camera.presets").PRESETS
    assert len({add.description(None, SimpleNamespace(preset=key)) for key in presets}) == len(presets)
    limit = module("service.preferences").get().splat_limit
    drawn_count = module("viewport.splats").drawn_count
    assert [drawn_count(count, 600_000) for count in (5, 600_000, 702_887)] == [5, 600_000, 351_444]
    results = module("service.resources").Results(splats=2 * limit + 2, faces=1)
    worlds.describe(empty, replace(worlds.description(empty), results=results))
    texts = drawn(bpy.types.LYRA_PT_world, bpy.context)
    assert not any("no splats" in text for text in texts)
    worlds.describe(empty, replace(worlds.description(empty), results=None))
    bare = " ".join(drawn(bpy.types.LYRA_PT_world, bpy.context))
    assert "There are no splats of these chunks. Click Reconstruct" in bare, bare
    assert f"{drawn_count(results.splats, limit):,} of {results.splats:,} drawn" in texts, texts
    assert {"lyra.level", "lyra.drop_to_floor", "lyra.stand_here", "lyra.align_to_camera"} <= set(texts)


def check_job_panel(service):
    """A click is answered at once, and a job is done when its results are there."""
    job = service.begin()
    assert bpy.ops.lyra.reload() == {"FINISHED"}
    until(lambda: "Making Frames" in drawn(bpy.types.LYRA_PT_job, bpy.context))
    undo.clear()
    job["state"] = "done"
    said = []

    def imported():
        said.extend(drawn(bpy.types.LYRA_PT_job, bpy.context))
        return "Import World" in undo and not session.current.tasks and not session.current.client.busy

    # Once for the click on Reload Results, once for the job.
    until(imported)
    assert "Loading Results" in said and said[-1] == "Done", said
    assert said.index("Loading Results") < said.index("Done"), said
    assert bpy.ops.lyra.reconstruct() == {"FINISHED"}
    assert drawn(bpy.types.LYRA_PT_job, bpy.context) == ["Asking the Service"]
    until(lambda: not session.current.client.busy)
    assert "Done" in drawn(bpy.types.LYRA_PT_job, bpy.context)


def main():
    install(sys.argv[1])
    global scaling, session, undo, worlds
    scaling, session, worlds = map(module, ("scene.scaling", "service.session", "scene.worlds"))
    undo = []
    worlds.push_undo = undo.append  # there is no undo in the background
    service = Service()
    service.world["up"] = up_of_image()
    image = Path("image.png").absolute()
    image.write_bytes(service.files["seed.png"])
    chosen = module("service.preferences").get()
    chosen.source, chosen.address, chosen.token = "ADDRESS", f"127.0.0.1:{serve(service)}", "token"
    listed = []
    session.current.ensure(lambda: module("jobs.opening").ask(lambda: listed.append(True)))
    until(lambda: listed)
    camera = own_camera()
    bpy.context.scene.camera = camera
    check_opened_upright()
    check_new_one_is_level(camera, image)
    check_operators(camera)
    check_camera_given_back(camera)
    check_each_world_keeps_its_own()
    check_texts(service)
    check_job_panel(service)
    uninstall()


main()
