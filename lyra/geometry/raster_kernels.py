"""Warp kernels of the rasterizer: a z-buffer pass over quads, then shading of the quad that won each pixel."""

import warp as wp

from lyra.geometry.surface_kernels import BACKSTAGE, FAR_SIDE, NEAR_SIDE, differ

# Unrolling loops and generating adjoints would make compilation ten times slower.
wp.set_module_options({"max_unroll": 4, "enable_backward": False})

# A z-buffer key holds the bits of a non-negative float32 disparity, which sort like the float, and a 31-bit quad
# number: more quads than fit into any machine's memory.
MAX_QUADS = (1 << 31) - 1

_NEAR = wp.constant(NEAR_SIDE)
_FAR = wp.constant(FAR_SIDE)
_BACKSTAGE = wp.constant(BACKSTAGE)
_IDS = wp.constant(wp.int64(MAX_QUADS + 1))
# Quads stretched more than this many times beyond what their distance explains are dropped as streaks.
_MAX_STRETCH = wp.constant(6.0)
# An edge counts as disoccluded once its two sides have moved apart by this many pixels.
_OPENED = wp.constant(1.0)
_INSIDE = wp.constant(-1.0e-3)


@wp.func
def opened(m: wp.mat33, shift: wp.vec3, u: float, v: float, w: float, other: float, scale: float):
    """Whether the two sides of an edge at (u, v) have moved apart in the target view."""
    base = m * wp.vec3(u, v, 1.0)
    here = base + shift * w
    there = base + shift * other
    if there[2] <= 0.0 or here[2] <= 0.0:
        return True
    du = here[0] / here[2] - there[0] / there[2]
    dv = here[1] / here[2] - there[1] / there[2]
    return du * du + dv * dv > _OPENED * _OPENED * wp.max(scale * scale, 1.0)


@wp.func
def magnification(m: wp.mat33, shift: wp.vec3, w: float, zh: float):
    """Target pixels per source pixel of a surface of disparity w that faces the source camera, where its depth is zh.

    The square root of the homography's Jacobian determinant.
    """
    across = wp.vec3(m[0, 0], m[1, 0], m[2, 0])
    down = wp.vec3(m[0, 1], m[1, 1], m[2, 1])
    ahead = wp.vec3(m[0, 2], m[1, 2], m[2, 2]) + w * shift
    return wp.sqrt(wp.abs(wp.dot(ahead, wp.cross(across, down))) / zh) / zh


@wp.func
def too_long(a: wp.vec2, b: wp.vec2, scale: float):
    return wp.length(a - b) > wp.max(_MAX_STRETCH * scale, 3.0)


@wp.func
def barycentric(a: wp.vec2, b: wp.vec2, c: wp.vec2, p: wp.vec2):
    """Barycentric weights of p in the triangle abc; (-1, -1, -1) if it is degenerate."""
    ab = b - a
    ac = c - a
    area = ab[0] * ac[1] - ab[1] * ac[0]
    if wp.abs(area) < 1.0e-12:
        return wp.vec3(-1.0, -1.0, -1.0)
    ap = p - a
    wb = (ap[0] * ac[1] - ap[1] * ac[0]) / area
    wc = (ab[0] * ap[1] - ab[1] * ap[0]) / area
    return wp.vec3(1.0 - wb - wc, wb, wc)


@wp.struct
class Drawn:
    """One surface of a view: its arrays, its pose relative to the target, and the number of its first quad."""

    first: int
    backstage: int
    m: wp.mat33
    shift: wp.vec3
    pixels: wp.array(dtype=int)
    texture: wp.array2d(dtype=wp.vec4)
    corners: wp.array(dtype=wp.vec4)
    other: wp.array(dtype=float)
    side: wp.array2d(dtype=wp.uint8)


