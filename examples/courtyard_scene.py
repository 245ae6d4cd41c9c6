"""The example scene: a ruined courtyard at golden hour, a paved path through it, a tower in the haze beyond.

Metres, Blender's axes (z up); the first camera stands near the origin and looks along +y.
"""

from __future__ import annotations

import math

import bpy
from courtyard_nature import (
    TOWER,
    add_distance,
    add_grass,
    add_greenery,
    add_ground,
    ground_height,
    path_center,
)
from mathutils import Vector
from painted_materials import Mist, masonry, meadow, painted, painted_sky
from solids import Solid, arch_hole, new_object, weather

# fmt: off
COLUMNS = (  # y, height, capital
    (7.6, 4.9, True), (12.0, 3.1, False), (16.4, 5.0, True), (20.8, 5.0, True), (25.2, 2.2, False), (29.6, 5.0, True),
)
# fmt: on
SUN = (-0.74, 0.50, 0.41)


def build() -> None:
    """Fills an empty file with the scene; the caller adds the camera."""
    mist = Mist()
    stone = masonry("warm stone", ["4c3a33", "7d5f4c", "a98562", "cfab7f", "ecd3a6"], mist)
    pale = masonry("pale stone", ["6a564c", "957b69", "bb9f84", "d9c09c", "efdcb8"], mist, seams=0.0)
    far_stone = masonry("tower stone", ["4d4348", "746061", "9b7f73", "c3a084"], mist, block=2.2)
    leaves = painted("leaves", ["1f2a1c", "33422a", "526034", "7f7f3d", "a89a4c"], mist, dab=0.16)
    cypress = painted("cypress", ["18231d", "263425", "3a4a2c", "5f6636"], mist, dab=0.22)
    hills = painted("hills", ["3f4a36", "5f6a44", "857f54", "a9986a"], mist, dab=3.0)
    peaks = painted("peaks", ["6a6478", "857a86", "a39295", "bba69c"], Mist(strength=0.66), dab=9.0)
    cloth = painted("cloth", ["4a1414", "7d1f1a", "ad3a28", "d9744a"], mist, dab=0.1, stretch=(1, 1, 0.3))
    wood = painted("wood", ["33241c", "5a3f2d", "7d5c40"], mist, dab=0.1, stretch=(1, 1, 0.15))

    add_ground(meadow("meadow", mist))
    _arcade(stone)
    _gate(stone)
    _right_side(pale, stone)
    _foreground(pale, leaves)
    _traveller(cloth, wood)
    _tower(far_stone, painted("roof", ["3b2f3a", "5b4347", "7d5a50"], mist, dab=0.8))
    add_greenery(leaves, cypress, wood)
    add_grass(
        painted("blades", ["45492a", "6d6c3b", "978c4e", "c0aa66"], mist, dab=0.14, stretch=(1, 1, 0.3))
    )
    add_distance(hills, peaks)
    _light()


def _arcade(material) -> None:
    """Eight arches along the left side, ruined at the near end."""
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
        arch_hole(holes, (x, y, 0), 1.45, 3.05, 3.0, along_y=True)
    broken = (
        (2.6, 6.6, 2.3),
        (5.4, 7.1, 1.5),
        (11.0, 7.2, 1.1),
        (20.5, 7.3, 1.6),
        (26.5, 6.9, 0.9),
        (33.0, 7.0, 1.9),
    )
    for y, z, size in broken:
        holes.ball((x, y, z), (size, size * 1.1, size * 0.9), turn=(0.5, 0.2, y), subdivisions=1)
    arcade = new_object("arcade", wall.mesh("arcade"), material)
    weather(arcade, 0.075, 0.11, minus=holes)


