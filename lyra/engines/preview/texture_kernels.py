"""Warp kernels of lyra.engines.preview.texture_fill: PatchMatch, deterministic for any number of threads.

Matches are read from one array and written to another, so results do not depend on the order of execution. After
Barnes et al., "PatchMatch" (2009), and Wexler et al., "Space-Time Completion of Video" (2007).
"""

import warp as wp

# Unrolling loops and generating adjoints would make compilation ten times slower.
wp.set_module_options({"max_unroll": 4, "enable_backward": False})

PATCH_RADIUS = 3

_RADIUS = wp.constant(PATCH_RADIUS)
_HUGE = wp.constant(1.0e9)
# Cost of a source one image width away: textures tend to continue from what is next to them.
_LOCALITY = wp.constant(0.02)


@wp.func
def patch_cost(
    image: wp.array2d(dtype=wp.vec3),
    trust: wp.array2d(dtype=float),
    disparity: wp.array2d(dtype=float),
    guide: wp.array2d(dtype=wp.vec3),
    ty: int,
    tx: int,
    sy: int,
    sx: int,
):
    """Mean squared colour difference of two patches plus the difference of their guide channels.

    Pixels clearly nearer than the target's centre belong to another object and are ignored.
    """
    limit = 1.25 * disparity[ty, tx] + 1.0e-9
    total = float(0.0)
    weights = float(1.0e-6)
    for dy in range(-_RADIUS, _RADIUS + 1):
        y = ty + dy
        if y >= 0 and y < image.shape[0]:
            for dx in range(-_RADIUS, _RADIUS + 1):
                x = tx + dx
                if x >= 0 and x < image.shape[1]:
                    weight = trust[y, x]
                    if weight > 0.0 and disparity[y, x] <= limit:
                        difference = image[y, x] - image[sy + dy, sx + dx]
                        total += weight * wp.dot(difference, difference)
                        weights += weight
    away = guide[ty, tx] - guide[sy, sx]
    across = wp.vec2(float(ty - sy), float(tx - sx)) / float(image.shape[1])
    return total / weights + wp.dot(away, away) + _LOCALITY * wp.dot(across, across)


@wp.func
def try_match(
    image: wp.array2d(dtype=wp.vec3),
    trust: wp.array2d(dtype=float),
    disparity: wp.array2d(dtype=float),
    guide: wp.array2d(dtype=wp.vec3),
    usable: wp.array2d(dtype=wp.uint8),
    ty: int,
    tx: int,
    sy: int,
    sx: int,
    best: wp.vec2i,
    cost: float,
):
    if sy < 0 or sx < 0 or sy >= image.shape[0] or sx >= image.shape[1]:
        return wp.vec3(float(best[0]), float(best[1]), cost)
    if usable[sy, sx] == wp.uint8(0) or (sy == best[0] and sx == best[1]):
        return wp.vec3(float(best[0]), float(best[1]), cost)
    new = patch_cost(image, trust, disparity, guide, ty, tx, sy, sx)
    if new < cost:
        return wp.vec3(float(sy), float(sx), new)
    return wp.vec3(float(best[0]), float(best[1]), cost)


@wp.kernel
def start_matches(
    pixels: wp.array(dtype=int),
    sources: wp.array(dtype=int),
    image: wp.array2d(dtype=wp.vec3),
    trust: wp.array2d(dtype=float),
    disparity: wp.array2d(dtype=float),
    guide: wp.array2d(dtype=wp.vec3),
    seed: int,
    trials: int,
    matches: wp.array2d(dtype=wp.vec2i),
):
    """Initialises unmatched (-1, -1) target pixels with the best of `trials` random sources."""
    i = wp.tid()
    width = image.shape[1]
    x = pixels[i] % width
    y = pixels[i] / width
    if matches[y, x][0] >= 0:
        return
    state = wp.rand_init(seed, pixels[i])
    best = wp.vec2i(-1, -1)
    cost = float(_HUGE)
    for _trial in range(trials):
        source = sources[wp.min(int(wp.randf(state) * float(sources.shape[0])), sources.shape[0] - 1)]
        sy = source / width
        sx = source % width
        new = patch_cost(image, trust, disparity, guide, y, x, sy, sx)
        if new < cost:
            cost = new
            best = wp.vec2i(sy, sx)
    matches[y, x] = best


