"""Skies: gradient, clouds, sun, moon and stars. Directions are unit vectors in the scene frame, z up."""

import warp as wp

from lyra.synthetic.noise_kernels import turbulence, unit_hash

wp.set_module_options({"max_unroll": 4, "enable_backward": False, "fast_math": True})


@wp.struct
class Air:
    """Light and weather of one scene. Colours are linear; `sun` and `moon` point towards them.

    `cloud` is the covered share in [0, 1] with softness `cloud_soft` and size `cloud_size`, a flat
    layer overhead or, where `billow` is 1, banks that stand up from the horizon; `haze` is fog per metre,
    thinning upwards from `haze_base` over `haze_depth` metres. `cover` of `cover_colour` lies on surfaces facing up.
    """

    sun: wp.vec3
    sun_light: wp.vec3
    sun_disc: float
    above: wp.vec3
    below: wp.vec3
    zenith: wp.vec3
    horizon: wp.vec3
    horizon_width: float
    banding: float
    cloud: float
    cloud_soft: float
    cloud_size: float
    billow: float
    cloud_light: wp.vec3
    cloud_shade: wp.vec3
    stars: float
    moon: wp.vec3
    moon_radius: float
    moon_light: wp.vec3
    haze: float
    haze_base: float
    haze_depth: float
    haze_colour: wp.vec3
    cover: float
    cover_colour: wp.vec3
    time: float


@wp.func
def clear_sky(air: Air, direction: wp.vec3):
    up = wp.max(direction[2], 0.0)
    share = wp.pow(1.0 - up, 1.0 / air.horizon_width)
    colour = (1.0 - share) * air.zenith + share * air.horizon
    near_sun = wp.max(wp.dot(direction, air.sun), 0.0)
    warm = 0.35 * wp.pow(near_sun, 8.0) + 0.5 * wp.pow(near_sun, 64.0)
    return colour + warm * air.sun_disc * air.sun_light * 0.4


@wp.func
def sky(air: Air, noise: wp.array3d(dtype=wp.vec3), direction: wp.vec3, footprint: float):
    """Colour of the sky; `footprint` is the angle of a pixel in radians."""
    colour = clear_sky(air, direction)
    if direction[2] < 0.0:
        return colour
    if air.stars > 0.0:
        q = direction * 200.0
        spark = unit_hash(int(wp.floor(q[0])), int(wp.floor(q[1])), int(wp.floor(q[2])))
        if spark > 0.994:
            colour = colour + air.stars * (spark - 0.994) * 180.0 * wp.vec3(1.0, 0.95, 0.9)
    if air.moon_radius > 0.0:
        off = wp.acos(wp.clamp(wp.dot(direction, air.moon), -1.0, 1.0)) / air.moon_radius
        if off < 1.0:
            spots = turbulence(noise, direction * 0.35 / air.moon_radius)
            shade = 0.55 + 0.45 * wp.sqrt(1.0 - off * off) + 0.7 * (spots[0] - 0.5)
            colour = (0.25 * colour) + 0.9 * shade * air.moon_light
    disc = wp.dot(direction, air.sun)
    colour = colour + air.sun_disc * wp.smoothstep(0.9988, 0.9996, disc) * 6.0 * air.sun_light
    if air.cloud > 0.0:
        flat = 1.0 / (direction[2] + 0.12)
        p = wp.vec3(direction[0] * flat, direction[1] * flat, air.time) / air.cloud_size
        up = 0.05 * air.sun
        if air.billow > 0.5:
            p = wp.vec3(direction[0], direction[1], 1.7 * direction[2] + air.time) * (5.0 / air.cloud_size)
            up = wp.vec3(0.0, 0.0, 0.04) + 0.03 * air.sun
        low = turbulence(noise, 0.045 * p)
        high = turbulence(noise, 0.21 * p + wp.vec3(0.3, 0.1, 0.7))
        thick = low[0] + 0.35 * (high[0] - 0.5) + 0.12 * (high[2] - 0.5) + 0.25 * (low[2] - 0.5)
        edge = 1.0 - air.cloud + air.billow * (0.55 * direction[2] - 0.12)
        dense = wp.smoothstep(edge - air.cloud_soft, edge + air.cloud_soft, thick)
        dense = dense * wp.smoothstep(0.0, 0.08, direction[2])
        lit_at = turbulence(noise, 0.045 * p + up)
        relief = wp.clamp(0.5 + 2.5 * (low[0] - lit_at[0]) + 0.9 * (high[1] - 0.5), 0.0, 1.0)
        relief = relief * (1.0 - 0.45 * wp.smoothstep(0.0, 0.5, thick - edge))
        cloud = (1.0 - relief) * air.cloud_shade + relief * air.cloud_light
        colour = (1.0 - dense) * colour + dense * cloud
    if air.banding > 0.0:
        streak = turbulence(noise, wp.vec3(0.06 * direction[0], 0.06 * direction[1], 0.9 * direction[2]))
        colour = colour * (1.0 + air.banding * (streak[1] - 0.5))
    # Fog thickens towards the horizon, so that distant ground blends into the sky.
    veil = 1.0 - wp.exp(-air.haze * 900.0 * wp.exp(-9.0 * direction[2]))
    return (1.0 - veil) * colour + veil * air.haze_colour


@wp.func
def fog(air: Air, origin: wp.vec3, direction: wp.vec3, distance: float):
    """The share of light that haze hides over a distance (exponential height fog, integrated along the ray)."""
    base = wp.exp(-wp.clamp((origin[2] - air.haze_base) / air.haze_depth, -4.0, 30.0))
    slope = direction[2] * distance / air.haze_depth
    mean = float(1.0)
    if wp.abs(slope) > 1.0e-3:
        mean = (1.0 - wp.exp(-wp.clamp(slope, -6.0, 30.0))) / slope
    return 1.0 - wp.exp(-wp.min(air.haze * distance * base * mean, 30.0))
