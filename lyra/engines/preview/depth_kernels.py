"""Warp kernels of lyra.engines.preview.depth_fill."""

import warp as wp

# Unrolling loops and generating adjoints would make compilation ten times slower.
wp.set_module_options({"max_unroll": 4, "enable_backward": False})

KNOWN = 0
UNKNOWN = 1
NEAR_THING = 2

_KNOWN = wp.constant(KNOWN)
_UNKNOWN = wp.constant(UNKNOWN)
_NEAR_THING = wp.constant(NEAR_THING)
_DIRECTIONS = wp.constant(20)


@wp.kernel
def fit_slopes(
    disparity: wp.array2d(dtype=float),
    state: wp.array2d(dtype=wp.uint8),
    reach: int,
    slopes: wp.array2d(dtype=wp.vec2),
):
    """Least-squares slope of disparity around each known pixel on a rim, over the pixels of its own surface."""
    y, x = wp.tid()
    slopes[y, x] = wp.vec2(0.0, 0.0)
    if int(state[y, x]) != _KNOWN:
        return
    rim = bool(False)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            if y + dy >= 0 and x + dx >= 0 and y + dy < state.shape[0] and x + dx < state.shape[1]:
                if int(state[y + dy, x + dx]) == _UNKNOWN:
                    rim = True
    w = disparity[y, x]
    if not rim or w <= 0.0:
        return
    sum_x = float(0.0)
    sum_y = float(0.0)
    xx = float(0.0)
    xy = float(0.0)
    yy = float(0.0)
    for iy in range(-4, 5):
        for ix in range(-4, 5):
            dy = iy * reach / 4
            dx = ix * reach / 4
            if y + dy >= 0 and x + dx >= 0 and y + dy < state.shape[0] and x + dx < state.shape[1]:
                v = disparity[y + dy, x + dx]
                # Distant samples may differ more, as they do on a slanted plane.
                away = wp.sqrt(float(dx * dx + dy * dy)) / float(reach)
                if int(state[y + dy, x + dx]) == _KNOWN and wp.abs(v - w) < (0.03 + 0.12 * away) * wp.max(
                    v, w
                ):
                    fx = float(dx)
                    fy = float(dy)
                    sum_x += fx * (v - w)
                    sum_y += fy * (v - w)
                    xx += fx * fx
                    xy += fx * fy
                    yy += fy * fy
    # Damping keeps thin supports from producing arbitrary slopes.
    damping = 4.0 * float(reach)
    xx += damping
    yy += damping
    determinant = xx * yy - xy * xy
    slopes[y, x] = wp.vec2((yy * sum_x - xy * sum_y) / determinant, (xx * sum_y - xy * sum_x) / determinant)