@wp.kernel
def improve_matches(
    pixels: wp.array(dtype=int),
    image: wp.array2d(dtype=wp.vec3),
    trust: wp.array2d(dtype=float),
    disparity: wp.array2d(dtype=float),
    guide: wp.array2d(dtype=wp.vec3),
    usable: wp.array2d(dtype=wp.uint8),
    jump: int,
    search: float,
    seed: int,
    matches: wp.array2d(dtype=wp.vec2i),
    improved: wp.array2d(dtype=wp.vec2i),
    costs: wp.array2d(dtype=float),
):
    """One round: propagation from neighbours `jump` pixels away, then random search in a shrinking radius `search`."""
    i = wp.tid()
    width = image.shape[1]
    x = pixels[i] % width
    y = pixels[i] / width
    best = matches[y, x]
    cost = patch_cost(image, trust, disparity, guide, y, x, best[0], best[1])
    for k in range(4):
        dy = int(0)
        dx = jump
        if k % 2 == 1:
            dy = jump
            dx = 0
        if k >= 2:
            dy = -dy
            dx = -dx
        if y + dy >= 0 and x + dx >= 0 and y + dy < image.shape[0] and x + dx < width:
            other = matches[y + dy, x + dx]
            if other[0] >= 0:
                r = try_match(
                    image, trust, disparity, guide, usable, y, x, other[0] - dy, other[1] - dx, best, cost
                )
                best = wp.vec2i(int(r[0]), int(r[1]))
                cost = r[2]
    state = wp.rand_init(seed, pixels[i])
    radius = search
    while radius >= 1.0:
        sy = best[0] + int(wp.round((2.0 * wp.randf(state) - 1.0) * radius))
        sx = best[1] + int(wp.round((2.0 * wp.randf(state) - 1.0) * radius))
        r = try_match(image, trust, disparity, guide, usable, y, x, sy, sx, best, cost)
        best = wp.vec2i(int(r[0]), int(r[1]))
        cost = r[2]
        radius *= 0.5
    improved[y, x] = best
    costs[y, x] = cost


@wp.kernel
def vote(
    pixels: wp.array(dtype=int),
    image: wp.array2d(dtype=wp.vec3),
    trust: wp.array2d(dtype=float),
    disparity: wp.array2d(dtype=float),
    matches: wp.array2d(dtype=wp.vec2i),
    costs: wp.array2d(dtype=float),
    sharpness: float,
    voted: wp.array(dtype=wp.vec3),
):
    """Weighted mean of the colours that the patches covering a pixel propose, by their cost and trust."""
    i = wp.tid()
    x = pixels[i] % image.shape[1]
    y = pixels[i] / image.shape[1]
    total = wp.vec3(0.0, 0.0, 0.0)
    weights = float(0.0)
    w = disparity[y, x]
    for dy in range(-_RADIUS, _RADIUS + 1):
        for dx in range(-_RADIUS, _RADIUS + 1):
            py = y + dy
            px = x + dx
            if py >= 0 and px >= 0 and py < image.shape[0] and px < image.shape[1]:
                match = matches[py, px]
                if match[0] >= 0 and w <= 1.25 * disparity[py, px] + 1.0e-9:
                    near = float(dy * dy + dx * dx)
                    weight = trust[py, px] * wp.exp(-costs[py, px] * sharpness - 0.1 * near) + 1.0e-9
                    total += weight * image[match[0] - dy, match[1] - dx]
                    weights += weight
    if weights > 0.0:
        voted[i] = total / weights
    else:
        match = matches[y, x]
        voted[i] = image[match[0], match[1]]


@wp.kernel
def write_pixels(
    pixels: wp.array(dtype=int), colours: wp.array(dtype=wp.vec3), image: wp.array2d(dtype=wp.vec3)
):
    i = wp.tid()
    image[pixels[i] / image.shape[1], pixels[i] % image.shape[1]] = colours[i]
