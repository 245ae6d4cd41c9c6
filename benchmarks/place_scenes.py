"""Renders scenes of standing things with Cycles, with exact depth and up, for `lyra eval place --rendered`.

    python -m benchmarks.place_scenes OUT [--threads 1] [NAME ...]

writes OUT/NAME.npz with `image` (H, W, 3) uint8, z-depth `depth` (H, W) float32 in metres, inf for sky, `up` (3,) in
the camera's OpenCV axes, `intrinsics` (3, 3), and `held_out`: whether no parameter may be chosen on it. Needs bpy.
The scenes' frame has z up; the camera stands at x = y = 0 and looks along y.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

from lyra.common.files import whole_file
from lyra.depth.gravity import up_of
from lyra.depth.level_grid import level_rotation
from lyra.geometry.cameras import intrinsics_from_fov
from lyra.synthetic.film import exposure_gain, plain
from scripts.blender_scenes.render import rendered_channels

SIZE = (480, 832)
SKY = 1e9
Colour = tuple[float, float, float]
STONE, SAND, GRASS, WOOD = (0.5, 0.46, 0.4), (0.62, 0.52, 0.36), (0.14, 0.22, 0.06), (0.3, 0.17, 0.08)
PLASTER, LEAF, WATER, IRON = (0.75, 0.7, 0.62), (0.1, 0.2, 0.05), (0.03, 0.1, 0.13), (0.06, 0.06, 0.07)
SKIN, ROOF = (0.6, 0.4, 0.3), (0.4, 0.14, 0.08)


class Site:
    """What is built of one scene; every mesh has its vertices in the scene's frame, in metres."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        bpy.ops.wm.read_factory_settings(use_empty=True)

    def surface(self, colour: Colour, grain: float = 0.4, bricks: float = 0.0, gloss: float = 0.0):
        """A material with noise of `grain` metres, and courses of blocks `bricks` metres high."""
        made = bpy.data.materials.new("surface")
        made.use_nodes = True
        tree = made.node_tree
        shader = tree.nodes["Principled BSDF"]
        shader.inputs["Roughness"].default_value = 1 - gloss
        noise = tree.nodes.new("ShaderNodeTexNoise")
        noise.inputs["Scale"].default_value, noise.inputs["Detail"].default_value = 1 / grain, 9
        tree.links.new(tree.nodes.new("ShaderNodeTexCoord").outputs["Object"], noise.inputs["Vector"])
        ramp = tree.nodes.new("ShaderNodeValToRGB")
        ramp.color_ramp.elements[0].position, ramp.color_ramp.elements[1].position = 0.3, 0.7
        ramp.color_ramp.elements[0].color = (*(0.6 * c for c in colour), 1)
        ramp.color_ramp.elements[1].color = (*(min(1.25 * c, 1) for c in colour), 1)
        tree.links.new(noise.outputs["Fac"], ramp.inputs["Fac"])
        result = ramp.outputs["Color"]
        if bricks:
            brick = tree.nodes.new("ShaderNodeTexBrick")
            brick.inputs["Scale"].default_value = 1
            brick.inputs["Brick Width"].default_value = 2.2 * bricks
            brick.inputs["Row Height"].default_value = bricks
            brick.inputs["Mortar Size"].default_value = 0.04 * bricks
            brick.inputs["Mortar"].default_value = (*(0.3 * c for c in colour), 1)
            tree.links.new(tree.nodes.new("ShaderNodeTexCoord").outputs["UV"], brick.inputs["Vector"])
            for name in ("Color1", "Color2"):
                tree.links.new(result, brick.inputs[name])
            result = brick.outputs["Color"]
        tree.links.new(result, shader.inputs["Base Color"])
        return made

    def mesh(self, vertices: np.ndarray, faces: list, material, smooth: bool = False) -> None:
        mesh = bpy.data.meshes.new("thing")
        mesh.from_pydata(np.asarray(vertices, float).tolist(), [], faces)
        mesh.materials.append(material)
        mesh.update()
        # Metres along each face's own axes.
        uv = mesh.uv_layers.new().data
        for face in mesh.polygons:
            normal = np.abs(np.array(face.normal))
            for loop in face.loop_indices:
                x, y, z = mesh.vertices[mesh.loops[loop].vertex_index].co
                uv[loop].uv = (x, y) if normal[2] > 0.7 else (y if normal[0] > normal[1] else x, z)
        if smooth:
            mesh.shade_smooth()
        bpy.context.scene.collection.objects.link(bpy.data.objects.new("thing", mesh))

    def box(self, centre, size, material, turn: float = 0.0) -> None:
        """A box on its foot `centre`, turned about z by degrees."""
        corners = np.array(
            [[i, j, k] for k in (0, 1) for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))], float
        )
        corners *= np.array(size) * (0.5, 0.5, 1)
        c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        faces = [[3, 2, 1, 0], [4, 5, 6, 7], *([k, (k + 1) % 4, (k + 1) % 4 + 4, k + 4] for k in range(4))]
        self.mesh(corners @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + centre, faces, material)

    def turned(self, foot, profile, material, smooth: bool = True, oval: float = 1.0) -> None:
        """A profile of (radius, height) turned about the vertical through `foot`; `oval` scales y."""
        count = 24
        angle = np.arange(count) * 2 * np.pi / count
        radius, z = np.array(profile, float).T
        ring = np.stack([np.cos(angle), oval * np.sin(angle)], -1)
        points = np.concatenate(
            [np.concatenate([r * ring, np.full((count, 1), h)], 1) for r, h in zip(radius, z, strict=True)]
        )
        faces = [
            [
                k * count + i,
                k * count + (i + 1) % count,
                (k + 1) * count + (i + 1) % count,
                (k + 1) * count + i,
            ]
            for k in range(len(z) - 1)
            for i in range(count)
        ]
        caps = [list(range(count))[::-1], list(range(len(points) - count, len(points)))]
        self.mesh(points + np.array(foot), faces + caps, material, smooth)

    def ball(self, centre, radii, material, rough: float = 0.0) -> None:
        angle = np.linspace(0, np.pi, 14)
        around = np.arange(20) * 2 * np.pi / 20
        points = np.stack(
            [np.outer(np.sin(angle), np.cos(around)), np.outer(np.sin(angle), np.sin(around)),
             np.outer(np.cos(angle), np.ones(20))], -1
        ).reshape(-1, 3)  # fmt: skip
        points *= 1 + rough * self.rng.standard_normal((len(points), 1))
        faces = [
            [k * 20 + i, (k + 1) * 20 + i, (k + 1) * 20 + (i + 1) % 20, k * 20 + (i + 1) % 20]
            for k in range(13)
            for i in range(20)
        ]
        self.mesh(points * radii + np.array(centre), faces, material, smooth=rough == 0)

    def ground(self, material, height: float = 0.0, reach: float = 400.0) -> None:
        corners = np.array([[-1, -0.1], [1, -0.1], [1, 1], [-1, 1]]) * reach
        self.mesh(np.column_stack([corners, np.full(4, height)]), [[0, 1, 2, 3]], material)

    def sky(self, elevation: float, heading: float) -> None:
        world = bpy.data.worlds.new("sky")
        bpy.context.scene.world = world
        world.use_nodes = True
        tree = world.node_tree
        node = tree.nodes.new("ShaderNodeTexSky")
        node.sky_type, node.sun_elevation, node.sun_rotation = (
            "NISHITA",
            math.radians(elevation),
            math.radians(heading),
        )
        tree.links.new(node.outputs["Color"], tree.nodes["Background"].inputs["Color"])

    def lamp(self, at, watts: float, size: float = 1.0) -> None:
        light = bpy.data.lights.new("lamp", "AREA")
        light.energy, light.size = watts, size
        thing = bpy.data.objects.new("lamp", light)
        thing.location = at
        bpy.context.scene.collection.objects.link(thing)


