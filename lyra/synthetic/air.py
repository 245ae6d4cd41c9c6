"""Random light and weather: the sun, the sky, haze, snow."""

from __future__ import annotations

import math

from lyra.synthetic.materials import linear, near
from lyra.synthetic.scene import Scene, Vec, vector

# sRGB (zenith, horizon), light of the sun, its height in degrees, strength of the sky against the sun.
SKIES = {
    "noon": (
        [((0.2, 0.42, 0.75), (0.65, 0.8, 0.92)), ((0.3, 0.5, 0.8), (0.8, 0.86, 0.9))],
        (1.0, 0.95, 0.85),
        (30, 75),
        0.35,
    ),
    "morning": (
        [((0.35, 0.55, 0.78), (0.95, 0.85, 0.7)), ((0.45, 0.6, 0.7), (0.9, 0.88, 0.8))],
        (1.0, 0.85, 0.65),
        (12, 35),
        0.4,
    ),
    "sunset": (
        [
            ((0.25, 0.3, 0.55), (0.98, 0.6, 0.35)),
            ((0.45, 0.3, 0.45), (0.95, 0.5, 0.3)),
            ((0.2, 0.35, 0.5), (0.95, 0.75, 0.5)),
        ],
        (1.0, 0.55, 0.25),
        (3, 15),
        0.35,
    ),
    "pale": (
        [
            ((0.78, 0.82, 0.85), (0.88, 0.9, 0.9)),
            ((0.85, 0.83, 0.78), (0.92, 0.9, 0.85)),
            ((0.7, 0.74, 0.78), (0.8, 0.82, 0.83)),
        ],
        (0.9, 0.9, 0.9),
        (30, 80),
        1.6,
    ),
    "storm": (
        [((0.2, 0.23, 0.28), (0.5, 0.53, 0.55)), ((0.15, 0.18, 0.2), (0.35, 0.4, 0.42))],
        (0.7, 0.75, 0.8),
        (25, 70),
        1.3,
    ),
    "dusk": (
        [((0.08, 0.12, 0.28), (0.5, 0.4, 0.5)), ((0.05, 0.1, 0.2), (0.3, 0.35, 0.5))],
        (0.5, 0.45, 0.6),
        (2, 20),
        1.0,
    ),
    "night": (
        [((0.01, 0.02, 0.06), (0.08, 0.1, 0.18)), ((0.02, 0.04, 0.1), (0.1, 0.16, 0.25))],
        (0.25, 0.35, 0.5),
        (20, 60),
        0.5,
    ),
    "strange": (
        [
            ((0.3, 0.5, 0.4), (0.8, 0.85, 0.6)),
            ((0.5, 0.25, 0.2), (0.9, 0.6, 0.4)),
            ((0.35, 0.2, 0.5), (0.8, 0.5, 0.7)),
            ((0.7, 0.6, 0.45), (0.9, 0.8, 0.6)),
        ],
        (1.0, 0.85, 0.7),
        (8, 60),
        0.6,
    ),
}
WEIGHTS = {
    "noon": 5,
    "morning": 4,
    "sunset": 4,
    "pale": 4,
    "storm": 2,
    "dusk": 2,
    "night": 1.5,
    "strange": 2.5,
}


def outdoors(scene: Scene, time: str | None = None, haze: float = 1.0, cover: float = 0.18) -> str:
    """Sets an outdoor scene's sun, sky and haze and returns the time of day; `haze` scales the fog."""
    if time is None:
        time = scene.weighted(WEIGHTS)
    palettes, tint, heights, sky_share = SKIES[time]
    zenith, horizon = (near(scene, linear(c), 0.15) for c in scene.pick(palettes))
    strength = scene.uniform(1.2, 2.6) * (0.25 if time == "night" else 1.0)
    direct = strength * (0.15 if time in ("pale", "storm") else 1.0)
    sun_light = tuple(direct * c for c in linear(tint))
    mean = [0.5 * (a + b) for a, b in zip(zenith, horizon, strict=True)]
    sky_gain = scene.uniform(0.7, 1.5) * (0.55 + sky_share) + (0.15 if time == "night" else 0.0)
    above = tuple(sky_gain * (0.7 * c + 0.3 * sum(mean) / 3) + 0.02 for c in mean)
    bounce = scene.uniform(0.25, 0.6)
    scene.air |= {
        "sun": direction(scene.uniform(0, 2 * math.pi), math.radians(scene.uniform(*heights))),
        "sun_light": sun_light,
        "sun_disc": 0.0 if time in ("pale", "storm", "night") else scene.uniform(0.3, 1.0),
        "above": above,
        "below": tuple(bounce * c * (0.6 + 0.4 * t) for c, t in zip(above, linear(tint), strict=True)),
        "zenith": zenith,
        "horizon": horizon,
        "horizon_width": scene.uniform(0.12, 0.5),
        "banding": scene.uniform(0.0, 0.6) if scene.chance(0.3) else 0.0,
        "time": scene.uniform(0, 10),
        "haze_base": scene.uniform(-5, 5),
        "haze_depth": scene.uniform(15, 400),
        "haze": haze * _haze(scene),
        "haze_colour": near(
            scene, vector(0.6 * h + 0.4 * m for h, m in zip(horizon, mean, strict=True)), 0.1
        ),
    }
    if scene.chance(0.7 if time != "pale" else 0.35):
        _clouds(scene, zenith, horizon, time)
    if time in ("night", "dusk"):
        scene.air["stars"] = scene.uniform(0.0, 0.8)
    if scene.chance(0.35 if time in ("night", "strange") else 0.04):
        heading = (
            scene.cameras[0].yaw + scene.uniform(-0.4, 0.4) if scene.cameras else scene.uniform(-0.4, 0.4)
        )
        scene.air["moon"] = direction(heading, scene.uniform(0.1, 0.6))
        scene.air["moon_radius"] = (
            scene.uniform(0.02, 0.3) if time == "strange" else scene.uniform(0.01, 0.07)
        )
        scene.air["moon_light"] = near(scene, (0.7, 0.7, 0.65), 0.2)
    if scene.chance(cover):
        scene.air["cover"] = scene.uniform(0.2, 0.95)
        snow = scene.pick([(0.85, 0.88, 0.92), (0.85, 0.88, 0.92), (0.3, 0.4, 0.15), (0.75, 0.65, 0.45)])
        scene.air["cover_colour"] = near(scene, linear(snow), 0.12)
    return time


