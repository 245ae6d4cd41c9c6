"""Single large objects in a plain setting, and fantasy worlds: statues, machines, rings, mushrooms, spires."""

from __future__ import annotations

import math

from lyra.synthetic import houses, monuments, parts, vessels
from lyra.synthetic import materials as paint
from lyra.synthetic import shape_kernels as shapes
from lyra.synthetic.air import outdoors
from lyra.synthetic.layouts_nature import foreground, terrain
from lyra.synthetic.scene import Scene, Vec, vector


def object_(scene: Scene) -> None:
    """A single subject in the middle: statue, machine, ring, crescent, rock, tower, house, tree, ship, heap."""
    size = math.exp(scene.uniform(math.log(1.0), math.log(30.0)))
    away = size * scene.uniform(2.2, 5.0)
    setting = scene.pick(["plain", "plain", "terrain", "terrain", "water", "floating"])
    _setting(scene, setting, size)
    base = scene.uniform(0.6, 2.0) * size if setting == "floating" else 0.0
    at = (scene.uniform(-0.3, 0.3) * size, away, base)
    _subject(scene, at, size, floating=setting == "floating")
    for _ in range(int(scene.uniform(0, 8))):
        spot = (scene.uniform(-2.5, 2.5) * size, away + scene.uniform(-1.0, 4.0) * size, 0.0)
        draw = scene.pick(["rock", "rock", "figure", "tree", "block"])
        if draw == "rock":
            parts.boulder(scene, spot, size * scene.uniform(0.05, 0.3), paint.cliff(scene))
        elif draw == "figure":
            parts.figure(scene, (0.3 * spot[0], spot[1], 0.0))
        elif draw == "tree":
            parts.tree(scene, spot, size * scene.uniform(0.2, 0.9), paint.bark(scene), paint.foliage(scene))
        else:
            half = vector(size * scene.uniform(0.03, 0.25) for _ in range(3))
            scene.box((spot[0], spot[1], half[2]), half, paint.anything(scene), scene.uniform(0, 3))
    for _ in range(3):
        high = size * (scene.uniform(0.03, 0.5) if scene.chance(0.7) else scene.uniform(0.5, 2.5)) + 0.2
        x = scene.uniform(-1, 1) * size
        yaw = math.atan2(x - at[0], away) + scene.uniform(-0.15, 0.15)
        pitch = math.atan2(base + 0.5 * size - high, away) * scene.uniform(0.3, 1.0) + scene.uniform(
            -0.1, 0.1
        )
        scene.see_from((x, 0.0, high), yaw, pitch)
    outdoors(scene, haze=8 / size)
    if scene.chance(0.15):
        foreground(scene, paint.bark(scene), paint.foliage(scene))
    scene.fov = math.radians(scene.uniform(28, 75))


def _setting(scene: Scene, setting: str, size: float) -> None:
    if setting in ("terrain", "floating"):
        terrain(
            scene,
            near=0.6 * size,
            period=size * scene.uniform(4, 20),
            height=size * scene.uniform(0.3, 4),
            calm=5 * size,
            rise=size * scene.uniform(5, 20),
        )
        scene.terrain["high_from"] = size * scene.uniform(1, 5)
        return
    floor = paint.water(scene) if setting == "water" else scene.pick([paint.ground, paint.paving])(scene)
    scene.block((-9e3, -9e3, -9), (9e3, 9e3, 0), floor)


def _subject(scene: Scene, at: Vec, size: float, floating: bool) -> None:
    material = paint.anything(scene)
    draw = (
        "machine"
        if floating and scene.chance(0.5)
        else scene.pick(
            [
                "statue",
                "machine",
                "ring",
                "crescent",
                "rock",
                "tower",
                "house",
                "tree",
                "ship",
                "heap",
                "heap",
                "car",
                "pagoda",
                "gate",
                "ball",
            ]
        )
    )
    if draw == "statue":
        scene.box((at[0], at[1], at[2] + 0.1 * size), (0.3 * size, 0.3 * size, 0.1 * size), material)
        parts.figure(scene, (at[0], at[1], at[2] + 0.2 * size), material, 0.9 * size)
    elif draw == "machine":
        vessels.machine(scene, (at[0], at[1], at[2] + 0.4 * size), 0.8 * size)
    elif draw in ("ring", "crescent"):
        gap = scene.uniform(0.3, 1.4) if draw == "crescent" else 0.0
        r = 0.5 * size
        scene.solid(
            shapes.TORUS,
            (at[0], at[1], at[2] + 0.95 * r),
            (r, r, r),
            material,
            scene.uniform(-0.7, 0.7),
            roll=scene.rng.normal(0, 0.2),
            shape=(scene.uniform(0.12, 0.35), gap, scene.uniform(0.3, 0.95) if gap else 0.0),
        )
    elif draw == "rock":
        for _ in range(int(scene.uniform(1, 5))):
            spot = (at[0] + size * scene.rng.normal(0, 0.2), at[1] + size * scene.rng.normal(0, 0.2), at[2])
            parts.boulder(scene, spot, size * scene.uniform(0.3, 0.8), material)
    elif draw == "tower":
        roof = paint.roofing(scene)
        for _ in range(int(scene.uniform(1, 4))):
            spot = (at[0] + size * scene.rng.normal(0, 0.2), at[1] + size * scene.rng.normal(0, 0.2), at[2])
            houses.tower(
                scene, spot, size * scene.uniform(0.6, 1.2), size * scene.uniform(0.1, 0.2), material, roof
            )
    elif draw == "house":
        shape = (size * scene.uniform(0.5, 1), size * scene.uniform(0.5, 1), size * scene.uniform(0.3, 0.8))
        houses.house(scene, at, shape, scene.uniform(-1, 1))
        houses.house(
            scene,
            (at[0] + 0.5 * size, at[1] + 0.3, at[2]),
            vector(0.6 * s for s in shape),
            scene.uniform(-1, 1),
        )
    elif draw == "tree":
        parts.tree(
            scene,
            at,
            1.3 * size,
            paint.bark(scene),
            paint.foliage(scene),
            scene.pick(["round", "bare", "palm"]),
        )
    elif draw == "ship":
        vessels.ship(scene, at, scene.uniform(-1.6, 1.6), 0.7 * size)
    elif draw == "car":
        vessels.car(scene, at, scene.uniform(-1.6, 1.6))
    elif draw == "pagoda":
        monuments.pagoda(scene, at, 0.4 * size, int(scene.uniform(1, 6)))
    elif draw == "gate":
        monuments.monument(scene, at, 0.25 * size)
    elif draw == "ball":
        scene.ball((at[0], at[1], at[2] + 0.5 * size), 0.5 * size, material)
    else:
        heap(scene, at, size)


