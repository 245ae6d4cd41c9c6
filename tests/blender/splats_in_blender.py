"""Run inside Blender: splats as data, drawn by the viewport's shader and rendered through nodes."""

import sys
from pathlib import Path

import bpy
import gpu
import numpy as np

from tests.blender.addon import finished, load

splats = load("importers.splats")
splat_nodes = load("importers.splat_nodes")
ply = load("importers.ply")
drawing = load("viewport.splats")
SH_C0 = 0.28209479177387814


def cloud_of(position, color, scale, opacity):
    count = len(position)
    return splats.Cloud(
        position=np.array(position, np.float32),
        scale=np.tile(np.array(scale, np.float32), (count, 1)),
        rotation=np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
        base=np.concatenate(
            [(np.array(color, np.float32) - 0.5) / SH_C0, np.full((count, 1), opacity, np.float32)], 1
        ),
        sh=np.zeros((count, 0, 3), np.float32),
    )


def build(cloud, name):
    data = None
    attributes = splats.attributes(cloud) | splat_nodes.cards(cloud) | splat_nodes.colors(cloud)
    for step in splats.building(attributes, name):
        data = step(data)
    return data


def check_file(folder):
    """A file in the layout of the 3DGS paper with one degree of harmonics."""
    rng = np.random.default_rng(0)
    names = ["x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", *(f"f_rest_{i}" for i in range(9)), "opacity"]
    names += [f"scale_{i}" for i in range(3)] + [f"rot_{i}" for i in range(4)]
    values = rng.normal(size=(50, len(names))).astype("<f4")
    head = "ply\nformat binary_little_endian 1.0\nelement vertex 50\n"
    head += "".join(f"property float {name}\n" for name in names) + "end_header\n"
    path = folder / "splats.ply"
    path.write_bytes(head.encode() + values.tobytes())
    cloud = splats.decode(finished(ply.reading(path))["vertex"], path)
    np.testing.assert_array_equal(cloud.position, values[:, :3])
    np.testing.assert_allclose(cloud.scale, np.exp(values[:, names.index("scale_0") :][:, :3]), rtol=1e-6)
    # Channel-major in the file: coefficient k of green is f_rest_(3 + k).
    np.testing.assert_array_equal(cloud.sh[:, 2, 1], values[:, names.index("f_rest_5")])
    data = build(cloud, "file")
    back = splats.stored_cloud(data)
    np.testing.assert_allclose(back.base, cloud.base, atol=1e-6)
    np.testing.assert_allclose(back.rotation, cloud.rotation, atol=1e-6)
    assert {"position", "scale", "rotation", "radiance:base", "radiance:sh_0", "radiance:sh_2"} <= set(
        data.attributes.keys()
    )
    truncated = folder / "broken.ply"
    truncated.write_bytes(path.read_bytes()[:-10])
    try:
        finished(ply.reading(truncated))
    except ply.FileError as error:
        assert "damaged" in str(error)
    else:
        raise AssertionError("a truncated file was read")


def check_cards():
    """The shortest axis comes last and the ellipsoid stays the same."""
    rng = np.random.default_rng(1)
    scale = rng.uniform(0.1, 1, (60, 3)).astype(np.float32)
    rotation = rng.normal(size=(60, 4)).astype(np.float32)
    rotation /= np.linalg.norm(rotation, axis=1, keepdims=True)
    turned, size = splat_nodes.card_rotations(scale, rotation)
    assert (size.argmin(1) == 2).all()
    from mathutils import Quaternion

    for before, s, after, t in zip(rotation, scale, turned, size, strict=True):
        a, b = (np.array(Quaternion(q.tolist()).to_matrix()) for q in (before, after))
        np.testing.assert_allclose(a @ np.diag(s**2) @ a.T, b @ np.diag(t**2) @ b.T, atol=1e-5)


def drawn(cloud, view, size=(64, 48)):
    width, height = size
    projection = np.array([[1.5, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, -1.0002, -0.02], [0, 0, -1, 0]])
    offscreen = gpu.types.GPUOffScreen(width, height, format="RGBA8")
    with offscreen.bind():
        framebuffer = gpu.state.active_framebuffer_get()
        framebuffer.clear(color=(0, 0, 0, 1), depth=1.0)
        drawing.SplatDrawing(cloud, 10**6).draw(view, projection, width, height, linear=False)
        pixels = framebuffer.read_color(0, 0, width, height, 4, 0, "UBYTE")
    return np.array(pixels.to_list(), np.uint8).reshape(height, width, 4)


