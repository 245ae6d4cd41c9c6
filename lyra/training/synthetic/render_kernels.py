"""From rays to pictures: finding the nearest surface, lighting it, one mirrored ray, haze."""

import warp as wp

from lyra.training.synthetic.shape_kernels import FAR, Solid, hit_solid, may_hit
from lyra.training.synthetic.sky_kernels import Air, clear_sky, fog, sky
from lyra.training.synthetic.surface_kernels import Look, Material, mix, surface
from lyra.training.synthetic.terrain_kernels import (
    CAREFUL,
    QUICK,
    ROUGH,
    Terrain,
    hit_terrain,
    terrain_normal,
)

wp.set_module_options({"max_unroll": 4, "enable_backward": False, "fast_math": True})

NOTHING = wp.constant(-1)
GROUND = wp.constant(-2)
_ELLIPSOID = wp.constant(1)
_FRUSTUM = wp.constant(2)
_RING = wp.constant(6)


@wp.struct
class Lamp:
    """A point light without shadow: it lights a surface at distance r by light / (1 + (r / reach)^2)."""

    at: wp.vec3
    light: wp.vec3
    reach: float


@wp.struct
class World:
    """One scene: its stretches of the shared solid and lamp arrays, its terrain and air.

    Corners within `open_reach` metres get less light from the sky; `shadows` is 0 or 1.
    """

    first_solid: int
    solids: int
    first_lamp: int
    lamps: int
    seed: int
    shadows: int
    open_reach: float
    terrain: Terrain
    air: Air


@wp.struct
class View:
    """A pinhole camera in a world; `rotation` turns OpenCV camera axes into the scene frame."""

    world: int
    rotation: wp.mat33
    centre: wp.vec3
    focal: float
    cx: float
    cy: float
    torch: wp.vec3


@wp.struct
class Arrays:
    """What all views share."""

    worlds: wp.array(dtype=World)
    solids: wp.array(dtype=Solid)
    bounds: wp.array(dtype=wp.vec4)
    materials: wp.array(dtype=Material)
    lamps: wp.array(dtype=Lamp)
    grids: wp.array3d(dtype=float)
    noise: wp.array3d(dtype=wp.vec3)
    views: wp.array(dtype=View)
    tile_starts: wp.array3d(dtype=int)
    tile_solids: wp.array(dtype=int)
    tile: int


@wp.struct
class Hit:
    t: float
    which: int
    normal: wp.vec3


@wp.func
def meet(arrays: Arrays, index: int, origin: wp.vec3, ray: wp.vec3, hit: Hit):
    found = hit_solid(arrays.solids[index], origin, ray, arrays.noise)
    if found[0] < hit.t:
        hit.t = found[0]
        hit.which = index
        hit.normal = wp.vec3(found[1], found[2], found[3])
    return hit


@wp.func
def nothing():
    hit = Hit()
    hit.t = FAR
    hit.which = NOTHING
    return hit


@wp.func
def meet_ground(arrays: Arrays, world: World, origin: wp.vec3, ray: wp.vec3, hit: Hit, care: wp.vec3):
    if world.terrain.layer >= 0:
        t = hit_terrain(world.terrain, arrays.grids, origin, ray, hit.t, care)
        if t < hit.t:
            hit.t = t
            hit.which = GROUND
            hit.normal = terrain_normal(world.terrain, arrays.grids, origin + t * ray)
    return hit


@wp.func
def finished(arrays: Arrays, hit: Hit, ray: wp.vec3):
    """The hit with its normal in the scene frame, of unit length, facing the ray's origin."""
    n = hit.normal
    if hit.which >= 0:
        n = wp.transpose(arrays.solids[hit.which].to_local) * n
    n = wp.normalize(n)
    if wp.dot(n, ray) > 0.0:
        n = -n
    hit.normal = n
    return hit


@wp.func
def seen(arrays: Arrays, index: int, view: View, row: int, column: int, ray: wp.vec3):
    """First hit of a camera ray through pixel (row, column), among the solids listed for its tile, nearest first."""
    hit = nothing()
    squared = wp.dot(ray, ray)
    i = row / arrays.tile
    j = column / arrays.tile
    start = arrays.tile_starts[index, i, j]
    stop = arrays.tile_starts[index, i, j + 1]
    for k in range(start, stop):
        which = arrays.tile_solids[k]
        if may_hit(arrays.bounds[which], view.centre, ray, squared):
            hit = meet(arrays, which, view.centre, ray, hit)
    hit = meet_ground(arrays, arrays.worlds[view.world], view.centre, ray, hit, CAREFUL)
    return finished(arrays, hit, ray)


@wp.func
def nearest(arrays: Arrays, world: World, origin: wp.vec3, ray: wp.vec3):
    hit = nothing()
    squared = wp.dot(ray, ray)
    for which in range(world.first_solid, world.first_solid + world.solids):
        if may_hit(arrays.bounds[which], origin, ray, squared):
            hit = meet(arrays, which, origin, ray, hit)
    hit = meet_ground(arrays, world, origin, ray, hit, QUICK)
    return finished(arrays, hit, ray)


