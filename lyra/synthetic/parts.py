"""Composite objects shared by layouts: trees, rocks, stairs, rows of arches, rails, people."""

from __future__ import annotations

import math

from lyra.synthetic import materials as paint
from lyra.synthetic import shape_kernels as shapes
from lyra.synthetic.scene import Scene, Vec, vector


def around(at: Vec, yaw: float, offset: Vec) -> Vec:
    """The scene position of `offset` in the axes of an object at `at` turned by `yaw`."""
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
    half = vector(size * scene.uniform(0.5, 1.0) for _ in range(3))
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


def stairs(
    scene: Scene, foot: Vec, yaw: float, steps: int, width: float, rise: float, run: float, material: int
) -> Vec:
    """Stairs up along their own y from `foot`; returns the middle of the top edge."""
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


def crate(scene: Scene, at: Vec, size: float) -> None:
    """A crate or a barrel."""
    material = paint.timber(scene)
    if scene.chance(0.5):
        scene.box((at[0], at[1], at[2] + 0.5 * size), (0.5 * size,) * 3, material, scene.uniform(0, 3))
    else:
        scene.column(at, 0.55 * size, 0.38 * size, material, 1.15)
        scene.column((at[0], at[1], at[2] + 0.55 * size), 0.55 * size, 0.437 * size, material, 0.87)
