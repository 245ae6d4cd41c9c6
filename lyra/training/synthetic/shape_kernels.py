"""Solids and how rays meet them. Frames: the scene frame is z up, x right, y forward, in metres.

A ray is `origin + t * ray` with any length of `ray`. Each solid is a unit shape in its own frame; `to_local` carries
the scene into that frame without changing t. Convex shapes give the interval of t inside them; the hollow ones are
one convex shape minus another.
"""

import warp as wp

wp.set_module_options({"max_unroll": 4, "enable_backward": False, "fast_math": True})

BOX, ELLIPSOID, FRUSTUM, ROOF, ROCK, PORTAL, RING, DOME, TORUS = range(9)
WHOLE, FOLIAGE, BARS, LATTICE = range(4)
ROCK_PLANES = 11

_BOX = wp.constant(BOX)
_ELLIPSOID = wp.constant(ELLIPSOID)
_FRUSTUM = wp.constant(FRUSTUM)
_ROOF = wp.constant(ROOF)
_ROCK = wp.constant(ROCK)
_PORTAL = wp.constant(PORTAL)
_RING = wp.constant(RING)
_DOME = wp.constant(DOME)
_FOLIAGE = wp.constant(FOLIAGE)
_BARS = wp.constant(BARS)
_LATTICE = wp.constant(LATTICE)
_ROCK_PLANES = wp.constant(ROCK_PLANES)
_TORUS_STEPS = wp.constant(40)
FAR = wp.constant(1.0e9)
_EPSILON = wp.constant(1.0e-3)


@wp.struct
class Solid:
    """A unit shape placed in the scene: local = to_local (scene - centre); `half` are its half sizes in metres.

    `shape`, by kind: FRUSTUM (radius at the top over that at the foot); ROOF (length of the ridge over that of the
    eaves); ROCK (cut depth); PORTAL (half width, sill, spring line, rise of the opening, all in unit coordinates);
    RING (inner over outer radius, floor); DOME (inner over outer radius, lower edge); TORUS (minor over major radius,
    half of the gap's angle in radians, taper). `cut` leaves holes of size `cut_size` metres, a share `cut_share` of it.
    """

    kind: int
    material: int
    cut: int
    seed: int
    to_local: wp.mat33
    centre: wp.vec3
    half: wp.vec3
    shape: wp.vec4
    cut_size: float
    cut_share: float


@wp.struct
class Span:
    """Where a ray is inside a convex shape: from `enter` to `leave`, with outward normals there (not unit length)."""

    enter: float
    leave: float
    enter_normal: wp.vec3
    leave_normal: wp.vec3


@wp.func
def unit_hash(a: int, b: int, c: int):
    """A number in [0, 1) from three integers, by multiply and xor-shift rounds."""
    x = wp.uint32(a) * wp.uint32(0x1E3779B1) + wp.uint32(b) * wp.uint32(0x05EBCA77) + wp.uint32(c)
    x = (x ^ (x >> wp.uint32(16))) * wp.uint32(0x7FEB352D)
    x = (x ^ (x >> wp.uint32(15))) * wp.uint32(0x46CA68B5)
    x = x ^ (x >> wp.uint32(16))
    return float(x >> wp.uint32(8)) * 5.9604645e-8


@wp.func
def turbulence(noise: wp.array3d(dtype=wp.vec3), p: wp.vec3):
    """Three independent smooth noises in about [0, 1] of period 1, read from the periodic table."""
    size = noise.shape[0]
    mask = size - 1
    x = p[0] * float(size)
    y = p[1] * float(size)
    z = p[2] * float(size)
    i = int(wp.floor(x))
    j = int(wp.floor(y))
    k = int(wp.floor(z))
    a = x - float(i)
    b = y - float(j)
    c = z - float(k)
    i0 = i & mask
    i1 = (i + 1) & mask
    j0 = j & mask
    j1 = (j + 1) & mask
    k0 = k & mask
    k1 = (k + 1) & mask
    near = (1.0 - b) * ((1.0 - c) * noise[i0, j0, k0] + c * noise[i0, j0, k1]) + b * (
        (1.0 - c) * noise[i0, j1, k0] + c * noise[i0, j1, k1]
    )
    far = (1.0 - b) * ((1.0 - c) * noise[i1, j0, k0] + c * noise[i1, j0, k1]) + b * (
        (1.0 - c) * noise[i1, j1, k0] + c * noise[i1, j1, k1]
    )
    return (1.0 - a) * near + a * far


