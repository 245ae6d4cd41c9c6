"""Random materials in plausible colours."""

from __future__ import annotations

import colorsys

from lyra.synthetic import surface_kernels as patterns
from lyra.synthetic.scene import Scene, Vec, vector

# Hue, saturation, value ranges of sRGB colours; a hue range may cross 0 (red) by going negative.
FAMILIES = {
    "stone": ((0.05, 0.13), (0.05, 0.3), (0.3, 0.75)),
    "slate": ((0.52, 0.68), (0.05, 0.25), (0.2, 0.55)),
    "sand": ((0.08, 0.13), (0.25, 0.55), (0.55, 0.9)),
    "brick": ((-0.01, 0.06), (0.4, 0.7), (0.3, 0.65)),
    "plaster": ((0.02, 0.16), (0.05, 0.45), (0.6, 0.95)),
    "wood": ((0.04, 0.1), (0.35, 0.7), (0.2, 0.6)),
    "dark": ((0.0, 1.0), (0.1, 0.5), (0.06, 0.22)),
    "white": ((0.0, 1.0), (0.0, 0.08), (0.8, 0.98)),
    "grass": ((0.16, 0.33), (0.3, 0.7), (0.25, 0.6)),
    "leaf": ((0.14, 0.4), (0.3, 0.75), (0.18, 0.55)),
    "autumn": ((0.0, 0.14), (0.5, 0.85), (0.4, 0.8)),
    "blossom": ((0.85, 1.0), (0.15, 0.5), (0.7, 0.95)),
    "red": ((-0.03, 0.03), (0.6, 0.9), (0.35, 0.7)),
    "metal": ((0.5, 0.7), (0.02, 0.15), (0.35, 0.7)),
    "rust": ((0.02, 0.08), (0.5, 0.8), (0.25, 0.55)),
    "gold": ((0.1, 0.14), (0.5, 0.8), (0.55, 0.85)),
    "paint": ((0.0, 1.0), (0.2, 0.9), (0.3, 0.95)),
    "pastel": ((0.0, 1.0), (0.15, 0.4), (0.7, 0.95)),
    "water": ((0.42, 0.62), (0.3, 0.8), (0.1, 0.45)),
    "snow": ((0.5, 0.65), (0.0, 0.1), (0.85, 0.99)),
    "earth": ((0.03, 0.1), (0.25, 0.6), (0.2, 0.5)),
    "alien": ((0.0, 1.0), (0.4, 0.9), (0.3, 0.8)),
}


def linear(colour: Vec) -> Vec:
    """Linear light of an sRGB colour, by the common power of 2.2."""
    return tuple(max(c, 0.0) ** 2.2 for c in colour)


def colour(scene: Scene, family: str) -> Vec:
    """A random linear colour of a family."""
    hue, saturation, value = (scene.uniform(*bounds) for bounds in FAMILIES[family])
    return linear(colorsys.hsv_to_rgb(hue % 1.0, saturation, value))


def near(scene: Scene, base: Vec, spread: float = 0.3) -> Vec:
    """A variation of the colour `base` in brightness and slightly in hue."""
    gain = 1 + scene.uniform(-spread, spread)
    return vector(max(c * gain * (1 + 0.25 * scene.uniform(-spread, spread)), 0.001) for c in base)


def make(scene: Scene, family: str, pattern: int = patterns.PLAIN, size: float = 1.0, **more) -> int:
    """A material of one colour family; `size` is that of its pattern's cells in metres."""
    base = colour(scene, family)
    fields = {
        "pattern": pattern,
        "base": base,
        "second": near(scene, base, 0.45),
        "joint": tuple(c * scene.uniform(0.25, 0.7) for c in base),
        "cell": (size, size),
        "line": scene.uniform(0.03, 0.09),
        "vary": scene.uniform(0.0, 0.5),
        "grain": scene.uniform(0.05, 0.45),
        "grain_size": scene.uniform(0.3, 1.2) * size,
        "dirt": scene.uniform(0.0, 0.5) if scene.chance(0.6) else 0.0,
        "relief": scene.uniform(0.05, 0.5),
        "cover": 1.0,
    }
    return scene.material(**(fields | more))


def masonry(scene: Scene, family: str | None = None, size: float | None = None) -> int:
    """Walls of stones, bricks or panels."""
    family = family or scene.pick(["stone", "stone", "sand", "brick", "slate", "plaster"])
    size = size or scene.uniform(0.25, 1.4)
    pattern = scene.pick(
        [patterns.BRICKS, patterns.BRICKS, patterns.BRICKS, patterns.COBBLES, patterns.PANELS, patterns.PLAIN]
    )
    cell = (size, size * scene.uniform(0.35, 0.7)) if pattern == patterns.BRICKS else (size, size)
    return make(scene, family, pattern, size, cell=cell)


