"""Interiors: rooms, corridors, columned and vaulted halls, caves."""

from __future__ import annotations

import math

from lyra.synthetic import furniture, parts
from lyra.synthetic import materials as paint
from lyra.synthetic import shape_kernels as shapes
from lyra.synthetic.air import indoors
from lyra.synthetic.scene import Scene


def _shell(
    scene: Scene, x: float, y: float, z: float, walls: int, floor: int, ceiling: int, windows: float
) -> bool:
    """Floor, ceiling and walls around [-x, x] x [0, y] x [0, z]; returns whether there is a window."""
    scene.block((-x - 1, -3, -1), (x + 1, y + 1, 0), floor)
    scene.block((-x - 1, -3, z), (x + 1, y + 1, z + 1), ceiling)
    scene.block((-x - 1, -3, 0), (x + 1, -2, z), walls)
    opened = False
    for centre, half, yaw in (
        ((-x - 0.2, 0.5 * y - 1), 0.5 * y + 1.2, 0.5 * math.pi),
        ((x + 0.2, 0.5 * y - 1), 0.5 * y + 1.2, 0.5 * math.pi),
        ((0.0, y + 0.2), x + 0.4, 0.0),
    ):
        if scene.chance(windows):
            opened = True
            count = max(1, int(2 * half / scene.uniform(2.0, 4.5)))
            bay = half / count
            wide = bay * scene.uniform(0.25, 0.7)
            sill = scene.pick([0.0, 0.3, 0.3, 0.35]) * z
            rise = wide * scene.pick([0.0, 0.0, 1.0, 1.4])
            spring = min(z * scene.uniform(0.6, 0.8), z - rise - 0.1)
            for k in range(count):
                along = (2 * k + 1 - count) * bay
                spot = parts.around((*centre, 0.0), yaw, (along, 0.0, 0.0))
                scene.portal(spot, (bay, 0.2, 0.5 * z), walls, (wide, sill, spring, rise), yaw)
                if scene.chance(0.4):
                    scene.box(
                        (spot[0], spot[1], 0.5 * (sill + spring)),
                        (wide, 0.03, 0.5 * (spring - sill)),
                        paint.make(scene, "dark", size=0.3),
                        yaw,
                        cut=shapes.LATTICE,
                        cut_size=wide * scene.uniform(0.4, 1.0),
                        cut_share=0.88,
                    )
        else:
            scene.box((*centre, 0.5 * z), (half, 0.2, 0.5 * z), walls, yaw)
    return opened


def room(scene: Scene) -> None:
    """A furnished room, from a closet to a great living hall."""
    x, y, z = scene.uniform(1.5, 5), scene.uniform(3, 10), scene.uniform(2.2, 4.5)
    walls, floor = paint.wall(scene, True), paint.paving(scene, True)
    ceiling = walls if scene.chance(0.25) else paint.ceiling(scene)
    opened = _shell(scene, x, y, z, walls, floor, ceiling, scene.pick([0.0, 0.35, 0.7]))
    indoors(scene, sun=opened and scene.chance(0.7))
    if opened:
        scene.block((-300, -300, -3), (300, 300, -1.5), paint.ground(scene))
    if scene.chance(0.4):
        beam = paint.timber(scene)
        for k in range(int(scene.uniform(2, 7))):
            scene.block((-x, k * y / 5, z - 0.25), (x, k * y / 5 + 0.2, z), beam)
    if scene.chance(0.4):
        skirt = paint.make(scene, "white", size=0.5)
        for side in (-1, 1):
            scene.block((side * (x - 0.05), -2, 0), (side * x, y, 0.2), skirt)
    for _ in range(int(scene.uniform(2, 9))):
        material = scene.pick([paint.timber, paint.wall, paint.metal])(scene)
        at = (scene.uniform(-x + 0.8, x - 0.8), scene.uniform(1.5, y - 0.5), 0.0)
        _furniture(scene, at, x, y, material)
    for _ in range(int(scene.uniform(0, 4))):
        side = scene.pick([-1, 1])
        picture = paint.cloth(scene, "paint")
        low, long = scene.uniform(1.0, 1.6), scene.uniform(1, y - 1)
        scene.block(
            (side * (x - 0.04), long, low), (side * x, long + scene.uniform(0.4, 1.5), low + 0.8), picture
        )
    if scene.chance(0.6):
        rug = paint.cloth(scene, "red", "paint", "pastel")
        scene.block((-0.5 * x, 0.2 * y, 0), (0.5 * x, 0.8 * y, 0.015), rug)
    _lamps(scene, x, y, z)
    for _ in range(3):
        eye = (scene.uniform(-0.7 * x, 0.7 * x), scene.uniform(-1.5, 0.35 * y), scene.uniform(0.5, z - 0.3))
        yaw = scene.uniform(-0.6, 0.6) if scene.chance(0.8) else scene.uniform(-3, 3)
        scene.see_from(eye, yaw, scene.uniform(-0.35, 0.15))
    scene.fov = math.radians(scene.uniform(50, 105))


