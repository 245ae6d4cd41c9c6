"""Mixed layouts: stairways, pavilions over water, villages by a stream, hangars."""

from __future__ import annotations

import math

from lyra.synthetic import furniture, houses, monuments, parts, vessels
from lyra.synthetic import materials as paint
from lyra.synthetic import shape_kernels as shapes
from lyra.synthetic import surface_kernels as patterns
from lyra.synthetic.air import indoors, outdoors
from lyra.synthetic.layouts_nature import terrain
from lyra.synthetic.scene import Scene


def stairs(scene: Scene) -> None:
    """A stairway up or down between walls, houses or rails, to a gate, temple or tower."""
    width = scene.uniform(1.2, 6)
    rise, run = scene.uniform(0.14, 0.22), scene.uniform(0.28, 0.45)
    stone = paint.masonry(scene)
    scene.block((-900, -900, -2), (900, 900, 0), scene.pick([paint.paving, paint.ground])(scene))
    at, yaw = (0.0, 3.0, 0.0), 0.0
    flights = int(scene.uniform(1, 4))
    for _ in range(flights):
        steps = int(scene.uniform(6, 14))
        top = parts.stairs(scene, at, yaw, steps, 2 * width, rise, run, stone)
        if scene.chance(0.7):
            for side in (-1, 1):
                start = parts.around(at, yaw, (side * width, 0, 0))
                end = parts.around(top, yaw, (side * width, 0, 0))
                parts.rail(scene, start, end, scene.uniform(0.7, 1.2), stone)
                scene.column(start, 1.3, 0.15, stone)
        landing = parts.around(top, yaw, (0, 1.0, -0.5 * top[2]))
        scene.box(landing, (1.2 * width, 1.2, 0.5 * top[2]), stone, yaw)
        at = parts.around(top, yaw, (0.0, 2.0, 0.0))
        yaw += scene.pick([0.0, 0.0, 0.3, -0.3])
    deep = at[1] + 8
    if scene.chance(0.7):
        roof, front = paint.roofing(scene), paint.facade(scene)
        for side in (-1, 1):
            y = 0.0
            while y < deep:
                long = scene.uniform(3.5, 8)
                spot = (side * (width + 3.5 + scene.uniform(0, 1)), y + 0.5 * long, -1.0)
                tall = scene.uniform(4, 9) + at[2] * y / deep
                houses.house(scene, spot, (6.0, long, tall), 0.0, front if scene.chance(0.5) else None, roof)
                y += long
    draw = scene.pick(["gate", "pagoda", "tower", "monument"])
    end = (at[0], at[1] + 3, at[2])
    if draw == "gate":
        scene.portal(
            end, (2 * width, 0.8, 1.6 * width), stone, (0.8 * width, 0.0, 1.4 * width, 0.8 * width), yaw
        )
    elif draw == "pagoda":
        monuments.pagoda(scene, end, 1.6 * width + 1, int(scene.uniform(1, 4)))
    elif draw == "tower":
        houses.tower(scene, end, scene.uniform(10, 30), 1.2 * width, stone, paint.roofing(scene))
    else:
        monuments.monument(scene, end, 0.5 * width)
    leaves = paint.foliage(scene)
    for _ in range(int(scene.uniform(0, 8))):
        spot = (scene.pick([-1, 1]) * (width + scene.uniform(0.3, 1.0)), scene.uniform(1, deep), 0.0)
        parts.bush(scene, (spot[0], spot[1], at[2] * spot[1] / deep), scene.uniform(0.3, 0.9), leaves)
    if scene.chance(0.4):
        parts.figure(scene, (scene.uniform(-0.6, 0.6) * width, scene.uniform(1.5, 2.8), 0.0))
    scene.see_from(
        (scene.uniform(-0.6, 0.6) * width, scene.uniform(-3, 0), scene.uniform(1, 2.5)),
        scene.uniform(-0.2, 0.2),
        scene.uniform(0.0, 0.35),
    )
    scene.see_from(
        (at[0], at[1] - 0.5, at[2] + 1.7), math.pi + scene.uniform(-0.3, 0.3), -scene.uniform(0.15, 0.5)
    )
    if scene.chance(0.3):
        scene.cameras.reverse()
    outdoors(scene)
    scene.fov = math.radians(scene.uniform(45, 95))


