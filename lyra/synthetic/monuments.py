"""Landmarks: fountains, statues, obelisks, pagodas."""

from __future__ import annotations

import math

from lyra.synthetic import materials as paint
from lyra.synthetic import parts
from lyra.synthetic import shape_kernels as shapes
from lyra.synthetic.scene import Scene


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


def pagoda(scene: Scene, at, size: float, storeys: int) -> None:
    """A temple of stacked roofs with wide eaves."""
    walls, roof = (
        paint.planks(scene, "red", "wood", "white", "dark"),
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
