"""Warp kernels of a small ray caster with painted surfaces, for scenes with ground truth in every view."""

import warp as wp

wp.set_module_options({"max_unroll": 4, "enable_backward": False})

BOX, COLUMN, BALL = 0, 1, 2

_BOX = wp.constant(BOX)
_COLUMN = wp.constant(COLUMN)
_FAR = wp.constant(1.0e9)


@wp.struct
class Thing:
    """A box (low, high), a vertical column (low.x, low.z the axis, low.y ... high.y, radius) or a ball (low, radius).

    `dark` and `light` are its colours in [0, 1]; `block` is the size of its masonry, 0 for none; `dab` that of its
    brush strokes.
    """

    kind: int
    low: wp.vec3
    high: wp.vec3
    radius: float
    dark: wp.vec3
    light: wp.vec3
    block: float
    dab: float


@wp.func
def hit_box(low: wp.vec3, high: wp.vec3, origin: wp.vec3, ray: wp.vec3):
    """Distance to a box, from outside or inside; _FAR if missed."""
    enter = float(-1.0e9)
    leave = float(1.0e9)
    for axis in range(3):
        slope = ray[axis]
        if wp.abs(slope) < 1.0e-9:
            slope = 1.0e-9
        a = (low[axis] - origin[axis]) / slope
        b = (high[axis] - origin[axis]) / slope
        enter = wp.max(enter, wp.min(a, b))
        leave = wp.min(leave, wp.max(a, b))
    if enter > leave or leave <= 1.0e-4:
        return _FAR
    if enter > 1.0e-4:
        return enter
    return leave


@wp.func
def hit_column(low: wp.vec3, high: wp.vec3, radius: float, origin: wp.vec3, ray: wp.vec3):
    ox = origin[0] - low[0]
    oz = origin[2] - low[2]
    a = ray[0] * ray[0] + ray[2] * ray[2]
    b = ox * ray[0] + oz * ray[2]
    c = ox * ox + oz * oz - radius * radius
    root = b * b - a * c
    if root < 0.0:
        return _FAR
    t = (-b - wp.sqrt(root)) / a
    y = origin[1] + t * ray[1]
    if t > 1.0e-4 and y >= low[1] and y <= high[1]:
        return t
    return _FAR


@wp.func
def hit_ball(centre: wp.vec3, radius: float, origin: wp.vec3, ray: wp.vec3):
    o = origin - centre
    a = wp.dot(ray, ray)
    b = wp.dot(o, ray)
    root = b * b - a * (wp.dot(o, o) - radius * radius)
    if root < 0.0:
        return _FAR
    t = (-b - wp.sqrt(root)) / a
    if t > 1.0e-4:
        return t
    return _FAR


@wp.func
def nearest(things: wp.array(dtype=Thing), origin: wp.vec3, ray: wp.vec3):
    """Distance along `ray` and index of the first hit; (_FAR, -1) for sky."""
    best = float(_FAR)
    which = float(-1.0)
    for i in range(things.shape[0]):
        thing = things[i]
        t = float(_FAR)
        if thing.kind == _BOX:
            t = hit_box(thing.low, thing.high, origin, ray)
        elif thing.kind == _COLUMN:
            t = hit_column(thing.low, thing.high, thing.radius, origin, ray)
        else:
            t = hit_ball(thing.low, thing.radius, origin, ray)
        if t < best:
            best = t
            which = float(i)
    return wp.vec2(best, which)


@wp.func
def strokes(p: wp.vec3, seed: int):
    """Layered noise in about [0, 1]."""
    state = wp.rand_init(seed)
    value = wp.noise(state, p) + 0.5 * wp.noise(state, p * 2.1) + 0.25 * wp.noise(state, p * 4.3)
    return wp.clamp(0.5 + 0.6 * value, 0.0, 1.0)