def pavilion(scene: Scene) -> None:
    """A roofed place open to water or gardens: floor, columns, beams, broken walls, a view between them."""
    x, y, z = scene.uniform(2, 6), scene.uniform(5, 14), scene.uniform(2.5, 5)
    level = -scene.uniform(0.2, 2.5)
    terrain(
        scene,
        near=8.0,
        period=scene.uniform(60, 300),
        height=scene.uniform(5, 90),
        calm=40.0,
        rise=150.0,
        floor=level - 2,
    )
    below = paint.water(scene) if scene.chance(0.75) else paint.ground(scene)
    scene.block((-9e3, -9e3, level - 9), (9e3, 9e3, level), below)
    floor = scene.pick([paint.timber, paint.paving])(scene)
    scene.block((-x, -3, level - 1), (x, y, 0), floor)
    post = paint.make(scene, scene.pick(["red", "wood", "white", "stone", "dark"]), size=0.6)
    wall, square = paint.wall(scene), scene.chance(0.5)
    bays = int(scene.uniform(2, 5))
    for k in range(bays + 1):
        for side in (-1, 1):
            parts.pillar(
                scene, (side * (x - 0.3), k * y / bays, 0.0), z, scene.uniform(0.15, 0.3), post, square
            )
        if scene.chance(0.6):
            scene.block((-x, k * y / bays - 0.12, z - 0.3), (x, k * y / bays + 0.12, z), post)
        for side in (-1, 1):
            if k < bays and scene.chance(0.35):
                foot = (side * (x - 0.2), (k + 0.5) * y / bays, 0.0)
                bay = 0.5 * y / bays
                opening = (0.5 * bay, scene.pick([0.0, 0.9]), 0.6 * z, scene.pick([0.0, 0.5 * bay]))
                scene.portal(foot, (bay, 0.15, 0.5 * z), wall, opening, 0.5 * math.pi)
    if scene.chance(0.7):
        scene.block((-x - 0.6, -3, z), (x + 0.6, y + 0.6, z + 0.25), paint.timber(scene))
    if scene.chance(0.5):
        foot, half = (0.0, y, 0.0), (x, 0.2, 0.5 * z)
        scene.portal(foot, half, wall, (x * scene.uniform(0.3, 0.7), 0.0, 0.5 * z, 0.35 * z))
    else:
        parts.rail(scene, (-x, y - 0.1, 0.0), (x, y - 0.1, 0.0), 1.0, post)
    for _ in range(int(scene.uniform(0, 6))):
        spot = (scene.uniform(-0.7, 0.7) * x, scene.uniform(2, y - 1), 0.0)
        scene.pick([parts.crate, furniture.trinket])(scene, spot, scene.uniform(0.3, 0.9))
    for _ in range(int(scene.uniform(0, 5))):
        spot = (scene.uniform(-20, 20), y + scene.uniform(4, 30), level)
        parts.boulder(scene, spot, scene.uniform(0.5, 3.5), paint.cliff(scene))
    if scene.chance(0.4):
        spot = (scene.pick([-1, 1]) * scene.uniform(3, 9), y + scene.uniform(2, 8), level)
        parts.tree(scene, spot, scene.uniform(4, 9), paint.bark(scene), paint.foliage(scene))
    for _ in range(2):
        eye = (scene.uniform(-0.5, 0.5) * x, scene.uniform(-2, 1), scene.uniform(1.0, 2.0))
        scene.see_from(eye, scene.uniform(-0.6, 0.6), scene.uniform(-0.15, 0.1))
    away = scene.uniform(6, 14)
    scene.see_from((away, -0.5 * away, scene.uniform(0.5, 4)), scene.uniform(0.6, 1.0), -0.1)
    outdoors(scene)
    scene.fov = math.radians(scene.uniform(45, 95))