@wp.func
def safe(value: float):
    if wp.abs(value) < 1.0e-9:
        return 1.0e-9
    return value


@wp.func
def no_span():
    span = Span()
    span.enter = FAR
    span.leave = -FAR
    return span


@wp.func
def half_space(span: Span, normal: wp.vec3, offset: float, o: wp.vec3, d: wp.vec3):
    """What of `span` lies where dot(normal, p) <= offset."""
    slope = wp.dot(normal, d)
    height = offset - wp.dot(normal, o)
    if wp.abs(slope) < 1.0e-9:
        if height < 0.0:
            return no_span()
        return span
    t = height / slope
    if slope < 0.0:
        if t > span.enter:
            span.enter = t
            span.enter_normal = normal
    elif t < span.leave:
        span.leave = t
        span.leave_normal = normal
    return span


@wp.func
def box_span(low: wp.vec3, high: wp.vec3, o: wp.vec3, d: wp.vec3):
    span = Span()
    span.enter = -FAR
    span.leave = FAR
    for axis in range(3):
        slope = safe(d[axis])
        a = (low[axis] - o[axis]) / slope
        b = (high[axis] - o[axis]) / slope
        side = wp.vec3(0.0, 0.0, 0.0)
        side[axis] = wp.sign(slope)
        if wp.min(a, b) > span.enter:
            span.enter = wp.min(a, b)
            span.enter_normal = -side
        if wp.max(a, b) < span.leave:
            span.leave = wp.max(a, b)
            span.leave_normal = side
    return span


@wp.func
def ball_span(radius: float, o: wp.vec3, d: wp.vec3):
    a = wp.dot(d, d)
    b = wp.dot(o, d)
    root = b * b - a * (wp.dot(o, o) - radius * radius)
    if root <= 0.0:
        return no_span()
    root = wp.sqrt(root)
    span = Span()
    span.enter = (-b - root) / a
    span.leave = (-b + root) / a
    span.enter_normal = o + span.enter * d
    span.leave_normal = o + span.leave * d
    return span


@wp.func
def well_span(radius: float, o: wp.vec3, d: wp.vec3):
    """An endless cylinder around z."""
    if d[0] * d[0] + d[1] * d[1] < 1.0e-12:
        return no_span()
    return ball_span(radius, wp.vec3(o[0], o[1], 0.0), wp.vec3(d[0], d[1], 0.0))


@wp.func
def frustum_span(foot: float, top: float, o: wp.vec3, d: wp.vec3):
    """A cone's trunk along z in [-1, 1] with radii `foot` and `top`; the mirrored half of the cone is left out."""
    grow = 0.5 * (top - foot)
    middle = 0.5 * (top + foot)
    r0 = middle + grow * o[2]
    dr = grow * d[2]
    a = d[0] * d[0] + d[1] * d[1] - dr * dr
    b = o[0] * d[0] + o[1] * d[1] - r0 * dr
    c = o[0] * o[0] + o[1] * o[1] - r0 * r0
    a = safe(a)
    root = b * b - a * c
    if root <= 0.0:
        return no_span()
    root = wp.sqrt(root)
    span = Span()
    t0 = (-b - root) / a
    t1 = (-b + root) / a
    cap_low = (-1.0 - o[2]) / safe(d[2])
    cap_high = (1.0 - o[2]) / safe(d[2])
    enter_cap = wp.min(cap_low, cap_high)
    leave_cap = wp.max(cap_low, cap_high)
    cap = wp.vec3(0.0, 0.0, wp.sign(safe(d[2])))
    if a > 0.0:
        span.enter = t0
        span.leave = t1
    else:
        # Steeper than the cone: inside it before the smaller or after the larger root; the trunk's half counts.
        first = wp.min(t0, t1)
        last = wp.max(t0, t1)
        if r0 + dr * (last + 1.0) > r0 + dr * last:
            span.enter = last
            span.leave = FAR
        else:
            span.enter = -FAR
            span.leave = first
    p = o + span.enter * d
    q = o + span.leave * d
    span.enter_normal = wp.vec3(p[0], p[1], -grow * (middle + grow * p[2]))
    span.leave_normal = wp.vec3(q[0], q[1], -grow * (middle + grow * q[2]))
    if enter_cap > span.enter:
        span.enter = enter_cap
        span.enter_normal = -cap
    if leave_cap < span.leave:
        span.leave = leave_cap
        span.leave_normal = cap
    return span