@wp.func
def normal_of(thing: Thing, p: wp.vec3):
    if thing.kind == _BOX:
        centre = 0.5 * (thing.low + thing.high)
        half = 0.5 * (thing.high - thing.low)
        best = float(1.0e9)
        n = wp.vec3(0.0, 0.0, 0.0)
        for axis in range(3):
            off = wp.abs(wp.abs(p[axis] - centre[axis]) - half[axis])
            if off < best:
                best = off
                n = wp.vec3(0.0, 0.0, 0.0)
                n[axis] = wp.sign(p[axis] - centre[axis])
        return n
    if thing.kind == _COLUMN:
        return wp.normalize(wp.vec3(p[0] - thing.low[0], 0.0, p[2] - thing.low[2]))
    return wp.normalize(p - thing.low)


@wp.func
def masonry(p: wp.vec3, n: wp.vec3, block: float):
    """1 on stones, less in the joints; every other row is shifted by half a stone."""
    u = p[0]
    v = p[1]
    if wp.abs(n[1]) > 0.5:
        v = p[2]
    elif wp.abs(n[0]) > 0.5:
        u = p[2]
    row = wp.floor(v / block)
    u = u / block * 0.6 + 0.5 * (row - 2.0 * wp.floor(0.5 * row))
    a = u - wp.floor(u)
    b = v / block - row
    joint = wp.min(wp.min(a, 1.0 - a) / 0.6, wp.min(b, 1.0 - b))
    return wp.clamp(0.45 + joint * 9.0, 0.45, 1.0)


@wp.func
def sky_colour(ray: wp.vec3):
    direction = wp.normalize(ray)
    up = wp.clamp(-direction[1] * 2.0, 0.0, 1.0)
    base = (1.0 - up) * wp.vec3(0.93, 0.82, 0.68) + up * wp.vec3(0.36, 0.52, 0.72)
    cloud = wp.clamp(3.0 * (strokes(direction * 5.0, 11) - 0.55), 0.0, 0.8)
    return (1.0 - cloud) * base + cloud * wp.vec3(0.97, 0.92, 0.86)


@wp.func
def colour_along(
    things: wp.array(dtype=Thing),
    origin: wp.vec3,
    ray: wp.vec3,
    light: wp.vec3,
    shadow_reach: float,
    haze: float,
):
    found = nearest(things, origin, ray)
    which = int(found[1])
    if which < 0:
        return sky_colour(ray)
    thing = things[which]
    p = origin + found[0] * ray
    n = normal_of(thing, p)
    if wp.dot(n, ray) > 0.0:
        n = -n
    mix = strokes(p / thing.dab, which)
    colour = (1.0 - mix) * thing.dark + mix * thing.light
    if thing.block > 0.0:
        colour = colour * masonry(p, n, thing.block)
    lit = 0.5 + 0.5 * wp.max(wp.dot(n, light), 0.0)
    shadow = nearest(things, p + 1.0e-3 * n, light)
    if shadow[1] >= 0.0 and shadow[0] < shadow_reach and wp.dot(n, light) > 0.0:
        lit = 0.55
    colour = colour * lit
    air = 1.0 - wp.exp(-haze * found[0] * wp.length(ray))
    return (1.0 - air) * colour + air * wp.vec3(0.86, 0.76, 0.66)


@wp.kernel
def paint(
    things: wp.array(dtype=Thing),
    rotation: wp.mat33,
    centre: wp.vec3,
    focal: float,
    cx: float,
    cy: float,
    light: wp.vec3,
    shadow_reach: float,
    haze: float,
    samples: int,
    image: wp.array2d(dtype=wp.vec3),
    depth: wp.array2d(dtype=float),
):
    """Picture in [0, 1] averaged over samples x samples rays per pixel; z-depth through pixel centres, inf for sky."""
    y, x = wp.tid()
    total = wp.vec3(0.0, 0.0, 0.0)
    for j in range(samples):
        for i in range(samples):
            u = float(x) + (float(i) + 0.5) / float(samples)
            v = float(y) + (float(j) + 0.5) / float(samples)
            ray = rotation * wp.vec3((u - cx) / focal, (v - cy) / focal, 1.0)
            total += colour_along(things, centre, ray, light, shadow_reach, haze)
    image[y, x] = total / float(samples * samples)
    middle = rotation * wp.vec3((float(x) + 0.5 - cx) / focal, (float(y) + 0.5 - cy) / focal, 1.0)
    found = nearest(things, centre, middle)
    depth[y, x] = wp.where(found[1] >= 0.0, found[0], wp.inf)
