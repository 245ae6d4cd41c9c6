"""Open landscapes: coasts, canyons, deserts, seas of cloud, gardens, paths along cliffs."""

from __future__ import annotations

import math

from lyra.synthetic import houses, monuments, parts, vessels
from lyra.synthetic import materials as paint
from lyra.synthetic.air import outdoors
from lyra.synthetic.layouts_nature import foreground, terrain
from lyra.synthetic.scene import Scene


def coast(scene: Scene) -> None:
    """Open water with rocks, islands, boats, a beach or open sea."""
    scale = scene.uniform(30, 200)
    terrain(
        scene,
        near=0.1 * scale,
        period=scale * scene.uniform(0.5, 2),
        height=scale * scene.uniform(0.05, 0.6),
        calm=scale * scene.uniform(0.0, 0.3),
        rise=scale,
        floor=-scale * scene.uniform(0.01, 0.15),
        island=scale * scene.uniform(1.0, 6.0),
    )
    scene.block((-9e3, -9e3, -99), (9e3, 9e3, 0), paint.water(scene))
    stone = paint.cliff(scene)
    for _ in range(int(scene.uniform(0, 9))):
        at = (scene.uniform(-0.6, 0.6) * scale, scene.uniform(0.1, 1.5) * scale, -0.01 * scale)
        parts.boulder(scene, at, scale * scene.uniform(0.01, 0.12), stone)
    for _ in range(int(scene.uniform(0, 3))):
        at = (scene.uniform(-0.3, 0.3) * scale, scene.uniform(0.2, 0.8) * scale, 0.0)
        vessels.ship(scene, at, scene.uniform(-1.6, 1.6), scene.uniform(2, 9))
    if scene.chance(0.3):
        at = (scene.uniform(-0.3, 0.3) * scale, scene.uniform(0.4, 1.2) * scale, 0.0)
        scene.rock(at, (0.1 * scale, 0.1 * scale, 0.05 * scale), stone, 0.4)
        houses.tower(scene, at, 0.25 * scale, 0.02 * scale, paint.masonry(scene), paint.roofing(scene), False)
    for _ in range(3):
        high = scene.uniform(1.0, 4.0) if scene.chance(0.6) else scale * scene.uniform(0.05, 0.4)
        pitch = -math.atan2(high, 0.6 * scale) * scene.uniform(0.0, 1.6) + scene.uniform(-0.08, 0.12)
        scene.see_from((0.0, 0.0, high + 0.12 * scale * scene.rng.random()), scene.uniform(-3.1, 3.1), pitch)
    outdoors(scene, haze=0.7)
    if scene.chance(0.4):
        foreground(scene, paint.bark(scene), paint.foliage(scene))
    scene.fov = math.radians(scene.uniform(35, 90))


def canyon(scene: Scene) -> None:
    """Steep terraced walls on both sides of a winding floor, with a river, bridges, pillars of rock."""
    scale = scene.uniform(15, 80)
    height = scale * scene.uniform(0.6, 2.0)
    terrain(
        scene,
        near=0.12 * scale,
        period=scale * scene.uniform(0.8, 3),
        height=height,
        valley_width=scale * scene.uniform(0.15, 0.4),
        valley_bend=scene.uniform(0.0, 1.0),
        heading=scene.uniform(-0.3, 0.3),
        terraces=height * scene.uniform(0.06, 0.25) if scene.chance(0.7) else 0.0,
        ridged=0.0,
        steep_from=0.9,
    )
    if scene.chance(0.5):
        scene.block((-9e3, -9e3, -9), (9e3, 9e3, height * scene.uniform(0.02, 0.08)), paint.water(scene))
    stone = paint.cliff(scene)
    for _ in range(int(scene.uniform(0, 10))):
        at = (scene.uniform(-0.4, 0.4) * scale, scene.uniform(0.2, 2.5) * scale, 0.0)
        parts.boulder(scene, at, scale * scene.uniform(0.01, 0.1), stone)
    for _ in range(int(scene.uniform(0, 3))):
        y, z = scale * scene.uniform(0.5, 2.5), height * scene.uniform(0.2, 0.6)
        scene.box(
            (0.0, y, z),
            (0.8 * scale, 0.03 * scale, 0.02 * scale),
            paint.anything(scene),
            scene.uniform(-0.4, 0.4),
        )
    trunk, leaves = paint.bark(scene), paint.foliage(scene)
    for _ in range(int(scene.uniform(0, 6))):
        at = (scene.uniform(-0.2, 0.2) * scale, scene.uniform(0.15, 1.0) * scale, 0.05 * height)
        parts.tree(scene, at, scale * scene.uniform(0.05, 0.2), trunk, leaves)
    for _ in range(3):
        eye = (
            0.0,
            0.0,
            height * scene.uniform(0.08, 0.2) if scene.chance(0.7) else height * scene.uniform(0.5, 1.3),
        )
        scene.see_from(
            eye, scene.terrain["heading"] * -1 + scene.uniform(-0.3, 0.3), scene.uniform(-0.3, 0.25)
        )
    outdoors(scene, haze=10 / scale)
    scene.fov = math.radians(scene.uniform(45, 95))


