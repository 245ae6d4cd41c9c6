"""Houses and towers."""

from __future__ import annotations

import math

from lyra.synthetic import materials as paint
from lyra.synthetic import shape_kernels as shapes
from lyra.synthetic.parts import around
from lyra.synthetic.scene import Scene, Vec


def house(
    scene: Scene,
    at: Vec,
    size: Vec,
    yaw: float,
    walls: int | None = None,
    roof: int | None = None,
    style: str | None = None,
) -> None:
    """A house of footprint (x, y) and height z: box, roof or parapet, and some projecting parts."""
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
