"""Structures in open landscapes: gates, bridges, terraces, harbours."""

from __future__ import annotations

import math

from lyra.synthetic import houses, monuments, parts, vessels
from lyra.synthetic import materials as paint
from lyra.synthetic import shape_kernels as shapes
from lyra.synthetic.air import outdoors
from lyra.synthetic.layouts_nature import terrain
from lyra.synthetic.scene import Scene


def gate(scene: Scene) -> None:
    """Steps up to a free-standing arch before a lake and mountains, with low walls and planting."""
    scale = scene.uniform(150, 500)
    terrain(
        scene,
        near=8.0,
        period=scale * 0.5,
        height=scale * scene.uniform(0.1, 0.4),
        calm=0.15 * scale,
        rise=scale,
        floor=-3.0,
    )
    scene.block((-9e3, -9e3, -6), (9e3, 9e3, -0.5), paint.water(scene))
    lawn = paint.ground(scene, scene.pick(["grass", "grass", "sand", "snow", "earth"]))
    scene.block((-40, -30, -4), (40, scene.uniform(9, 16), 0), lawn)
    stone = paint.masonry(scene)
    wide = scene.uniform(1.5, 4)
    steps = int(scene.uniform(0, 9))
    top = (
        parts.stairs(scene, (0, scene.uniform(3, 5), 0.0), 0.0, steps, 2.4 * wide, 0.18, 0.4, stone)
        if steps
        else (0, 6, 0)
    )
    tall = scene.uniform(2, 5)
    scene.portal(
        (0, top[1] + 0.8, top[2]),
        (wide + 0.8, 0.7, 0.5 * tall + 0.5 * wide + 0.4),
        stone,
        (wide, 0, 0.6 * tall, wide),
    )
    for side in (-1, 1):
        for k in range(int(scene.uniform(1, 5))):
            scene.box(
                (side * (wide + 1 + 1.2 * k), top[1] + scene.uniform(0, 1), 0.5),
                (0.8, 0.6, scene.uniform(0.6, 2.0) + top[2] * 0.5),
                stone,
            )
        if scene.chance(0.6):
            parts.bush(
                scene,
                (side * scene.uniform(3, 6), scene.uniform(4, 8), 0.0),
                scene.uniform(0.4, 1.0),
                paint.foliage(scene),
            )
    if scene.chance(0.5):
        scene.block((-0.8 * wide, -20, -0.5), (0.8 * wide, top[1] - steps * 0.4, 0.03), paint.paving(scene))
    for _ in range(2):
        scene.see_from(
            (scene.uniform(-2, 2), scene.uniform(-4, -0.5), scene.uniform(1.0, 2.4)),
            scene.uniform(-0.15, 0.15),
            scene.uniform(-0.1, 0.15),
        )
    outdoors(scene, haze=0.7)
    scene.fov = math.radians(scene.uniform(45, 85))


