"""Run inside Blender: worlds stand upright, beside each other and where the artist puts them, with their paths."""

import sys
from pathlib import Path

import bpy
import numpy as np

from tests.blender.kept_worlds import Service, serve
from tests.blender.playing import install, module, refused, uninstall, until

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
    uninstall()


main()