def heap(scene: Scene, at: Vec, size: float) -> None:
    """Solids of all kinds stacked and leaning."""
    skins = [paint.anything(scene) for _ in range(3)]
    for _ in range(int(scene.uniform(3, 12))):
        half = vector(size * scene.uniform(0.08, 0.35) for _ in range(3))
        spot = (
            at[0] + size * scene.rng.normal(0, 0.25),
            at[1] + size * scene.rng.normal(0, 0.25),
            at[2] + size * scene.uniform(0.1, 0.9),
        )
        kind = scene.pick(
            [shapes.BOX, shapes.BOX, shapes.ELLIPSOID, shapes.FRUSTUM, shapes.ROOF, shapes.ROCK]
        )
        scene.solid(
            kind,
            spot,
            half,
            scene.pick(skins),
            scene.uniform(0, 3),
            pitch=scene.rng.normal(0, 0.3),
            roll=scene.rng.normal(0, 0.3),
            shape=(scene.uniform(0.2, 1.0),),
        )


def strange(scene: Scene) -> None:
    """A fantasy world: mushrooms, spires, domes, floating rocks, rings over coloured ground."""
    scale = scene.uniform(8, 40)
    terrain(
        scene,
        near=0.2 * scale,
        period=scale * scene.uniform(1, 4),
        height=scale * scene.uniform(0.05, 0.8),
        calm=0.3 * scale,
        rise=2 * scale,
        terraces=scale * scene.uniform(0.03, 0.12) if scene.chance(0.3) else 0.0,
    )
    scene.see_from(
        (0, 0, scale * scene.uniform(0.06, 0.2) + 0.5), scene.uniform(-0.4, 0.4), scene.uniform(-0.1, 0.25)
    )
    scene.see_from(
        (scene.uniform(-0.3, 0.3) * scale, 0, scale * scene.uniform(0.3, 1.2)),
        scene.uniform(-0.4, 0.4),
        -0.25,
    )
    outdoors(scene, scene.pick(["strange", "strange", None]), haze=15 / scale)
    stems = [scene.pick([paint.bark, paint.metal, paint.cliff])(scene) for _ in range(2)]
    caps = [paint.fantastic(scene, 0.1 * scale) for _ in range(3)]
    style = scene.pick(["mushrooms", "spires", "domes", "stones", "mixed", "mixed"])
    for k in range(int(scene.uniform(8, 26))):
        y = scale * (0.35 + 3.5 * (k / 26) ** 1.3 + scene.uniform(0, 0.4))
        at = (scene.rng.normal(0, 0.55) * (y + 0.4 * scale), y, -0.03 * scale)
        tall = scale * scene.uniform(0.2, 1.0)
        draw = scene.pick(["mushrooms", "spires", "domes", "stones"]) if style == "mixed" else style
        if draw == "mushrooms":
            scene.column(at, tall, 0.09 * tall, scene.pick(stems), scene.uniform(0.3, 0.9))
            r = tall * scene.uniform(0.2, 0.5)
            top = (at[0], at[1], at[2] + tall - 0.1 * r)
            if scene.chance(0.5):
                scene.solid(shapes.DOME, top, (r, r, 0.6 * r), scene.pick(caps), shape=(0.85, 0.0))
            else:
                scene.ball(top, (r, r, 0.35 * r), scene.pick(caps))
        elif draw == "spires":
            scene.column(at, 1.4 * tall, 0.16 * tall, scene.pick(stems), 0.02)
            if scene.chance(0.5):
                scene.ball((at[0], at[1], at[2] + 0.6 * tall), 0.18 * tall, scene.pick(caps))
        elif draw == "domes":
            r = 0.4 * tall
            cut = {"cut": shapes.FOLIAGE, "cut_size": 0.3 * r, "cut_share": 0.45} if scene.chance(0.4) else {}
            scene.ball(at, (r, r, r * scene.uniform(0.6, 1.4)), scene.pick(caps), **cut)
        else:
            spot = (at[0], at[1], at[2] + scale * scene.uniform(0.2, 1.3))
            half = vector(tall * scene.uniform(0.1, 0.35) for _ in range(3))
            scene.rock(spot, half, scene.pick(stems), scene.uniform(0.2, 0.5))
    if scene.chance(0.4):
        scene.block((-9e3, -9e3, -9), (9e3, 9e3, scale * scene.uniform(0.0, 0.04)), paint.water(scene))
    scene.fov = math.radians(scene.uniform(40, 90))
