"""Shading of ray hits: surface, light, one reflection, haze."""

import warp as wp

from lyra.synthetic.shape_kernels import ELLIPSOID, FRUSTUM, RING
from lyra.synthetic.sky_kernels import clear_sky, fog, sky
from lyra.synthetic.surface_kernels import Look, mix, surface
from lyra.synthetic.tracing_kernels import (
    GROUND,
    NOTHING,
    Arrays,
    Hit,
    KernelView,
    KernelWorld,
    in_shadow,
    nearest,
)

wp.set_module_options({"max_unroll": 4, "enable_backward": False, "fast_math": True})

_ELLIPSOID = wp.constant(ELLIPSOID)
_FRUSTUM = wp.constant(FRUSTUM)
_RING = wp.constant(RING)


@wp.func
def ground_look(arrays: Arrays, world: KernelWorld, p: wp.vec3, n: wp.vec3, footprint: float):
    """Blend of the materials of steep, low and high ground."""
    terrain = world.terrain
    uv = wp.vec2(p[0], p[1])
    low = surface(arrays.materials[terrain.low_material], arrays.noise, p, uv, n, world.seed, footprint)
    steep = wp.smoothstep(terrain.steep_from + 0.09, terrain.steep_from - 0.09, n[2])
    high = wp.smoothstep(terrain.high_from * 0.9, terrain.high_from * 1.1 + 0.5, p[2])
    if high > 0.0:
        top = surface(arrays.materials[terrain.high_material], arrays.noise, p, uv, n, world.seed, footprint)
        low.colour = mix(low.colour, top.colour, high)
        low.normal = wp.normalize(mix(low.normal, top.normal, high))
    if steep > 0.0:
        uv_steep = wp.vec2(p[0] + p[1], p[2])
        rock = surface(
            arrays.materials[terrain.steep_material], arrays.noise, p, uv_steep, n, world.seed, footprint
        )
        low.colour = mix(low.colour, rock.colour, steep)
        low.normal = wp.normalize(mix(low.normal, rock.normal, steep))
        low.gloss = (1.0 - steep) * low.gloss
    return low


@wp.func
def solid_look(arrays: Arrays, world: KernelWorld, hit: Hit, p: wp.vec3, footprint: float):
    solid = arrays.solids[hit.which]
    local = solid.to_local * (p - solid.centre)
    metric = wp.cw_mul(local, solid.half)
    n = wp.cw_mul(solid.to_local * hit.normal, solid.half)
    n = wp.vec3(wp.abs(n[0]), wp.abs(n[1]), wp.abs(n[2]))
    uv = wp.vec2(metric[0], metric[1])
    if n[2] < wp.max(n[0], n[1]):
        if solid.kind == _FRUSTUM or solid.kind == _RING or solid.kind == _ELLIPSOID:
            uv = wp.vec2(wp.atan2(local[1], local[0]) * solid.half[0], metric[2])
        elif n[0] > n[1]:
            uv = wp.vec2(metric[1], metric[2])
        else:
            uv = wp.vec2(metric[0], metric[2])
    seed = world.seed + 17 * solid.seed
    return surface(arrays.materials[solid.material], arrays.noise, metric, uv, hit.normal, seed, footprint)


@wp.func
def look_at(arrays: Arrays, world: KernelWorld, hit: Hit, p: wp.vec3, footprint: float):
    look = Look()
    cover = float(1.0)
    if hit.which == GROUND:
        look = ground_look(arrays, world, p, hit.normal, footprint)
    else:
        look = solid_look(arrays, world, hit, p, footprint)
        cover = arrays.materials[arrays.solids[hit.which].material].cover
    air = world.air
    if air.cover > 0.0 and cover > 0.0:
        # Snow, dust and moss cover surfaces that face up, broken up by their relief.
        facing = 0.7 * hit.normal[2] + 0.3 * look.normal[2]
        share = cover * wp.smoothstep(1.02 - air.cover, 1.12 - 0.6 * air.cover, facing)
        look.colour = mix(look.colour, air.cover_colour, share)
        look.gloss = (1.0 - share) * look.gloss
    return look