@wp.func
def in_shadow(arrays: Arrays, world: World, origin: wp.vec3, ray: wp.vec3, lift: float):
    for which in range(world.first_solid, world.first_solid + world.solids):
        if may_hit(arrays.bounds[which], origin, ray, 1.0):
            found = hit_solid(arrays.solids[which], origin, ray, arrays.noise)
            if found[0] < FAR:
                return True
    if world.terrain.layer >= 0:
        start = origin + wp.vec3(0.0, 0.0, 0.02 * world.terrain.near + 20.0 * lift)
        return hit_terrain(world.terrain, arrays.grids, start, ray, FAR, ROUGH) < FAR
    return False


@wp.func
def openness(arrays: Arrays, world: World, hit: Hit, p: wp.vec3, row: int, column: int):
    """How free the half space over a surface is, by one ray at every other pixel; -1 at the rest.

    Eight directions take turns in squares of 4 x 4 pixels, spread like cosine-weighted samples.
    """
    if ((row + column) & 1) == 1:
        return -1.0
    # Every third direction comes next, so that neighbours look different ways.
    k = (3 * (2 * (row & 3) + ((column & 3) >> 1))) & 7
    height = wp.sqrt(1.0 - (float(k) + 0.5) / 8.0)
    around = 2.39996 * float(k)
    flat = wp.sqrt(1.0 - height * height)
    side = wp.vec3(1.0, 0.0, 0.0)
    if wp.abs(hit.normal[0]) > 0.7:
        side = wp.vec3(0.0, 1.0, 0.0)
    u = wp.normalize(wp.cross(hit.normal, side))
    v = wp.cross(hit.normal, u)
    ray = height * hit.normal + flat * (wp.cos(around) * u + wp.sin(around) * v)
    start = p + 0.01 * world.open_reach * hit.normal
    t = world.open_reach
    for which in range(world.first_solid, world.first_solid + world.solids):
        bound = arrays.bounds[which]
        beyond = wp.length(wp.vec3(bound[0], bound[1], bound[2]) - start) > world.open_reach + bound[3]
        if (bound[3] <= 0.0 or not beyond) and may_hit(bound, start, ray, 1.0):
            t = wp.min(t, hit_solid(arrays.solids[which], start, ray, arrays.noise)[0])
    return t / world.open_reach


@wp.func
def ground_look(arrays: Arrays, world: World, p: wp.vec3, n: wp.vec3, footprint: float):
    """Steep, low and high ground, blended."""
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
def solid_look(arrays: Arrays, world: World, hit: Hit, p: wp.vec3, footprint: float):
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
def look_at(arrays: Arrays, world: World, hit: Hit, p: wp.vec3, footprint: float):
    look = Look()
    cover = float(1.0)
    if hit.which == GROUND:
        look = ground_look(arrays, world, p, hit.normal, footprint)
    else:
        look = solid_look(arrays, world, hit, p, footprint)
        cover = arrays.materials[arrays.solids[hit.which].material].cover
    air = world.air
    if air.cover > 0.0 and cover > 0.0:
        # Snow, dust and moss lie on what faces up, broken by the surface's relief.
        facing = 0.7 * hit.normal[2] + 0.3 * look.normal[2]
        share = cover * wp.smoothstep(1.02 - air.cover, 1.12 - 0.6 * air.cover, facing)
        look.colour = mix(look.colour, air.cover_colour, share)
        look.gloss = (1.0 - share) * look.gloss
    return look


@wp.func
def lit(
    arrays: Arrays,
    world: World,
    view: View,
    hit: Hit,
    look: Look,
    p: wp.vec3,
    shadows: bool,
    lift: float,
    open: float,
):
    """Light that leaves a surface at p diffusely."""
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
def mirrored(arrays: Arrays, world: World, view: View, origin: wp.vec3, ray: wp.vec3, angle: float):
    """Colour along a mirrored ray: surfaces in plain light, without shadows of their own."""
    hit = nearest(arrays, world, origin, ray)
    if hit.which == NOTHING:
        return sky(world.air, arrays.noise, ray, angle)
    p = origin + hit.t * ray
    look = look_at(arrays, world, hit, p, 3.0 * hit.t * angle)
    colour = lit(arrays, world, view, hit, look, p, False, 0.0, 0.8)
    return mix(colour, world.air.haze_colour, fog(world.air, origin, ray, hit.t))


@wp.func
def colour_of(arrays: Arrays, view: View, hit: Hit, ray: wp.vec3, open: float):
    """Linear colour seen along a camera ray with its first hit."""
    world = arrays.worlds[view.world]
    length = wp.length(ray)
    direction = ray / length
    angle = 1.0 / view.focal
    if hit.which == NOTHING:
        return sky(world.air, arrays.noise, direction, angle)
    p = view.centre + hit.t * ray
    distance = hit.t * length
    # A pixel covers more of a surface that is seen at a slant.
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