def wall(scene: Scene, inside: bool = False) -> int:
    """Any wall: masonry, plaster, planks, stripes, paint."""
    draw = scene.rng.random()
    if draw < 0.4:
        return masonry(scene)
    family = scene.pick(["plaster", "plaster", "white", "pastel", "paint", "wood", "dark", "red", "slate"])
    size = scene.uniform(0.2, 1.5)
    pattern = scene.pick(
        [
            patterns.PLAIN,
            patterns.PLAIN,
            patterns.PLANKS,
            patterns.STROKES,
            patterns.PANELS,
            patterns.GRADIENT,
        ]
        + ([patterns.STRIPES, patterns.CHECKS] if inside else [])
    )
    cell = (scene.uniform(1.5, 4), size * 0.3) if pattern == patterns.PLANKS else (size, size)
    return make(scene, family, pattern, size, cell=cell)


def facade(scene: Scene, night: bool = False) -> int:
    """A house front with rows of windows."""
    family = scene.pick(["plaster", "stone", "brick", "sand", "pastel", "slate", "white", "metal", "dark"])
    glass = colour(scene, "dark") if not scene.chance(0.2) else colour(scene, "slate")
    return make(
        scene,
        family,
        patterns.WINDOWS,
        1.0,
        cell=(scene.uniform(1.2, 3.5), scene.uniform(2.4, 4.0)),
        line=scene.uniform(0.18, 0.34),
        joint=glass,
        second=colour(scene, scene.pick(["white", "stone", "wood", "dark"])),
        grain_size=scene.uniform(0.3, 2),
        glow=scene.uniform(0.3, 1.6) if night or scene.chance(0.1) else 0.0,
        lit=scene.uniform(0.1, 0.8),
        relief=scene.uniform(0.0, 0.2),
    )


def ceiling(scene: Scene) -> int:
    """A ceiling: a wall's material, timber, plain white, or painted like a sky."""
    draw = scene.rng.random()
    if draw < 0.35:
        return wall(scene)
    if draw < 0.5:
        return timber(scene)
    family = scene.pick(["white", "white", "plaster", "pastel", "slate", "stone"])
    pattern = scene.pick(
        [patterns.PLAIN, patterns.PLAIN, patterns.LEAVES, patterns.GRADIENT, patterns.PANELS]
    )
    second = colour(scene, "white") if scene.chance(0.5) else near(scene, colour(scene, family))
    glow = scene.uniform(0.1, 0.6) if scene.chance(0.15) else 0.0
    return make(
        scene, family, pattern, scene.uniform(0.5, 3), second=second, glow=glow, grain=scene.uniform(0, 0.2)
    )


def roofing(scene: Scene) -> int:
    size = scene.uniform(0.25, 0.7)
    return make(
        scene,
        scene.pick(["brick", "slate", "wood", "dark", "red", "rust", "stone"]),
        scene.pick([patterns.TILES, patterns.TILES, patterns.PLANKS, patterns.PLAIN]),
        size,
        cell=(size, size * scene.uniform(0.7, 1.3)),
    )


def paving(scene: Scene, inside: bool = False) -> int:
    """Floors, roads and squares."""
    size = scene.uniform(0.3, 1.6)
    options = [
        ("stone", patterns.COBBLES),
        ("slate", patterns.COBBLES),
        ("stone", patterns.BRICKS),
        ("sand", patterns.BRICKS),
        ("earth", patterns.PLAIN),
        ("slate", patterns.PLAIN),
        ("stone", patterns.PANELS),
    ]
    if inside:
        options += [
            ("wood", patterns.PLANKS),
            ("wood", patterns.PLANKS),
            ("white", patterns.CHECKS),
            ("paint", patterns.CHECKS),
            ("stone", patterns.MARBLE),
            ("red", patterns.PLAIN),
        ]
    family, pattern = scene.pick(options)
    cell = (scene.uniform(1.5, 4), 0.25 * size + 0.08) if pattern == patterns.PLANKS else (size, size)
    second = colour(scene, scene.pick(["dark", "stone", "paint"])) if pattern == patterns.CHECKS else None
    more = {"second": second} if second else {}
    gloss = scene.uniform(0.04, 0.35) if scene.chance(0.45 if inside else 0.15) else 0.0
    return make(scene, family, pattern, size, cell=cell, gloss=gloss, relief=scene.uniform(0.0, 0.2), **more)


def planks(scene: Scene, *families: str) -> int:
    cell = (scene.uniform(1, 4), scene.uniform(0.12, 0.35))
    return make(scene, scene.pick(families), patterns.PLANKS, 0.4, cell=cell)