def village(scene: Scene) -> None:
    """Cottages, some of them round, along a stream or lane, under trees, often in snow."""
    scale = scene.uniform(12, 30)
    terrain(
        scene,
        near=3.0,
        period=scale * scene.uniform(1, 3),
        height=scale * scene.uniform(0.1, 0.8),
        calm=0.6 * scale,
        rise=3 * scale,
        valley_width=scale * scene.uniform(0.1, 0.3),
        valley_bend=scene.uniform(0.2, 0.9),
        floor=-0.4,
    )
    if scene.chance(0.6):
        scene.block((-9e3, -9e3, -9), (9e3, 9e3, -0.25), paint.water(scene))
    roofs, walls = [paint.roofing(scene) for _ in range(2)], [paint.wall(scene) for _ in range(3)]
    door = paint.timber(scene)
    for _ in range(int(scene.uniform(4, 11))):
        side = scene.pick([-1, 1])
        at = (side * scale * scene.uniform(0.25, 0.9), scale * scene.uniform(0.3, 2.5), -0.4)
        r = scene.uniform(1.8, 4)
        if scene.chance(0.5):
            wall = scene.pick(walls)
            scene.column(at, 1.1 * r, r, wall, scene.uniform(0.85, 1.0))
            top = (at[0], at[1], at[2] + 1.1 * r)
            if scene.chance(0.5):
                scene.ball(top, (1.15 * r, 1.15 * r, 0.7 * r), scene.pick(roofs))
            else:
                scene.column(top, r * scene.uniform(0.6, 1.6), 1.25 * r, scene.pick(roofs), 0.02)
            heading = math.atan2(at[0], at[1])
            front = parts.around(at, -heading, (0.0, -0.97 * r, 0.9))
            scene.box(front, (0.5, 0.25, 0.9), door, -heading)
            scene.column((at[0] + 0.5 * r, at[1], at[2] + 1.2 * r), r, 0.25, scene.pick(walls))
        else:
            size = (r * scene.uniform(1.4, 2.2), r * scene.uniform(1.4, 2.2), r * scene.uniform(0.9, 1.6))
            houses.house(scene, at, size, scene.uniform(-0.6, 0.6), scene.pick(walls), scene.pick(roofs))
    trunk, leaves = paint.bark(scene), paint.foliage(scene)
    for _ in range(int(scene.uniform(2, 9))):
        at = (scale * scene.rng.normal(0, 0.8), scale * scene.uniform(0.25, 2.5), -0.3)
        parts.tree(scene, at, scene.uniform(3, 9), trunk, leaves)
    stone = paint.cliff(scene)
    for _ in range(int(scene.uniform(0, 9))):
        parts.boulder(
            scene,
            (scale * scene.rng.normal(0, 0.5), scale * scene.uniform(0.15, 1.5), -0.4),
            scene.uniform(0.3, 2.5),
            stone,
        )
    for _ in range(2):
        scene.see_from(
            (scene.uniform(-1, 1), 0.0, scene.uniform(1.3, 3)),
            scene.uniform(-0.4, 0.4),
            scene.uniform(-0.15, 0.1),
        )
    scene.see_from((scene.uniform(-3, 3), -4.0, scene.uniform(4, 12)), scene.uniform(-0.3, 0.3), -0.3)
    outdoors(scene, cover=0.5)
    scene.fov = math.radians(scene.uniform(45, 90))


