"""Ground and vegetation of the courtyard: path, bushes, ivy, grass, cypresses, hills."""

from __future__ import annotations

import math
import random

import bpy
import numpy as np
from mathutils import Vector
from solids import Solid, new_object, weather

TOWER = (9.0, 96.0)  # where the path leads
# fmt: off
BUSHES = (  # x, y, size
    (-4.0, 7.4, 0.4), (-4.1, 15.6, 0.5), (4.0, 9.8, 0.5), (5.6, 14.2, 0.7), (3.7, 18.6, 0.45), (-3.9, 24.0, 0.6),
    (6.9, 10.4, 0.9), (7.2, 6.2, 0.7), (6.6, 24.0, 0.9), (-3.7, 31.5, 0.7), (3.0, 33.5, 0.8), (2.9, 6.6, 0.3),
    (-3.3, 5.0, 0.3),
)
IVY_ON_ARCADE = (  # y, z
    (7.35, 4.6), (7.2, 5.2), (7.5, 3.9), (15.7, 5.3), (15.8, 4.7), (24.1, 5.3), (28.2, 4.8), (28.3, 5.4),
)
IVY_ON_GATE = ((-4.4, 7.2), (-4.0, 6.4), (6.2, 6.4), (6.6, 5.6))  # x, z
CYPRESSES = (  # x, y, height
    (12.5, 17, 9.5), (14.2, 24, 12), (12.4, 31, 10.5), (-9.5, 33, 12), (-11, 41, 13), (16, 44, 14), (-7, 50, 11),
    (13, 52, 10), (-16, 56, 13), (22, 60, 12), (-13, 66, 11), (-2.5, 64, 9), (17, 70, 9),
)
# fmt: on
CHANCE = random.Random(7)  # noqa: S311 (arranges leaves)