def timber(scene: Scene) -> int:
    return planks(scene, "wood")


def ground(scene: Scene, family: str | None = None) -> int:
    """Natural ground: grass, sand, earth, snow, stone."""
    family = family or scene.pick(["grass", "grass", "sand", "earth", "snow", "stone", "slate", "alien"])
    pattern = scene.pick([patterns.LEAVES, patterns.LEAVES, patterns.PLAIN, patterns.STROKES])
    return make(
        scene,
        family,
        pattern,
        scene.uniform(0.6, 3.0),
        second=colour(scene, scene.pick([family, family, "earth", "grass"])),
        grain=scene.uniform(0.1, 0.5),
        relief=scene.uniform(0.1, 0.5),
    )


def cliff(scene: Scene, family: str | None = None) -> int:
    family = family or scene.pick(["stone", "slate", "sand", "earth", "dark", "brick"])
    return make(
        scene,
        family,
        scene.pick([patterns.PLAIN, patterns.STROKES, patterns.LEAVES]),
        scene.uniform(1.0, 8.0),
        grain=scene.uniform(0.25, 0.6),
        relief=scene.uniform(0.3, 0.9),
    )


def foliage(scene: Scene, family: str | None = None) -> int:
    family = family or scene.pick(["leaf", "leaf", "leaf", "autumn", "blossom", "snow", "alien"])
    return make(
        scene,
        family,
        patterns.LEAVES,
        scene.uniform(0.3, 0.9),
        second=near(scene, colour(scene, family), 0.6),
        soft=0.5,
        relief=scene.uniform(0.6, 1.2),
        grain=scene.uniform(0.3, 0.6),
    )


def cloth(scene: Scene, *families: str) -> int:
    """Banners, rugs, awnings and pictures: plain, striped, checked, shaded or brushed."""
    pattern = scene.pick(
        [
            patterns.PLAIN,
            patterns.STRIPES,
            patterns.CHECKS,
            patterns.GRADIENT,
            patterns.STROKES,
            patterns.MARBLE,
        ]
    )
    return make(scene, scene.pick(families), pattern, scene.uniform(0.3, 1.0), soft=0.2)


def mist(scene: Scene, size: float) -> int:
    """The top surface of a cloud layer."""
    family = scene.pick(["snow", "snow", "pastel", "white"])
    return make(scene, family, patterns.PLAIN, size, grain=0.06, soft=0.5, dirt=0.0, relief=0.3)


def fantastic(scene: Scene, size: float) -> int:
    """Fantasy materials, such as mushroom caps."""
    family = scene.pick(["alien", "autumn", "red", "white", "pastel"])
    return make(
        scene, family, scene.pick([patterns.PLAIN, patterns.LEAVES, patterns.STROKES, patterns.MARBLE]), size
    )


def bark(scene: Scene) -> int:
    return make(
        scene, scene.pick(["wood", "dark", "earth", "stone"]), patterns.PLAIN, 0.3, relief=0.6, grain=0.4
    )


def water(scene: Scene) -> int:
    """Still to choppy water that mirrors the sky and what stands in it."""
    return make(
        scene,
        scene.pick(["water", "water", "water", "dark", "slate", "sand"]),
        patterns.PLAIN,
        scene.uniform(0.4, 3.0),
        grain=0.05,
        dirt=0.0,
        relief=scene.pick([0.0, 0.06, 0.2, 0.4, 0.8]),
        gloss=scene.uniform(0.1, 0.45),
        cover=0.0,
    )


def metal(scene: Scene) -> int:
    return make(
        scene,
        scene.pick(["metal", "rust", "gold", "dark", "paint", "white"]),
        scene.pick([patterns.PLAIN, patterns.PANELS, patterns.PANELS, patterns.STRIPES]),
        scene.uniform(0.3, 2.0),
        gloss=scene.uniform(0.0, 0.3),
        grain=scene.uniform(0.0, 0.3),
        relief=scene.uniform(0.0, 0.2),
    )


def glowing(scene: Scene, tint: Vec | None = None) -> int:
    tint = tint or scene.pick(
        [(1.0, 0.7, 0.35), (0.5, 0.8, 1.0), (1.0, 0.9, 0.7), (1.0, 0.35, 0.2), (0.4, 1.0, 0.6)]
    )
    return make(scene, "white", base=tint, second=tint, glow=scene.uniform(1.5, 5.0), grain=0.0)


def anything(scene: Scene) -> int:
    """A material for an object that may be made of anything."""
    return scene.pick([masonry, wall, timber, metal, metal, cliff])(scene)