def _furniture(scene: Scene, at, x: float, y: float, material: int) -> None:
    piece = scene.pick(
        ["table", "chair", "chair", "cupboard", "cupboard", "bed", "trinket", "crate", "plant", "figure"]
    )
    yaw = scene.pick([0.0, 0.5, 1.0, 1.5]) * math.pi + scene.uniform(-0.15, 0.15)
    if piece == "table":
        furniture.table(scene, at, yaw, material)
    elif piece == "chair":
        furniture.chair(scene, at, scene.uniform(0, 6.3), material)
    elif piece == "cupboard":
        side = scene.pick(["left", "right", "back"])
        spot, turned = {
            "left": ((-x, at[1], 0.0), 0.5 * math.pi),
            "right": ((x, at[1], 0.0), -0.5 * math.pi),
            "back": ((at[0], y, 0.0), 0.0),
        }[side]
        furniture.cupboard(scene, spot, turned, material)
    elif piece == "bed":
        scene.box((at[0], at[1], 0.25), (0.8, 1.0, 0.25), material, yaw)
        scene.box((at[0], at[1], 0.5), (0.75, 0.95, 0.12), paint.make(scene, "pastel", size=0.5), yaw)
    elif piece == "trinket":
        furniture.trinket(scene, at, scene.uniform(0.15, 0.5))
    elif piece == "crate":
        parts.crate(scene, at, scene.uniform(0.4, 1.0))
    elif piece == "figure":
        parts.figure(scene, at)
    else:
        parts.bush(scene, (at[0], at[1], 0.5), 0.4, paint.foliage(scene))
        scene.column((*at[:2], 0.0), 0.45, 0.2, material, 1.3)


def _lamps(scene: Scene, x: float, y: float, z: float) -> None:
    tint = scene.pick([(1.0, 0.75, 0.45), (1.0, 0.9, 0.75), (0.7, 0.85, 1.0), (1.0, 0.5, 0.25)])
    for _ in range(int(scene.uniform(0, 4))):
        at = (scene.uniform(-0.7 * x, 0.7 * x), scene.uniform(0, y), z * scene.uniform(0.4, 0.9))
        power = scene.uniform(0.3, 2.0)
        scene.lamp(at, tuple(power * c for c in tint), scene.uniform(0.8, 3.5))
        if scene.chance(0.6):
            scene.ball(at, 0.1 + 0.02 * z, paint.glowing(scene, tint))


def corridor(scene: Scene) -> None:
    """A long passage with doors, frames, pipes or a round vault."""
    x, y, z = scene.uniform(0.8, 3), scene.uniform(12, 60), scene.uniform(2.2, 5)
    walls, floor = paint.wall(scene, True), paint.paving(scene, True)
    vaulted = scene.chance(0.4)
    indoors(scene)
    if vaulted:
        spring = z * scene.uniform(0.2, 0.7)
        high = z + 1.5
        scene.portal((0, 0.5 * y, 0), (x + 1.5, 0.5 * y + 4, 0.5 * high), walls, (x, 0.0, spring, z - spring))
        scene.block((-x - 1, -5, -1), (x + 1, y + 5, 0), floor)
        scene.block((-x - 1, y, 0), (x + 1, y + 1, z + 1), paint.wall(scene, True))
        scene.block((-x - 1, -4, 0), (x + 1, -3, z + 1), walls)
    else:
        _shell(scene, x, y, z, walls, floor, paint.ceiling(scene), 0.15)
    frame = scene.pick([paint.masonry, paint.timber, paint.metal])(scene)
    gap = scene.uniform(2.5, 8)
    style = scene.pick(["arches", "pilasters", "doors", "none"])
    for k in range(min(int(y / gap), 9)):
        at = (k + 0.7) * gap
        if style == "arches":
            wide = x * scene.uniform(0.75, 0.9)
            rise = wide * 0.8
            scene.portal(
                (0, at, 0), (x + 0.2, 0.2, 0.5 * z + 0.2), frame, (wide, 0.0, max(z - rise - 0.3, 0.5), rise)
            )
        elif style == "pilasters":
            for side in (-1, 1):
                scene.block((side * x, at, 0), (side * (x - 0.25), at + 0.5, z), frame)
        elif style == "doors":
            door = paint.timber(scene) if scene.chance(0.7) else paint.metal(scene)
            side = scene.pick([-1, 1])
            scene.block((side * x, at, 0), (side * (x - 0.08), at + 1.2, 2.1), door)
        if scene.chance(0.35):
            parts.crate(scene, (scene.pick([-1, 1]) * (x - 0.5), at + 1, 0.0), scene.uniform(0.4, 1.1))
        if scene.chance(0.4):
            tint = scene.pick([(1.0, 0.7, 0.4), (0.8, 0.9, 1.0)])
            spot = (scene.pick([-0.9, 0.9, 0.0]) * x, at + 0.5, z * 0.75)
            scene.lamp(spot, tuple(scene.uniform(0.5, 2) * c for c in tint), scene.uniform(1, 3))
            scene.ball(spot, 0.1, paint.glowing(scene, tint))
    if scene.chance(0.25):
        pipe = paint.metal(scene)
        for _ in range(int(scene.uniform(1, 4))):
            spot = (scene.uniform(-x, x), 0.5 * y, z - scene.uniform(0.1, 0.5))
            r = scene.uniform(0.05, 0.2)
            scene.solid(shapes.FRUSTUM, spot, (r, r, 0.5 * y), pipe, pitch=0.5 * math.pi, shape=(1.0,))
    if scene.chance(0.3):
        parts.figure(scene, (scene.uniform(-0.5, 0.5) * x, scene.uniform(3, 12), 0.0))
    for _ in range(3):
        eye = (scene.uniform(-0.6 * x, 0.6 * x), scene.uniform(-2, 3), scene.uniform(0.5, min(z - 0.3, 2.5)))
        scene.see_from(eye, scene.uniform(-0.35, 0.35), scene.uniform(-0.2, 0.15))
    scene.fov = math.radians(scene.uniform(45, 100))


