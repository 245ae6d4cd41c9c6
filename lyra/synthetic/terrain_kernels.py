"""Heightfields: generation from noise and ray intersection. Scene frame: z up, metres."""

import warp as wp

from lyra.synthetic.noise_kernels import turbulence
from lyra.synthetic.span_kernels import FAR

wp.set_module_options({"max_unroll": 4, "enable_backward": False, "fast_math": True})

# Steps of a ray march, their growth with distance, and their share of the height above ground: for camera rays,
# reflections and shadows.
CAREFUL = wp.constant(wp.vec3(80.0, 0.016, 0.65))
QUICK = wp.constant(wp.vec3(36.0, 0.045, 0.8))
ROUGH = wp.constant(wp.vec3(18.0, 0.1, 1.0))


@wp.struct
class Terrain:
    """A heightfield over an asinh-warped grid, fine around `centre` and coarse far away.

    Raised from noise: `octaves` of it, the broadest of period `period` metres and height `height`, each next one
    `roughness` as high; `ridged` turns valleys into sharp ridges, `terraces` metres steps it. It is flattened to
    `floor` within `calm` metres of the centre and along a valley (`valley_width`, winding by `valley_bend`) in
    direction `heading`; `island` metres away it sinks. `layer` is its place in the grid array, -1 where there is none.
    """

    layer: int
    octaves: int
    seed: int
    low_material: int
    steep_material: int
    high_material: int
    steep_from: float
    high_from: float
    centre: wp.vec2
    near: float
    period: float
    height: float
    roughness: float
    ridged: float
    terraces: float
    floor: float
    calm: float
    rise: float
    heading: float
    valley_width: float
    valley_bend: float
    island: float
    lowest: float
    highest: float


GRID_SPAN = wp.constant(6.2)  # asinh of the grid's reach over `near`: about 246 times it


@wp.func
def raised(terrain: Terrain, noise: wp.array3d(dtype=wp.vec3), x: float, y: float):
    value = float(0.0)
    weight = float(1.0)
    total = float(0.0)
    period = terrain.period
    for octave in range(terrain.octaves):
        q = wp.vec3(x / period * 0.3, y / period * 0.3, 0.137 * float(octave) + 0.0171 * float(terrain.seed))
        n = turbulence(noise, q)
        h = n[0]
        if terrain.ridged > 0.0:
            ridge = 1.0 - wp.abs(2.0 * n[0] - 1.0)
            h = (1.0 - terrain.ridged) * h + terrain.ridged * ridge * ridge
        value = value + weight * h
        total = total + weight
        weight = weight * terrain.roughness
        period = period * 0.47
    # Octaves average out; mountains are stretched to the full range.
    value = wp.max(0.5 + 1.9 * (value / total - 0.5), 0.0)
    dx = x - terrain.centre[0]
    dy = y - terrain.centre[1]
    away = wp.sqrt(dx * dx + dy * dy)
    share = wp.smoothstep(terrain.calm, terrain.calm + terrain.rise, away)
    if terrain.valley_width > 0.0:
        along = dx * wp.sin(terrain.heading) + dy * wp.cos(terrain.heading)
        across = dx * wp.cos(terrain.heading) - dy * wp.sin(terrain.heading)
        across = across - terrain.valley_bend * terrain.valley_width * wp.sin(
            0.4 * along / terrain.valley_width
        )
        valley = wp.smoothstep(0.3, 1.6, wp.abs(across) / terrain.valley_width)
        share = share * (0.06 + 0.94 * valley)
    if terrain.island > 0.0:
        share = share * (1.0 - wp.smoothstep(0.6, 1.3, away / terrain.island))
    h = terrain.floor + terrain.height * value * share
    if terrain.terraces > 0.0:
        step = wp.floor(h / terrain.terraces)
        part = h / terrain.terraces - step
        h = terrain.terraces * (step + wp.smoothstep(0.6, 1.0, part))
    return h


@wp.kernel
def raise_terrain(
    terrains: wp.array(dtype=Terrain),
    noise: wp.array3d(dtype=wp.vec3),
    grids: wp.array3d(dtype=float),
):
    """Fills grids (T, G, G) with heights; rows run along y."""
    index, row, column = wp.tid()
    terrain = terrains[index]
    last = 0.5 * float(grids.shape[1] - 1)
    u = GRID_SPAN * (float(column) - last) / last
    v = GRID_SPAN * (float(row) - last) / last
    x = terrain.centre[0] + terrain.near * wp.sinh(u)
    y = terrain.centre[1] + terrain.near * wp.sinh(v)
    grids[index, row, column] = raised(terrain, noise, x, y)


@wp.func
def asinh(x: float):
    a = wp.abs(x)
    return wp.sign(x) * wp.log(a + wp.sqrt(a * a + 1.0))


@wp.func
def height_at(terrain: Terrain, grids: wp.array3d(dtype=float), x: float, y: float):
    size = grids.shape[1]
    last = 0.5 * float(size - 1)
    u = last + last / GRID_SPAN * asinh((x - terrain.centre[0]) / terrain.near)
    v = last + last / GRID_SPAN * asinh((y - terrain.centre[1]) / terrain.near)
    u = wp.clamp(u, 0.0, float(size) - 1.001)
    v = wp.clamp(v, 0.0, float(size) - 1.001)
    i = int(u)
    j = int(v)
    a = u - float(i)
    b = v - float(j)
    k = terrain.layer
    low = (1.0 - a) * grids[k, j, i] + a * grids[k, j, i + 1]
    high = (1.0 - a) * grids[k, j + 1, i] + a * grids[k, j + 1, i + 1]
    return (1.0 - b) * low + b * high


@wp.func
def hit_terrain(
    terrain: Terrain,
    grids: wp.array3d(dtype=float),
    origin: wp.vec3,
    ray: wp.vec3,
    until: float,
    care: wp.vec3,
):
    """t of the first ground crossing before `until`, or FAR, by ray marching with the given `care`."""
    speed = wp.length(ray)
    t = float(0.0)
    above = float(0.0)
    if origin[2] > terrain.highest:
        if ray[2] >= 0.0:
            return FAR
        t = (terrain.highest - origin[2]) / ray[2]
    reach = wp.min(until, 200.0 * terrain.near / speed)
    before = t
    for _step in range(int(care[0])):
        if t > reach:
            return FAR
        p = origin + t * ray
        if p[2] > terrain.highest and ray[2] > 0.0:
            return FAR
        above = p[2] - height_at(terrain, grids, p[0], p[1])
        if above < 0.0:
            low = before
            high = t
            for _half in range(6):
                middle = 0.5 * (low + high)
                q = origin + middle * ray
                if q[2] < height_at(terrain, grids, q[0], q[1]):
                    high = middle
                else:
                    low = middle
            return 0.5 * (low + high)
        before = t
        distance = t * speed
        t = t + wp.max(care[2] * above, care[1] * distance + 0.02 * terrain.near) / speed
    return FAR


@wp.func
def terrain_normal(terrain: Terrain, grids: wp.array3d(dtype=float), p: wp.vec3):
    dx = p[0] - terrain.centre[0]
    dy = p[1] - terrain.centre[1]
    wide = 0.02 * wp.sqrt(terrain.near * terrain.near + dx * dx + dy * dy)
    east = height_at(terrain, grids, p[0] + wide, p[1]) - height_at(terrain, grids, p[0] - wide, p[1])
    north = height_at(terrain, grids, p[0], p[1] + wide) - height_at(terrain, grids, p[0], p[1] - wide)
    return wp.normalize(wp.vec3(-0.5 * east / wide, -0.5 * north / wide, 1.0))
