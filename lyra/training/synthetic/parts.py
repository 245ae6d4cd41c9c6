"""Composite things that several layouts use: trees, houses, stairs, rows of arches, furniture, people."""

from __future__ import annotations

import math

from lyra.training.synthetic import materials as paint
from lyra.training.synthetic import shape_kernels as shapes
from lyra.training.synthetic.scene import Scene, Vec


def around(at: Vec, yaw: float, offset: Vec) -> Vec:
    """`offset` in the axes of something at `at` that is turned by `yaw`."""
    c, s = math.cos(yaw), math.sin(yaw)
    return (at[0] + c * offset[0] - s * offset[1], at[1] + s * offset[0] + c * offset[1], at[2] + offset[2])


def tree(scene: Scene, at: Vec, height: float, trunk: int, leaves: int, style: str | None = None) -> None:
    """A tree of one of four habits: round, conifer, bare or palm."""
    style = style or scene.pick(["round", "round", "round", "conifer", "bare", "palm"])
    thick = height * scene.uniform(0.025, 0.06)
    lean = scene.uniform(-0.12, 0.12)
    share = {"round": 0.6, "conifer": 0.25, "bare": 0.8, "palm": 0.9}[style]
    stem = height * share
    scene.solid(
        shapes.FRUSTUM,
        (at[0] + 0.5 * lean * stem, at[1], at[2] + 0.5 * stem),
        (thick, thick, 0.5 * stem + 0.1),
        trunk,
        roll=lean,
        shape=(scene.uniform(0.4, 0.8),),
    )
    top = (at[0] + lean * stem, at[1], at[2] + stem)
    holes = {"cut": shapes.FOLIAGE, "cut_size": 0.025 * height + 0.1, "cut_share": scene.uniform(0.4, 0.52)}
    if style == "round":
        crown = height * scene.uniform(0.22, 0.36)
        for _ in range(int(scene.uniform(3, 9))):
            r = crown * scene.uniform(0.35, 0.8)
            away, heading = crown * scene.uniform(0.0, 1.0), scene.uniform(0, 6.3)
            centre = (
                top[0] + away * math.cos(heading),
                top[1] + away * math.sin(heading),
                top[2] + crown * scene.uniform(-0.2, 0.7),
            )
            scene.ball(centre, (r, r, r * scene.uniform(0.6, 1.0)), leaves, **holes)
    elif style == "conifer":
        tiers = int(scene.uniform(1, 5))
        for k in range(tiers):
            low = height * (share * 0.6 + (1 - share * 0.6) * k / tiers * 0.85)
            tall = (height - low) * (1.0 if k == tiers - 1 else 0.75)
            radius = 0.28 * (height - low) * scene.uniform(0.8, 1.1) + 0.05
            scene.column((top[0], top[1], at[2] + low), tall, radius, leaves, 0.02, **holes)
    else:
        for k in range(int(scene.uniform(4, 8))):
            heading = 6.283 * k / 5 + scene.uniform(-0.4, 0.4)
            long = height * scene.uniform(0.15, 0.35)
            tilt = scene.uniform(0.2, 1.1) if style == "bare" else scene.uniform(-0.5, 0.25)
            start = top if style == "palm" else (top[0], top[1], at[2] + stem * scene.uniform(0.5, 1.0))
            centre = around(start, heading, (0.0, 0.5 * long * math.cos(tilt), 0.5 * long * math.sin(tilt)))
            half = (
                (thick * 0.3, 0.5 * long, thick * 0.3)
                if style == "bare"
                else (0.12 * long, 0.5 * long, 0.02 * long)
            )
            scene.ball(centre, half, trunk if style == "bare" else leaves, heading, pitch=tilt)


def bush(scene: Scene, at: Vec, size: float, leaves: int) -> None:
    for _ in range(int(scene.uniform(1, 4))):
        r = size * scene.uniform(0.5, 1.0)
        centre = (
            at[0] + size * scene.uniform(-0.6, 0.6),
            at[1] + size * scene.uniform(-0.6, 0.6),
            at[2] + 0.4 * r,
        )
        share = scene.uniform(0.36, 0.5)
        scene.ball(
            centre, (r, r, 0.8 * r), leaves, cut=shapes.FOLIAGE, cut_size=0.08 * size + 0.04, cut_share=share
        )


def boulder(scene: Scene, at: Vec, size: float, stone: int) -> None:
    half = tuple(size * scene.uniform(0.5, 1.0) for _ in range(3))
    scene.rock(
        (at[0], at[1], at[2] + half[2] * scene.uniform(0.0, 0.6)),
        half,
        stone,
        scene.uniform(0.25, 0.6),
        yaw=scene.uniform(0, 6.3),
        pitch=scene.uniform(-0.5, 0.5),
    )