def hall(scene: Scene) -> None:
    """A columned hall: flat, vaulted or arcaded, with aisles, a dais at its end, windows and banners."""
    x, y, z = scene.uniform(4, 14), scene.uniform(18, 60), scene.uniform(5, 18)
    stone = paint.masonry(scene)
    walls = stone if scene.chance(0.5) else paint.wall(scene, True)
    vaulted = scene.chance(0.5)
    opened = _shell(
        scene, x, y, z, walls, paint.paving(scene, True), paint.ceiling(scene), scene.uniform(0, 0.8)
    )
    indoors(scene, sun=opened)
    if opened:
        scene.block((-500, -500, -4), (500, 500, -2), paint.ground(scene))
    nave = x * scene.uniform(0.35, 0.75)
    bay = scene.uniform(2.5, 7)
    bays = min(int((y + 2) / bay), 10)
    radius = bay * scene.uniform(0.06, 0.15)
    style = scene.pick(["columns", "columns", "arcade"])
    square = scene.chance(0.3)
    top = z
    if vaulted:
        rise = min(nave * scene.uniform(0.5, 1.1), 0.55 * z)
        top = z - rise
        scene.portal(
            (0, 0.5 * y - 1, top), (nave + 0.6, 0.5 * y + 1, 0.5 * rise + 0.2), stone, (nave, 0, 0.001, rise)
        )
        for side in (-1, 1):
            scene.block((side * (nave + 0.6), -2, top), (side * x, y, top + 0.3), stone)
    if style == "arcade":
        for side in (-1, 1):
            parts.arcade(scene, (side * nave, -2, 0.0), 0.5 * math.pi, bays, bay, top, 0.4, stone)
    else:
        for k in range(bays):
            for side in (-1, 1):
                parts.pillar(scene, (side * nave, -1 + k * bay, 0.0), top, radius, stone, square)
    if vaulted or scene.chance(0.3):
        rib = paint.masonry(scene)
        for k in range(min(bays, 7)):
            scene.portal(
                (0, -1 + k * bay, 0),
                (nave, 0.25, 0.5 * z),
                rib,
                (0.93 * nave, 0, 0.97 * top, 0.93 * (z - top) if vaulted else 0.1 * z),
            )
    if scene.chance(0.6):
        carpet = paint.make(scene, scene.pick(["red", "paint", "slate"]), size=1.0)
        scene.block((-0.3 * nave, -2, 0), (0.3 * nave, y - 3, 0.02), carpet)
    end = parts.stairs(scene, (0, y - 6, 0.0), 0.0, int(scene.uniform(1, 6)), 1.4 * nave, 0.2, 0.4, stone)
    _altar(scene, (0.0, y - 2.0, end[2]))
    for k in range(int(scene.uniform(0, 6))):
        banner = paint.cloth(scene, "red", "paint", "gold")
        at = (scene.pick([-1, 1]) * nave, -1 + (k + 0.5) * bay, 0.6 * top)
        scene.box(at, (0.5, 0.03, 0.2 * top), banner, 0.5 * math.pi)
    for _ in range(int(scene.uniform(0, 4))):
        parts.figure(scene, (scene.uniform(-nave, nave), scene.uniform(3, y - 8), 0.0))
    _lamps(scene, nave, y, 0.7 * z)
    if scene.lamps:
        for lamp in scene.lamps:
            lamp["reach"] *= 2.5
    for _ in range(3):
        eye = (
            scene.uniform(-0.8, 0.8) * nave,
            scene.uniform(-1.5, 0.3 * y),
            scene.uniform(0.8, min(0.6 * z, 5)),
        )
        scene.see_from(eye, scene.uniform(-0.5, 0.5), scene.uniform(-0.2, 0.3))
    scene.fov = math.radians(scene.uniform(45, 100))