@wp.func
def roof_span(ridge: float, o: wp.vec3, d: wp.vec3):
    """A roof over the square [-1, 1]^2, its ridge along y at z = 1; `ridge` 1 is a gable, 0 a pyramid."""
    span = box_span(wp.vec3(-1.0, -1.0, -1.0), wp.vec3(1.0, 1.0, 1.0), o, d)
    span = half_space(span, wp.vec3(2.0, 0.0, 1.0), 1.0, o, d)
    span = half_space(span, wp.vec3(-2.0, 0.0, 1.0), 1.0, o, d)
    hip = 1.0 - ridge
    span = half_space(span, wp.vec3(0.0, 2.0, hip), 2.0 - hip, o, d)
    return half_space(span, wp.vec3(0.0, -2.0, hip), 2.0 - hip, o, d)


@wp.func
def rock_span(seed: int, depth: float, o: wp.vec3, d: wp.vec3):
    """A ball cut by planes in hashed directions."""
    span = ball_span(1.0, o, d)
    if span.enter > span.leave:
        return span
    for i in range(_ROCK_PLANES):
        z = 2.0 * (float(i) + unit_hash(seed, i, 1)) / float(_ROCK_PLANES) - 1.0
        around = 2.39996 * float(i) + 1.5 * unit_hash(seed, i, 2)
        r = wp.sqrt(wp.max(1.0 - z * z, 0.0))
        normal = wp.vec3(r * wp.cos(around), r * wp.sin(around), z)
        span = half_space(span, normal, 1.0 - depth * (0.4 + 0.6 * unit_hash(seed, i, 3)), o, d)
    return span


@wp.func
def opening_span(shape: wp.vec4, o: wp.vec3, d: wp.vec3):
    """A door's or window's passage along y: straight sides from the sill to the spring line, a round head above."""
    width = shape[0]
    span = box_span(wp.vec3(-width, -4.0, shape[1]), wp.vec3(width, 4.0, shape[2]), o, d)
    rise = shape[3]
    if rise <= 0.0:
        return span
    oh = wp.vec3(o[0] / width, 0.0, (o[2] - shape[2]) / rise)
    dh = wp.vec3(d[0] / width, 0.0, d[2] / rise)
    if wp.dot(dh, dh) < 1.0e-12:
        return span
    head = ball_span(1.0, oh, dh)
    head.enter_normal = wp.vec3(head.enter_normal[0] / width, 0.0, head.enter_normal[2] / rise)
    head.leave_normal = wp.vec3(head.leave_normal[0] / width, 0.0, head.leave_normal[2] / rise)
    head = half_space(head, wp.vec3(0.0, 0.0, -1.0), -shape[2], o, d)
    if head.enter >= head.leave:
        return span
    if span.enter >= span.leave:
        return head
    if head.enter < span.enter:
        span.enter = head.enter
        span.enter_normal = head.enter_normal
    if head.leave > span.leave:
        span.leave = head.leave
        span.leave_normal = head.leave_normal
    return span


@wp.func
def torus_hit(ratio: float, gap: float, taper: float, o: wp.vec3, d: wp.vec3):
    """(t, normal) of a ring around y with outer radius 1, by sphere tracing; its gap opens upwards.

    `taper` thins it towards the top: 0 is even, 1 comes to a point, a crescent.

    The distance to a torus is Quilez' exact one.
    """
    miss = wp.vec4(FAR, 0.0, 0.0, 1.0)
    major = 1.0 / (1.0 + ratio)
    minor = ratio * major
    bound = ball_span(1.01, o, d)
    if bound.leave < 0.0:
        return miss
    length = wp.length(d)
    t = wp.max(bound.enter, 0.0)
    for _step in range(_TORUS_STEPS):
        p = o + t * d
        ring = wp.sqrt(p[0] * p[0] + p[2] * p[2]) - major
        up = p[2] / wp.max(ring + major, 1.0e-6)
        thick = minor * (1.0 - taper * (0.5 + 0.5 * up))
        away = wp.sqrt(ring * ring + p[1] * p[1]) - thick
        if gap > 0.0:
            away = wp.max(away, p[2] * wp.sin(gap) - wp.abs(p[0]) * wp.cos(gap))
        if away < 1.0e-3:
            flat = wp.vec3(p[0], 0.0, p[2])
            centre = major * wp.normalize(flat)
            n = p - centre
            if wp.abs(wp.length(n) - thick) > 0.02:
                n = wp.vec3(-wp.sign(p[0]) * wp.cos(gap), 0.0, wp.sin(gap))
            return wp.vec4(t, n[0], n[1], n[2])
        t = t + 0.8 * away / length
        if t > bound.leave:
            return miss
    return miss


