"""Towns: streets, squares, roofs from above."""

from __future__ import annotations

import math

from lyra.synthetic import houses, monuments, parts, vessels
from lyra.synthetic import materials as paint
from lyra.synthetic.air import outdoors
from lyra.synthetic.scene import Scene


def street(scene: Scene) -> None:
    """Two rows of houses along a road, with kerbs, lamps, stalls, a landmark at the end."""
    width = scene.uniform(2, 9)
    road = paint.paving(scene)
    scene.block((-900, -900, -2), (900, 900, 0), road)
    scene.see_from(
        (scene.uniform(-0.6, 0.6) * width, scene.uniform(-2, 2), scene.uniform(0.7, 3.5)),
        scene.uniform(-0.3, 0.3),
        scene.uniform(-0.15, 0.2),
    )
    scene.see_from(
        (scene.uniform(-0.7, 0.7) * width, -1.0, scene.uniform(4, 14)),
        scene.uniform(-0.3, 0.3),
        scene.uniform(-0.5, 0.0),
    )
    scene.see_from((0.0, 0.0, 1.7), 0.0, 0.05)
    time = outdoors(scene, haze=1.5)
    night = time in ("night", "dusk")
    tall = scene.uniform(3.5, 9) if scene.chance(0.65) else scene.uniform(10, 45)
    fronts = [paint.facade(scene, night) for _ in range(4)] + [paint.wall(scene) for _ in range(2)]
    roofs = [paint.roofing(scene) for _ in range(2)]
    style = scene.pick([None, "gable", "hip", "flat"])
    bend = scene.uniform(-0.006, 0.006)
    for side in (-1, 1):
        y = -6.0
        while y < 75:
            long = scene.uniform(4, 12) * (1 if tall < 10 else 2)
            deep = scene.uniform(5, 12)
            if scene.chance(0.92):
                x = side * (width + 0.5 * deep + scene.uniform(0, 1.5)) + bend * y * y
                size = (deep, long * scene.uniform(0.85, 1.0), tall * scene.uniform(0.6, 1.4))
                houses.house(
                    scene,
                    (x, y + 0.5 * long, 0.0),
                    size,
                    scene.uniform(-0.06, 0.06),
                    scene.pick(fronts),
                    scene.pick(roofs),
                    style,
                )
            y += long
    if scene.chance(0.6):
        kerb = paint.masonry(scene)
        for side in (-1, 1):
            scene.block(
                (side * (width - scene.uniform(0.5, 1.5)), -20, 0), (side * (width + 2), 90, 0.15), kerb
            )
    if scene.chance(0.6):
        at = (bend * 4900 + scene.uniform(-6, 6), scene.uniform(60, 130), 0.0)
        houses.tower(
            scene, at, scene.uniform(15, 45), scene.uniform(3, 6), paint.masonry(scene), scene.pick(roofs)
        )
    _clutter(scene, width, night)
    scene.fov = math.radians(scene.uniform(40, 95))


def _clutter(scene: Scene, width: float, night: bool) -> None:
    """Street furniture: lamps, trees, people, crates, carts, awnings, arches over the road."""
    post = paint.metal(scene)
    for _ in range(int(scene.uniform(2, 12))):
        y = scene.uniform(3, 40)
        at = (scene.pick([-1, 1]) * width * scene.uniform(0.5, 0.95), y, 0.0)
        draw = scene.pick(["lamp", "tree", "figure", "figure", "crate", "awning", "cart", "sign"])
        if draw == "lamp":
            high = scene.uniform(2.5, 6)
            scene.column(at, high, 0.07, post, 0.7)
            glow = night or scene.chance(0.2)
            scene.ball((at[0], at[1], high), 0.25, paint.glowing(scene) if glow else post)
            if night:
                scene.lamp((at[0], at[1], high - 0.3), (1.6, 1.1, 0.6), 2.5)
        elif draw == "tree":
            parts.tree(scene, at, scene.uniform(3, 9), paint.bark(scene), paint.foliage(scene))
        elif draw == "figure":
            parts.figure(scene, (at[0] * scene.uniform(-0.6, 0.9), y, 0.0))
        elif draw == "crate":
            parts.crate(scene, at, scene.uniform(0.5, 1.2))
        elif draw == "awning":
            cloth = paint.cloth(scene, "red", "paint", "pastel", "white")
            scene.box((at[0], at[1], 2.4), (1.0, 1.6, 0.05), cloth, roll=scene.uniform(-0.4, 0.4))
            scene.box((at[0], at[1], 0.45), (0.6, 1.3, 0.45), paint.timber(scene))
        elif draw == "cart":
            vessels.car(scene, (at[0] * 0.7, y, 0.0), scene.pick([0.0, math.pi]) + scene.uniform(-0.2, 0.2))
        else:
            scene.box((at[0], at[1], scene.uniform(2.5, 5)), (0.6, 0.05, 0.4), paint.wall(scene))
    if scene.chance(0.2):
        y, high = scene.uniform(12, 40), scene.uniform(5, 9)
        half = width * 0.85
        scene.portal(
            (0, y, 0),
            (width + 1, 1.5, 0.5 * high + 1),
            paint.masonry(scene),
            (half, 0, 0.45 * high, min(half, 0.5 * high)),
        )


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
                houses.house(
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
        houses.tower(scene, spot, scene.uniform(1.5, 4) * tall, scene.uniform(2, 5), fronts[3], roofs[0])
    monuments.monument(
        scene,
        (scene.uniform(-0.3, 0.3) * half, scene.uniform(-0.3, 0.4) * half, 0.0),
        scene.uniform(0.6, 1.6),
    )
    for _ in range(int(scene.uniform(0, 9))):
        spot = (scene.uniform(-0.8, 0.8) * half, scene.uniform(-0.6, 0.9) * half, 0.0)
        draw = scene.pick(["figure", "figure", "tree", "crate", "vehicle"])
        if draw == "figure":
            parts.figure(scene, spot)
        elif draw == "tree":
            parts.tree(scene, spot, scene.uniform(4, 10), paint.bark(scene), paint.foliage(scene))
        elif draw == "crate":
            parts.crate(scene, spot, scene.uniform(0.5, 1.3))
        else:
            vessels.car(scene, spot, scene.uniform(0, 6.3))
    scene.fov = math.radians(scene.uniform(45, 100))


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
                monuments.pagoda(scene, at, 0.42 * step, int(scene.uniform(1, 4)))
            else:
                houses.house(
                    scene, at, size, scene.uniform(-0.2, 0.2), scene.pick(fronts), scene.pick(roofs), style
                )
    for _ in range(int(scene.uniform(0, 4))):
        at = (scene.uniform(-30, 30), scene.uniform(25, 110), 0.0)
        houses.tower(
            scene, at, scene.uniform(15, 45), scene.uniform(2.5, 5), paint.masonry(scene), scene.pick(roofs)
        )
    scene.fov = math.radians(scene.uniform(35, 80))