@wp.kernel
def extrapolate(
    pixels: wp.array(dtype=int),
    disparity: wp.array2d(dtype=float),
    state: wp.array2d(dtype=wp.uint8),
    slopes: wp.array2d(dtype=wp.vec2),
    trust: float,
    result: wp.array(dtype=float),
):
    """Disparity in a hole, extrapolated from the surfaces around it without the foreground.

    Marches along rays in the image to the first background surface; each is continued as a plane for about `trust`
    pixels. -1 where no ray finds a surface.
    """
    i = wp.tid()
    width = disparity.shape[1]
    height = disparity.shape[0]
    x = pixels[i] % width
    y = pixels[i] / width
    found = wp.vector(dtype=float, length=20)
    weight = wp.vector(dtype=float, length=20)
    least = float(1.0e30)
    sky = float(0.0)
    solid = float(0.0)
    for k in range(_DIRECTIONS):
        angle = 6.2831853 * (float(k) + 0.5) / 20.0
        sx = wp.cos(angle)
        sy = wp.sin(angle)
        longest = wp.max(wp.abs(sx), wp.abs(sy))
        sx = sx / longest
        sy = sy / longest
        fx = float(x)
        fy = float(y)
        passing = float(-1.0)
        looking = int(1)
        stride = float(1.0)
        while looking == 1:
            fx += sx * stride
            fy += sy * stride
            px = int(wp.round(fx))
            py = int(wp.round(fy))
            if px < 0 or py < 0 or px >= width or py >= height:
                looking = 0
            else:
                what = int(state[py, px])
                w = disparity[py, px]
                if what == _NEAR_THING:
                    passing = wp.max(passing, w)
                elif what == _KNOWN:
                    # A ray that meets foreground continues until the foreground ends.
                    if passing < 0.0 or w < 0.85 * passing:
                        looking = 2
                        g = slopes[py, px]
                        dx = float(x - px)
                        dy = float(y - py)
                        away = wp.sqrt(dx * dx + dy * dy)
                        far = trust * wp.tanh(away / trust) / wp.max(away, 1.0e-3)
                        guess = wp.clamp(w + far * (g[0] * dx + g[1] * dy), 0.35 * w, 2.5 * w)
                        share = 1.0 / (away * away)
                        if passing >= 0.0:
                            share *= 0.25
                        found[k] = guess
                        weight[k] = share
                        if w == 0.0:
                            sky += share
                        else:
                            solid += share
                            least = wp.min(least, guess)
                elif what == _UNKNOWN:
                    passing = -1.0
            # Farther away, larger steps suffice.
            stride = wp.clamp(wp.floor(wp.max(wp.abs(fx - float(x)), wp.abs(fy - float(y))) / 32.0), 1.0, 4.0)
    if sky + solid <= 0.0:
        result[i] = -1.0
        return
    if sky > solid:
        result[i] = 0.0
        return
    total = float(0.0)
    weights = float(0.0)
    for k in range(_DIRECTIONS):
        if weight[k] > 0.0 and found[k] > 0.0:
            # Of surfaces at the same image distance, the farther one is more likely to continue behind.
            farther = (least / found[k]) * (least / found[k])
            share = weight[k] * farther * farther
            total += share * found[k]
            weights += share
    result[i] = total / weights


@wp.kernel
def push_behind(
    pixels: wp.array(dtype=int),
    width: int,
    witness: wp.array2d(dtype=float),
    m: wp.mat33,
    shift: wp.vec3,
    disparity: wp.array(dtype=float),
):
    """Moves filled pixels back along their rays until they occlude nothing visible to the witness."""
    i = wp.tid()
    u = float(pixels[i] % width) + 0.5
    v = float(pixels[i] / width) + 0.5
    base = m * wp.vec3(u, v, 1.0)
    w = disparity[i]
    for _step in range(120):
        h = base + shift * w
        hides = bool(False)
        if w > 0.0 and h[2] > 1.0e-6:
            x = int(wp.floor(h[0] / h[2]))
            y = int(wp.floor(h[1] / h[2]))
            if x >= 0 and y >= 0 and x < witness.shape[1] and y < witness.shape[0]:
                seen = witness[y, x]
                if seen >= 0.0 and w / h[2] > 1.03 * seen:
                    hides = True
        if not hides:
            disparity[i] = w
            return
        w = 0.96 * w
    disparity[i] = 0.0


@wp.kernel
def smooth(
    index: wp.array2d(dtype=int),
    pixels: wp.array(dtype=int),
    inside: wp.array(dtype=float),
    step: int,
    source: wp.array(dtype=float),
    target: wp.array(dtype=float),
):
    """Mean of the 5 x 5 filled pixels `step` apart that are of the same kind (sky or not) and differ little.

    `inside` is a pixel's distance from the rim; wide steps are taken well inside only.
    """
    i = wp.tid()
    x = pixels[i] % index.shape[1]
    y = pixels[i] / index.shape[1]
    w = source[i]
    target[i] = w
    if w <= 0.0 or (step > 1 and inside[i] < 2.0 * float(step)):
        return
    total = float(0.0)
    count = float(0.0)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            py = y + step * dy
            px = x + step * dx
            if py >= 0 and px >= 0 and py < index.shape[0] and px < index.shape[1]:
                j = index[py, px]
                if j >= 0:
                    v = source[j]
                    if v > 0.0 and wp.abs(v - w) < 0.3 * wp.max(v, w):
                        total += v
                        count += 1.0
    target[i] = total / count