@wp.func
def is_hole(solid: Solid, p: wp.vec3, slant: float, noise: wp.array3d(dtype=wp.vec3)):
    """Whether the surface is missing at the local point p; leaves thin out at `slant` 1, the outline."""
    if solid.cut == 0:
        return False
    m = wp.cw_mul(p, solid.half) / solid.cut_size
    if solid.cut == _BARS:
        u = wp.abs(m[0]) + wp.abs(m[1]) + 100.0
        # Rails run along the top and near the foot.
        return u - wp.floor(u) < solid.cut_share and p[2] < 0.82 and p[2] > -0.8
    if solid.cut == _LATTICE:
        u = wp.abs(m[0]) + wp.abs(m[1]) + 100.0
        v = m[2] + 100.0
        return u - wp.floor(u) < solid.cut_share and v - wp.floor(v) < solid.cut_share
    m = m + 4.1 * wp.vec3(float(solid.seed & 63), 1.0, 2.0)
    clumps = turbulence(noise, 0.12 * m)
    leaves = turbulence(noise, 0.5 * m)
    return 0.5 * (clumps[0] + leaves[1]) < solid.cut_share + 0.22 * slant * slant


@wp.func
def hit_solid(solid: Solid, origin: wp.vec3, ray: wp.vec3, noise: wp.array3d(dtype=wp.vec3)):
    """(t, local normal) of the first surface of a solid; t is FAR when it is missed."""
    o = solid.to_local * (origin - solid.centre)
    d = solid.to_local * ray
    kind = solid.kind
    if kind > 7:
        return torus_hit(solid.shape[0], solid.shape[1], solid.shape[2], o, d)
    one = wp.vec3(1.0, 1.0, 1.0)
    outer = Span()
    inner = no_span()
    if kind == _BOX:
        outer = box_span(-one, one, o, d)
    elif kind == _ELLIPSOID:
        outer = ball_span(1.0, o, d)
    elif kind == _FRUSTUM:
        outer = frustum_span(1.0, solid.shape[0], o, d)
    elif kind == _ROOF:
        outer = roof_span(solid.shape[0], o, d)
    elif kind == _ROCK:
        outer = rock_span(solid.seed, solid.shape[0], o, d)
    elif kind == _PORTAL:
        outer = box_span(-one, one, o, d)
        inner = opening_span(solid.shape, o, d)
    elif kind == _RING:
        outer = frustum_span(1.0, 1.0, o, d)
        inner = well_span(solid.shape[0], o, d)
        inner = half_space(inner, wp.vec3(0.0, 0.0, -1.0), -solid.shape[1], o, d)
    else:
        outer = half_space(ball_span(1.0, o, d), wp.vec3(0.0, 0.0, -1.0), -solid.shape[1], o, d)
        inner = ball_span(solid.shape[0], o, d)
    miss = wp.vec4(FAR, 0.0, 0.0, 1.0)
    if outer.enter >= outer.leave or outer.leave < _EPSILON:
        return miss
    hollow = inner.enter < inner.leave
    slant = float(0.0)
    if solid.cut == _FOLIAGE:
        slant = 1.0 - wp.abs(wp.dot(wp.normalize(outer.enter_normal), wp.normalize(d)))
    if outer.enter > _EPSILON and not (hollow and inner.enter <= outer.enter and inner.leave > outer.enter):
        n = outer.enter_normal
        if not is_hole(solid, o + outer.enter * d, slant, noise):
            return wp.vec4(outer.enter, n[0], n[1], n[2])
    if hollow:
        if inner.leave > _EPSILON and inner.leave > outer.enter and inner.leave < outer.leave:
            n = -inner.leave_normal
            return wp.vec4(inner.leave, n[0], n[1], n[2])
        return miss
    if solid.cut > 0:
        n = -outer.leave_normal
        if not is_hole(solid, o + outer.leave * d, slant, noise):
            return wp.vec4(outer.leave, n[0], n[1], n[2])
    return miss


@wp.func
def may_hit(bound: wp.vec4, origin: wp.vec3, ray: wp.vec3, ray_squared: float):
    """Whether a ray comes near the ball (centre, radius) around a solid; a radius of 0 or less always does."""
    if bound[3] <= 0.0:
        return True
    o = wp.vec3(bound[0], bound[1], bound[2]) - origin
    b = wp.dot(o, ray)
    c = wp.dot(o, o) - bound[3] * bound[3]
    if c <= 0.0:
        return True
    return b > 0.0 and b * b >= ray_squared * c
