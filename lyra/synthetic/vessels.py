"""Vehicles: cars, carts, ships, flying and walking machines."""

from __future__ import annotations

import math

from lyra.synthetic import houses, parts
from lyra.synthetic import materials as paint
from lyra.synthetic import shape_kernels as shapes
from lyra.synthetic.scene import Scene, Vec


def car(scene: Scene, at: Vec, yaw: float) -> None:
    """A car or a cart along its own y."""
    body, dark = paint.metal(scene), paint.make(scene, "dark", size=0.3)
    wide, long, r = scene.uniform(0.8, 1.1), scene.uniform(1.6, 2.6), scene.uniform(0.3, 0.5)
    scene.box(parts.around(at, yaw, (0, 0, r + 0.35)), (wide, long, 0.35), body, yaw)
    if scene.chance(0.7):
        scene.box(
            parts.around(at, yaw, (0, -0.1 * long, r + 0.95)), (0.85 * wide, 0.55 * long, 0.3), dark, yaw
        )
    for sx in (-1, 1):
        for sy in (-0.6, 0.6):
            spot = parts.around(at, yaw, (sx * wide, sy * long, r))
            half = (r, r, 0.12)
            scene.solid(
                shapes.FRUSTUM, spot, half, dark, yaw + 0.5 * math.pi, pitch=0.5 * math.pi, shape=(1.0,)
            )


def ship(scene: Scene, at: Vec, yaw: float, long: float) -> None:
    """A hull with a cabin and masts with sails, or a steamer with funnels; `long` is half its length."""
    hull, deck = paint.timber(scene) if scene.chance(0.6) else paint.metal(scene), paint.timber(scene)
    wide, high = 0.24 * long, 0.2 * long
    scene.ball(parts.around(at, yaw, (0, 0, 0.3 * high)), (wide, long, high), hull, yaw)
    scene.box(parts.around(at, yaw, (0, 0, 0.9 * high)), (0.8 * wide, 0.8 * long, 0.25 * high), deck, yaw)
    scene.box(
        parts.around(at, yaw, (0, -0.6 * long, 1.4 * high)), (0.7 * wide, 0.25 * long, 0.6 * high), hull, yaw
    )
    cloth = paint.make(scene, scene.pick(["white", "sand", "red"]), size=2.0, soft=0.4)
    for k in range(int(scene.uniform(1, 4))):
        y = long * (0.55 - 0.45 * k)
        mast = long * scene.uniform(0.9, 1.5)
        foot = parts.around(at, yaw, (0, y, high))
        if scene.chance(0.15):
            scene.column(foot, 0.5 * mast, 0.12 * long, paint.metal(scene))
            continue
        scene.column(foot, mast, 0.02 * long, deck, 0.5)
        for level in (0.45, 0.75):
            spar = parts.around(foot, yaw, (0, 0, level * mast))
            scene.box(spar, (wide * (1.9 - level), 0.015 * long, 0.012 * long), deck, yaw)
            if scene.chance(0.6):
                sail = parts.around(foot, yaw, (0, 0.02 * long, (level - 0.13) * mast))
                scene.box(sail, (wide * (1.8 - level), 0.01 * long, 0.12 * mast), cloth, yaw, pitch=0.12)


def machine(scene: Scene, at: Vec, size: float) -> None:
    """A machine of cabins, boilers, pipes and chimneys on legs, on wheels or in the air."""
    skins = [scene.pick([paint.metal, paint.facade, paint.masonry, paint.timber])(scene) for _ in range(4)]
    roof = paint.roofing(scene)
    for _ in range(int(scene.uniform(6, 22))):
        away = size * scene.rng.normal(0, 0.3)
        spot = (
            at[0] + away,
            at[1] + size * scene.rng.normal(0, 0.25),
            at[2] + size * scene.uniform(-0.3, 0.5),
        )
        half = size * scene.uniform(0.08, 0.3)
        draw = scene.pick(["box", "box", "ball", "can", "house", "pipe"])
        if draw == "box":
            scene.box(
                spot,
                (half, half * scene.uniform(0.5, 1.2), half * scene.uniform(0.5, 1.3)),
                scene.pick(skins),
                scene.uniform(0, 3),
            )
        elif draw == "ball":
            scene.ball(spot, half, scene.pick(skins))
        elif draw == "can":
            scene.solid(
                shapes.FRUSTUM,
                spot,
                (0.6 * half, 0.6 * half, 1.4 * half),
                scene.pick(skins),
                scene.uniform(0, 3),
                pitch=scene.pick([0.0, 1.57]),
                shape=(scene.uniform(0.5, 1),),
            )
        elif draw == "house":
            houses.house(scene, spot, (half, half, 1.2 * half), scene.uniform(0, 3), scene.pick(skins), roof)
        else:
            scene.column(spot, 2.5 * half, 0.15 * half, scene.pick(skins), 0.8)
    for _ in range(int(scene.uniform(0, 5))):
        spot = (
            at[0] + size * scene.uniform(-0.4, 0.4),
            at[1] + size * scene.uniform(-0.3, 0.3),
            at[2] + 0.4 * size,
        )
        scene.column(spot, size * scene.uniform(0.3, 0.8), 0.05 * size, scene.pick(skins), 0.8)