def ground_height(x, y):
    """Height of the ground at x, y, which may be numbers or arrays."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    swell = 0.10 * np.sin(0.9 * x + 0.4) * np.cos(0.55 * y) + 0.06 * np.sin(1.7 * y + x)
    swell = swell * (1 - 0.8 * path_weight(x, y))
    hill = 9.0 * np.exp(-(((x - TOWER[0]) / 26) ** 2 + ((y - TOWER[1] - 6) / 28) ** 2))
    sides = 0.02 * np.maximum(np.abs(x) - 9, 0) ** 1.5
    return swell + hill + np.minimum(sides, 6)


def path_center(y):
    """x of the centre of the paved path at y."""
    y = np.asarray(y, float)
    return 0.55 * np.sin(y / 6.5 + 0.5) - 0.2 + TOWER[0] * np.clip((y - 30) / 50, 0, 1) ** 1.5


def path_weight(x, y):
    """1 on the paved path, 0 beside it."""
    half = 1.25 + 0.35 * np.sin(y * 0.8)
    return 1 / (1 + np.exp((np.abs(x - path_center(y)) - half) * 3.5))


def add_ground(material) -> None:
    """The ground as a grid, finer near the camera; the attribute `path` marks where it is paved."""
    across = np.concatenate(
        [np.linspace(-90, -12, 60), np.linspace(-11.8, 11.8, 170), np.linspace(12, 110, 70)]
    )
    along = np.concatenate([np.linspace(-6, 30, 260), np.linspace(30.3, 60, 90), np.linspace(61, 170, 90)])
    x, y = np.meshgrid(across, along)
    points = np.stack([x, y, ground_height(x, y)], -1).reshape(-1, 3)
    columns = len(across)
    corner = (np.arange(len(along) - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    faces = np.stack([corner, corner + 1, corner + columns + 1, corner + columns], 1)
    mesh = bpy.data.meshes.new("ground")
    mesh.from_pydata(points.tolist(), [], faces.tolist())
    mesh.shade_smooth()
    weights = mesh.attributes.new("path", "FLOAT", "POINT")
    weights.data.foreach_set("value", path_weight(x, y).astype(np.float32).ravel())
    new_object("ground", mesh, material)


def _clump(solid: Solid, center, size: float, balls: int, spread=(0.5, 0.5, 0.3)) -> None:
    """A cluster of small flattened balls, larger towards the middle."""
    for _ in range(balls):
        offset = Vector(CHANCE.gauss(0, s) for s in spread) * size
        radius = size * CHANCE.uniform(0.17, 0.36) / (1 + 0.8 * offset.length / size)
        turn = tuple(CHANCE.uniform(0, 3) for _ in range(3))
        solid.ball(Vector(center) + offset, (radius, radius, radius * 0.55), turn, subdivisions=2)


def add_greenery(leaves, cypress, wood) -> None:
    """Bushes at the feet of the walls, ivy on them, cypresses beyond."""
    bushes, ivy = Solid(), Solid()
    for x, y, size in BUSHES:
        _clump(bushes, (x, y, float(ground_height(x, y)) + size * 0.25), size, 70)
    for y, z in IVY_ON_ARCADE:
        _clump(ivy, (-4.66, y, z), 0.75, 70, (0.12, 0.5, 0.7))
    for x, z in IVY_ON_GATE:
        _clump(ivy, (x + 1.0, 36.6, z), 1.0, 60, (0.6, 0.15, 0.8))
    weather(new_object("bushes", bushes.mesh("bushes"), leaves), 0.035, 0.08, grain=0.1)
    weather(new_object("ivy", ivy.mesh("ivy"), leaves), 0.045, 0.08, grain=0.12)

    trees, trunks = Solid(), Solid()
    for x, y, height in CYPRESSES:
        z = float(ground_height(x, y))
        trunks.cylinder((x, y, z - 0.5), 0.25, 2)
        for i in range(9):
            t = i / 8
            radius = height * 0.105 * math.sin(math.pi * (0.12 + 0.86 * t) ** 0.8) + 0.12
            place = (x + CHANCE.gauss(0, 0.12), y + CHANCE.gauss(0, 0.12), z + 0.9 + t * height * 0.92)
            trees.ball(place, (radius, radius, height * 0.11), subdivisions=2)
    weather(new_object("cypresses", trees.mesh("cypresses"), cypress), 0.13, 0.55, grain=0.28)
    new_object("trunks", trunks.mesh("trunks"), wood)


def add_grass(material) -> None:
    """Tufts of broad blades along the walls and the edge of the path, sparser with distance."""
    rng = np.random.default_rng(11)
    tufts = []
    while len(tufts) < 700:
        y = 3.0 + 30 * rng.random() ** 1.6
        side = rng.choice([-1, 1])
        near_wall = rng.random() < 0.5
        x = (
            (side * rng.normal(4.4, 0.5))
            if near_wall
            else float(path_center(y)) + side * abs(rng.normal(1.9, 0.5))
        )
        if float(path_weight(x, y)) < 0.45:
            tufts.append((x, y))
    root = np.repeat(np.array(tufts), 10, 0)
    count = len(root)
    root = root + rng.normal(0, 0.09, root.shape)
    heading, lean = rng.uniform(0, 2 * np.pi, count), rng.uniform(0.05, 0.22, count)
    height, width = rng.uniform(0.10, 0.34, count), rng.uniform(0.016, 0.028, count)
    out = np.stack([np.cos(heading), np.sin(heading)], 1)
    side = np.stack([-out[:, 1], out[:, 0]], 1) * width[:, None]
    base = ground_height(root[:, 0], root[:, 1]) - 0.03
    rows = []
    for t in (0.0, 0.55, 1.0):
        middle, rise = root + out * (lean * t * t)[:, None], base + height * (t - 0.15 * t * t)
        for sign in (-1, 1) if t < 1 else (0,):
            rows.append(np.concatenate([middle + sign * side * (1 - 0.5 * t), rise[:, None]], 1))
    points = np.stack(rows, 1).reshape(-1, 3)
    first = 5 * np.arange(count)[:, None]
    quads, tips = first + np.array([0, 1, 3, 2]), first + np.array([2, 3, 4])
    mesh = bpy.data.meshes.new("grass")
    mesh.from_pydata(points.tolist(), [], quads.tolist() + tips.tolist())
    new_object("grass", mesh, material)


def add_distance(hills, peaks) -> None:
    """Wooded hills and, behind them, a hazy mountain range."""
    for name, y, width, height, seed, material in (
        ("near hills", 125, 150, 13, 1.0, hills), ("range", 190, 260, 46, 4.0, peaks),
    ):  # fmt: skip
        x, v = np.meshgrid(np.linspace(-width, width, 240), np.linspace(0, 1, 60))
        ridge = sum(
            np.abs(np.sin(x / width * f * 3.1 + seed * f + 1.7 * f * f)) ** 1.3 / f**0.9
            for f in (1.3, 2.9, 6.1, 13.7)
        )
        crest = height * (
            0.35 + 0.5 * ridge / ridge.max() + 0.35 * np.exp(-(((x + 0.35 * width) / (0.4 * width)) ** 2))
        )
        points = np.stack([x, y + 60 * v - 30, crest * np.sin(np.pi * np.minimum(v, 0.5)) - 1.0], -1).reshape(
            -1, 3
        )
        columns = x.shape[1]
        corner = (np.arange(len(x) - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
        faces = np.stack([corner, corner + 1, corner + columns + 1, corner + columns], 1)
        mesh = bpy.data.meshes.new(name)
        mesh.from_pydata(points.tolist(), [], faces.tolist())
        mesh.shade_smooth()
        new_object(name, mesh, material)