def column(site: Site, x: float, y: float, radius: float, height: float, material) -> None:
    site.box((x, y, 0), (2.8 * radius, 2.8 * radius, 0.5 * radius), material)
    shaft = [(radius, 0.5 * radius), (0.85 * radius, height - 0.6 * radius)]
    site.turned((x, y, 0), [*shaft, (1.3 * radius, height - 0.3 * radius)], material)
    site.box((x, y, height - 0.3 * radius), (2.8 * radius, 2.8 * radius, 0.3 * radius), material)


def person(site: Site, x: float, y: float, colour: Colour, height: float = 1.75) -> None:
    s = height / 1.75
    cloth, dark = site.surface(colour, 0.1), site.surface((0.08, 0.08, 0.12), 0.1)
    for side in (-0.1, 0.1):
        site.turned((x + side * s, y, 0), [(0.07 * s, 0), (0.09 * s, 0.85 * s)], dark)
        site.turned((x + 2.6 * side * s, y, 0.8 * s), [(0.045 * s, 0), (0.06 * s, 0.6 * s)], cloth)
    site.turned((x, y, 0.8 * s), [(0.18 * s, 0), (0.17 * s, 0.2 * s), (0.22 * s, 0.6 * s), (0.08 * s, 0.68 * s)],
                cloth, oval=0.6)  # fmt: skip
    site.ball((x, y, 1.62 * s), np.array([0.1, 0.11, 0.13]) * s, site.surface(SKIN, 0.1))