def bridge(scene: Scene) -> None:
    """A walk over a bridge or wall towards a tower or temple, with rails, over water, gorge or cloud."""
    width = scene.uniform(1.0, 3.5)
    drop = scene.uniform(6, 40)
    scale = scene.uniform(80, 300)
    terrain(
        scene,
        near=10.0,
        period=scale,
        height=scale * scene.uniform(0.2, 0.7),
        calm=0.3 * scale,
        rise=scale,
        floor=-drop - 2,
    )
    if scene.chance(0.6):
        below = paint.water(scene) if scene.chance(0.7) else paint.mist(scene, 20.0)
        scene.block((-9e3, -9e3, -drop - 9), (9e3, 9e3, -drop), below)
    deck = scene.pick([paint.timber, paint.paving, paint.masonry])(scene)
    long = scene.uniform(15, 60)
    slope = scene.uniform(-0.12, 0.12)
    scene.solid(
        shapes.BOX,
        (0, 0.5 * long - 3, 0.5 * long * slope - 0.3),
        (width, 0.5 * long + 3, 0.3),
        deck,
        pitch=math.atan(slope),
    )
    side_wall = paint.masonry(scene)
    draw = scene.pick(["rail", "rail", "parapet", "posts", "none"])
    for side in (-1, 1):
        x = side * (width - 0.1)
        if draw == "rail":
            parts.rail(
                scene,
                (x, -3, -3 * slope),
                (x, long, long * slope),
                scene.uniform(0.7, 1.2),
                paint.timber(scene),
            )
        elif draw == "parapet":
            scene.solid(
                shapes.BOX,
                (x, 0.5 * long, 0.5 * long * slope + 0.35),
                (0.2, 0.5 * long + 3, 0.35),
                side_wall,
                pitch=math.atan(slope),
            )
        if draw in ("posts", "rail"):
            for k in range(int(min(long / 3, 10))):
                scene.column(
                    (x, 2.0 + 3 * k, slope * (2 + 3 * k) - 0.2), scene.uniform(1.1, 1.5), 0.09, side_wall
                )
    for k in range(int(long / 9)):
        scene.portal(
            (0, 4.5 + 9 * k, -drop - 5),
            (4.5, width, 0.5 * drop + 2.4),
            side_wall,
            (3.4, 0.0, 0.55 * drop, 3.4),
            0.5 * math.pi,
        ) if k < 6 else None
    end = (0.0, long + 6, long * slope)
    if scene.chance(0.5):
        monuments.pagoda(scene, end, scene.uniform(4, 9), int(scene.uniform(1, 6)))
    else:
        houses.tower(
            scene,
            (end[0], end[1], end[2] - drop),
            drop + scene.uniform(8, 25),
            scene.uniform(4, 8),
            side_wall,
            paint.roofing(scene),
        )
    for _ in range(int(scene.uniform(0, 8))):
        spot = (scene.pick([-1, 1]) * scene.uniform(12, 60), scene.uniform(20, 120), -drop)
        houses.tower(
            scene, spot, scene.uniform(0.5, 2.5) * drop, scene.uniform(2, 6), side_wall, paint.roofing(scene)
        )
    if scene.chance(0.3):
        parts.figure(scene, (scene.uniform(-0.5, 0.5) * width, scene.uniform(5, 15), slope * 10))
    for _ in range(2):
        scene.see_from(
            (scene.uniform(-0.5, 0.5) * width, scene.uniform(-2, 1), scene.uniform(1.2, 2.4)),
            scene.uniform(-0.3, 0.3),
            scene.uniform(-0.25, 0.1),
        )
    if scene.chance(0.4):
        scene.see_from((scene.uniform(4, 12), -8.0, scene.uniform(2, 12)), scene.uniform(0.1, 0.5), -0.2)
        scene.cameras.reverse()
    outdoors(scene)
    scene.air["haze_base"] = -drop
    scene.fov = math.radians(scene.uniform(45, 90))


def terrace(scene: Scene) -> None:
    """Beside a building: a walk with a rail, columns and eaves on one side, water, cloud or mountains on the other."""
    side = scene.pick([-1, 1])
    width = scene.uniform(1.5, 4)
    drop = scene.uniform(2, 25)
    scale = scene.uniform(60, 300)
    terrain(
        scene,
        near=10.0,
        period=scale,
        height=scale * scene.uniform(0.15, 0.7),
        calm=0.4 * scale,
        rise=scale,
        floor=-drop - 3,
    )
    low = paint.water(scene) if scene.chance(0.7) else paint.mist(scene, 25.0)
    scene.block((-9e3, -9e3, -drop - 9), (9e3, 9e3, -drop), low)
    deck = scene.pick([paint.timber, paint.paving])(scene)
    long = scene.uniform(12, 40)
    scene.block((-side * width, -4, -0.5), (side * (width + 8), long, 0), deck)
    wall = paint.wall(scene)
    tall = scene.uniform(2.6, 5)
    if scene.chance(0.3):
        parts.arcade(
            scene, (side * (width + 0.6), -4, 0.0), 0.5 * math.pi, int(long / 4), 4.0, tall, 0.3, wall
        )
    scene.block((side * (width + scene.uniform(0.5, 2)), -4, 0), (side * (width + 8), long, tall + 1), wall)
    post, roof = (
        paint.make(scene, scene.pick(["red", "wood", "white", "stone", "dark"]), size=0.5),
        paint.roofing(scene),
    )
    gap = scene.uniform(2, 4.5)
    square_posts = scene.chance(0.5)
    for k in range(min(int(long / gap), 9)):
        if scene.chance(0.9):
            parts.pillar(
                scene,
                (side * 0.55 * width, 1.5 + k * gap, 0.0),
                tall,
                scene.uniform(0.12, 0.2),
                post,
                square_posts,
            )
    scene.solid(
        shapes.BOX,
        (side * (0.75 * width + 0.5), 0.5 * long - 2, tall + 0.3),
        (0.6 * width + 0.6, 0.5 * long + 2, 0.1),
        roof,
        roll=side * scene.uniform(-0.4, 0.0),
    )
    parts.rail(
        scene,
        (-side * (width - 0.15), -4, 0.0),
        (-side * (width - 0.15), long, 0.0),
        scene.uniform(0.7, 1.1),
        post,
    )
    for k in range(8):
        scene.column((-side * (width - 0.15), -2.0 + 3.2 * k, 0.0), 1.2, 0.08, post)
    for _ in range(int(scene.uniform(0, 4))):
        parts.crate(
            scene,
            (side * width * scene.uniform(0.6, 0.9), scene.uniform(2, 12), 0.0),
            scene.uniform(0.3, 0.8),
        )
    if scene.chance(0.4):
        parts.tree(
            scene,
            (-side * (width + 2), scene.uniform(4, 12), -2.0),
            scene.uniform(4, 8),
            paint.bark(scene),
            paint.foliage(scene),
        )
    if scene.chance(0.5):
        monuments.pagoda(
            scene,
            (-side * scene.uniform(0, 10), long + scene.uniform(6, 30), -drop * scene.uniform(0, 0.5)),
            scene.uniform(3, 8),
            int(scene.uniform(1, 4)),
        )
    for _ in range(2):
        scene.see_from(
            (scene.uniform(-0.7, 0.5) * width * side, scene.uniform(-2, 0.5), scene.uniform(1.3, 2.2)),
            scene.uniform(-0.4, 0.4),
            scene.uniform(-0.2, 0.1),
        )
    scene.see_from(
        (-side * (width + scene.uniform(2, 8)), -3.0, scene.uniform(1, 6)),
        -side * scene.uniform(0.1, 0.4),
        -0.15,
    )
    outdoors(scene)
    scene.air["haze_base"] = -drop
    scene.fov = math.radians(scene.uniform(45, 90))