def hangar(scene: Scene) -> None:
    """A technical hall: panelled walls, ribs, pipes, strips of light, machines, a window to the outside."""
    x, y, z = scene.uniform(3, 16), scene.uniform(15, 60), scene.uniform(3.5, 14)
    skin, rib = paint.metal(scene), paint.metal(scene)
    size = scene.uniform(0.6, 2.5)
    floor = paint.make(
        scene, scene.pick(["metal", "dark", "white"]), patterns.PANELS, size, gloss=scene.uniform(0.0, 0.35)
    )
    scene.block((-x - 1, -6, -1), (x + 1, y + 1, 0), floor)
    scene.block((-x - 1, -6, z), (x + 1, y + 1, z + 1), paint.ceiling(scene))
    scene.block((-x - 1, -6, 0), (x + 1, -5, z), skin)
    lean = scene.uniform(-0.25, 0.25) if scene.chance(0.5) else 0.0
    for side in (-1, 1):
        scene.box(
            (side * (x + 0.5), 0.5 * y - 2, 0.5 * z), (0.5, 0.5 * y + 4, 0.6 * z), skin, roll=side * lean
        )
    indoors(scene, sun=True)
    if scene.chance(0.6):
        scene.portal(
            (0, y, 0), (x + 1, 0.4, 0.5 * z), skin, (0.75 * x, scene.pick([0.0, 0.2 * z]), 0.7 * z, 0.0)
        )
        scene.block((-500, y + 5, -60), (500, 900, -50), paint.ground(scene))
    else:
        scene.block((-x - 1, y, 0), (x + 1, y + 1, z), skin)
    tint = scene.pick([(1.0, 0.95, 0.85), (0.6, 0.85, 1.0), (1.0, 0.6, 0.3), (0.5, 1.0, 0.8)])
    strip = paint.glowing(scene, tint)
    gap = scene.uniform(2.5, 7)
    for k in range(min(int(y / gap), 9)):
        at = (k + 0.4) * gap
        if scene.chance(0.8):
            scene.portal(
                (0, at, 0), (x, 0.2, 0.5 * z), rib, (0.9 * x, 0.0, 0.72 * z, scene.pick([0.0, 0.2 * z]))
            )
        if k % 2 == 0:
            scene.box((scene.pick([0.0, -0.6 * x, 0.6 * x]), at, z - 0.08), (0.15, 0.45 * gap, 0.05), strip)
            scene.lamp((0.0, at, 0.85 * z), tuple(0.7 * c for c in tint), 0.5 * z)
    for _ in range(int(scene.uniform(0, 4))):
        r = scene.uniform(0.08, 0.5)
        spot = (scene.pick([-1, 1]) * (x - r), 0.5 * y, scene.uniform(0.5, 0.95) * z)
        scene.solid(shapes.FRUSTUM, spot, (r, r, 0.5 * y), rib, pitch=0.5 * math.pi, shape=(1.0,))
    for _ in range(int(scene.uniform(1, 6))):
        spot = (scene.uniform(-0.7, 0.7) * x, scene.uniform(5, y - 2), 0.0)
        draw = scene.pick(["machine", "crate", "car", "figure", "ball"])
        if draw == "machine":
            high = 0.25 * min(x, z)
            vessels.machine(scene, (spot[0], spot[1], high), 2 * high)
        elif draw == "crate":
            parts.crate(scene, spot, scene.uniform(0.6, 2))
        elif draw == "car":
            vessels.car(scene, spot, scene.uniform(0, 6))
        elif draw == "figure":
            parts.figure(scene, spot)
        else:
            scene.ball((spot[0], spot[1], 0.3 * z), 0.2 * min(x, z), paint.metal(scene))
    for _ in range(3):
        eye = (scene.uniform(-0.7, 0.7) * x, scene.uniform(-4, 2), scene.uniform(0.6, min(0.7 * z, 4)))
        scene.see_from(eye, scene.uniform(-0.4, 0.4), scene.uniform(-0.15, 0.15))
    scene.fov = math.radians(scene.uniform(45, 105))