def tree(site: Site, x: float, y: float, height: float) -> None:
    thick = 0.03 * height
    site.turned((x, y, 0), [(1.4 * thick, 0), (thick, 0.1 * height), (0.6 * thick, 0.6 * height)],
                site.surface(WOOD, 0.15))  # fmt: skip
    leaf = site.surface(tuple(site.rng.uniform(0.7, 1.3) * c for c in LEAF), 0.12)
    for _ in range(7):
        off = site.rng.uniform(-1, 1, 3) * (0.16, 0.16, 0.14) * np.array(height)
        site.ball(np.array([x, y, 0.7 * height]) + off, np.full(3, 0.15 * height), leaf, rough=0.12)


def boat(
    site: Site, x: float, y: float, length: float, turn: float, level: float, colour: Colour, mast: bool
) -> None:
    t = np.linspace(-1, 1, 9)
    half = 0.17 * length * np.sqrt(np.maximum(1 - np.abs(t) ** 2.5, 0.002))
    high = 0.14 * length * (0.75 + 0.35 * t**2)
    along = 0.5 * length * t
    rings = [np.stack([along, s * w * half, h], -1) for s, w, h in
             ((-1, 1, high), (-1, 0.6, 0 * high), (1, 0.6, 0 * high), (1, 1, high))]  # fmt: skip
    points = np.concatenate(rings)
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    points = points @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + (x, y, level)
    n = len(t)
    faces = [
        [k * n + i, k * n + i + 1, (k + 1) * n + i + 1, (k + 1) * n + i]
        for k in range(3)
        for i in range(n - 1)
    ]
    site.mesh(points, faces, site.surface(colour, 0.3))
    if mast:
        site.turned((x, y, level), [(0.012 * length, 0), (0.007 * length, 1.1 * length)], site.surface(WOOD))


def colonnade(site: Site) -> None:
    stone = site.surface(STONE, 0.6)
    site.ground(site.surface(STONE, 1.0, bricks=0.8))
    for y in (4.5, 8, 11.5, 15, 18.5):
        for x in (-3.2, 3.4):
            column(site, x, y, 0.38, 4.2, stone)
    for x in (-3.2, 3.4):
        site.box((x, 11.5, 4.2), (1.0, 15.2, 0.6), stone)
    site.box((0, 24, 0), (16, 1, 6), site.surface(PLASTER, 2, bricks=0.5))
    person(site, 0.9, 9, (0.5, 0.1, 0.08))
    site.turned((-1.4, 6, 0), [(0.2, 0), (0.35, 0.4), (0.2, 0.8), (0.28, 0.9)], site.surface(ROOF, 0.2))
    site.sky(38, 40)