def harbour(scene: Scene) -> None:
    """A quay or pier with barrels, posts and ships, water and houses behind."""
    level = -scene.uniform(0.6, 2.0)
    scene.block((-9e3, -9e3, level - 9), (9e3, 9e3, level), paint.water(scene))
    terrain(
        scene, near=20.0, period=300.0, height=scene.uniform(10, 120), calm=90.0, rise=200.0, floor=level - 2
    )
    side = scene.pick([-1, 1])
    width = scene.uniform(2, 6)
    scene.block(
        (-width, -5, level - 1),
        (width, scene.uniform(10, 45), 0),
        paint.timber(scene) if scene.chance(0.6) else paint.paving(scene),
    )
    post = paint.timber(scene)
    for k in range(9):
        for edge in (-1, 1):
            if scene.chance(0.7):
                scene.column(
                    (edge * width, 1.0 + 4 * k, level - 1), 1.5 - level + scene.uniform(0, 0.6), 0.18, post
                )
    for _ in range(int(scene.uniform(2, 10))):
        spot = (scene.uniform(-0.9, 0.9) * width, scene.uniform(2.5, 20), 0.0)
        if scene.chance(0.8):
            parts.crate(scene, spot, scene.uniform(0.5, 1.3))
        else:
            parts.figure(scene, spot)
    for k in range(int(scene.uniform(1, 4))):
        spot = (side * (width + scene.uniform(4, 16)), 10 + 14 * k + scene.uniform(0, 10), level)
        vessels.ship(scene, spot, scene.uniform(-0.5, 0.5), scene.uniform(5, 14))
    roofs = [paint.roofing(scene) for _ in range(2)]
    for k in range(int(scene.uniform(3, 12))):
        spot = (-side * (width + 6 + scene.uniform(0, 5)), 4 + 6.5 * k, level - 0.5)
        houses.house(
            scene, spot, (scene.uniform(6, 9), 6.2, scene.uniform(4, 10)), 0.0, None, scene.pick(roofs)
        )
    for _ in range(2):
        scene.see_from(
            (scene.uniform(-0.6, 0.6) * width, scene.uniform(-3, 0), scene.uniform(1.2, 3)),
            scene.uniform(-0.35, 0.35),
            scene.uniform(-0.15, 0.1),
        )
    scene.see_from(
        (side * width * 2, -6.0, scene.uniform(1, 12)), scene.uniform(-0.2, 0.3), scene.uniform(-0.3, 0.0)
    )
    outdoors(scene)
    scene.fov = math.radians(scene.uniform(45, 90))