def figure(scene: Scene, at: Vec, material: int | None = None, height: float | None = None) -> None:
    """A standing person, roughly: legs, body, head."""
    tall = height or scene.uniform(1.5, 1.9)
    cloth = (
        scene.material(**scene.materials[material])
        if material is not None
        else paint.make(scene, "paint", size=0.3)
    )
    skin = paint.make(scene, "sand", size=0.3)
    scene.column(at, 0.5 * tall, 0.14 * tall * scene.uniform(0.7, 1.3), cloth, scene.uniform(0.5, 1.1))
    scene.ball(
        (at[0], at[1], at[2] + 0.66 * tall),
        (0.13 * tall, 0.09 * tall, 0.2 * tall),
        cloth,
        scene.uniform(0, 3),
    )
    scene.ball((at[0], at[1], at[2] + 0.92 * tall), 0.07 * tall, skin)


def house(
    scene: Scene,
    at: Vec,
    size: Vec,
    yaw: float,
    walls: int | None = None,
    roof: int | None = None,
    style: str | None = None,
) -> None:
    """A house on a foot of size (x, y) and height z: box, roof or parapet, and some of what juts out."""
    walls = paint.facade(scene) if walls is None else walls
    style = style or scene.pick(["gable", "gable", "gable", "hip", "flat", "flat", "steps"])
    x, y, z = (0.5 * s for s in size)
    scene.box((at[0], at[1], at[2] + z), (x, y, z), walls, yaw)
    top = at[2] + size[2]
    _trim(scene, at, size, yaw)
    if style in ("gable", "hip"):
        roof = paint.roofing(scene) if roof is None else roof
        rise = min(x, y) * scene.uniform(0.4, 1.1)
        along = y > x
        half = (x + 0.35, y + 0.35, rise) if along else (y + 0.35, x + 0.35, rise)
        turned = yaw if along else yaw + 0.5 * math.pi
        if scene.chance(0.4):
            turned += 0.5 * math.pi
            half = (half[1], half[0], half[2])
        scene.roof(
            (at[0], at[1], top + rise),
            half,
            roof,
            1.0 if style == "gable" else scene.uniform(0.0, 0.7),
            turned,
        )
        if scene.chance(0.5):
            spot = around(
                (at[0], at[1], top), yaw, (x * scene.uniform(-0.6, 0.6), y * scene.uniform(-0.6, 0.6), rise)
            )
            scene.box(spot, (0.4, 0.4, rise + 0.8), paint.masonry(scene), yaw)
    elif style == "flat":
        scene.box((at[0], at[1], top + 0.3), (x + 0.2, y + 0.2, 0.3), paint.wall(scene), yaw)
        if scene.chance(0.5):
            spot = around(
                (at[0], at[1], top), yaw, (x * scene.uniform(-0.5, 0.5), y * scene.uniform(-0.5, 0.5), 1.0)
            )
            scene.box(spot, (x * 0.3, y * 0.3, scene.uniform(1, 3)), walls, yaw)
    else:
        for k in range(1, int(scene.uniform(2, 5))):
            shrink = 0.8**k
            scene.box((at[0], at[1], top + z * 0.4 * k), (x * shrink, y * shrink, z * 0.4), walls, yaw)


def _trim(scene: Scene, at: Vec, size: Vec, yaw: float) -> None:
    """Cornices, a door and balconies on a house."""
    x, y, z = (0.5 * s for s in size)
    if scene.chance(0.4):
        ledge = paint.masonry(scene)
        for share in (scene.uniform(0.25, 0.5), 0.97)[: 1 + scene.chance(0.6)]:
            scene.box((at[0], at[1], at[2] + 2 * z * share), (x + 0.18, y + 0.18, 0.12), ledge, yaw)
    if scene.chance(0.4):
        side = scene.pick([-1, 1])
        door = around(at, yaw, (side * (x + 0.02), y * scene.uniform(-0.6, 0.6), 1.1))
        scene.box(door, (0.08, 0.55, 1.1), paint.timber(scene), yaw)
        front = around(at, yaw, (x * scene.uniform(-0.6, 0.6), -y - 0.02, 1.1))
        scene.box(front, (0.55, 0.08, 1.1), paint.timber(scene), yaw)
    if size[2] > 5 and scene.chance(0.25):
        side = scene.pick([-1, 1])
        spot = around(
            at, yaw, (side * (x + 0.5), y * scene.uniform(-0.4, 0.4), scene.uniform(0.4, 0.8) * size[2])
        )
        scene.box(spot, (0.5, 0.9, 0.08), paint.masonry(scene), yaw)
        scene.box(
            (spot[0], spot[1], spot[2] + 0.5),
            (0.5, 0.9, 0.45),
            paint.metal(scene),
            yaw,
            cut=shapes.BARS,
            cut_size=0.3,
            cut_share=0.7,
        )