def _gate(material) -> None:
    """The wall across the end of the court with one tall opening for the path."""
    y, x = 37.5, float(path_center(37.5))
    wall, holes = Solid(), Solid()
    wall.box((x, y, 4.0), (20, 1.5, 9.0)).box((x, y, 7.6), (20, 1.9, 0.4))
    for side in (-1, 1):
        wall.box((x + side * 3.6, y - 0.4, 4.6), (1.3, 2.4, 10.0))
        wall.box((x + side * 8.2, y - 0.4, 4.0), (1.2, 2.2, 8.6))
    arch_hole(holes, (x, y, 0), 2.3, 4.1, 6.0, along_y=False)
    for side in (-1, 1):
        arch_hole(holes, (x + side * 5.9, y, 3.6), 0.7, 1.6, 6.0, along_y=False)
    for dx, z, size in (
        (-9.5, 8.6, 2.6),
        (-5.2, 9.6, 1.5),
        (1.0, 9.9, 1.3),
        (6.6, 9.2, 2.2),
        (9.8, 7.6, 2.9),
    ):
        holes.ball((x + dx, y, z), (size, size, size * 0.9), turn=(0.3, 0.4, dx), subdivisions=1)
    gate = new_object("gate", wall.mesh("gate"), material)
    weather(gate, 0.13, 0.16, grain=0.8, minus=holes)


def _column(solid: Solid, x: float, y: float, height: float, radius: float, capital: bool) -> None:
    ground = float(ground_height(x, y))
    solid.box((x, y, ground + 0.15), (radius * 3.1, radius * 3.1, 0.5), (0, 0, 0.1))
    solid.cylinder((x, y, ground + 0.35), radius * 1.3, 0.25, radius * 1.1)
    solid.cylinder((x, y, ground + 0.5), radius, height - 0.5, radius * 0.86)
    if capital:
        solid.cylinder((x, y, ground + height - 0.1), radius * 0.86, 0.45, radius * 1.4)
        solid.box((x, y, ground + height + 0.45), (radius * 3, radius * 3, 0.28))


def _right_side(pale, stone) -> None:
    """A broken colonnade and a half-collapsed wall behind it."""
    columns, holes = Solid(), Solid()
    for y, height, capital in COLUMNS:
        _column(columns, 4.9, y, height, 0.43, capital)
        if not capital:
            holes.ball((4.9 - 0.25, y, height + 0.25), (0.7, 0.7, 0.45), (0.5, 0.5, y), 1)
    columns.box((4.9, 18.6, 5.72), (0.9, 5.6, 0.6)).box((4.9, 18.6, 6.1), (1.15, 5.9, 0.22))
    weather(new_object("colonnade", columns.mesh("colonnade"), pale), 0.055, 0.06, grain=0.35, minus=holes)

    wall, gaps = Solid(), Solid()
    wall.box((9.6, 20, 2.2), (0.9, 36, 5.6)).box((9.6, 20, 4.7), (1.2, 36, 0.25))
    for y in (9.0, 16.0, 23.0, 30.0):
        arch_hole(gaps, (9.6, y, 1.3), 0.75, 1.3, 3.0, along_y=True)
    for y, z, size in (
        (3.0, 5.4, 2.8),
        (8.5, 5.7, 1.6),
        (13.0, 5.0, 2.1),
        (20.0, 5.8, 1.2),
        (27.0, 5.1, 2.4),
        (35.0, 5.0, 2.2),
    ):
        gaps.ball((9.6, y, z), (size, size, size), (0.4, 0.3, y), 1)
    weather(new_object("side wall", wall.mesh("side wall"), stone), 0.09, 0.14, minus=gaps)


def _foreground(pale, leaves) -> None:
    """A fallen column, its capital and blocks that lead into the picture."""
    blocks = Solid()
    blocks.cylinder((1.75, 5.9, 0.34), 0.40, 2.4, 0.36, turn=(math.pi / 2, 0, -2.35))
    blocks.cylinder((-1.75, 6.1, 0.28), 0.36, 0.5, 0.40, turn=(1.35, 0.2, 0.9))
    blocks.box((-2.55, 4.55, 0.22), (0.9, 0.7, 0.62), (0.06, 0.1, 0.5)).box(
        (-3.2, 5.6, 0.2), (0.8, 0.6, 0.6), (0.1, 0, 1.0)
    )
    blocks.box((-2.75, 4.75, 0.72), (0.55, 0.6, 0.45), (0.2, 0.1, 0.15))
    blocks.box((3.2, 8.3, 0.1), (0.9, 0.5, 0.5), (0.3, 0.1, 0.7)).box(
        (-3.6, 9.4, 0.1), (0.7, 0.7, 0.5), (0.1, 0.3, 0.4)
    )
    blocks.box((2.7, 12.6, 0.1), (0.6, 0.8, 0.5), (0.1, 0.3, 0.9)).box(
        (-2.6, 14.5, 0.1), (0.5, 0.6, 0.4), (0.4, 0, 0.2)
    )
    weather(new_object("blocks", blocks.mesh("blocks"), pale), 0.035, 0.05, grain=0.25)


