"""The example scene: a ruined courtyard at golden hour, a paved way through it, a tower in the haze beyond.

Metres, Blender's axes (z up); the first camera stands near the origin and looks along +y.
"""

from __future__ import annotations

import math
import random

import bmesh
import bpy
import numpy as np
from mathutils import Euler, Matrix, Vector
from painted_materials import Mist, masonry, meadow, painted, painted_sky

SUN = (-0.80, 0.36, 0.42)
TOWER = (9.0, 96.0)


def build() -> None:
    """Fills an empty file with the scene; the camera is left to the caller."""
    random.seed(7)
    mist = Mist()
    stone = masonry("warm stone", ["4c3a33", "7d5f4c", "a98562", "cfab7f", "ecd3a6"], mist)
    pale = masonry("pale stone", ["6a564c", "957b69", "bb9f84", "d9c09c", "efdcb8"], mist, seams=0.0)
    far_stone = masonry("tower stone", ["4d4348", "746061", "9b7f73", "c3a084"], mist, block=2.2)
    leaves = painted("leaves", ["1f2a1c", "33422a", "526034", "7f7f3d", "a89a4c"], mist, dab=0.16)
    cypress = painted("cypress", ["18231d", "263425", "3a4a2c", "5f6636"], mist, dab=0.22)
    hills = painted("hills", ["3f4a36", "5f6a44", "857f54", "a9986a"], mist, dab=3.0)
    peaks = painted("peaks", ["6a6478", "857a86", "a39295", "bba69c"], Mist(strength=0.66), dab=9.0)
    cloth = painted("cloth", ["5e1713", "8d251b", "b8402a", "d0603a"], mist, dab=0.1, stretch=(1, 1, 0.3))
    wood = painted("wood", ["33241c", "5a3f2d", "7d5c40"], mist, dab=0.1, stretch=(1, 1, 0.15))

    _ground(meadow("meadow", mist))
    _arcade(stone)
    _gate(stone)
    _right_side(pale, stone)
    _foreground(pale, leaves)
    _traveller(cloth, wood)
    _tower(far_stone, painted("roof", ["3b2f3a", "5b4347", "7d5a50"], mist, dab=0.8))
    _greenery(leaves, cypress, wood)
    _grass(painted("blades", ["45492a", "6d6c3b", "978c4e", "c0aa66"], mist, dab=0.14, stretch=(1, 1, 0.3)))
    _distance(hills, peaks)
    _light()