def market(site: Site) -> None:
    site.ground(site.surface((0.4, 0.38, 0.36), 0.3, bricks=0.3))
    for k, (x, y) in enumerate(
        [(-1.6, 4.4), (0.9, 5.6), (2.6, 8), (-3.4, 9), (0.1, 11), (-1.2, 14), (4, 13)]
    ):
        person(site, x, y, tuple(np.random.default_rng(k).uniform(0.05, 0.6, 3)), 1.6 + 0.04 * k)
    for x, width, high in ((-13, 8, 8), (-5, 7, 6), (2.5, 7, 9), (11, 9, 7)):
        site.box((x, 24, 0), (width, 6, high), site.surface(PLASTER, 1.5))
        for w in np.arange(-width / 2 + 1, width / 2 - 0.5, 1.6):
            for z in (1.2, 4):
                site.box((x + w, 20.95, z), (0.8, 0.1, 1.4), site.surface((0.05, 0.06, 0.08), gloss=0.7))
    for x in (-4.5, 4.6):
        site.turned((x, 7, 0), [(0.09, 0), (0.05, 3.6)], site.surface(IRON))
        site.ball((x, 7, 3.7), (0.2, 0.2, 0.25), site.surface((0.8, 0.75, 0.6)))
    site.sky(30, -60)


def quay(site: Site) -> None:
    site.ground(site.surface(WATER, 2.5, gloss=0.75), -0.8)
    site.box((0, 2, -1), (60, 8, 1.0), site.surface(STONE, 0.7, bricks=0.6))
    for x in (-2.6, 0.2, 3.1):
        site.turned((x, 5.2, 0), [(0.17, 0), (0.13, 0.5), (0.2, 0.62)], site.surface(IRON))
    boat(site, -4, 11, 6, 15, -0.9, (0.1, 0.2, 0.5), True)
    boat(site, 4.5, 13, 7, -20, -0.9, (0.6, 0.08, 0.05), True)
    boat(site, 0.5, 22, 9, 70, -0.9, (0.7, 0.7, 0.65), True)
    for k in range(12):
        site.box((-44 + 8 * k, 70, -0.8), (7, 6, 5 + 3 * (k * 7 % 4)), site.surface(PLASTER, 2))
    site.sky(22, 120)


def avenue(site: Site) -> None:
    site.ground(site.surface(GRASS, 0.25))
    road = [(-1.6, -5, 0.01), (1.6, -5, 0.01), (1.6, 150, 0.01), (-1.6, 150, 0.01)]
    site.mesh(np.array(road), [[0, 1, 2, 3]], site.surface(SAND, 0.3))
    for k, y in enumerate(np.arange(5, 60, 6)):
        tree(site, -3.6 + 0.3 * (k % 2), y, 6 + k % 3)
        tree(site, 3.9 - 0.4 * (k % 2), y + 1.5, 6.5 - k % 2)
    site.box((1.9, 7, 0), (0.5, 1.8, 0.45), site.surface(WOOD, 0.1))
    person(site, -0.5, 10, (0.1, 0.2, 0.4))
    site.sky(45, 200)


def fence(site: Site) -> None:
    site.ground(site.surface((0.3, 0.28, 0.12), 0.4))
    wood = site.surface(WOOD, 0.1)
    for k in range(14):
        site.box((-4.5 + 0.75 * k, 4 + 1.1 * k, 0), (0.14, 0.14, 1.25), wood, 20)
    for k in range(3):
        x, y = 4.2 + 2 * k, 7 + 9 * k
        site.turned((x, y, 0), [(0.14, 0), (0.1, 7)], wood)
        site.box((x, y, 6.2), (1.6, 0.12, 0.14), wood)
    site.box((-9, 26, 0), (7, 6, 3.2), site.surface(PLASTER, 1))
    tree(site, -3.5, 17, 7)
    for k in range(24):
        tree(site, -60 + 5 * k + site.rng.uniform(-1, 1), 75 + site.rng.uniform(-5, 5), 9)
    site.sky(26, 60)