@wp.kernel
def rasterize(surface: Drawn, max_disparity: float, priority: float, keys: wp.array2d(dtype=wp.int64)):
    """Writes the quads of a surface to the z-buffer; the nearest is kept."""
    i = wp.tid()
    m = surface.m
    shift = surface.shift
    x = surface.pixels[i] % surface.texture.shape[1]
    y = surface.pixels[i] / surface.texture.shape[1]
    w = surface.corners[i]
    base = m * wp.vec3(float(x), float(y), 1.0)
    right = wp.vec3(m[0, 0], m[1, 0], m[2, 0])
    down = wp.vec3(m[0, 1], m[1, 1], m[2, 1])
    h0 = base + shift * w[0]
    h1 = base + right + shift * w[1]
    h2 = base + right + down + shift * w[2]
    h3 = base + down + shift * w[3]
    if wp.min(wp.min(h0[2], h1[2]), wp.min(h2[2], h3[2])) <= 1.0e-6:
        return
    p0 = wp.vec2(h0[0] / h0[2], h0[1] / h0[2])
    p1 = wp.vec2(h1[0] / h1[2], h1[1] / h1[2])
    p2 = wp.vec2(h2[0] / h2[2], h2[1] / h2[2])
    p3 = wp.vec2(h3[0] / h3[2], h3[1] / h3[2])
    low_x = wp.min(wp.min(p0[0], p1[0]), wp.min(p2[0], p3[0]))
    low_y = wp.min(wp.min(p0[1], p1[1]), wp.min(p2[1], p3[1]))
    high_x = wp.max(wp.max(p0[0], p1[0]), wp.max(p2[0], p3[0]))
    high_y = wp.max(wp.max(p0[1], p1[1]), wp.max(p2[1], p3[1]))
    rows = keys.shape[0]
    columns = keys.shape[1]
    if high_x < 0.0 or high_y < 0.0 or low_x > float(columns) or low_y > float(rows):
        return
    x0 = wp.max(int(wp.ceil(low_x - 0.501)), 0)
    y0 = wp.max(int(wp.ceil(low_y - 0.501)), 0)
    x1 = wp.min(int(wp.floor(high_x - 0.499)), columns - 1)
    y1 = wp.min(int(wp.floor(high_y - 0.499)), rows - 1)
    if x1 < x0 or y1 < y0:
        return
    d = wp.vec4(w[0] / h0[2], w[1] / h1[2], w[2] / h2[2], w[3] / h3[2])
    if wp.max(wp.max(d[0], d[1]), wp.max(d[2], d[3])) > max_disparity:
        return
    scale = magnification(m, shift, w[0], h0[2])
    if (
        too_long(p0, p1, scale)
        or too_long(p1, p2, scale)
        or too_long(p2, p3, scale)
        or too_long(p3, p0, scale)
    ):
        return
    if int(surface.side[y, x]) == _FAR:
        if opened(
            m, shift, float(x) + 0.5, float(y) + 0.5, surface.texture[y, x][3], surface.other[i], scale
        ):
            return
    id = _IDS - wp.int64(1) - wp.int64(surface.first + i)
    for ty in range(y0, y1 + 1):
        for tx in range(x0, x1 + 1):
            p = wp.vec2(float(tx) + 0.5, float(ty) + 0.5)
            b = barycentric(p0, p1, p2, p)
            depth = float(-1.0)
            if b[0] >= _INSIDE and b[1] >= _INSIDE and b[2] >= _INSIDE:
                depth = b[0] * d[0] + b[1] * d[1] + b[2] * d[2]
            else:
                b = barycentric(p0, p2, p3, p)
                if b[0] >= _INSIDE and b[1] >= _INSIDE and b[2] >= _INSIDE:
                    depth = b[0] * d[0] + b[1] * d[2] + b[2] * d[3]
            if depth >= 0.0:
                bits = wp.int64(wp.cast(wp.abs(depth * priority), wp.int32))
                wp.atomic_max(keys, ty, tx, bits * _IDS + id)


@wp.kernel
def read_disparity(keys: wp.array2d(dtype=wp.int64), near: float, disparity: wp.array2d(dtype=float)):
    """Disparity of the quad that won each pixel, within the few percent of its surface's priority; -1 in holes."""
    y, x = wp.tid()
    key = keys[y, x]
    disparity[y, x] = -1.0
    if key != wp.int64(0):
        disparity[y, x] = wp.cast(wp.int32(key / _IDS), wp.float32) / near


@wp.func
def cubic(t: float):
    """Catmull-Rom weight at distance t."""
    a = wp.abs(t)
    if a < 1.0:
        return (1.5 * a - 2.5) * a * a + 1.0
    if a < 2.0:
        return ((-0.5 * a + 2.5) * a - 4.0) * a + 2.0
    return 0.0


@wp.func
def tent(t: float, radius: float):
    return wp.max(1.0 - wp.abs(t) / radius, 0.0)


@wp.func
def cubic_weights(t: float):
    """Catmull-Rom weights of the four pixels around a position, t after the second of them."""
    return wp.vec4(
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )


@wp.func
def magnify(texture: wp.array2d(dtype=wp.vec4), u: float, v: float, w: float, gu: float, gv: float):
    """`sample` without minification, the common case: bicubic over 4 x 4 pixels."""
    x0 = int(wp.floor(u - 0.5)) - 1
    y0 = int(wp.floor(v - 0.5)) - 1
    start_u = float(x0) + 0.5 - u
    start_v = float(y0) + 0.5 - v
    across = cubic_weights(-1.0 - start_u)
    along = cubic_weights(-1.0 - start_v)
    total = wp.vec4(0.0, 0.0, 0.0, 0.0)
    weights = float(0.0)
    magnitude = float(0.0)
    for iy in range(4):
        y = y0 + iy
        row = w + gv * (start_v + float(iy)) + gu * start_u
        for ix in range(4):
            x = x0 + ix
            weight = across[ix] * along[iy]
            magnitude += wp.abs(weight)
            if y >= 0 and x >= 0 and y < texture.shape[0] and x < texture.shape[1]:
                tap = texture[y, x]
                if tap[3] >= 0.0 and not differ(tap[3], wp.max(row + gu * float(ix), 0.0), 0.08):
                    total += weight * tap
                    weights += weight
    if weights > 0.25 * magnitude:
        total = total / weights
        return wp.vec4(total[0], total[1], total[2], 1.0)
    return wp.vec4(0.0, 0.0, 0.0, 0.0)


@wp.func
def sample(
    texture: wp.array2d(dtype=wp.vec4),
    side: wp.array2d(dtype=wp.uint8),
    u: float,
    v: float,
    w: float,
    gu: float,
    gv: float,
    radius_u: float,
    radius_v: float,
    inner_only: bool,
):
    """Colour at (u, v) on the surface of disparity w with slopes gu, gv; pixels of other surfaces are excluded.

    Catmull-Rom under magnification, a tent over the pixel's footprint under minification. With `inner_only`, pixels
    in an edge band are left out. Returns the colour and the share of the filter's weight that was available.
    """
    if not inner_only and radius_u <= 1.2 and radius_v <= 1.2:
        return magnify(texture, u, v, w, gu, gv)
    reach_u = int(2)
    reach_v = int(2)
    if radius_u > 1.2:
        reach_u = wp.min(int(wp.ceil(radius_u)), 6)
    if radius_v > 1.2:
        reach_v = wp.min(int(wp.ceil(radius_v)), 6)
    x0 = int(wp.floor(u - 0.5))
    y0 = int(wp.floor(v - 0.5))
    total = wp.vec3(0.0, 0.0, 0.0)
    weights = float(0.0)
    magnitude = float(0.0)
    for y in range(y0 - reach_v + 1, y0 + reach_v + 1):
        dv = float(y) + 0.5 - v
        wv = float(0.0)
        if radius_v > 1.2:
            wv = tent(dv, radius_v)
        else:
            wv = cubic(dv)
        if inner_only:
            wv = wp.exp(-dv * dv)
        for x in range(x0 - reach_u + 1, x0 + reach_u + 1):
            du = float(x) + 0.5 - u
            wu = float(0.0)
            if radius_u > 1.2:
                wu = tent(du, radius_u)
            else:
                wu = cubic(du)
            if inner_only:
                wu = wp.exp(-du * du)
            weight = wu * wv
            magnitude += wp.abs(weight)
            if weight != 0.0 and y >= 0 and x >= 0 and y < texture.shape[0] and x < texture.shape[1]:
                tap = texture[y, x]
                here = wp.max(w + gu * du + gv * dv, 0.0)
                fits = tap[3] >= 0.0 and not differ(tap[3], here, 0.08)
                if inner_only and side[y, x] != wp.uint8(0):
                    fits = False
                if fits:
                    total += weight * wp.vec3(tap[0], tap[1], tap[2])
                    weights += weight
    if weights > 0.25 * magnitude or (inner_only and weights > 1.0e-3):
        total = total / weights
        return wp.vec4(total[0], total[1], total[2], 1.0)
    return wp.vec4(0.0, 0.0, 0.0, 0.0)