def _traveller(cloth, wood) -> None:
    """A hooded figure on the path, for scale and for the story."""
    y = 13.2
    x = float(path_center(y)) + 0.1
    z = float(ground_height(x, y))
    figure = Solid()
    for side, ahead in ((-0.1, 0.12), (0.11, -0.1)):
        figure.cylinder((x + side, y + ahead, z - 0.05), 0.075, 0.5, 0.09, sides=12)
        figure.box((x + side, y + ahead + 0.05, z + 0.02), (0.12, 0.26, 0.1))
    figure.cylinder((x, y, z + 0.3), 0.33, 0.75, 0.22, sides=20).cylinder(
        (x, y, z + 0.95), 0.24, 0.42, 0.25, sides=20
    )
    figure.ball((x, y, z + 1.34), (0.27, 0.17, 0.13)).ball((x, y + 0.03, z + 1.55), (0.13, 0.15, 0.17))
    figure.cylinder((x, y - 0.02, z + 1.36), 0.17, 0.42, 0.03, turn=(0.25, 0, 0), sides=16)
    figure.cylinder((x + 0.24, y, z + 1.3), 0.07, 0.42, 0.06, turn=(0.6, 2.7, 0), sides=12)
    figure.box((x - 0.26, y - 0.08, z + 0.78), (0.14, 0.26, 0.26), (0, 0.15, 0))
    weather(new_object("traveller", figure.mesh("traveller"), cloth), 0.025, 0.05, grain=0.2)
    staff = Solid().cylinder((x + 0.42, y + 0.1, z), 0.028, 1.75, turn=(0.03, -0.05, 0), sides=10)
    new_object("staff", staff.mesh("staff"), wood)


def _tower(stone, roof) -> None:
    """The destination of the path: a keep on a hill with a slender turret."""
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
        holes.box(
            (x + 5 * math.cos(angle), y + 5 * math.sin(angle), z + 26.4), (2.6, 1.5, 2.0), (0, 0, angle)
        )
    for dx, height in ((-1.2, 13), (1.3, 18.5), (0.1, 8)):
        arch_hole(holes, (x + dx, y - 4, z + height), 0.42, 1.6, 5, along_y=False)
    holes.ball((x - 5.0, y - 2.0, z + 26.5), (3.4, 3.4, 3.0), subdivisions=1)
    weather(new_object("tower", keep.mesh("tower"), stone), 0.28, 0.3, grain=1.6, minus=holes)
    spires = (
        Solid()
        .cylinder((x + 4.6, y - 1.5, z + 29.2), 2.6, 7.5, 0.05)
        .cylinder((x - 6.5, y + 1, z + 10), 3.6, 5.5, 0.05)
    )
    weather(new_object("spires", spires.mesh("spires"), roof), 0.2, 0.15, grain=1.2)


def _light() -> None:
    lamp = bpy.data.lights.new("sun", "SUN")
    lamp.energy, lamp.color, lamp.angle = 8.0, (1.0, 0.68, 0.38), math.radians(1.0)
    sun = bpy.data.objects.new("sun", lamp)
    sun.rotation_euler = Vector(SUN).to_track_quat("Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(sun)
    world = bpy.data.worlds.new("sky")
    bpy.context.scene.world = world
    painted_sky(world, tuple(Vector(SUN).normalized()))