def study(site: Site) -> None:
    wall, wood = site.surface(PLASTER, 0.8), site.surface(WOOD, 0.12, gloss=0.3)
    site.ground(site.surface((0.42, 0.25, 0.13), 0.15, bricks=0.18), reach=20)
    for x, y, width, deep in ((-3, 3, 0.1, 10), (3.2, 3, 0.1, 10), (0, 7, 7, 0.1)):
        site.box((x, y, 0), (width, deep, 2.8), wall)
    site.box((0, 3, 2.8), (7, 10, 0.1), site.surface((0.85, 0.84, 0.8), 1))
    site.box((0.5, 4, 0.7), (1.6, 0.9, 0.05), wood, 12)
    for dx in (-0.7, 0.7):
        for dy in (-0.38, 0.38):
            site.box((0.5 + dx, 4 + dy, 0), (0.07, 0.07, 0.7), wood, 12)
    for x, y, turn in ((-0.7, 3.6, -10), (1.9, 4.6, 30)):
        seat = site.surface((0.3, 0.06, 0.06), 0.1)
        site.box((x, y, 0.42), (0.45, 0.45, 0.06), seat, turn)
        site.box((x, y + 0.22, 0.46), (0.45, 0.05, 0.55), seat, turn)
        for dx in (-0.19, 0.19):
            for dy in (-0.19, 0.19):
                site.box((x + dx, y + dy, 0), (0.05, 0.05, 0.42), wood, turn)
    site.box((-2.7, 4.6, 0), (0.45, 1.6, 2.1), wood)
    site.box((1.2, 6.7, 0), (1.4, 0.5, 0.9), wood)
    site.turned(
        (-1.7, 6.3, 0), [(0.16, 0), (0.03, 0.04), (0.03, 1.4), (0.25, 1.4), (0.15, 1.75)], site.surface(IRON)
    )
    site.box((-0.6, 6.94, 1.0), (1.1, 0.04, 1.2), site.surface((0.5, 0.65, 0.8), 0.6))
    site.lamp((0.2, 3.2, 2.75), 160)


def arcade(site: Site) -> None:
    stone = site.surface((0.55, 0.5, 0.42), 0.5)
    site.ground(site.surface((0.3, 0.3, 0.3), 0.8, bricks=0.7), reach=60)
    for y in np.arange(4, 25, 3.5):
        for x in (-2.4, 2.6):
            column(site, x, y, 0.3, 3.6, stone)
    for x in (-5, 5.2):
        site.box((x, 14, 0), (0.3, 34, 5), site.surface(PLASTER, 1.5, bricks=0.45))
    site.box((0, 14, 4.6), (11, 34, 0.3), site.surface((0.6, 0.55, 0.48), 1.2))
    for x in (-2.4, 2.6):
        site.box((x, 14, 3.6), (0.8, 26, 1.0), stone)
    site.box((0, 29, 0), (11, 0.3, 5), site.surface(PLASTER, 1.5))
    person(site, -0.6, 7, (0.1, 0.3, 0.2))
    person(site, 0.8, 12, (0.5, 0.4, 0.1))
    for y in (5, 12, 19, 26):
        site.lamp((0, y, 4.5), 260, 1.5)


def beach(site: Site) -> None:
    site.ground(site.surface(SAND, 0.5))
    site.mesh(np.array([(-400, 30, 0.02), (400, 30, 0.02), (400, 400, 0.02), (-400, 400, 0.02)]), [[0, 1, 2, 3]],
              site.surface(WATER, 3, gloss=0.7))  # fmt: skip
    boat(site, -2.8, 7, 4.5, 40, -0.05, (0.1, 0.35, 0.3), True)
    boat(site, 3.4, 9.5, 5, -65, -0.05, (0.6, 0.3, 0.06), False)
    boat(site, 9, 17, 6, 10, -0.05, (0.5, 0.5, 0.55), True)
    for x, y in ((1.0, 5.5), (-0.9, 13.0)):
        site.turned((x, y, 0), [(0.24, 0), (0.31, 0.4), (0.24, 0.8)], site.surface(WOOD, 0.1))
    for k in range(5):
        site.box((-8 + 0.9 * k, 18 + 0.6 * k, 0), (0.2, 0.2, 1.9), site.surface(WOOD, 0.15))
    person(site, 0.2, 11, (0.7, 0.7, 0.7))
    site.sky(34, -30)


