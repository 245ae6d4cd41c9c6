"""Renders synthetic scenes with Cycles: soft light, leaf geometry, physically based materials. Needs bpy.

    python -m scripts.blender_scenes OUT --count 100

writes OUT/SEED.npz with `image` (H, W, 3) uint8 sRGB, `depth` (H, W) float32 z-depth in metres with inf for sky,
`intrinsics` (3, 3) and `kind`. Existing files are kept, so that a run can be continued.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

from lyra.common.errors import InvalidInputError
from lyra.media.exr import read_channels
from lyra.synthetic.film import develop
from lyra.synthetic.generate import best_shots, build_scene, require_kinds
from lyra.synthetic.layouts import KINDS, LAYOUTS
from lyra.synthetic.render import Shot, Stage, intrinsics_of
from scripts.blender_scenes.materials import light, material
from scripts.blender_scenes.meshes import add_solid, add_terrain

SKY = 1e9
FLIP = np.diag([1.0, -1.0, -1.0])


def render(
    seed: int, kind: str, height: int, width: int, samples: int, threads: int = 0
) -> dict[str, np.ndarray]:
    """One image with ground truth: `image`, `depth`, `intrinsics`, `up` and `kind`, as they are saved."""
    rng = np.random.default_rng(seed)
    scene = build_scene(rng, kind)
    stage = Stage([scene])
    shot = best_shots(stage, width / height)[0]
    bpy.ops.wm.read_factory_settings(use_empty=True)
    surfaces = [material(fields, rng) for fields in scene.materials]
    for row in scene.solids:
        add_solid(row, surfaces, rng)
    if scene.terrain:
        add_terrain(stage, surfaces)
    light(scene, rng)
    _aim(shot)
    linear, depth = _cycles(height, width, samples, threads)
    linear = _misted(linear, depth, scene.air)
    normals = np.zeros((height, width, 3), np.float32)
    image = develop(linear[None], depth[None], normals[None], [rng])[0]
    return {
        "image": image,
        "depth": depth,
        "intrinsics": intrinsics_of([shot], height, width)[0],
        "up": shot.camera.up.astype(np.float32),
        "kind": np.array(kind),
    }


def _aim(shot: Shot) -> None:
    camera = bpy.data.cameras.new("camera")
    camera.sensor_fit, camera.angle = "HORIZONTAL", shot.fov
    camera.clip_start, camera.clip_end = 0.01, 1e5
    thing = bpy.data.objects.new("camera", camera)
    pose = np.eye(4)
    pose[:3, :3] = shot.camera.rotation @ FLIP
    pose[:3, 3] = shot.camera.eye
    thing.matrix_world = Matrix(pose.tolist())
    bpy.context.scene.collection.objects.link(thing)
    bpy.context.scene.camera = thing


def _cycles(height: int, width: int, samples: int, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Linear colour (H, W, 3) and z-depth (H, W) with inf for sky."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device, scene.cycles.samples = "CPU", samples
    scene.cycles.use_denoising, scene.cycles.max_bounces = True, 4
    # Cycles keeps the depth of one sample; it lies within half a pixel of the centre.
    scene.cycles.pixel_filter_type, scene.cycles.filter_width = "BLACKMAN_HARRIS", 1.0
    scene.view_layers[0].use_pass_z = True
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.render.resolution_percentage = 100
    if threads:
        scene.render.threads_mode, scene.render.threads = "FIXED", threads
    ends = rendered_channels()
    linear = np.stack([ends[f"Combined.{c}"] for c in "RGB"], -1).astype(np.float32)
    depth = ends["Depth.Z"].astype(np.float32)
    return np.nan_to_num(linear, posinf=50.0).clip(0, 50), np.where(depth > SKY, np.float32(np.inf), depth)


def rendered_channels() -> dict[str, np.ndarray]:
    """Renders the scene that is open: the channels (H, W) float32 of its view layer by name, such as `Depth.Z`."""
    scene = bpy.context.scene
    settings = scene.render.image_settings
    settings.file_format, settings.color_depth, settings.exr_codec = "OPEN_EXR_MULTILAYER", "32", "ZIP"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture.exr"
        scene.render.filepath = str(file)
        bpy.ops.render.render(write_still=True)
        return {name.split(".", 1)[-1]: plane for name, plane in read_channels(file).items()}


def _misted(linear: np.ndarray, depth: np.ndarray, air: dict) -> np.ndarray:
    """The image with the scene's haze, scaled to the image's brightness."""
    veil = 1 - np.exp(-air.get("haze", 0.0) * np.where(np.isfinite(depth), depth, 900.0))[..., None]
    colour = np.array(air.get("haze_colour", (0.5, 0.5, 0.5)))
    far = colour / colour.mean() * np.percentile(linear.mean(2), 80)
    return (linear * (1 - veil) + far * veil).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.blender_scenes", description=__doc__.splitlines()[0]
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first picture")
    parser.add_argument("--size", default="256x160", metavar="WxH")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--kinds", nargs="*", default=None, help=", ".join(KINDS))
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    options = parser.parse_args()
    try:
        width, height = (int(n) for n in options.size.split("x"))
    except ValueError:
        parser.error(f"{options.size!r} is not a valid size; use WIDTHxHEIGHT, e.g. 256x160.")
    try:
        kinds = require_kinds(KINDS if options.kinds is None else options.kinds)
    except InvalidInputError as error:
        parser.error(str(error))
    weights = np.array([LAYOUTS[kind][1] for kind in kinds])
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seed, options.seed + options.count):
        file = options.out / f"{seed:06d}.npz"
        if file.exists():
            continue
        kind = np.random.default_rng(seed).choice(kinds, p=weights / weights.sum())
        started = time.perf_counter()
        part = file.with_suffix(".part")
        with part.open("wb") as target:
            np.savez_compressed(
                target, **render(seed, str(kind), height, width, options.samples, options.threads)
            )
        part.replace(file)
        print(f"{file.name}: {kind}, {time.perf_counter() - started:.1f} s", flush=True)