def desert(scene: Scene) -> None:
    """Dunes, flats or snowfields, empty or with a few distant objects."""
    scale = scene.uniform(30, 150)
    theme = scene.pick(["sand", "sand", "snow", "earth", "alien"])
    material = paint.ground(scene, theme)
    terrain(
        scene,
        near=0.1 * scale,
        period=scale * scene.uniform(0.4, 1.5),
        height=scale * scene.uniform(0.02, 0.3),
        octaves=int(scene.uniform(2, 5)),
        low_material=material,
        steep_material=material if scene.chance(0.7) else paint.cliff(scene),
        high_material=material,
        ridged=scene.uniform(0, 1),
    )
    for _ in range(int(scene.uniform(0, 8))):
        at = (
            scene.rng.normal(0, 0.8) * scale,
            scale * scene.uniform(0.3, 3),
            scene.uniform(0.0, 0.1) * scale,
        )
        draw = scene.pick(["tower", "rock", "rock", "figure", "house", "monument"])
        size = scale * scene.uniform(0.02, 0.2)
        if draw == "tower":
            houses.tower(scene, at, 2 * size, 0.3 * size, paint.masonry(scene), paint.roofing(scene))
        elif draw == "rock":
            parts.boulder(scene, at, size, paint.cliff(scene))
        elif draw == "figure":
            parts.figure(
                scene, (0.2 * at[0], 0.3 * at[1], 0.12 * scale * scene.rng.random()), None, 0.03 * scale + 1
            )
        elif draw == "house":
            houses.house(scene, at, (size, size, size), scene.uniform(0, 3))
        else:
            monuments.monument(scene, at, 0.4 * size)
    for _ in range(3):
        high = scale * (scene.uniform(0.05, 0.3) + 0.3 * (scene.chance(0.25)))
        scene.see_from((0.0, 0.0, high), scene.uniform(-0.5, 0.5), scene.uniform(-0.25, 0.1))
    outdoors(scene, haze=10 / scale)
    scene.fov = math.radians(scene.uniform(35, 85))


def cloud_sea(scene: Scene) -> None:
    """Peaks, towers and temples that rise from a sea of cloud."""
    scale = scene.uniform(60, 250)
    terrain(
        scene,
        near=0.1 * scale,
        period=scale * scene.uniform(0.15, 0.5),
        height=scale * scene.uniform(0.03, 0.12),
        octaves=5,
        ridged=0.0,
        roughness=0.45,
    )
    puff = paint.mist(scene, 0.03 * scale)
    scene.terrain |= {"low_material": puff, "steep_material": puff, "high_material": puff}
    stone = paint.cliff(scene)
    for _ in range(int(scene.uniform(3, 14))):
        at = (scene.rng.normal(0, 0.5) * scale, scale * scene.uniform(0.25, 2.5), 0.0)
        size = scale * scene.uniform(0.03, 0.15)
        if scene.chance(0.6):
            half = (size, size, size * scene.uniform(1.0, 3.5))
            scene.rock(at, half, stone, scene.uniform(0.3, 0.6), yaw=scene.uniform(0, 3))
            if scene.chance(0.3):
                monuments.pagoda(scene, (at[0], at[1], 0.75 * half[2]), 0.5 * size, int(scene.uniform(1, 4)))
        else:
            houses.tower(
                scene, at, size * scene.uniform(2, 6), 0.4 * size, paint.masonry(scene), paint.roofing(scene)
            )
    for _ in range(3):
        high = scale * scene.uniform(0.12, 0.6)
        scene.see_from((0.0, 0.0, high), scene.uniform(-0.5, 0.5), scene.uniform(-0.4, 0.05))
    outdoors(scene, scene.pick([None, "morning", "sunset", "noon"]), haze=10 / scale)
    scene.air["haze_depth"] = 0.1 * scale
    if scene.chance(0.4):
        foreground(scene, paint.bark(scene), paint.foliage(scene))
    scene.fov = math.radians(scene.uniform(35, 85))


