"""Device data of scenes, and ray tracing against them."""

import warp as wp

from lyra.synthetic.shape_kernels import Solid, hit_solid, may_hit
from lyra.synthetic.sky_kernels import Air
from lyra.synthetic.span_kernels import FAR
from lyra.synthetic.surface_kernels import Material
from lyra.synthetic.terrain_kernels import CAREFUL, QUICK, ROUGH, Terrain, hit_terrain, terrain_normal

wp.set_module_options({"max_unroll": 4, "enable_backward": False, "fast_math": True})

NOTHING = wp.constant(-1)
GROUND = wp.constant(-2)


@wp.struct
class Lamp:
    """A point light without shadows, of intensity light / (1 + (r / reach)^2) at distance r."""

    at: wp.vec3
    light: wp.vec3
    reach: float


@wp.struct
class KernelWorld:
    """One scene: its ranges in the shared solid and lamp arrays, its terrain and air.

    Ambient occlusion reaches `open_reach` metres; `shadows` is 0 or 1.
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
class KernelView:
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
    """Arrays shared by all views."""

    worlds: wp.array(dtype=KernelWorld)
    solids: wp.array(dtype=Solid)
    bounds: wp.array(dtype=wp.vec4)
    materials: wp.array(dtype=Material)
    lamps: wp.array(dtype=Lamp)
    grids: wp.array3d(dtype=float)
    noise: wp.array3d(dtype=wp.vec3)
    views: wp.array(dtype=KernelView)
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
def meet_ground(arrays: Arrays, world: KernelWorld, origin: wp.vec3, ray: wp.vec3, hit: Hit, care: wp.vec3):
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
def seen(arrays: Arrays, index: int, view: KernelView, row: int, column: int, ray: wp.vec3):
    """First hit of the camera ray through pixel (row, column) among the solids of its tile, nearest first."""
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
def nearest(arrays: Arrays, world: KernelWorld, origin: wp.vec3, ray: wp.vec3):
    hit = nothing()
    squared = wp.dot(ray, ray)
    for which in range(world.first_solid, world.first_solid + world.solids):
        if may_hit(arrays.bounds[which], origin, ray, squared):
            hit = meet(arrays, which, origin, ray, hit)
    hit = meet_ground(arrays, world, origin, ray, hit, QUICK)
    return finished(arrays, hit, ray)


@wp.func
def in_shadow(arrays: Arrays, world: KernelWorld, origin: wp.vec3, ray: wp.vec3, lift: float):
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
def openness(arrays: Arrays, world: KernelWorld, hit: Hit, p: wp.vec3, row: int, column: int):
    """Ambient visibility of a surface point, by one ray at every other pixel; -1 at the rest.

    Eight cosine-weighted directions alternate within blocks of 4 x 4 pixels.
    """
    if ((row + column) & 1) == 1:
        return -1.0
    # In steps of three directions, so that neighbouring pixels sample different ones.
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
