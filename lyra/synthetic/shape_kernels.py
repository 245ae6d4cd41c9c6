"""Ray intersection with solids. Frames: the scene frame is z up, x right, y forward, in metres.

A ray is `origin + t * ray`, with `ray` of any length. Each solid is a unit shape in its own frame; `to_local` maps
scene coordinates to that frame and preserves t. Convex shapes yield the interval of t inside them; hollow ones are one
convex shape minus another.
"""

import warp as wp

from lyra.synthetic.noise_kernels import turbulence
from lyra.synthetic.span_kernels import (
    FAR,
    Span,
    ball_span,
    box_span,
    frustum_span,
    half_space,
    no_span,
    opening_span,
    rock_span,
    roof_span,
    well_span,
)

wp.set_module_options({"max_unroll": 4, "enable_backward": False, "fast_math": True})

BOX, ELLIPSOID, FRUSTUM, ROOF, ROCK, PORTAL, RING, DOME, TORUS = range(9)
WHOLE, FOLIAGE, BARS, LATTICE = range(4)

_BOX = wp.constant(BOX)
_ELLIPSOID = wp.constant(ELLIPSOID)
_FRUSTUM = wp.constant(FRUSTUM)
_ROOF = wp.constant(ROOF)
_ROCK = wp.constant(ROCK)
_PORTAL = wp.constant(PORTAL)
_RING = wp.constant(RING)
_TORUS = wp.constant(TORUS)
_FOLIAGE = wp.constant(FOLIAGE)
_BARS = wp.constant(BARS)
_LATTICE = wp.constant(LATTICE)
_TORUS_STEPS = wp.constant(40)
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


@wp.func
def torus_hit(ratio: float, gap: float, taper: float, o: wp.vec3, d: wp.vec3):
    """(t, normal) of a ring around y with outer radius 1, by sphere tracing; its gap is at the top.

    `taper` thins it towards the top: 0 is uniform, 1 a pointed crescent. The torus distance is Quilez' exact one.
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
    """Whether the surface has a hole at the local point p; leaves thin out towards the outline, `slant` 1."""
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
    """(t, local normal) of a solid's first surface; t is FAR if it is missed."""
    o = solid.to_local * (origin - solid.centre)
    d = solid.to_local * ray
    kind = solid.kind
    if kind == _TORUS:
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
    """Whether a ray meets the bounding ball (centre, radius) of a solid; always true for a radius of 0 or less."""
    if bound[3] <= 0.0:
        return True
    o = wp.vec3(bound[0], bound[1], bound[2]) - origin
    b = wp.dot(o, ray)
    c = wp.dot(o, o) - bound[3] * bound[3]
    if c <= 0.0:
        return True
    return b > 0.0 and b * b >= ray_squared * c