def tower(
    scene: Scene, at: Vec, height: float, radius: float, walls: int, roof: int, square: bool | None = None
) -> None:
    """A round or square tower with a crown and a spire, dome or battlements."""
    square = scene.chance(0.5) if square is None else square
    yaw = scene.uniform(0, 1.5)
    if square:
        scene.box((at[0], at[1], at[2] + 0.5 * height), (radius, radius, 0.5 * height), walls, yaw)
    else:
        scene.column(at, height, radius, walls, scene.uniform(0.75, 1.0))
    top = (at[0], at[1], at[2] + height)
    wide = radius * scene.uniform(1.05, 1.35)
    if square:
        scene.box((top[0], top[1], top[2]), (wide, wide, 0.3 * radius), walls, yaw)
    else:
        scene.column((top[0], top[1], top[2] - 0.3 * radius), 0.6 * radius, wide, walls)
    crown = scene.pick(["spire", "spire", "dome", "battlements", "flat"])
    spire = radius * scene.uniform(1.2, 4.0)
    if crown == "spire" and square:
        scene.roof(
            (top[0], top[1], top[2] + 0.3 * radius + 0.5 * spire), (wide, wide, 0.5 * spire), roof, 0.0, yaw
        )
    elif crown == "spire":
        scene.column((top[0], top[1], top[2] + 0.3 * radius), spire, wide, roof, 0.02)
    elif crown == "dome":
        scene.ball((top[0], top[1], top[2] + 0.3 * radius), (0.95 * wide, 0.95 * wide, wide), roof)
    elif crown == "battlements":
        for k in range(8):
            heading = 0.785 * k + yaw
            spot = around(
                top, heading, (0.0, 0.9 * wide * (1.0 if not square or k % 2 == 0 else 1.3), 0.5 * radius)
            )
            scene.box(spot, (0.22 * radius, 0.12 * radius, 0.3 * radius), walls, heading)


def stairs(
    scene: Scene, foot: Vec, yaw: float, steps: int, width: float, rise: float, run: float, material: int
) -> Vec:
    """Stairs up along their own y from `foot`; gives the middle of the top edge."""
    for k in range(steps):
        low = around(foot, yaw, (0.0, (k + 0.5 * (steps - k)) * run, 0.5 * (k + 1) * rise))
        scene.box(low, (0.5 * width, 0.5 * (steps - k) * run, 0.5 * (k + 1) * rise), material, yaw)
    return around(foot, yaw, (0.0, steps * run, steps * rise))


def arcade(
    scene: Scene, start: Vec, yaw: float, bays: int, bay: float, height: float, depth: float, material: int
) -> None:
    """A row of arches along its own x from `start`."""
    pier = bay * scene.uniform(0.08, 0.2)
    half = 0.5 * bay - pier
    rise = half * scene.pick([1.0, 1.0, 1.5, 0.4, 0.0])
    spring = max(height - rise - scene.uniform(0.1, 0.3) * height, 0.3 * height)
    for k in range(bays):
        foot = around(start, yaw, ((k + 0.5) * bay, 0.0, 0.0))
        scene.portal(foot, (0.5 * bay, depth, 0.5 * height), material, (half, 0.0, spring, rise), yaw)


def rail(scene: Scene, start: Vec, end: Vec, height: float, material: int) -> None:
    """A railing or balustrade between two points."""
    dx, dy, dz = (b - a for a, b in zip(start, end, strict=True))
    flat = math.hypot(dx, dy)
    centre = tuple(0.5 * (a + b) for a, b in zip(start, end, strict=True))
    scene.solid(
        shapes.BOX,
        (centre[0], centre[1], centre[2] + 0.5 * height),
        (0.05, 0.5 * math.hypot(flat, dz), 0.5 * height),
        material,
        math.atan2(-dx, dy),
        pitch=math.atan2(dz, flat),
        cut=scene.pick([shapes.BARS, shapes.BARS, shapes.LATTICE]),
        cut_size=scene.uniform(0.2, 0.9),
        cut_share=scene.uniform(0.5, 0.85),
    )


