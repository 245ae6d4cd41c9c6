"""Built places in the open: squares, bridges, castles, harbours, ruins, terraces, roofs from above."""

from __future__ import annotations

import math

from lyra.training.synthetic import materials as paint
from lyra.training.synthetic import parts, vessels
from lyra.training.synthetic import shape_kernels as shapes
from lyra.training.synthetic.air import outdoors
from lyra.training.synthetic.layouts_nature import foreground, terrain
from lyra.training.synthetic.scene import Scene


def square(scene: Scene) -> None:
    """A square with houses around it, arcades, a fountain or monument in the middle, people and trees."""
    half = scene.uniform(9, 28)
    scene.block((-900, -900, -2), (900, 900, 0), paint.paving(scene))
    scene.see_from(
        (scene.uniform(-0.5, 0.5) * half, -0.9 * half, scene.uniform(1.2, 2.5)),
        scene.uniform(-0.35, 0.35),
        0.05,
    )
    scene.see_from(
        (scene.uniform(-0.8, 0.8) * half, -half, scene.uniform(4, 18)), scene.uniform(-0.3, 0.3), -0.3
    )
    scene.see_from((0.0, -0.6 * half, 1.6), scene.uniform(-0.6, 0.6), 0.15)
    outdoors(scene, haze=1.2)
    fronts = [paint.facade(scene) for _ in range(3)] + [paint.masonry(scene)]
    roofs = [paint.roofing(scene) for _ in range(2)]
    tall = scene.uniform(4, 14)
    arcaded = scene.chance(0.35)
    for side in range(4):
        yaw = 0.5 * math.pi * side
        if side == 2:
            continue
        at = -half
        while at < half:
            wide = scene.uniform(0.25, 0.7) * half
            spot = parts.around((0, 0, 0), yaw, (at + 0.5 * wide, half + 4, 0.0))
            if scene.chance(0.9):
                parts.house(
                    scene,
                    spot,
                    (wide * 0.97, scene.uniform(6, 8), tall * scene.uniform(0.7, 1.3)),
                    yaw,
                    scene.pick(fronts),
                    scene.pick(roofs),
                )
            at += wide
        if arcaded:
            start = parts.around((0, 0, 0), yaw, (-half, half - 1.5, 0.0))
            parts.arcade(scene, start, yaw, 6, half / 3, scene.uniform(4, 6), 0.4, fronts[3])
    if scene.chance(0.7):
        spot = (scene.uniform(-1, 1) * half, half + scene.uniform(5, 30), 0.0)
        parts.tower(scene, spot, scene.uniform(1.5, 4) * tall, scene.uniform(2, 5), fronts[3], roofs[0])
    monument(
        scene,
        (scene.uniform(-0.3, 0.3) * half, scene.uniform(-0.3, 0.4) * half, 0.0),
        scene.uniform(0.6, 1.6),
    )
    for _ in range(int(scene.uniform(0, 9))):
        at = (scene.uniform(-0.8, 0.8) * half, scene.uniform(-0.6, 0.9) * half, 0.0)
        draw = scene.pick(["figure", "figure", "tree", "crate", "vehicle"])
        if draw == "figure":
            parts.figure(scene, at)
        elif draw == "tree":
            parts.tree(scene, at, scene.uniform(4, 10), paint.bark(scene), paint.foliage(scene))
        elif draw == "crate":
            parts.crate(scene, at, scene.uniform(0.5, 1.3))
        else:
            vessels.car(scene, at, scene.uniform(0, 6.3))
    scene.fov = math.radians(scene.uniform(45, 100))


