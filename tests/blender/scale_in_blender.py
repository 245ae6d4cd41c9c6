"""Run inside Blender: points under the mouse, and what follows the scale of a world and what does not."""

import sys

import bpy
import numpy as np

from tests.blender.playing import install, module, refused, uninstall, world_of

WORLD = {
    "id": "w1",
    "name": "yard",
    "engine": "preview",
    "seed": 0,
    "chunks": [],
    "license": "",
    "frames": 1,
    "last_w2c": np.eye(4).tolist(),
    "width": 96,
    "height": 64,
    "scale": 1.0,
}
PRESETS = ("PUSH_IN", "ORBIT", "LOOK_AROUND", "CRANE")


def check_under_mouse():
    """Of two walls the front one is hit, also with a stray splat before it; beside them nothing."""
    rng = np.random.default_rng(0)
    front = np.concatenate([rng.uniform(-1, 1, (4000, 2)), np.full((4000, 1), -4.0)], 1)
    back = front * [2, 2, 2]
    stray = np.array([[0.001, 0.001, -1.0]])
    points = np.concatenate([front, back, stray])
    lens = np.array([[1.5, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, -1, -0.2], [0, 0, -1, 0]])
    found = scaling.under_mouse(points, np.eye(4), lens, 800, 600, (400, 300))
    assert found[2] == -4 and np.abs(found[:2]).max() < 0.1, found
    assert scaling.under_mouse(points, np.eye(4), lens, 800, 600, (5, 300)) is None
    behind = np.array([[0, 0, 4.0]])
    assert scaling.under_mouse(behind, np.eye(4), lens, 800, 600, (400, 300)) is None


def check_under_mouse_without_perspective():
    """Orthographic: of two walls the front one too, though a point of the back one is closer to the mouse."""
    view = np.array(
        [[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, -3.0], [0, 0, 0, 1]]
    )  # from +X, 3 beyond the origin
    across, deep = 4.0, 50.0
    flat = np.diag([2 / across, 2 / across * 800 / 600, -2 / deep, 1.0])
    front, back = np.array([0.5, 0.03, 0.0]), np.array([-2.0, 0.0, 0.0])
    points = np.stack([back, front])
    assert (scaling.under_mouse(points, view, flat, 800, 600, (400, 300)) == front).all()
    # A viewport shows what lies behind its eye as well, up to the near plane; nothing beyond that.
    points = np.stack([back, front, [10.0, 0.03, 0.0], [40.0, 0.0, 0.0]])
    assert (scaling.under_mouse(points, view, flat, 800, 600, (400, 300)) == points[2]).all()
    # What lies within a twentieth of the width seen is one surface: there the point closest to the mouse is taken.
    points = np.stack([[0.1, 0.03, 0.0], [0.0, 0.0, 0.0]])
    assert (scaling.under_mouse(points, view, flat, 800, 600, (400, 300)) == points[1]).all()


def stand():
    """A world at (4, -3, 2) with its first camera and a path of each of some kinds."""
    scene = bpy.context.scene
    matrix = np.array([[1, 0, 0, 4.0], [0, 0, 1, -3.0], [0, -1, 0, 2.0], [0, 0, 0, 1]])
    empty = worlds.create(scene, world_of(WORLD), matrix)
    empty.lyra.depth = 5.0
    first = bpy.data.objects.new("first", bpy.data.cameras.new("first"))
    worlds.add(empty, worlds.FIRST_CAMERA, first, np.diag([1.0, -1, -1, 1]))
    scene.lyra.world = empty
    bpy.context.view_layer.update()
    for preset in PRESETS:
        assert bpy.ops.lyra.add_path(preset=preset) == {"FINISHED"}
    return empty


def own_things(collection):
    """What artists may put beside a world: a lamp, a box, and a camera on a curve of their own with a target."""
    curve = bpy.data.curves.new("rails", "CURVE")
    curve.splines.new("BEZIER").bezier_points.add(1)
    curve.splines[0].bezier_points[1].co = (0, 5, 0)
    camera = bpy.data.objects.new("mine", bpy.data.cameras.new("mine"))
    things = [
        bpy.data.objects.new("lamp", bpy.data.lights.new("lamp", "POINT")),
        bpy.data.objects.new("box", bpy.data.meshes.new("box")),
        bpy.data.objects.new("rails", curve),
        bpy.data.objects.new("goal", None),
        camera,
    ]
    for obj in things:
        collection.objects.link(obj)
        obj.location = (1, 2, 3)
    follow = camera.constraints.new("FOLLOW_PATH")
    follow.target, follow.use_fixed_location = things[2], True
    camera.constraints.new("TRACK_TO").target = things[3]
    camera.data.clip_end = 77.0
    return things


def state(objects):
    bpy.context.view_layer.update()
    return {
        obj.name: (
            [list(row) for row in obj.matrix_world],
            list(obj.location),
            obj.empty_display_size,
            getattr(obj.data, "display_size", None),
            getattr(obj.data, "clip_end", None),
        )
        for obj in objects
    }


def check_what_follows():
    scene, empty = bpy.context.scene, stand()
    collection = worlds.collection_of(empty)
    paths = [obj for obj in collection.objects if obj.parent is None and obj != empty]
    assert len(paths) == 2 * len(PRESETS) + 2  # two have a target
    things = own_things(collection)
    for obj in paths[:5]:  # as an older version left them: Push In, and Orbit with its target
        assert obj["lyra_path"] == "w1"
        del obj["lyra_path"]
    paths[1].name = "hero shot"
    for obj in paths[-2:]:  # sorted into a collection of the artist's
        collection.objects.unlink(obj)
        scene.collection.objects.link(obj)
    scene.frame_set(81)
    before, kept = state(paths), state(things)

    empty.scale = (1, 1, 2)
    everything = [empty, *empty.children, *paths, *things]
    uneven, told = state(everything), empty.lyra.world
    options = {"point_a": (0, 0, 0), "point_b": (0, 0, 1), "length": 3.0}
    refused(bpy.ops.lyra.set_scale, "scaled unevenly", **options)
    assert state(everything) == uneven and empty.lyra.world == told
    empty.scale = (1, 1, 1)

    assert abs(scaling.apply(empty, 300.0) - 300) < 1e-3
    assert state(things) == kept
    pivot = np.array(empty.location)
    for name, (matrix, _, _, size, _) in state(paths).items():
        start = np.array(before[name][0])
        expected = pivot + 300 * (start[:3, 3] - pivot)
        np.testing.assert_allclose(np.array(matrix)[:3, 3], expected, atol=0.02, err_msg=name)
        if bpy.data.objects[name].type == "CAMERA":
            assert abs(size / before[name][3] - 300) < 0.1, name
            assert abs(bpy.data.objects[name].data.clip_end - 1000 * 5 * 300) < 10, name


def main():
    install(sys.argv[1])
    global scaling, worlds
    scaling, worlds = module("scene.scaling"), module("scene.worlds")
    check_under_mouse()
    check_under_mouse_without_perspective()
    check_what_follows()
    uninstall()


main()
