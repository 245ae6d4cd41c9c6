"""Ray intervals inside convex unit shapes. A ray is `o + t * d` in the shape's own frame."""

import warp as wp

from lyra.synthetic.noise_kernels import unit_hash

wp.set_module_options({"max_unroll": 4, "enable_backward": False, "fast_math": True})

FAR = wp.constant(1.0e9)
_ROCK_PLANES = wp.constant(11)


@wp.struct
class Span:
    """A ray's interval in a convex shape, `enter` to `leave`, with the (unnormalised) outward normals there."""

    enter: float
    leave: float
    enter_normal: wp.vec3
    leave_normal: wp.vec3


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
    """The part of `span` in the half space dot(normal, p) <= offset."""
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
    """An infinite cylinder around z."""
    if d[0] * d[0] + d[1] * d[1] < 1.0e-12:
        return no_span()
    return ball_span(radius, wp.vec3(o[0], o[1], 0.0), wp.vec3(d[0], d[1], 0.0))


@wp.func
def frustum_span(foot: float, top: float, o: wp.vec3, d: wp.vec3):
    """A conical frustum along z in [-1, 1] with radii `foot` and `top`, without the mirrored half of the cone."""
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
        # Steeper than the cone: inside before the smaller or after the larger root, whichever is in the frustum's half.
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