def monument(scene: Scene, at, size: float) -> None:
    """A fountain, statue, obelisk or gate."""
    stone = paint.masonry(scene)
    draw = scene.pick(["fountain", "fountain", "statue", "obelisk", "gate", "ring"])
    if draw == "fountain":
        r = 2.5 * size
        scene.solid(shapes.RING, (at[0], at[1], at[2] + 0.35), (r, r, 0.35), stone, shape=(0.88, -0.2))
        scene.column(at, 0.55, 0.87 * r, paint.water(scene))
        scene.column(at, 2.2 * size, 0.25 * size, stone, 0.8)
        scene.column((at[0], at[1], at[2] + 1.5 * size), 0.4 * size, 0.4 * size, stone, 3.0)
        if scene.chance(0.6):
            parts.figure(scene, (at[0], at[1], at[2] + 1.9 * size), stone, 1.8 * size)
    elif draw == "statue":
        scene.box((at[0], at[1], at[2] + 0.9 * size), (0.9 * size, 0.9 * size, 0.9 * size), stone)
        parts.figure(scene, (at[0], at[1], at[2] + 1.8 * size), stone, 3 * size)
    elif draw == "obelisk":
        scene.box((at[0], at[1], at[2] + 0.4 * size), (1.2 * size, 1.2 * size, 0.4 * size), stone)
        scene.column(at, 7 * size, 0.6 * size, stone, 0.5)
    elif draw == "gate":
        wide = 3 * size
        scene.portal(
            at,
            (wide, size, 2.6 * size),
            stone,
            (0.5 * wide, 0, 2.2 * size, 0.5 * wide),
            scene.uniform(-0.4, 0.4),
        )
        scene.box((at[0], at[1], at[2] + 5.4 * size), (1.1 * wide, 1.2 * size, 0.25 * size), stone)
    else:
        r = 2.2 * size
        gap = scene.uniform(0.2, 0.9) if scene.chance(0.5) else 0.0
        scene.solid(
            shapes.TORUS,
            (at[0], at[1], at[2] + r),
            (r, r, r),
            stone,
            scene.uniform(-0.5, 0.5),
            shape=(scene.uniform(0.12, 0.3), gap, scene.uniform(0.0, 0.8) if gap else 0.0),
        )


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
        below = paint.water(scene) if scene.chance(0.7) else paint.make(scene, "snow", 8, 20.0, soft=0.5)
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
        pagoda(scene, end, scene.uniform(4, 9), int(scene.uniform(1, 6)))
    else:
        parts.tower(
            scene,
            (end[0], end[1], end[2] - drop),
            drop + scene.uniform(8, 25),
            scene.uniform(4, 8),
            side_wall,
            paint.roofing(scene),
        )
    for _ in range(int(scene.uniform(0, 8))):
        spot = (scene.pick([-1, 1]) * scene.uniform(12, 60), scene.uniform(20, 120), -drop)
        parts.tower(
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


def pagoda(scene: Scene, at, size: float, storeys: int) -> None:
    """A temple of stacked roofs with wide eaves."""
    walls, roof = (
        paint.make(scene, scene.pick(["red", "wood", "white", "dark"]), 5, 1.0, cell=(2.0, 0.4)),
        paint.roofing(scene),
    )
    z = at[2]
    for k in range(storeys):
        half = size * 0.85**k
        high = 0.45 * size * 0.92**k
        scene.box((at[0], at[1], z + 0.5 * high), (0.75 * half, 0.75 * half, 0.5 * high), walls)
        for sx in (-1, 1):
            scene.column((at[0] + sx * 0.85 * half, at[1] - 0.9 * half, z), high, 0.05 * size, walls)
        scene.roof(
            (at[0], at[1], z + high + 0.13 * half),
            (1.2 * half, 1.2 * half, 0.16 * half),
            roof,
            0.35,
            0.5 * math.pi,
        )
        z += high + 0.1 * half
    scene.roof(
        (at[0], at[1], z + 0.2 * size),
        (0.6 * size * 0.85**storeys, 0.6 * size * 0.85**storeys, 0.2 * size),
        roof,
        0.5,
    )


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
    low = paint.water(scene) if scene.chance(0.7) else paint.make(scene, "snow", 8, 25.0, soft=0.6)
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
        pagoda(
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
    for k in range(int(scene.uniform(3, 10))):
        at = (size * scene.uniform(-1.1, 1.1), away + size * scene.uniform(-0.8, 0.8), base - 0.3 * size)
        tall = size * scene.uniform(0.7, 2.4)
        parts.tower(scene, at, tall, size * scene.uniform(0.1, 0.3), walls, roof)
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
        parts.house(
            scene,
            spot,
            tuple(size * scene.uniform(0.2, 0.4) for _ in range(3)),
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
    """Broken columns, arches and walls, fallen stones, growth; now and then the round of an arena."""
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
        for k in range(int(scene.uniform(1, 5))):
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
        parts.house(
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


def rooftops(scene: Scene) -> None:
    """A town from above: rows of roofs, towers, streets between, hills or sea behind."""
    scene.block((-9e3, -9e3, -2), (9e3, 9e3, 0), scene.pick([paint.paving, paint.ground, paint.water])(scene))
    modern = scene.chance(0.3)
    roofs = [paint.roofing(scene) for _ in range(3)]
    fronts = [paint.facade(scene) for _ in range(3)]
    eye = scene.uniform(12, 45) * (2.5 if modern else 1.0)
    pitch = -scene.uniform(0.15, 1.1)
    scene.see_from((0.0, -10.0, eye), scene.uniform(-0.5, 0.5), pitch)
    scene.see_from((0.0, -15.0, 1.3 * eye), scene.uniform(-0.5, 0.5), 0.6 * pitch)
    outdoors(scene, haze=0.8)
    step = scene.uniform(9, 15) * (2.0 if modern else 1.0)
    style = "flat" if modern else scene.pick([None, "gable", "hip"])
    temple = scene.chance(0.3)
    for row in range(7):
        for column in range(-4, 5):
            if abs(column) * step > 12 + row * step * 1.1 or scene.chance(0.1):
                continue
            at = (column * step + scene.uniform(-1, 1), row * step + scene.uniform(-1, 1), 0.0)
            size = (
                step * scene.uniform(0.55, 0.85),
                step * scene.uniform(0.55, 0.85),
                scene.uniform(4, 11) * (4 if modern else 1),
            )
            if temple and scene.chance(0.5):
                pagoda(scene, at, 0.42 * step, int(scene.uniform(1, 4)))
            else:
                parts.house(
                    scene, at, size, scene.uniform(-0.2, 0.2), scene.pick(fronts), scene.pick(roofs), style
                )
    for _ in range(int(scene.uniform(0, 4))):
        at = (scene.uniform(-30, 30), scene.uniform(25, 110), 0.0)
        parts.tower(
            scene, at, scene.uniform(15, 45), scene.uniform(2.5, 5), paint.masonry(scene), scene.pick(roofs)
        )
    scene.fov = math.radians(scene.uniform(35, 80))