def _altar(scene: Scene, at) -> None:
    material = scene.pick([paint.masonry, paint.metal, paint.cliff])(scene)
    draw = scene.pick(["throne", "ball", "statue", "ring", "block"])
    if draw == "throne":
        scene.box((at[0], at[1], at[2] + 0.5), (0.8, 0.6, 0.5), material)
        scene.box((at[0], at[1] + 0.5, at[2] + 1.5), (0.8, 0.15, 1.5), material)
    elif draw == "ball":
        scene.ball((at[0], at[1], at[2] + 1.8), scene.uniform(0.6, 1.4), material)
    elif draw == "statue":
        parts.figure(scene, (at[0], at[1], at[2] + 0.6), material, scene.uniform(2, 4))
        scene.box((at[0], at[1], at[2] + 0.3), (0.8, 0.8, 0.3), material)
    elif draw == "ring":
        r = scene.uniform(1, 2.2)
        scene.solid(
            shapes.TORUS, (at[0], at[1], at[2] + r), (r, r, r), material, shape=(scene.uniform(0.08, 0.25),)
        )
    else:
        scene.box((at[0], at[1], at[2] + 0.6), (1.5, 0.5, 0.6), material)


def cave(scene: Scene) -> None:
    """A tunnel of rocks with stalactites, its far end dark, lit or open."""
    rock = paint.cliff(scene)
    x, y, z = scene.uniform(2.5, 9), scene.uniform(15, 50), scene.uniform(3, 10)
    indoors(scene, brightness=scene.uniform(0.03, 0.3))
    scene.air["haze"] = scene.uniform(0.0, 0.05)
    scene.portal((0, 0.5 * y, 0), (x + 6, 0.5 * y + 6, 0.5 * z + 3), rock, (x * 1.25, 0, 0.4 * z, 0.75 * z))
    scene.block(
        (-x - 6, -6, -2), (x + 6, y + 6, 0), paint.ground(scene, scene.pick(["earth", "stone", "sand"]))
    )
    if scene.chance(0.5):
        scene.block((-x, -6, -1), (x, y + 6, scene.uniform(0.02, 0.12)), paint.water(scene))
    if scene.chance(0.6):
        scene.block((-x - 6, y, -1), (x + 6, y + 2, z + 6), rock)
        scene.block((-x - 6, -6, -1), (x + 6, -5, z + 6), rock)
    for _ in range(int(scene.uniform(20, 40))):
        heading = scene.uniform(-0.5, math.pi + 0.5)
        size = scene.uniform(0.25, 0.7) * x
        at = (
            1.25 * x * math.cos(heading),
            scene.uniform(-4, y),
            max(0.4 * z + 0.75 * z * math.sin(heading), 0.0),
        )
        parts.boulder(scene, at, size, rock)
    for _ in range(int(scene.uniform(0, 14))):
        at = (scene.uniform(-x, x), scene.uniform(1.5, y), 0.0)
        tall, r = scene.uniform(0.3, 0.7) * z, scene.uniform(0.15, 0.5)
        if scene.chance(0.5):
            scene.column(at, tall, r, rock, 0.1)
        else:
            scene.column((at[0], at[1], 1.1 * z - tall), tall, 0.1 * r, rock, 10.0)
    _lamps(scene, x, y, 0.6 * z)
    tint = scene.pick([(1.0, 0.7, 0.4), (0.4, 0.8, 1.0), (0.6, 1.0, 0.6)])
    scene.torch = tuple(scene.uniform(0.2, 1.5) * c for c in tint)
    for _ in range(3):
        scene.see_from(
            (scene.uniform(-0.5, 0.5) * x, scene.uniform(-3, 4), scene.uniform(0.8, 2.2)),
            scene.uniform(-0.3, 0.3),
            scene.uniform(-0.15, 0.25),
        )
    scene.fov = math.radians(scene.uniform(50, 100))
