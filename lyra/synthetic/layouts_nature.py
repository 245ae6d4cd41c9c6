"""Landscapes: mountains and lakes, forests, coasts, deserts, seas of cloud."""

from __future__ import annotations

import math

from lyra.synthetic import materials as paint
from lyra.synthetic import parts
from lyra.synthetic.air import outdoors
from lyra.synthetic.scene import Scene


def terrain(scene: Scene, near: float, period: float, height: float, **more) -> None:
    """Gives the scene a heightfield (fields of terrain_kernels.Terrain) with random ground."""
    theme = scene.pick(["grass", "grass", "sand", "snow", "earth", "stone", "alien"])
    high = paint.ground(scene, "snow" if scene.chance(0.6) else theme)
    scene.terrain = {
        "octaves": 6,
        "seed": int(scene.uniform(0, 4000)),
        "low_material": paint.ground(scene, theme),
        "steep_material": paint.cliff(scene),
        "high_material": high,
        "steep_from": scene.uniform(0.55, 0.9),
        "high_from": height * scene.uniform(0.35, 1.2),
        "centre": (0.0, 0.0),
        "near": near,
        "period": period,
        "height": height,
        "roughness": scene.uniform(0.36, 0.52),
        "ridged": scene.uniform(0.0, 1.0) if scene.chance(0.6) else 0.0,
        "floor": 0.0,
        "calm": 0.0,
        "rise": 1.0,
    } | more


def valley(scene: Scene) -> None:
    """Mountains around a valley, with a lake or a river, seen from the ground or from above."""
    scale = scene.uniform(60, 400)
    height = scale * scene.uniform(0.25, 0.9)
    lake = scene.chance(0.6)
    terrain(
        scene,
        near=scale * 0.12,
        period=scale * scene.uniform(0.9, 2.2),
        height=height,
        calm=scale * scene.uniform(0.02, 0.2),
        rise=scale * scene.uniform(0.4, 2.0),
        heading=scene.uniform(-0.5, 0.5),
        valley_width=scale * scene.uniform(0.15, 0.5) if scene.chance(0.7) else 0.0,
        valley_bend=scene.uniform(0.0, 0.8),
        terraces=height * scene.uniform(0.05, 0.2) if scene.chance(0.12) else 0.0,
    )
    level = 0.0
    if lake:
        level = height * scene.uniform(0.03, 0.12)
        scene.block((-9e3, -9e3, level - 5), (9e3, 9e3, level), paint.water(scene))
    for _ in range(3):
        if scene.chance(0.3):
            eye, pitch = (0.0, 0.0, height * scene.uniform(0.6, 1.6)), scene.uniform(-0.6, -0.1)
        else:
            eye, pitch = (
                (0.0, 0.0, level + max(0.12 * height, 1.0) + scale * scene.uniform(0.01, 0.15)),
                scene.uniform(-0.2, 0.12),
            )
        scene.see_from(eye, scene.uniform(-0.5, 0.5), pitch)
    outdoors(scene, haze=20 / scale)
    scene.air["haze_depth"] = height * scene.uniform(0.3, 2.0)
    scene.air["haze_base"] = level
    trunk, leaves = paint.bark(scene), paint.foliage(scene)
    if scene.chance(0.5):
        foreground(scene, trunk, leaves)
    scene.fov = math.radians(scene.uniform(35, 90))


def foreground(scene: Scene, trunk: int, leaves: int) -> None:
    """Branches, trunks or rocks close to the first camera, framing the view."""
    camera = scene.cameras[0]
    for _ in range(int(scene.uniform(1, 5))):
        side = scene.pick([-1, 1])
        ahead = scene.uniform(2.5, 9)
        at = parts.around(camera.eye, camera.yaw, (side * ahead * scene.uniform(0.3, 0.8), ahead, 0.0))
        draw = scene.pick(["tree", "rock", "leaves", "post"])
        if draw == "tree":
            low = at[2] - scene.uniform(2, 6)
            parts.tree(scene, (at[0], at[1], low), scene.uniform(6, 14), trunk, leaves)
        elif draw == "rock":
            size = ahead * scene.uniform(0.2, 0.5)
            parts.boulder(scene, (at[0], at[1], at[2] - ahead * 0.35), size, paint.cliff(scene))
        elif draw == "leaves":
            parts.bush(scene, (at[0], at[1], at[2] + ahead * scene.uniform(0.2, 0.5)), 0.2 * ahead, leaves)
        else:
            scene.column(
                (at[0], at[1], at[2] - 12), 12 + scene.uniform(0, 3), 0.1 * scene.uniform(1, 4), trunk
            )


def forest(scene: Scene) -> None:
    """Trunks and crowns over bumpy ground, with a path, undergrowth and mist."""
    ground = paint.ground(scene, scene.pick(["grass", "earth", "grass", "snow", "autumn", "leaf"]))
    bumps = scene.uniform(0.3, 3.0)
    terrain(
        scene,
        near=3.0,
        period=scene.uniform(15, 60),
        height=bumps,
        low_material=ground,
        high_material=ground,
        steep_from=0.5,
        calm=1.5,
        rise=8.0,
    )
    tall = scene.uniform(5, 22)
    trunks = [paint.bark(scene) for _ in range(2)]
    crowns = [paint.foliage(scene) for _ in range(3)]
    style = scene.pick([None, "round", "conifer", "conifer", "bare"])
    path = scene.uniform(0.8, 3.0)
    spread = scene.uniform(1.0, 2.5)
    for k in range(int(scene.uniform(14, 30))):
        y = 3.0 + 55 * (k / 30) ** 1.5 + scene.uniform(0, 3)
        x = scene.pick([-1, 1]) * (path + scene.rng.exponential(spread * 2 + 0.25 * y))
        size = tall * scene.uniform(0.6, 1.3)
        if scene.chance(0.3) and abs(x) > 2:
            r = scene.uniform(0.1, 0.5)
            scene.column((x, y, -1), size, r, scene.pick(trunks), 0.6)
        else:
            parts.tree(scene, (x, y, 0.0), size, scene.pick(trunks), scene.pick(crowns), style)
    for _ in range(int(scene.uniform(2, 10))):
        at = (scene.pick([-1, 1]) * (path + scene.uniform(0, 6)), scene.uniform(3, 25), 0.2)
        if scene.chance(0.6):
            parts.bush(scene, at, scene.uniform(0.3, 1.2), scene.pick(crowns))
        else:
            parts.boulder(scene, at, scene.uniform(0.3, 1.5), paint.cliff(scene))
    if scene.chance(0.3):
        scene.block((-200, -200, -2), (200, 200, 0.25 * bumps), paint.water(scene))
    for _ in range(3):
        scene.see_from(
            (scene.uniform(-0.5, 0.5) * path, scene.uniform(-1, 1), bumps + scene.uniform(0.8, 2.5)),
            scene.uniform(-0.3, 0.3),
            scene.uniform(-0.12, 0.3),
        )
    outdoors(scene, haze=scene.uniform(2, 8))
    scene.fov = math.radians(scene.uniform(45, 90))