def _haze(scene: Scene) -> float:
    """Fog density per metre: mostly aerial haze, sometimes mist with a visibility of forty metres."""
    draw = scene.rng.random()
    if draw < 0.4:
        return scene.uniform(0.0, 0.0006)
    if draw < 0.88:
        return math.exp(scene.uniform(math.log(0.0006), math.log(0.004)))
    return math.exp(scene.uniform(math.log(0.004), math.log(0.02)))


def _clouds(scene: Scene, zenith: Vec, horizon: Vec, time: str) -> None:
    light, shade = {
        "noon": ((0.98, 0.98, 0.97), (0.6, 0.66, 0.74)),
        "morning": ((0.98, 0.92, 0.85), (0.6, 0.6, 0.68)),
        "sunset": ((0.99, 0.7, 0.5), (0.4, 0.32, 0.42)),
        "pale": ((0.9, 0.9, 0.9), (0.7, 0.72, 0.74)),
        "storm": ((0.6, 0.62, 0.64), (0.2, 0.23, 0.27)),
        "dusk": ((0.55, 0.45, 0.55), (0.15, 0.16, 0.25)),
        "night": ((0.16, 0.18, 0.24), (0.04, 0.05, 0.09)),
        "strange": ((0.95, 0.85, 0.75), (0.5, 0.4, 0.45)),
    }[time]
    scene.air |= {
        "cloud": scene.uniform(0.35, 0.75),
        "cloud_soft": math.exp(scene.uniform(math.log(0.02), math.log(0.3))),
        "cloud_size": math.exp(scene.uniform(math.log(0.5), math.log(3.5))),
        "billow": float(scene.chance(0.45)),
        "cloud_light": near(scene, linear(light), 0.15),
        "cloud_shade": near(scene, linear(shade), 0.2),
    }


def direction(heading: float, height: float) -> Vec:
    """Unit vector towards a heading (a yaw, 0 is +y) at a height over the horizon, both in radians."""
    return (-math.sin(heading) * math.cos(height), math.cos(heading) * math.cos(height), math.sin(height))


def indoors(scene: Scene, brightness: float | None = None, sun: bool = False) -> None:
    """Sets an indoor scene's light: mostly lamps, plus `sun` through the windows."""
    outdoors(scene, haze=0.3, cover=0.0)
    level = brightness if brightness is not None else math.exp(scene.uniform(math.log(0.08), math.log(0.8)))
    tint = scene.pick(
        [(1.0, 0.9, 0.75), (1.0, 0.97, 0.92), (0.85, 0.92, 1.0), (1.0, 0.8, 0.55), (0.9, 1.0, 0.9)]
    )
    scene.air["above"] = tuple(level * c for c in tint)
    scene.air["below"] = tuple(level * scene.uniform(0.3, 0.9) * c for c in tint)
    scene.air["cover"] = 0.0
    scene.indoor = True
    if not sun:
        scene.air["sun_light"] = (0.0, 0.0, 0.0)
    scene.air["haze"] = scene.uniform(0.005, 0.06) if scene.chance(0.25) else 0.0
    scene.air["haze_depth"] = 100.0
    scene.air["haze_colour"] = tuple(scene.uniform(0.1, 0.8) * c for c in tint)
    if scene.chance(0.4):
        scene.torch = tuple(scene.uniform(0.2, 1.2) * c for c in tint)