def pillar(scene: Scene, foot: Vec, height: float, radius: float, material: int, square: bool) -> None:
    """A column with base and capital."""
    if square:
        scene.box((foot[0], foot[1], foot[2] + 0.5 * height), (radius, radius, 0.5 * height), material)
    else:
        scene.column(foot, height, radius, material, scene.uniform(0.8, 1.0))
    plinth = 1.35 * radius
    scene.box((foot[0], foot[1], foot[2] + 0.35 * radius), (plinth, plinth, 0.35 * radius), material)
    scene.box((foot[0], foot[1], foot[2] + height - 0.35 * radius), (plinth, plinth, 0.35 * radius), material)


def table(scene: Scene, at: Vec, yaw: float, material: int) -> None:
    x, y, z = scene.uniform(0.4, 1.3), scene.uniform(0.3, 0.7), scene.uniform(0.4, 0.95)
    if scene.chance(0.25):
        scene.column((at[0], at[1], at[2] + z), 0.06, max(x, y) * 0.8, material)
        scene.column(at, z, 0.08, material)
    else:
        scene.box((at[0], at[1], at[2] + z), (x, y, 0.04), material, yaw)
        for sx in (-1, 1):
            for sy in (-1, 1):
                scene.box(
                    around(at, yaw, (sx * (x - 0.06), sy * (y - 0.06), 0.5 * z)),
                    (0.04, 0.04, 0.5 * z),
                    material,
                    yaw,
                )
    for _ in range(int(scene.uniform(0, 4))):
        spot = around(at, yaw, (x * scene.uniform(-0.7, 0.7), y * scene.uniform(-0.7, 0.7), z + 0.04))
        trinket(scene, spot, scene.uniform(0.05, 0.2))


def trinket(scene: Scene, at: Vec, size: float) -> None:
    """Something small that stands on a table or the floor: a vase, ball, book, candle, bowl."""
    material = paint.make(
        scene, scene.pick(["paint", "white", "metal", "gold", "wood"]), size=0.3, gloss=0.05
    )
    draw = scene.pick(["vase", "ball", "box", "candle", "cone"])
    if draw == "vase":
        scene.ball((at[0], at[1], at[2] + size), (0.6 * size, 0.6 * size, size), material)
        scene.column((at[0], at[1], at[2] + 1.6 * size), 0.8 * size, 0.25 * size, material, 1.6)
    elif draw == "ball":
        scene.ball((at[0], at[1], at[2] + size), size, material)
    elif draw == "box":
        scene.box(
            (at[0], at[1], at[2] + 0.4 * size), (size, 0.7 * size, 0.4 * size), material, scene.uniform(0, 3)
        )
    else:
        scene.column(
            at,
            2.5 * size,
            (0.2 if draw == "candle" else 0.8) * size,
            material,
            1.0 if draw == "candle" else 0.1,
        )


def chair(scene: Scene, at: Vec, yaw: float, material: int) -> None:
    w, seat = scene.uniform(0.2, 0.5), scene.uniform(0.38, 0.5)
    thick = scene.uniform(0.03, 0.2)
    scene.box(around(at, yaw, (0, 0, seat)), (w, w, thick), material, yaw)
    scene.box(around(at, yaw, (0, w, seat + 0.4)), (w, 0.5 * thick, 0.4), material, yaw)
    for sx in (-1, 1):
        scene.box(around(at, yaw, (sx * (w - 0.04), 0, 0.5 * seat)), (0.03, w, 0.5 * seat), material, yaw)


def cupboard(scene: Scene, at: Vec, yaw: float, material: int) -> None:
    """A cupboard or shelf with its back along its own y."""
    x, y, z = scene.uniform(0.3, 1.2), scene.uniform(0.15, 0.4), scene.uniform(0.3, 1.2)
    if scene.chance(0.5):
        scene.box(around(at, yaw, (0, -y, z)), (x, y, z), material, yaw)
        return
    scene.portal(around(at, yaw, (0, -y, 0)), (x, y, z), material, (0.9 * x, 0.1, 2 * z - 0.1, 0.0), yaw)
    scene.box(around(at, yaw, (0, -0.05, z)), (x, 0.04, z), material, yaw)
    for k in range(1, int(scene.uniform(2, 5))):
        scene.box(around(at, yaw, (0, -y, 2 * z * k / 5)), (0.92 * x, 0.9 * y, 0.03), material, yaw)


def crate(scene: Scene, at: Vec, size: float) -> None:
    """A crate or a barrel."""
    material = paint.timber(scene)
    if scene.chance(0.5):
        scene.box((at[0], at[1], at[2] + 0.5 * size), (0.5 * size,) * 3, material, scene.uniform(0, 3))
    else:
        scene.column(at, 0.55 * size, 0.38 * size, material, 1.15)
        scene.column((at[0], at[1], at[2] + 0.55 * size), 0.55 * size, 0.437 * size, material, 0.87)
