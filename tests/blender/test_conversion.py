"""Axes and lenses: against Blender's own camera matrix, and by the properties the maths must have."""

import itertools

import numpy as np
import pytest

from tests.blender.addon import load

bpy = pytest.importorskip("bpy", reason="needs Blender as a Python module")
object_utils, mathutils = map(pytest.importorskip, ("bpy_extras.object_utils", "mathutils"))
conversion = load("camera.conversion")


def random_rigid(rng, count):
    matrices = np.tile(np.eye(4), (count, 1, 1))
    q, r = np.linalg.qr(rng.normal(size=(count, 3, 3)))
    q *= np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None]
    q[np.linalg.det(q) < 0, :, 0] *= -1
    matrices[:, :3, :3], matrices[:, :3, 3] = q, rng.normal(size=(count, 3)) * 5
    return matrices


@pytest.fixture
def camera():
    obj = bpy.data.objects.new("c", bpy.data.cameras.new("c"))
    bpy.context.scene.collection.objects.link(obj)
    yield obj
    bpy.data.objects.remove(obj)


@pytest.mark.parametrize(
    ("fit", "size", "aspect"),
    itertools.product(
        ["AUTO", "HORIZONTAL", "VERTICAL"], [(832, 480), (480, 832), (500, 500)], [(1, 1), (2, 1), (1, 1.5)]
    ),
)
def test_intrinsics_are_blenders(camera, fit, size, aspect):
    (width, height), data = size, camera.data
    data.sensor_fit, data.sensor_width, data.sensor_height = fit, 36, 20
    data.lens, data.shift_x, data.shift_y = 31, 0.11, -0.07
    projection = np.array(
        camera.calc_matrix_camera(
            bpy.context.evaluated_depsgraph_get(), x=width, y=height, scale_x=aspect[0], scale_y=aspect[1]
        )
    )
    points = np.random.default_rng(0).uniform([-1, -1, -9, 1], [1, 1, -4, 1.0001], (20, 4))
    clip = points @ projection.T
    wanted = (clip[:, :2] / clip[:, 3:] * [1, -1] + 1) / 2 * [width, height]
    in_opencv = points[:, :3] * [1, -1, -1]
    pixels = in_opencv @ conversion.camera_intrinsics(data, width, height, *aspect).T
    np.testing.assert_allclose(pixels[:, :2] / pixels[:, 2:], wanted, atol=2e-3)


@pytest.mark.parametrize("size", [(832, 480), (480, 832), (480, 480)])
def test_lens_and_intrinsics_are_inverse(camera, size):
    width, height = size
    k = np.array([[613.0, 0, width / 2 + 20], [0, 613.0, height / 2 - 11], [0, 0, 1]])
    conversion.apply_lens(camera.data, conversion.intrinsics_lens(k, width, height))
    np.testing.assert_allclose(conversion.camera_intrinsics(camera.data, width, height), k, atol=1e-3)
    # The fitted side keeps its field of view in another aspect.
    wide = conversion.camera_intrinsics(camera.data, 2 * width, 2 * height)
    np.testing.assert_allclose(wide[0, 0] / k[0, 0], 2, rtol=1e-5)