def ground_height(x, y):
    """Height of the ground; takes numbers or arrays."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    swell = 0.10 * np.sin(0.9 * x + 0.4) * np.cos(0.55 * y) + 0.06 * np.sin(1.7 * y + x)
    swell = swell * (1 - 0.8 * _path_weight(x, y))
    hill = 9.0 * np.exp(-(((x - TOWER[0]) / 26) ** 2 + ((y - TOWER[1] - 6) / 28) ** 2))
    sides = 0.02 * np.maximum(np.abs(x) - 9, 0) ** 1.5
    return swell + hill + np.minimum(sides, 6)


def path_center(y):
    """x of the middle of the paved way at y."""
    y = np.asarray(y, float)
    return 0.55 * np.sin(y / 6.5 + 0.5) - 0.2 + TOWER[0] * np.clip((y - 30) / 50, 0, 1) ** 1.5


def _path_weight(x, y):
    half = 1.25 + 0.35 * np.sin(y * 0.8)
    return 1 / (1 + np.exp((np.abs(x - path_center(y)) - half) * 3.5))


# ---------------------------------------------------------------------------------------------- building blocks
def _object(name: str, mesh: bpy.types.Mesh, material) -> bpy.types.Object:
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(thing)
    mesh.materials.append(material)
    return thing


class Solid:
    """Simple solids gathered into one mesh."""

    def __init__(self):
        self.bm = bmesh.new()

    def box(self, center, size, turn=(0, 0, 0)) -> Solid:
        matrix = Matrix.Translation(center) @ Euler(turn).to_matrix().to_4x4() @ Matrix.Diagonal((*size, 1))
        bmesh.ops.create_cube(self.bm, size=1, matrix=matrix)
        return self

    def cylinder(self, base, radius, height, top=None, turn=(0, 0, 0), sides=28) -> Solid:
        matrix = Matrix.Translation(base) @ Euler(turn).to_matrix().to_4x4() @ Matrix.Translation((0, 0, height / 2))
        top = radius if top is None else top
        bmesh.ops.create_cone(
            self.bm, cap_ends=True, segments=sides, radius1=radius, radius2=top, depth=height, matrix=matrix
        )
        return self

    def ball(self, center, size, turn=(0, 0, 0), subdivisions=3) -> Solid:
        matrix = Matrix.Translation(center) @ Euler(turn).to_matrix().to_4x4() @ Matrix.Diagonal((*size, 1))
        bmesh.ops.create_icosphere(self.bm, subdivisions=subdivisions, radius=1, matrix=matrix)
        return self

    def mesh(self, name: str) -> bpy.types.Mesh:
        mesh = bpy.data.meshes.new(name)
        self.bm.to_mesh(mesh)
        self.bm.free()
        return mesh


def _weather(thing, voxel: float, amount: float, grain: float = 0.5, minus: Solid | None = None) -> None:
    """Carves `minus` away, melts all parts into one skin of `voxel` metres and wears it by `amount` metres."""
    if minus is not None:
        cutter = bpy.data.objects.new("cutter", minus.mesh("cutter"))
        bpy.context.scene.collection.objects.link(cutter)
        cutter.hide_render = True
        carve = thing.modifiers.new("carve", "BOOLEAN")
        carve.operation, carve.solver, carve.object, carve.use_self = "DIFFERENCE", "EXACT", cutter, True
    skin = thing.modifiers.new("skin", "REMESH")
    skin.mode, skin.voxel_size, skin.use_smooth_shade = "VOXEL", voxel, True
    for scale, strength in ((grain * 3, amount), (grain, amount * 0.6)):
        clouds = bpy.data.textures.new("wear", "CLOUDS")
        clouds.noise_scale = scale
        wear = thing.modifiers.new("wear", "DISPLACE")
        wear.texture, wear.texture_coords, wear.strength = clouds, "GLOBAL", strength


# ------------------------------------------------------------------------------------------------------ the parts
def _ground(material) -> None:
    across = np.concatenate([np.linspace(-90, -12, 60), np.linspace(-11.8, 11.8, 170), np.linspace(12, 110, 70)])
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
    weights.data.foreach_set("value", _path_weight(x, y).astype(np.float32).ravel())
    _object("ground", mesh, material)


def _arch_hole(holes: Solid, center, radius: float, spring: float, depth: float, along_y: bool) -> None:
    """A round-headed opening through a wall: `spring` metres of upright, then half a circle."""
    x, y, z = center
    size = (depth, 2 * radius, spring + 1) if along_y else (2 * radius, depth, spring + 1)
    holes.box((x, y, z + spring / 2 - 0.5), size)
    turn = (0, math.pi / 2, 0) if along_y else (math.pi / 2, 0, 0)
    offset = (-depth / 2, 0, 0) if along_y else (0, depth / 2, 0)
    holes.cylinder((x + offset[0], y + offset[1], z + spring), radius, depth, turn=turn, sides=40)


def _arcade(material) -> None:
    """Eight arches along the left side, broken at the near end."""
    x, first, step, count = -5.2, 5.2, 4.2, 8
    wall, holes = Solid(), Solid()
    length = step * count
    wall.box((x, first - step / 2 + length / 2, 2.9), (0.95, length, 6.4))
    wall.box((x, first - step / 2 + length / 2, 5.55), (1.35, length, 0.3))
    wall.box((x, first - step / 2 + length / 2, 6.15), (1.2, length, 0.22))
    for i in range(count + 1):
        pier = first - step / 2 + i * step
        wall.box((x, pier, 0.25), (1.5, 1.5, 1.0))
        wall.box((x, pier, 2.95), (1.4, 1.35, 0.28))
        wall.cylinder((x + 0.55, pier, 0.3), 0.3, 2.8)
    for i in range(count):
        y = first + i * step
        _arch_hole(holes, (x, y, 0), 1.45, 3.05, 3.0, along_y=True)
    broken = ((2.6, 6.6, 2.3), (5.4, 7.1, 1.5), (11.0, 7.2, 1.1), (20.5, 7.3, 1.6), (26.5, 6.9, 0.9), (33.0, 7.0, 1.9))
    for y, z, size in broken:
        holes.ball((x, y, z), (size, size * 1.1, size * 0.9), turn=(0.5, 0.2, y), subdivisions=1)
    arcade = _object("arcade", wall.mesh("arcade"), material)
    _weather(arcade, 0.075, 0.11, minus=holes)


def _gate(material) -> None:
    """The wall across the end of the court with one tall opening over the way."""
    y, x = 37.5, float(path_center(37.5))
    wall, holes = Solid(), Solid()
    wall.box((x, y, 4.0), (20, 1.5, 9.0)).box((x, y, 7.6), (20, 1.9, 0.4))
    for side in (-1, 1):
        wall.box((x + side * 3.6, y - 0.4, 4.6), (1.3, 2.4, 10.0))
        wall.box((x + side * 8.2, y - 0.4, 4.0), (1.2, 2.2, 8.6))
    _arch_hole(holes, (x, y, 0), 2.3, 4.1, 6.0, along_y=False)
    for side in (-1, 1):
        _arch_hole(holes, (x + side * 5.9, y, 3.6), 0.7, 1.6, 6.0, along_y=False)
    for dx, z, size in ((-9.5, 8.6, 2.6), (-5.2, 9.6, 1.5), (1.0, 9.9, 1.3), (6.6, 9.2, 2.2), (9.8, 7.6, 2.9)):
        holes.ball((x + dx, y, z), (size, size, size * 0.9), turn=(0.3, 0.4, dx), subdivisions=1)
    gate = _object("gate", wall.mesh("gate"), material)
    _weather(gate, 0.13, 0.16, grain=0.8, minus=holes)


def _column(solid: Solid, x: float, y: float, height: float, radius: float, capital: bool) -> None:
    ground = float(ground_height(x, y))
    solid.box((x, y, ground + 0.15), (radius * 3.1, radius * 3.1, 0.5), (0, 0, 0.1))
    solid.cylinder((x, y, ground + 0.35), radius * 1.3, 0.25, radius * 1.1)
    solid.cylinder((x, y, ground + 0.5), radius, height - 0.5, radius * 0.86)
    if capital:
        solid.cylinder((x, y, ground + height - 0.1), radius * 0.86, 0.45, radius * 1.4)
        solid.box((x, y, ground + height + 0.45), (radius * 3, radius * 3, 0.28))


def _right_side(pale, stone) -> None:
    """A broken colonnade, and behind it a wall that has half fallen."""
    columns, holes = Solid(), Solid()
    for y, height, capital in ((7.6, 4.9, True), (12.0, 3.1, False), (16.4, 5.0, True), (20.8, 5.0, True), (25.2, 2.2, False),
                               (29.6, 5.0, True)):  # fmt: skip
        _column(columns, 4.9, y, height, 0.43, capital)
        if not capital:
            holes.ball((4.9 - 0.25, y, height + 0.25), (0.7, 0.7, 0.45), (0.5, 0.5, y), 1)
    columns.box((4.9, 18.6, 5.72), (0.9, 5.6, 0.6)).box((4.9, 18.6, 6.1), (1.15, 5.9, 0.22))
    _weather(_object("colonnade", columns.mesh("colonnade"), pale), 0.055, 0.06, grain=0.35, minus=holes)

    wall, gaps = Solid(), Solid()
    wall.box((9.6, 20, 2.2), (0.9, 36, 5.6)).box((9.6, 20, 4.7), (1.2, 36, 0.25))
    for y in (9.0, 16.0, 23.0, 30.0):
        _arch_hole(gaps, (9.6, y, 1.3), 0.75, 1.3, 3.0, along_y=True)
    for y, z, size in ((3.0, 5.4, 2.8), (8.5, 5.7, 1.6), (13.0, 5.0, 2.1), (20.0, 5.8, 1.2), (27.0, 5.1, 2.4), (35.0, 5.0, 2.2)):
        gaps.ball((9.6, y, z), (size, size, size), (0.4, 0.3, y), 1)
    _weather(_object("side wall", wall.mesh("side wall"), stone), 0.09, 0.14, minus=gaps)


def _foreground(pale, leaves) -> None:
    """A fallen column, its capital and blocks that lead into the picture."""
    blocks = Solid()
    blocks.cylinder((1.9, 5.6, 0.34), 0.40, 2.6, 0.36, turn=(math.pi / 2, 0, -1.05))
    blocks.cylinder((1.55, 4.75, 0.30), 0.40, 0.55, 0.42, turn=(1.35, 0.2, -0.7))
    blocks.box((-2.55, 4.55, 0.22), (0.9, 0.7, 0.62), (0.06, 0.1, 0.5)).box((-3.2, 5.6, 0.2), (0.8, 0.6, 0.6), (0.1, 0, 1.0))
    blocks.box((-2.75, 4.75, 0.72), (0.55, 0.6, 0.45), (0.2, 0.1, 0.15))
    blocks.box((3.2, 8.3, 0.1), (0.9, 0.5, 0.5), (0.3, 0.1, 0.7)).box((-3.6, 9.4, 0.1), (0.7, 0.7, 0.5), (0.1, 0.3, 0.4))
    blocks.box((2.7, 12.6, 0.1), (0.6, 0.8, 0.5), (0.1, 0.3, 0.9)).box((-2.6, 14.5, 0.1), (0.5, 0.6, 0.4), (0.4, 0, 0.2))
    _weather(_object("blocks", blocks.mesh("blocks"), pale), 0.035, 0.05, grain=0.25)


def _traveller(cloth, wood) -> None:
    """A hooded figure on the way, for scale and for the story."""
    y = 13.2
    x = float(path_center(y)) + 0.1
    z = float(ground_height(x, y))
    figure = Solid()
    for side, ahead in ((-0.1, 0.12), (0.11, -0.1)):
        figure.cylinder((x + side, y + ahead, z - 0.05), 0.075, 0.5, 0.09, sides=12)
        figure.box((x + side, y + ahead + 0.05, z + 0.02), (0.12, 0.26, 0.1))
    figure.cylinder((x, y, z + 0.3), 0.33, 0.75, 0.22, sides=20).cylinder((x, y, z + 0.95), 0.24, 0.42, 0.25, sides=20)
    figure.ball((x, y, z + 1.34), (0.27, 0.17, 0.13)).ball((x, y + 0.03, z + 1.55), (0.13, 0.15, 0.17))
    figure.cylinder((x, y - 0.02, z + 1.36), 0.17, 0.42, 0.03, turn=(0.25, 0, 0), sides=16)
    figure.cylinder((x + 0.24, y, z + 1.3), 0.07, 0.42, 0.06, turn=(0.6, 2.7, 0), sides=12)
    figure.box((x - 0.26, y - 0.08, z + 0.78), (0.14, 0.26, 0.26), (0, 0.15, 0))
    _weather(_object("traveller", figure.mesh("traveller"), cloth), 0.025, 0.05, grain=0.2)
    staff = Solid().cylinder((x + 0.42, y + 0.1, z), 0.028, 1.75, turn=(0.03, -0.05, 0), sides=10)
    _object("staff", staff.mesh("staff"), wood)


def _tower(stone, roof) -> None:
    """The goal of the way: a keep on its hill with a slender turret."""
    x, y = TOWER
    z = float(ground_height(x, y)) - 1
    keep, holes = Solid(), Solid()
    keep.cylinder((x, y, z), 5.4, 8, 4.6).cylinder((x, y, z + 7.5), 4.4, 17, 4.0)
    keep.cylinder((x, y, z + 22.5), 4.1, 1.6, 5.2).cylinder((x, y, z + 24), 5.2, 2.4, 5.1)
    keep.cylinder((x + 4.6, y - 1.5, z + 2), 2.0, 27, 1.7).cylinder((x + 4.6, y - 1.5, z + 28), 1.8, 1.2, 2.5)
    keep.cylinder((x - 6.5, y + 1, z - 2), 3.2, 12, 2.8).box((x - 10, y + 2, z + 1.5), (9, 1.6, 7))
    keep.box((x + 11, y + 2, z + 1), (12, 1.6, 6))
    for i in range(9):
        angle = i * 2 * math.pi / 9
        holes.box((x + 5 * math.cos(angle), y + 5 * math.sin(angle), z + 26.4), (2.6, 1.5, 2.0), (0, 0, angle))
    for dx, height in ((-1.2, 13), (1.3, 18.5), (0.1, 8)):
        _arch_hole(holes, (x + dx, y - 4, z + height), 0.42, 1.6, 5, along_y=False)
    holes.ball((x - 5.0, y - 2.0, z + 26.5), (3.4, 3.4, 3.0), subdivisions=1)
    _weather(_object("tower", keep.mesh("tower"), stone), 0.28, 0.3, grain=1.6, minus=holes)
    spires = Solid().cylinder((x + 4.6, y - 1.5, z + 29.2), 2.6, 7.5, 0.05).cylinder((x - 6.5, y + 1, z + 10), 3.6, 5.5, 0.05)
    _weather(_object("spires", spires.mesh("spires"), roof), 0.2, 0.15, grain=1.2)


def _clump(solid: Solid, center, size: float, balls: int, flat: float = 0.75) -> None:
    for _ in range(balls):
        offset = Vector((random.gauss(0, 0.5), random.gauss(0, 0.5), random.gauss(0, 0.32))) * size
        radius = size * random.uniform(0.28, 0.55)
        solid.ball(Vector(center) + offset, (radius, radius, radius * flat), subdivisions=2)


def _greenery(leaves, cypress, wood) -> None:
    bushes, ivy = Solid(), Solid()
    for x, y, size in ((-4.0, 7.4, 0.4), (-4.1, 15.6, 0.5), (4.0, 9.8, 0.5), (5.6, 14.2, 0.7), (3.7, 18.6, 0.45), (-3.9, 24.0, 0.6),
                       (6.9, 10.4, 0.9), (7.2, 6.2, 0.7), (6.6, 24.0, 0.9), (-3.7, 31.5, 0.7), (3.0, 33.5, 0.8), (2.9, 6.6, 0.3),
                       (-3.3, 5.0, 0.3)):  # fmt: skip
        _clump(bushes, (x, y, float(ground_height(x, y)) + size * 0.3), size, 9)
    for y, z in ((7.35, 4.6), (7.2, 5.2), (7.5, 3.9), (15.7, 5.3), (15.8, 4.7), (24.1, 5.3), (28.2, 4.8), (28.3, 5.4)):
        _clump(ivy, (-4.75, y, z), 0.55, 8, flat=1.0)
    for x, z in ((-4.4, 7.2), (-4.0, 6.4), (6.2, 6.4), (6.6, 5.6)):
        _clump(ivy, (x + 1.0, 36.6, z), 0.9, 10, flat=1.0)
    _weather(_object("bushes", bushes.mesh("bushes"), leaves), 0.05, 0.22, grain=0.12)
    _weather(_object("ivy", ivy.mesh("ivy"), leaves), 0.06, 0.2, grain=0.14)

    trees, trunks = Solid(), Solid()
    for x, y, height in ((12.5, 17, 9.5), (14.2, 24, 12), (12.4, 31, 10.5), (-9.5, 33, 12), (-11, 41, 13), (16, 44, 14),
                         (-7, 50, 11), (13, 52, 10), (-16, 56, 13), (22, 60, 12), (-13, 66, 11), (-2.5, 64, 9), (17, 70, 9)):  # fmt: skip
        z = float(ground_height(x, y))
        trunks.cylinder((x, y, z - 0.5), 0.25, 2)
        for i in range(9):
            t = i / 8
            radius = height * 0.105 * math.sin(math.pi * (0.12 + 0.86 * t) ** 0.8) + 0.12
            place = (x + random.gauss(0, 0.12), y + random.gauss(0, 0.12), z + 0.9 + t * height * 0.92)
            trees.ball(place, (radius, radius, height * 0.11), subdivisions=2)
    _weather(_object("cypresses", trees.mesh("cypresses"), cypress), 0.13, 0.55, grain=0.28)
    _object("trunks", trunks.mesh("trunks"), wood)


def _grass(material) -> None:
    """Tufts of broad blades along the walls and the edge of the way, thinner with distance."""
    rng = np.random.default_rng(11)
    tufts = []
    while len(tufts) < 700:
        y = 3.0 + 30 * rng.random() ** 1.6
        side = rng.choice([-1, 1])
        near_wall = rng.random() < 0.5
        x = (side * rng.normal(4.4, 0.5)) if near_wall else float(path_center(y)) + side * abs(rng.normal(1.9, 0.5))
        if float(_path_weight(x, y)) < 0.45:
            tufts.append((x, y))
    root = np.repeat(np.array(tufts), 14, 0)
    count = len(root)
    root = root + rng.normal(0, 0.09, root.shape)
    heading, lean = rng.uniform(0, 2 * np.pi, count), rng.uniform(0.05, 0.22, count)
    height, width = rng.uniform(0.10, 0.34, count), rng.uniform(0.012, 0.022, count)
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
    quads, tips = first + [0, 1, 3, 2], first + [2, 3, 4]
    mesh = bpy.data.meshes.new("grass")
    mesh.from_pydata(points.tolist(), [], quads.tolist() + tips.tolist())
    _object("grass", mesh, material)


def _distance(hills, peaks) -> None:
    """Wooded hills and, behind them, a range in the haze."""
    for name, y, width, height, seed, material in (
        ("near hills", 125, 150, 13, 1.0, hills), ("range", 190, 260, 46, 4.0, peaks),
    ):  # fmt: skip
        x, v = np.meshgrid(np.linspace(-width, width, 240), np.linspace(0, 1, 60))
        ridge = sum(
            np.abs(np.sin(x / width * f * 3.1 + seed * f + 1.7 * f * f)) ** 1.3 / f**0.9 for f in (1.3, 2.9, 6.1, 13.7)
        )
        crest = height * (0.35 + 0.5 * ridge / ridge.max() + 0.35 * np.exp(-(((x + 0.35 * width) / (0.4 * width)) ** 2)))
        points = np.stack([x, y + 60 * v - 30, crest * np.sin(np.pi * np.minimum(v, 0.5)) - 1.0], -1).reshape(-1, 3)
        columns = x.shape[1]
        corner = (np.arange(len(x) - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
        faces = np.stack([corner, corner + 1, corner + columns + 1, corner + columns], 1)
        mesh = bpy.data.meshes.new(name)
        mesh.from_pydata(points.tolist(), [], faces.tolist())
        mesh.shade_smooth()
        _object(name, mesh, material)


def _light() -> None:
    lamp = bpy.data.lights.new("sun", "SUN")
    lamp.energy, lamp.color, lamp.angle = 5.2, (1.0, 0.72, 0.42), math.radians(1.2)
    sun = bpy.data.objects.new("sun", lamp)
    sun.rotation_euler = Vector(SUN).to_track_quat("Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(sun)
    world = bpy.data.worlds.new("sky")
    bpy.context.scene.world = world
    painted_sky(world, tuple(Vector(SUN).normalized()))