# Builder, pitch, roll and horizontal field of view in degrees, eye height in metres; half are held out.
SCENES: dict[str, tuple[Callable[[Site], None], float, float, float, float, bool]] = {
    "colonnade": (colonnade, 5, 0.5, 62, 1.7, False),
    "market": (market, -7, -2, 58, 1.9, False),
    "quay": (quay, -4, 1, 66, 2.0, False),
    "avenue": (avenue, 2, 3, 56, 1.65, False),
    "fence": (fence, -2, -1.5, 60, 1.7, True),
    "study": (study, -9, 1, 68, 1.6, True),
    "arcade": (arcade, 3, -0.5, 64, 1.7, True),
    "beach": (beach, -8, 2, 54, 2.1, True),
}  # fmt: skip


def render(name: str, samples: int, threads: int) -> dict[str, np.ndarray]:
    """The arrays of one scene, as they are saved."""
    build, pitch, roll, fov, eye, held_out = SCENES[name]
    site = Site(sum(name.encode()))
    build(site)
    up = up_of(pitch, roll)
    # Rows of the level camera's axes, right, down and ahead, are those of the scene's x, -z and y.
    to_scene = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float) @ level_rotation(up)
    camera = bpy.data.cameras.new("camera")
    camera.sensor_fit, camera.angle, camera.clip_start, camera.clip_end = (
        "HORIZONTAL",
        math.radians(fov),
        0.01,
        2e3,
    )
    thing = bpy.data.objects.new("camera", camera)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = to_scene @ np.diag([1, -1, -1]), (0, 0, eye)
    thing.matrix_world = Matrix(pose.tolist())
    scene = bpy.context.scene
    scene.collection.objects.link(thing)
    scene.camera = thing
    scene.render.engine, scene.cycles.device, scene.cycles.max_bounces = "CYCLES", "CPU", 3
    scene.render.resolution_y, scene.render.resolution_x = SIZE
    scene.render.threads_mode, scene.render.threads = "FIXED", threads
    colour = rendered(samples)
    linear = np.stack([colour[f"Combined.{c}"] for c in "RGB"], -1).astype(np.float32)
    linear = np.nan_to_num(linear, posinf=50).clip(0, 50)
    image = plain(linear[None], exposure_gain(linear))[0]
    scene.view_layers[0].use_pass_z = True
    depth = rendered(1)["Depth.Z"].astype(np.float32)
    return {
        "image": image,
        "depth": np.where(depth > SKY, np.float32(np.inf), depth),
        "up": up.astype(np.float32),
        "intrinsics": intrinsics_from_fov(math.radians(fov), *SIZE).astype(np.float32),
        "held_out": np.array(held_out),
    }


def rendered(samples: int) -> dict[str, np.ndarray]:
    """Channels (H, W) by name of what Cycles renders; a single sample lies at each pixel's middle."""
    scene = bpy.context.scene
    scene.cycles.samples, scene.cycles.use_denoising = samples, samples > 1
    scene.cycles.pixel_filter_type, scene.cycles.filter_width = (
        ("BLACKMAN_HARRIS", 1.5) if samples > 1 else ("BOX", 0.01)
    )
    return rendered_channels()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.place_scenes", description=__doc__.splitlines()[0]
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCENES))
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in SCENES]
    if unknown:
        parser.error(f"Unknown scene {unknown[0]!r}; choose from {', '.join(SCENES)}.")
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names or SCENES:
        started = time.perf_counter()
        arrays = render(name, options.samples, options.threads)
        with whole_file(options.out / f"{name}.npz") as file:
            np.savez_compressed(file, **arrays)
        print(f"{name}: {time.perf_counter() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