@wp.func
def lit(
    arrays: Arrays,
    world: KernelWorld,
    view: KernelView,
    hit: Hit,
    look: Look,
    p: wp.vec3,
    shadows: bool,
    lift: float,
    open: float,
):
    """Diffusely reflected light at p."""
    air = world.air
    n = look.normal
    soft = float(0.0)
    if hit.which >= 0:
        soft = arrays.materials[arrays.solids[hit.which].material].soft
    up = 0.5 + 0.5 * n[2]
    light = (0.25 + 0.75 * open) * mix(air.below, air.above, up)
    facing = (wp.dot(n, air.sun) + soft) / (1.0 + soft)
    if facing > 0.0 and air.sun[2] > 0.0 and wp.length_sq(air.sun_light) > 1.0e-4:
        dark = False
        if shadows:
            dark = in_shadow(arrays, world, p + lift * hit.normal, air.sun, lift)
        if not dark:
            light = light + facing * air.sun_light
    for k in range(world.first_lamp, world.first_lamp + world.lamps):
        lamp = arrays.lamps[k]
        to = lamp.at - p
        r = wp.length(to)
        fall = 1.0 / (1.0 + (r / lamp.reach) * (r / lamp.reach))
        light = (
            light
            + wp.max(wp.dot(n, to) / wp.max(r, 1.0e-4) + 0.25, 0.0) * fall * (0.5 + 0.5 * open) * lamp.light
        )
    if view.torch[0] > 0.0:
        away = p - view.centre
        light = light + view.torch / (1.0 + 0.05 * wp.dot(away, away))
    return wp.cw_mul(look.colour, light) + look.glow


@wp.func
def mirrored(
    arrays: Arrays, world: KernelWorld, view: KernelView, origin: wp.vec3, ray: wp.vec3, angle: float
):
    """Colour along a reflected ray; surfaces there are lit without shadows."""
    hit = nearest(arrays, world, origin, ray)
    if hit.which == NOTHING:
        return sky(world.air, arrays.noise, ray, angle)
    p = origin + hit.t * ray
    look = look_at(arrays, world, hit, p, 3.0 * hit.t * angle)
    colour = lit(arrays, world, view, hit, look, p, False, 0.0, 0.8)
    return mix(colour, world.air.haze_colour, fog(world.air, origin, ray, hit.t))


@wp.func
def colour_of(arrays: Arrays, view: KernelView, hit: Hit, ray: wp.vec3, open: float):
    """Linear colour seen along a camera ray with its first hit."""
    world = arrays.worlds[view.world]
    length = wp.length(ray)
    direction = ray / length
    angle = 1.0 / view.focal
    if hit.which == NOTHING:
        return sky(world.air, arrays.noise, direction, angle)
    p = view.centre + hit.t * ray
    distance = hit.t * length
    # A pixel's footprint grows on slanted surfaces.
    slant = wp.max(wp.abs(wp.dot(hit.normal, direction)), 0.15)
    footprint = hit.t * angle / wp.sqrt(slant)
    look = look_at(arrays, world, hit, p, footprint)
    lift = 2.0e-3 + 4.0e-4 * distance
    colour = lit(arrays, world, view, hit, look, p, world.shadows > 0, lift, open)
    if look.gloss > 0.01:
        n = look.normal
        cosine = wp.max(-wp.dot(n, direction), 0.0)
        share = look.gloss + (1.0 - look.gloss) * wp.pow(1.0 - cosine, 5.0) * wp.min(4.0 * look.gloss, 1.0)
        bounce = wp.normalize(direction - 2.0 * wp.dot(direction, n) * n)
        if wp.dot(bounce, hit.normal) < 0.02:
            bounce = wp.normalize(bounce + (0.02 - wp.dot(bounce, hit.normal)) * hit.normal)
        colour = mix(colour, mirrored(arrays, world, view, p + lift * hit.normal, bounce, angle), share)
    veil = fog(world.air, view.centre, direction, distance)
    far = mix(world.air.haze_colour, clear_sky(world.air, direction), 0.25)
    return mix(colour, far, veil)