@wp.func
def ray_at(view: View, x: float, y: float):
    return view.rotation * wp.vec3((x - view.cx) / view.focal, (y - view.cy) / view.focal, 1.0)


@wp.kernel
def trace(
    arrays: Arrays,
    depth: wp.array3d(dtype=float),
    which: wp.array3d(dtype=int),
    normals: wp.array3d(dtype=wp.vec3),
    open: wp.array3d(dtype=float),
):
    """Z-depth (V, H, W) at pixel centres, inf for sky; what was hit; normals in OpenCV camera axes, 0 for sky.

    `open` takes one direction's share of the openness, to be averaged over 4 x 4 pixels.
    """
    index, row, column = wp.tid()
    view = arrays.views[index]
    ray = ray_at(view, float(column) + 0.5, float(row) + 0.5)
    hit = seen(arrays, index, view, row, column, ray)
    which[index, row, column] = hit.which
    if hit.which == NOTHING:
        depth[index, row, column] = wp.inf
        normals[index, row, column] = wp.vec3(0.0, 0.0, 0.0)
        open[index, row, column] = 1.0
    else:
        depth[index, row, column] = hit.t
        normals[index, row, column] = wp.transpose(view.rotation) * hit.normal
        p = view.centre + hit.t * ray
        open[index, row, column] = openness(arrays, arrays.worlds[view.world], hit, p, row, column)


@wp.kernel
def probe(arrays: Arrays, depth: wp.array3d(dtype=float)):
    """Z-depth (V, H, W) alone."""
    index, row, column = wp.tid()
    view = arrays.views[index]
    ray = ray_at(view, float(column) + 0.5, float(row) + 0.5)
    depth[index, row, column] = seen(arrays, index, view, row, column, ray).t


@wp.kernel
def paint(
    arrays: Arrays,
    depth: wp.array3d(dtype=float),
    which: wp.array3d(dtype=int),
    normals: wp.array3d(dtype=wp.vec3),
    open: wp.array3d(dtype=float),
    image: wp.array3d(dtype=wp.vec3),
):
    """Linear colour (V, H, W) of what `trace` found; four rays where the surface changes within a pixel's reach."""
    index, row, column = wp.tid()
    view = arrays.views[index]
    height = depth.shape[1]
    width = depth.shape[2]
    here = which[index, row, column]
    z = depth[index, row, column]
    n = normals[index, row, column]
    edge = False
    for k in range(4):
        i = wp.clamp(row + (k & 1) * (2 * (k >> 1) - 1), 0, height - 1)
        j = wp.clamp(column + (1 - (k & 1)) * (2 * (k >> 1) - 1), 0, width - 1)
        if which[index, i, j] != here:
            edge = True
        elif here != NOTHING:
            other = depth[index, i, j]
            jump = wp.abs(other - z) / wp.min(other, z)
            # Rough ground turns and falls away at every pixel; only its ridges are edges.
            if jump > 0.5 or (here >= 0 and (jump > 0.2 or wp.dot(n, normals[index, i, j]) < 0.8)):
                edge = True
    total_open = float(0.0)
    count = float(0.0)
    for di in range(4):
        for dj in range(4):
            i = wp.clamp(row + di - 2, 0, height - 1)
            j = wp.clamp(column + dj - 2, 0, width - 1)
            if open[index, i, j] >= 0.0 and wp.abs(depth[index, i, j] - z) < 0.1 * z:
                total_open = total_open + open[index, i, j]
                count = count + 1.0
    free = float(0.8)
    if count > 0.0:
        free = total_open / count
    x = float(column)
    y = float(row)
    if not edge:
        hit = Hit()
        hit.t = z
        hit.which = here
        hit.normal = view.rotation * n
        image[index, row, column] = colour_of(arrays, view, hit, ray_at(view, x + 0.5, y + 0.5), free)
        return
    total = wp.vec3(0.0, 0.0, 0.0)
    for k in range(4):
        # A rotated grid: four rows and four columns are met.
        ray = ray_at(view, x + 0.125 + 0.25 * float((2 * k + (k >> 1)) & 3), y + 0.125 + 0.25 * float(k))
        colour = colour_of(arrays, view, seen(arrays, index, view, row, column, ray), ray, free)
        total = total + 0.25 * wp.min(colour, wp.vec3(4.0, 4.0, 4.0))
    image[index, row, column] = total


@wp.kernel
def clearance(
    arrays: Arrays,
    world_of: wp.array(dtype=int),
    points: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    distance: wp.array2d(dtype=float),
):
    """Distance (P, D) from scene points to the first surface in each unit direction."""
    index, k = wp.tid()
    world = arrays.worlds[world_of[index]]
    distance[index, k] = nearest(arrays, world, points[index], directions[k]).t
