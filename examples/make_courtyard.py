"""Renders the example scene into examples/courtyard: image, true depth, a camera path, and ground truth along it.

    python examples/make_courtyard.py [--samples 16] [--preview FILE.png]

Needs the bpy wheel (Blender 4.5). The world frame is that of docs/conventions.md.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix
from PIL import Image
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).parent))
import courtyard_scene

from lyra.geometry.cameras import Trajectory, intrinsics_from_fov

WIDTH, HEIGHT = 832, 480
FOV = math.radians(62)
FRAMES = 81
TRUTH_FRAMES = (20, 40, 60, 80)
EYE = (0.35, -0.3, 1.75)
TILT = math.radians(4.0)  # upwards
SKY = 1e9  # Cycles writes 1e10 for rays that hit nothing
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def first_camera() -> np.ndarray:
    """Blender's matrix_world (4, 4) of frame 0."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("x", math.pi / 2 + TILT).as_matrix()
    matrix[:3, 3] = EYE
    return matrix


def camera_path(advance: float) -> Trajectory:
    """A walk of `advance` metres into the scene: a slow start, a step to the left, a glance to the right."""
    t = np.linspace(0, 1, FRAMES)
    ease = t * t * (3 - 2 * t)
    c2w = np.tile(np.eye(4), (FRAMES, 1, 1))
    angles = np.stack([-2.0 * ease, 2.0 * ease, np.zeros(FRAMES)], 1)
    c2w[:, :3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    c2w[:, :3, 3] = np.stack([-0.26 * np.sin(0.5 * np.pi * ease), -0.10 * ease, 0.96 * ease], 1) * advance
    w2c = np.linalg.inv(c2w)
    w2c[0] = np.eye(4)
    intrinsics = np.tile(intrinsics_from_fov(FOV, HEIGHT, WIDTH), (FRAMES, 1, 1))
    return Trajectory(w2c, intrinsics, HEIGHT, WIDTH)


def set_up(samples: int) -> bpy.types.Object:
    """An empty file with the scene, its camera and the render settings; returns the camera."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    courtyard_scene.build()
    lens = bpy.data.cameras.new("camera")
    lens.sensor_fit, lens.angle, lens.clip_end = "HORIZONTAL", FOV, 1000
    camera = bpy.data.objects.new("camera", lens)
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.engine = "CYCLES"
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.render.use_persistent_data = True
    scene.cycles.samples, scene.cycles.use_adaptive_sampling = samples, True
    scene.cycles.adaptive_threshold = 0.03
    scene.cycles.max_bounces, scene.cycles.diffuse_bounces = 2, 2
    scene.cycles.sample_clamp_indirect = 3.0
    scene.view_settings.view_transform, scene.view_settings.look = "AgX", "AgX - Medium High Contrast"
    scene.view_settings.exposure = 0.3
    return camera


def place(camera: bpy.types.Object, w2c: np.ndarray) -> None:
    """Moves the camera to a pose in the world frame."""
    camera.matrix_world = Matrix((first_camera() @ FLIP @ np.linalg.inv(w2c) @ FLIP).tolist())


def render_picture(path: Path) -> None:
    scene = bpy.context.scene
    scene.use_nodes = False
    scene.cycles.use_denoising = True
    scene.cycles.filter_width, scene.cycles.pixel_filter_type = 1.5, "BLACKMAN_HARRIS"
    scene.render.image_settings.file_format = "PNG"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


def render_depth() -> np.ndarray:
    """z-depth (H, W) float32 through pixel centres, inf for sky."""
    scene = bpy.context.scene
    samples = scene.cycles.samples
    scene.cycles.samples, scene.cycles.use_denoising = 1, False
    # Cycles keeps the depth of one sample; a filter this narrow puts that sample at the pixel's centre.
    scene.cycles.filter_width, scene.cycles.pixel_filter_type = 0.01, "BOX"
    scene.view_layers[0].use_pass_z = True
    scene.use_nodes = True
    tree = scene.node_tree
    tree.nodes.clear()
    with tempfile.TemporaryDirectory() as folder:
        layers, files = tree.nodes.new("CompositorNodeRLayers"), tree.nodes.new("CompositorNodeOutputFile")
        files.base_path, files.format.file_format, files.format.color_depth = folder, "OPEN_EXR", "32"
        tree.links.new(layers.outputs["Depth"], files.inputs[0])
        bpy.ops.render.render()
        image = bpy.data.images.load(str(next(Path(folder).glob("*.exr"))))
        image.colorspace_settings.name = "Non-Color"
        values = np.empty(WIDTH * HEIGHT * 4, np.float32)
        image.pixels.foreach_get(values)
        bpy.data.images.remove(image)
    scene.cycles.samples = samples
    depth = values.reshape(HEIGHT, WIDTH, 4)[::-1, :, 0].copy()
    depth[depth > SKY] = np.inf
    return depth


def save_depth(path: Path, depth: np.ndarray, intrinsics: np.ndarray) -> None:
    np.savez_compressed(path, depth=depth.astype(np.float16), intrinsics=intrinsics)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "courtyard")
    parser.add_argument("--preview", type=Path, help="render only the first view into this file")
    options = parser.parse_args()
    camera = set_up(options.samples)
    place(camera, np.eye(4))
    if options.preview:
        render_picture(options.preview)
        return
    truth = options.out / "truth"
    truth.mkdir(parents=True, exist_ok=True)
    depth = render_depth()
    advance = 0.15 * float(depth[np.isfinite(depth)].mean())
    path = camera_path(advance)
    path.save(options.out / "trajectory.npz")
    intrinsics = path.intrinsics[0]
    save_depth(options.out / "depth.npz", depth, intrinsics)
    render_picture(options.out / "image.png")
    for frame in TRUTH_FRAMES:
        place(camera, path.w2c[frame])
        save_depth(truth / f"depth_{frame:04d}.npz", render_depth(), intrinsics)
        render_picture(truth / f"frame_{frame:04d}.png")
    for file in (options.out / "image.png", *truth.glob("*.png")):
        picture = Image.open(file).convert("RGB")
        picture.save(file, optimize=True)
    print(f"mean depth {advance / 0.15:.1f} m, the path moves {advance:.1f} m")


if __name__ == "__main__":
    main()
