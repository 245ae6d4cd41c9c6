"""Run inside Blender: the drawing of a camera path, offscreen."""

import bpy
import gpu
import numpy as np

from tests.blender.addon import load

path = load("viewport.path")
trajectory = load("camera.trajectory")
WIDTH, HEIGHT = 96, 64
COLOR = np.array([0.0, 1.0, 0.0, 1.0])


def sampled_along_x():
    """81 cameras that look down -z from (-1, 0, -3) to (1, 0, -3)."""
    matrices = np.tile(np.eye(4), (81, 1, 1))
    matrices[:, 0, 3], matrices[:, 2, 3] = np.linspace(-1, 1, 81), -3
    intrinsics = np.array([[96.0, 0, 48], [0, 96, 32], [0, 0, 1]])
    return trajectory.Sampled(matrices, np.tile(intrinsics, (81, 1, 1)), WIDTH, HEIGHT)


def drawn(sampled, size, view):
    projection = np.array([[2.0, 0, 0, 0], [0, 3.0, 0, 0], [0, 0, -1.0002, -0.02], [0, 0, -1, 0]])
    offscreen = gpu.types.GPUOffScreen(WIDTH, HEIGHT, format="RGBA8")
    with offscreen.bind():
        framebuffer = gpu.state.active_framebuffer_get()
        framebuffer.clear(color=(0, 0, 0, 1), depth=1.0)
        path.PathDrawing(sampled, size).draw(view, projection, WIDTH, HEIGHT, COLOR, 1.0)
        pixels = framebuffer.read_color(0, 0, WIDTH, HEIGHT, 4, 0, "UBYTE")
    return np.array(pixels.to_list(), np.uint8).reshape(HEIGHT, WIDTH, 4)[..., 1] > 100


def check_shapes(sampled):
    marks = path.ticks(sampled, 0.5).reshape(-1, 2, 3)
    assert len(marks) == 9
    np.testing.assert_allclose(marks.mean(1)[1], sampled.matrices[10, :3, 3])
    pyramids = path.pyramids(sampled, 0.5)
    assert pyramids.shape == (2, 16, 3)
    # The picture's upper left corner lies left of, above and before the camera, half a unit deep.
    np.testing.assert_allclose(pyramids[0, 1] - pyramids[0, 0], [-0.25, 1 / 6, -0.5])


def check_drawing(sampled):
    lit = drawn(sampled, 0.5, np.eye(4))
    # From -1 to 1 at depth 3 and focal length 2: two thirds of the half width to either side.
    columns = np.flatnonzero(lit[31:33].any(0))
    assert lit[31:33, 17:79].any(0).all()
    assert 0 <= columns.min() <= 16 and 79 <= columns.max() < WIDTH
    # Out of a pyramid one sees nothing of it; from beside it, its frame.
    beside = sampled.matrices[0].copy()
    assert not drawn(sampled, 1.0, np.linalg.inv(beside)).any()
    beside[0, 3] += 0.6
    assert drawn(sampled, 1.0, np.linalg.inv(beside))[:, 35:42].any()


def main():
    # The gpu module comes to life with the first render, or when asked to from 5.2 on.
    if hasattr(gpu, "init"):
        gpu.init()
    else:
        bpy.ops.wm.read_homefile(use_factory_startup=True)
        bpy.context.scene.render.engine = "BLENDER_WORKBENCH"
        bpy.context.scene.render.resolution_x = bpy.context.scene.render.resolution_y = 16
        bpy.ops.render.render()
    sampled = sampled_along_x()
    check_shapes(sampled)
    check_drawing(sampled)


main()