def check_drawing():
    red, blue = (1.0, 0.2, 0.1), (0.1, 0.2, 1.0)
    both = cloud_of([(0, 0, -2), (0, 0, -4)], [red, blue], (0.3, 0.3, 0.3), 0.999)
    front = drawn(both, np.eye(4))[24, 32, :3]
    np.testing.assert_allclose(front, np.array(red) * 255, atol=6)
    # From the other side the other one is in front.
    behind = np.diag([-1.0, 1, -1, 1])
    behind[2, 3] = -6
    np.testing.assert_allclose(drawn(both, behind)[24, 32, :3], np.array(blue) * 255, atol=6)
    # One standard deviation beside the centre, a Gaussian has fallen to 0.607; pixels are 2 / 64 wide at depth 1.5.
    one = drawn(cloud_of([(0, 0, -3)], [(1, 1, 1)], (0.5, 0.5, 0.5), 1.0), np.eye(4))
    sigma = 0.5 * 1.5 / 3 * 32
    profile = one[24, 32:, 0] / 255
    expected = np.exp(-0.5 * ((np.arange(32) + 0.5) / sigma) ** 2)
    visible = expected > 0.05
    np.testing.assert_allclose(profile[visible], expected[visible], atol=0.03)
    # Beyond the far plane there is still sky.
    sky = drawn(cloud_of([(0, 0, -50_000)], [blue], (20_000,) * 3, 1.0), np.eye(4))
    assert sky[24, 32, 2] > 200


def check_render(folder):
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    scene = bpy.context.scene
    steps = np.linspace(-1, 1, 40)
    grid = np.stack(np.meshgrid(steps, steps, [0.0]), -1).reshape(-1, 3)
    # Reconstructed splats never lie in exactly one plane, where Cycles would see only one of them.
    grid[:, 2] = np.random.default_rng(2).uniform(-0.02, 0.02, len(grid))
    cloud = cloud_of(grid, np.tile([[0.8, 0.4, 0.2]], (len(grid), 1)), (0.05, 0.05, 0.001), 0.95)
    data = build(cloud, "wall")
    obj = bpy.data.objects.new("wall", data)
    splat_nodes.attach(obj, splat_nodes.node_group())
    scene.collection.objects.link(obj)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.location = (0, 0, 3)
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.device = 8, "CPU"
    scene.view_settings.view_transform = "Standard"
    scene.render.resolution_x, scene.render.resolution_y = 64, 36
    scene.render.filepath = str(folder / "render.png")
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath)
    pixels = np.empty(64 * 36 * 4, np.float32)
    image.pixels.foreach_get(pixels)
    middle = pixels.reshape(36, 64, 4)[12:24, 24:40, :3].mean((0, 1))
    np.testing.assert_allclose(middle, [0.8, 0.4, 0.2], atol=0.06)


def check_deleted_are_not_drawn():
    """The drawing follows what is deleted, and is kept while nothing is."""
    handler = load("viewport.handler")
    cloud = cloud_of([(0, 0, -2), (0, 0, -4), (1, 0, -4)], [(1, 1, 1)] * 3, (0.3, 0.3, 0.3), 0.9)
    obj = bpy.data.objects.new("three", build(cloud, "three"))
    whole = handler.drawing_of(obj, 10)
    assert len(whole) == whole.total == 3 and handler.drawing_of(obj, 10) is whole
    if obj.type == "MESH":
        import bmesh  # there once bpy is

        edited = bmesh.new()
        edited.from_mesh(obj.data)
        edited.verts.ensure_lookup_table()
        bmesh.ops.delete(edited, geom=[edited.verts[0]], context="VERTS")
        edited.to_mesh(obj.data)
        edited.free()
    else:
        obj.data.resize(2)
    fewer = handler.drawing_of(obj, 10)
    assert len(fewer) == fewer.total == 2 and handler.drawing_of(obj, 10) is fewer


def main():
    folder = Path(sys.argv[1])
    check_file(folder)
    check_cards()
    check_render(folder)
    # The gpu module comes to life with the first render, or when asked to from 5.2 on.
    if hasattr(gpu, "init"):
        gpu.init()
    else:
        bpy.context.scene.render.engine = "BLENDER_WORKBENCH"
        bpy.ops.render.render()
    check_drawing()
    check_deleted_are_not_drawn()


main()
