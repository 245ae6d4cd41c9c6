"""Tables, chairs, cupboards and small objects."""

from __future__ import annotations

from lyra.synthetic import materials as paint
from lyra.synthetic.parts import around
from lyra.synthetic.scene import Scene, Vec


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
    """A small object on a table or the floor: a vase, ball, book, candle or bowl."""
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
