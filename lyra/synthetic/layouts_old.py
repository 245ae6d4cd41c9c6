"""Castles and ruins."""

from __future__ import annotations

import math

from lyra.synthetic import houses, parts
from lyra.synthetic import materials as paint
from lyra.synthetic import shape_kernels as shapes
from lyra.synthetic.air import outdoors
from lyra.synthetic.layouts_nature import foreground, terrain
from lyra.synthetic.scene import Scene, vector


def castle(scene: Scene) -> None:
    """Towers, walls and a keep on a hill, seen from below or afar, with a road, water and trees."""
    away = scene.uniform(35, 160)
    size = away * scene.uniform(0.12, 0.3)
    hill = away * scene.uniform(0.0, 0.3)
    terrain(
        scene,
        near=0.08 * away,
        period=away * scene.uniform(0.6, 1.5),
        height=away * scene.uniform(0.03, 0.4),
        calm=0.15 * away,
        rise=1.5 * away,
    )
    walls, roof = paint.masonry(scene), paint.roofing(scene)
    if hill > 1:
        scene.rock((0, away, 0.2 * hill), (2.2 * size, 1.8 * size, 0.8 * hill), paint.cliff(scene), 0.35)
    base = hill * 0.9 if hill > 1 else 0.0
    for _ in range(int(scene.uniform(3, 10))):
        at = (size * scene.uniform(-1.1, 1.1), away + size * scene.uniform(-0.8, 0.8), base - 0.3 * size)
        tall = size * scene.uniform(0.7, 2.4)
        houses.tower(scene, at, tall, size * scene.uniform(0.1, 0.3), walls, roof)
    scene.box((0, away, base + 0.2 * size), (0.7 * size, 0.5 * size, 0.6 * size), paint.facade(scene))
    for side in (-1, 1):
        scene.box((side * 0.6 * size, away - 0.9 * size, base), (0.5 * size, 0.08 * size, 0.3 * size), walls)
    scene.portal(
        (0, away - 0.9 * size, base - 0.3 * size),
        (0.25 * size, 0.15 * size, 0.4 * size),
        walls,
        (0.12 * size, 0, 0.3 * size, 0.12 * size),
    )
    if scene.chance(0.4):
        scene.block((-9e3, -9e3, -5), (9e3, 9e3, scene.uniform(0.0, 0.03) * away), paint.water(scene))
    trunk, leaves = paint.bark(scene), paint.foliage(scene)
    for _ in range(int(scene.uniform(0, 12))):
        at = (scene.uniform(-0.7, 0.7) * away, scene.uniform(0.25, 0.9) * away, 0.0)
        parts.tree(scene, at, away * scene.uniform(0.03, 0.1), trunk, leaves)
    for _ in range(int(scene.uniform(0, 6))):
        spot = (scene.uniform(-0.8, 0.8) * away, scene.uniform(0.4, 1.0) * away, -0.5)
        houses.house(
            scene,
            spot,
            vector(size * scene.uniform(0.2, 0.4) for _ in range(3)),
            scene.uniform(0, 3),
            None,
            roof,
        )
    for _ in range(2):
        scene.see_from(
            (scene.uniform(-0.2, 0.2) * away, 0.0, 0.03 * away + scene.uniform(1, 3)),
            scene.uniform(-0.2, 0.2),
            scene.uniform(-0.05, 0.2),
        )
    scene.see_from(
        (scene.uniform(-0.3, 0.3) * away, 0.0, hill + size * scene.uniform(0.6, 2.5)),
        scene.uniform(-0.2, 0.2),
        scene.uniform(-0.4, -0.1),
    )
    outdoors(scene, haze=40 / away)
    if scene.chance(0.4):
        foreground(scene, trunk, leaves)
    scene.fov = math.radians(scene.uniform(30, 80))


def ruins(scene: Scene) -> None:
    """Broken columns, arches and walls, fallen stones, vegetation; occasionally an arena."""
    terrain(scene, near=4.0, period=30.0, height=scene.uniform(0.2, 2), calm=4.0, rise=20.0)
    stone = paint.masonry(scene, scene.pick(["stone", "sand", "sand", "slate"]))
    leaves = paint.foliage(scene, "leaf")
    arena = scene.chance(0.4)
    if arena:
        r = scene.uniform(14, 35)
        count = int(scene.uniform(14, 20))
        for storey in range(int(scene.uniform(1, 4))):
            tall = scene.uniform(0.22, 0.3) * r
            for k in range(count):
                heading = 2 * math.pi * k / count
                if abs(heading - math.pi) < 0.75 or scene.chance(0.1 + 0.15 * storey):
                    continue
                foot = parts.around((0, 0.5 * r, storey * tall), heading, (0.0, r * (1 + 0.12 * storey), 0.0))
                bay = math.pi * r * (1 + 0.12 * storey) / count
                scene.portal(
                    foot,
                    (1.03 * bay, 0.1 * r, 0.5 * tall),
                    stone,
                    (0.55 * bay, 0, 0.45 * tall, 0.5 * bay),
                    heading,
                )
        scene.solid(shapes.RING, (0, 0.5 * r, 0.5), (0.8 * r, 0.8 * r, 0.6), stone, shape=(0.93, -2.0))
    else:
        for side in (-1, 1):
            for k in range(int(scene.uniform(3, 8))):
                foot = (side * scene.uniform(2.5, 3.5), 3 + 4 * k, -0.2)
                tall = scene.uniform(1, 7)
                parts.pillar(scene, foot, tall, scene.uniform(0.35, 0.6), stone, False)
        for _ in range(int(scene.uniform(1, 5))):
            foot = (scene.uniform(-8, 8), scene.uniform(8, 35), -0.3)
            half = scene.uniform(1.5, 4)
            scene.portal(
                foot,
                (half, 0.6, half * scene.uniform(0.9, 1.4)),
                stone,
                (0.65 * half, 0, 0.9 * half, 0.6 * half),
                scene.uniform(-0.6, 0.6),
            )
    for _ in range(int(scene.uniform(5, 20))):
        at = (scene.uniform(-12, 12), scene.uniform(2.5, 30), 0.0)
        if scene.chance(0.6):
            scene.box(
                (at[0], at[1], 0.2),
                (scene.uniform(0.2, 1.2), scene.uniform(0.2, 0.6), scene.uniform(0.2, 0.5)),
                stone,
                scene.uniform(0, 3),
                pitch=scene.uniform(-0.4, 0.4),
                roll=scene.uniform(-0.3, 0.3),
            )
        elif scene.chance(0.4):
            r = scene.uniform(0.3, 0.5)
            scene.solid(
                shapes.FRUSTUM,
                (at[0], at[1], r),
                (r, r, scene.uniform(0.8, 2.5)),
                stone,
                scene.uniform(0, 3),
                pitch=1.57,
                shape=(0.95,),
            )
        else:
            parts.bush(scene, at, scene.uniform(0.3, 1.2), leaves)
    for _ in range(3):
        scene.see_from(
            (scene.uniform(-1.5, 1.5), scene.uniform(-3, 1), scene.uniform(1.5, 3) + 0.5),
            scene.uniform(-0.4, 0.4),
            scene.uniform(-0.1, 0.2),
        )
    outdoors(scene)
    if scene.chance(0.35):
        foreground(scene, paint.bark(scene), leaves)
    scene.fov = math.radians(scene.uniform(45, 95))