def path(scene: Scene) -> None:
    """A path through gardens or along a slope, with a fence, walls, bushes, cottages and lanterns."""
    lawn = paint.ground(scene, scene.pick(["grass", "grass", "snow", "earth", "autumn"]))
    terrain(
        scene,
        near=4.0,
        period=scene.uniform(20, 80),
        height=scene.uniform(1, 25),
        low_material=lawn,
        calm=scene.uniform(3, 8),
        rise=scene.uniform(15, 60),
        valley_width=scene.uniform(3, 9),
        valley_bend=scene.uniform(0, 0.5),
        floor=-0.15,
    )
    width = scene.uniform(0.7, 2.2)
    deck = paint.paving(scene)
    x, yaw = 0.0, scene.uniform(-0.15, 0.15)
    bend = scene.uniform(-0.12, 0.12)
    fence = paint.timber(scene)
    rails = scene.pick([0, 1, 2])
    y = -3.0
    for k in range(9):
        long = 4.0
        nx, ny = x - long * math.sin(yaw), y + long * math.cos(yaw)
        z = 0.02 + 0.002 * k
        scene.box((0.5 * (x + nx), 0.5 * (y + ny), z - 0.2), (width, 0.55 * long, 0.2), deck, yaw)
        for side in (-1, 1)[:rails]:
            edge = side * (width + 0.15)
            start = parts.around((x, y, 0.0), yaw, (edge, 0, 0))
            parts.rail(scene, start, parts.around((nx, ny, 0.0), yaw, (edge, 0, 0)), 1.0, fence)
            scene.column(start, 1.2, 0.08, fence)
        if scene.chance(0.5):
            at = parts.around(
                (x, y, 0.0), yaw, (scene.pick([-1, 1]) * (width + scene.uniform(0.7, 4)), 2.0, 0.0)
            )
            parts.bush(scene, at, scene.uniform(0.3, 1.0), paint.foliage(scene))
        if scene.chance(0.4):
            at = parts.around(
                (x, y, 0.0), yaw, (scene.pick([-1, 1]) * (width + scene.uniform(1, 6)), 3.0, 0.0)
            )
            parts.tree(scene, at, scene.uniform(3, 9), paint.bark(scene), paint.foliage(scene))
        if k > 1 and scene.chance(0.3):
            at = parts.around(
                (x, y, -0.2), yaw, (scene.pick([-1, 1]) * (width + scene.uniform(4, 9)), 3.0, 0.0)
            )
            size = (scene.uniform(4, 7), scene.uniform(4, 7), scene.uniform(2.5, 5))
            houses.house(scene, at, size, yaw + scene.uniform(-0.3, 0.3))
        x, y, yaw = nx, ny, yaw + bend
    for _ in range(2):
        scene.see_from(
            (scene.uniform(-0.5, 0.5) * width, -2.0, scene.uniform(1.3, 2.5)),
            scene.uniform(-0.25, 0.25),
            scene.uniform(-0.15, 0.1),
        )
    scene.see_from((scene.uniform(-3, 3), -4.0, scene.uniform(3, 7)), scene.uniform(-0.2, 0.2), -0.25)
    outdoors(scene)
    scene.fov = math.radians(scene.uniform(45, 90))