@wp.kernel
def resolve(
    keys: wp.array2d(dtype=wp.int64),
    surfaces: wp.array(dtype=Drawn),
    image: wp.array2d(dtype=wp.vec3),
    disparity: wp.array2d(dtype=float),
    seen_side: wp.array2d(dtype=int),
):
    """Colour and disparity of the quad that won each pixel."""
    ty, tx = wp.tid()
    key = keys[ty, tx]
    seen_side[ty, tx] = 0
    if key == wp.int64(0):
        disparity[ty, tx] = -1.0
        return
    quad = int(_IDS - wp.int64(1) - key % _IDS)
    low = int(0)
    high = surfaces.shape[0]
    while high - low > 1:
        middle = (low + high) / 2
        if surfaces[middle].first <= quad:
            low = middle
        else:
            high = middle
    surface = surfaces[low]
    i = quad - surface.first
    m = surface.m
    shift = surface.shift
    x = surface.pixels[i] % surface.texture.shape[1]
    y = surface.pixels[i] / surface.texture.shape[1]
    w = surface.corners[i]
    base = m * wp.vec3(float(x), float(y), 1.0)
    right = wp.vec3(m[0, 0], m[1, 0], m[2, 0])
    down = wp.vec3(m[0, 1], m[1, 1], m[2, 1])
    h0 = base + shift * w[0]
    h1 = base + right + shift * w[1]
    h2 = base + right + down + shift * w[2]
    h3 = base + down + shift * w[3]
    p0 = wp.vec2(h0[0] / h0[2], h0[1] / h0[2])
    p1 = wp.vec2(h1[0] / h1[2], h1[1] / h1[2])
    p2 = wp.vec2(h2[0] / h2[2], h2[1] / h2[2])
    p3 = wp.vec2(h3[0] / h3[2], h3[1] / h3[2])
    p = wp.vec2(float(tx) + 0.5, float(ty) + 0.5)
    # Perspective-correct position inside the quad.
    du = float(0.0)
    dv = float(0.0)
    seen = float(0.0)
    b = barycentric(p0, p1, p2, p)
    if b[0] >= _INSIDE and b[1] >= _INSIDE and b[2] >= _INSIDE:
        q = wp.vec3(b[0] / h0[2], b[1] / h1[2], b[2] / h2[2])
        total = q[0] + q[1] + q[2]
        du = (q[1] + q[2]) / total
        dv = q[2] / total
        seen = q[0] * w[0] + q[1] * w[1] + q[2] * w[2]
    else:
        b = barycentric(p0, p2, p3, p)
        q = wp.vec3(b[0] / h0[2], b[1] / h2[2], b[2] / h3[2])
        total = q[0] + q[1] + q[2]
        du = q[1] / total
        dv = (q[1] + q[2]) / total
        seen = q[0] * w[0] + q[1] * w[2] + q[2] * w[3]
    du = wp.clamp(du, 0.0, 1.0)
    dv = wp.clamp(dv, 0.0, 1.0)
    u = float(x) + du
    v = float(y) + dv
    gu = 0.5 * (w[1] - w[0] + w[2] - w[3])
    gv = 0.5 * (w[3] - w[0] + w[2] - w[1])
    here = 0.25 * (w[0] + w[1] + w[2] + w[3]) + gu * (du - 0.5) + gv * (dv - 0.5)
    # Source pixels per target pixel: the inverse of the quad's edges in the target.
    eu = p1 - p0
    ev = p3 - p0
    area = wp.max(wp.abs(eu[0] * ev[1] - eu[1] * ev[0]), 1.0e-6)
    radius_u = (wp.abs(ev[0]) + wp.abs(ev[1])) / area
    radius_v = (wp.abs(eu[0]) + wp.abs(eu[1])) / area
    mark = surface.backstage * _BACKSTAGE
    colour = wp.vec4(0.0, 0.0, 0.0, 0.0)
    if int(surface.side[y, x]) == _NEAR:
        scale = magnification(m, shift, w[0], h0[2])
        if opened(
            m, shift, float(x) + 0.5, float(y) + 0.5, surface.texture[y, x][3], surface.other[i], scale
        ):
            mark = _NEAR
            colour = sample(surface.texture, surface.side, u, v, here, gu, gv, 1.0, 1.0, True)
    if colour[3] == 0.0:
        colour = sample(surface.texture, surface.side, u, v, here, gu, gv, radius_u, radius_v, False)
    if colour[3] == 0.0:
        tap = surface.texture[y, x]
        colour = wp.vec4(tap[0], tap[1], tap[2], 1.0)
    image[ty, tx] = wp.vec3(
        wp.clamp(colour[0], 0.0, 255.0), wp.clamp(colour[1], 0.0, 255.0), wp.clamp(colour[2], 0.0, 255.0)
    )
    disparity[ty, tx] = wp.max(seen, 0.0)
    seen_side[ty, tx] = mark