def test_rigid_removes_scale_and_is_idempotent():
    cameras = random_rigid(np.random.default_rng(1), 10)
    scaled = cameras @ np.diag([3.0, 0.2, 7, 1])
    np.testing.assert_allclose(conversion.rigid(scaled), cameras, atol=1e-12)
    sheared = cameras.copy()
    sheared[:, :3, 0] += 5e-4 * sheared[:, :3, 1]
    once = conversion.rigid(sheared)
    np.testing.assert_allclose(
        once[:, :3, :3] @ once[:, :3, :3].transpose(0, 2, 1), np.tile(np.eye(3), (10, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(conversion.rigid(once), once, atol=1e-12)


def parented(camera, rng, unevenness):
    """Puts the camera at random under a random parent whose scales differ by up to this factor; mirrors some."""
    parent = bpy.data.objects.new("p", None)
    bpy.context.scene.collection.objects.link(parent)
    camera.parent = parent
    for obj in (parent, camera):
        obj.location = rng.normal(size=3) * 3
        obj.rotation_euler = rng.uniform(-np.pi, np.pi, 3)
    parent.scale = np.exp(rng.uniform(-1, 1, 3) * np.log(unevenness)) * rng.choice([0.5, 1, 4])
    camera.scale = rng.uniform(0.3, 3, 3) * rng.choice([-1, 1], 3, p=[0.15, 0.85])
    bpy.context.view_layer.update()
    return parent


@pytest.mark.parametrize("unevenness", [1.0, 1.0005, 1.2, 4.0])
def test_cameras_under_any_parent_see_blenders_picture_or_are_refused(camera, unevenness):
    """Against Blender's own projection, over the whole picture: within a pixel, or refused as mirrored or sheared."""
    scene, rng = bpy.context.scene, np.random.default_rng(3)
    scene.render.resolution_x, scene.render.resolution_y = 832, 480
    camera.data.lens, camera.data.shift_x, camera.data.shift_y = 18, 0.1, -0.05
    taken = 0
    for _ in range(40):
        parent = parented(camera, rng, unevenness)
        blender = np.array(camera.matrix_world.normalized())
        cosines = blender[:3, :3].T @ blender[:3, :3] - np.eye(3)
        try:
            pose = conversion.rigid(np.array(camera.matrix_world), "Cam")
        except conversion.CameraError as error:
            mirrored, sheared = (
                np.linalg.det(blender[:3, :3]) < 0,
                np.abs(cosines).max() > conversion.MAX_SHEAR,
            )
            assert ("mirrored" in str(error) and mirrored) or ("sheared" in str(error) and sheared)
            assert len(str(error)) <= 300
        else:
            taken += 1
            points = np.stack([rng.uniform(-1, 1, 9), rng.uniform(-0.6, 0.6, 9), -np.ones(9), np.ones(9)])
            points[:3] *= rng.uniform(1, 9, 9)
            points[:, 0] = 0, 0, -5, 1  # the direction of view
            seen = np.array(
                [
                    object_utils.world_to_camera_view(scene, camera, mathutils.Vector(point))
                    for point in (blender @ points)[:3].T
                ]
            )
            k = conversion.camera_intrinsics(camera.data, 832, 480)
            in_camera = k @ (np.linalg.inv(conversion.opencv_from_blender(pose)) @ blender @ points)[:3]
            off = in_camera[:2] / in_camera[2] - (seen[:, :2] * [1, -1] + [0, 1]).T * [[832], [480]]
            assert np.abs(off).max() < 1
            assert np.abs(off[:, 0]).max() < 0.02
        camera.parent = None
        bpy.data.objects.remove(parent)
    assert taken > 10 if unevenness < 1.1 else taken < 10


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (np.diag([-1.0, 1, 1, 1]), "mirrored"),
        (np.diag([0.0, 1, 1, 1]), "scaled to nothing"),
        (np.full((4, 4), np.nan), "not finite"),
        (np.array([[1.0, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "sheared.*parent's scale"),
    ],
)
def test_cameras_of_no_use(matrix, says):
    with pytest.raises(conversion.CameraError, match=says):
        conversion.rigid(matrix, "Cam")


def test_world_round_trip_under_a_moved_and_scaled_empty():
    rng = np.random.default_rng(2)
    cameras = random_rigid(rng, 12)
    empty = conversion.world_matrix(cameras[0], 2.5)
    w2c = conversion.cameras_in_world(cameras, empty, "World")
    np.testing.assert_allclose(w2c[0], np.eye(4), atol=1e-12)
    back = empty @ conversion.cameras_under_empty(w2c, 2.5)
    np.testing.assert_allclose(back, cameras, atol=1e-12)
    # Moving world and cameras together changes nothing for the world.
    motion = random_rigid(rng, 1)[0] @ np.diag([1.5, 1.5, 1.5, 1])
    np.testing.assert_allclose(
        conversion.cameras_in_world(motion @ cameras, motion @ empty, "World"), w2c, atol=1e-10
    )


def test_uneven_empty_is_refused():
    with pytest.raises(conversion.CameraError, match="unevenly"):
        conversion.uniform_scale(np.diag([1.0, 2, 1, 1]), "World")


def test_linear_from_srgb_is_blenders():
    from mathutils import Color

    values = np.linspace(0, 1, 40)
    wanted = [Color((v, v, v)).from_srgb_to_scene_linear().r for v in values]
    np.testing.assert_allclose(conversion.linear_from_srgb(values), wanted, atol=4e-4)


@pytest.mark.parametrize("size", [(2000, 900), (900, 1600), (416, 240)])
def test_the_crop_keeps_what_is_seen_and_leads_back(size):
    whole = np.array([[700.0, 0, 0.4 * size[0]], [0, 710.0, 0.55 * size[1]], [0, 0, 1]])
    target = (832, 480)
    fitted = conversion.cropped_intrinsics(whole, size, target)
    np.testing.assert_allclose(conversion.uncropped_intrinsics(fitted, size, target), whole)
    # The picture's middle stays in the middle, and the whole target is filled.
    ray = np.linalg.inv(whole) @ [size[0] / 2, size[1] / 2, 1]
    np.testing.assert_allclose((fitted @ ray)[:2], [416, 240])
    corners = whole @ np.linalg.inv(fitted) @ np.array([[0, 0, 1], [832, 480, 1]]).T
    assert (corners[:2] > -1e-6).all() and (np.array(size) + 1e-6 > corners[:2].T).all()


def test_upright_keeps_place_and_heading():
    for matrix in random_rigid(np.random.default_rng(5), 50):
        level = conversion.upright(matrix)
        assert np.allclose(level[:3, :3] @ level[:3, :3].T, np.eye(3)) and np.linalg.det(level[:3, :3]) > 0
        np.testing.assert_allclose(level[:3, 1], [0, 0, 1], atol=1e-12)
        np.testing.assert_array_equal(level[:3, 3], matrix[:3, 3])
        forward = -matrix[:2, 2] / np.hypot(*matrix[:2, 2])
        np.testing.assert_allclose(-level[:2, 2], forward, atol=1e-12)
        np.testing.assert_allclose(conversion.upright(level), level, atol=1e-12)


@pytest.mark.parametrize("pitch", [0, np.pi])
def test_upright_of_a_camera_that_looks_down_or_up(pitch):
    """It heads where it would when it is raised, or lowered, to the horizon."""
    matrix = np.array(mathutils.Euler((pitch, 0, 0.4)).to_matrix().to_4x4())
    near = np.array(mathutils.Euler((pitch + (0.1 if pitch == 0 else -0.1), 0, 0.4)).to_matrix().to_4x4())
    np.testing.assert_allclose(conversion.upright(matrix), conversion.upright(near), atol=1e-6)


def test_smallest_turn_between_directions():
    rng = np.random.default_rng(6)
    for before, after in rng.normal(size=(50, 2, 3)):
        before, after = before / np.linalg.norm(before), after / np.linalg.norm(after)
        turn = conversion.turn_between(before, after)
        assert np.allclose(turn[:3, :3] @ turn[:3, :3].T, np.eye(3)) and np.linalg.det(turn[:3, :3]) > 0
        np.testing.assert_allclose(turn[:3, :3] @ before, after, atol=1e-9)
        assert (
            abs(np.trace(turn[:3, :3]) - 1 - 2 * before @ after) < 1e-9
        )  # no further than the angle between them
        half = conversion.turn_between(before, -before)
        assert np.linalg.det(half[:3, :3]) > 0
        np.testing.assert_allclose(half[:3, :3] @ before, -before, atol=1e-9)
    np.testing.assert_array_equal(conversion.turn_between(after, after), np.eye(4))
