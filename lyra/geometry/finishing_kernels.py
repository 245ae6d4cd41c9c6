"""Warp kernels that post-process a rasterized view: crack closing, silhouette antialiasing, hole filling."""

import warp as wp

from lyra.geometry.surface_kernels import BACKSTAGE, NEAR_SIDE, differ

# Unrolling loops and generating adjoints would make compilation ten times slower.
wp.set_module_options({"max_unroll": 4, "enable_backward": False})

_NEAR = wp.constant(NEAR_SIDE)
_BACKSTAGE = wp.constant(BACKSTAGE)


@wp.func
def across_crack(disparity: wp.array2d(dtype=float), side: wp.array2d(dtype=int), y: int, x: int):
    """The closest pair of pixels of one surface on opposite sides of this hole of one or two pixels.

    What is seen through a crack of another surface, backstage, counts as a hole.

    Returns the direction (dy, dx) and the steps back and forward along it; zeros if there is no such pair.
    """
    best = int(4)
    found = wp.vec4i(0, 0, 0, 0)
    for direction in range(4):
        dx = int(1)
        dy = int(0)
        if direction == 1:
            dx = 0
            dy = 1
        if direction == 2:
            dy = 1
        if direction == 3:
            dy = -1
        for back in range(1, 3):
            for forward in range(1, 4 - back):
                yb = y - dy * back
                xb = x - dx * back
                yf = y + dy * forward
                xf = x + dx * forward
                inside = wp.min(wp.min(yb, yf), wp.min(xb, xf)) >= 0
                inside = inside and wp.max(yb, yf) < disparity.shape[0]
                inside = inside and wp.max(xb, xf) < disparity.shape[1]
                if inside and back + forward < best:
                    wb = disparity[yb, xb]
                    wf = disparity[yf, xf]
                    seen = side[y, x] != _BACKSTAGE
                    seen = seen or (side[yb, xb] != _BACKSTAGE and side[yf, xf] != _BACKSTAGE)
                    if seen and wb >= 0.0 and wf >= 0.0 and not differ(wb, wf, 0.1):
                        best = back + forward
                        found = wp.vec4i(dy, dx, back, forward)
    return found


@wp.kernel
def mark_holes(
    disparity: wp.array2d(dtype=float), side: wp.array2d(dtype=int), hole: wp.array2d(dtype=wp.uint8)
):
    """Marks with 1 the empty pixels that `close_cracks` does not fill; `side` is 0 everywhere."""
    y, x = wp.tid()
    hole[y, x] = wp.uint8(0)
    if disparity[y, x] < 0.0 and across_crack(disparity, side, y, x)[2] == 0:
        hole[y, x] = wp.uint8(1)


@wp.kernel
def close_cracks(
    image: wp.array2d(dtype=wp.vec3),
    disparity: wp.array2d(dtype=float),
    side: wp.array2d(dtype=int),
    closed_image: wp.array2d(dtype=wp.vec3),
    closed_disparity: wp.array2d(dtype=float),
    closed_side: wp.array2d(dtype=int),
):
    """Fills holes of one or two pixels within one surface by interpolating across them."""
    y, x = wp.tid()
    closed_image[y, x] = image[y, x]
    closed_disparity[y, x] = disparity[y, x]
    closed_side[y, x] = side[y, x]
    if disparity[y, x] >= 0.0 and side[y, x] != _BACKSTAGE:
        return
    crack = across_crack(disparity, side, y, x)
    if crack[2] == 0:
        return
    yb = y - crack[0] * crack[2]
    xb = x - crack[1] * crack[2]
    yf = y + crack[0] * crack[3]
    xf = x + crack[1] * crack[3]
    t = float(crack[2]) / float(crack[2] + crack[3])
    closed_side[y, x] = 0
    closed_image[y, x] = (1.0 - t) * image[yb, xb] + t * image[yf, xf]
    closed_disparity[y, x] = (1.0 - t) * disparity[yb, xb] + t * disparity[yf, xf]


@wp.kernel
def soften_silhouettes(
    image: wp.array2d(dtype=wp.vec3),
    disparity: wp.array2d(dtype=float),
    side: wp.array2d(dtype=int),
    softened: wp.array2d(dtype=wp.vec3),
):
    """Applies a 3x3 binomial filter to the pixels on either side of a disoccluded silhouette."""
    y, x = wp.tid()
    softened[y, x] = image[y, x]
    w = disparity[y, x]
    if w < 0.0 or y == 0 or x == 0 or y == image.shape[0] - 1 or x == image.shape[1] - 1:
        return
    edge = bool(False)
    for direction in range(4):
        dy = (direction / 2) * (2 * (direction % 2) - 1)
        dx = (1 - direction / 2) * (2 * (direction % 2) - 1)
        v = disparity[y + dy, x + dx]
        if v >= 0.0 and differ(v, w, 0.05):
            if (v > w and side[y + dy, x + dx] == _NEAR) or (v < w and side[y, x] == _NEAR):
                edge = True
    if not edge:
        return
    total = wp.vec3(0.0, 0.0, 0.0)
    weights = float(0.0)
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            if disparity[y + dy, x + dx] >= 0.0:
                weight = float((2 - wp.abs(dx)) * (2 - wp.abs(dy)))
                total += weight * image[y + dy, x + dx]
                weights += weight
    softened[y, x] = total / weights


@wp.kernel
def grow_rim(
    image: wp.array2d(dtype=wp.vec3),
    disparity: wp.array2d(dtype=float),
    side: wp.array2d(dtype=int),
    grown_image: wp.array2d(dtype=wp.vec3),
    grown_disparity: wp.array2d(dtype=float),
    grown_side: wp.array2d(dtype=int),
):
    """Fills hole pixels that touch the rim with the mean of their farther known neighbours."""
    y, x = wp.tid()
    grown_image[y, x] = image[y, x]
    grown_disparity[y, x] = disparity[y, x]
    grown_side[y, x] = side[y, x]
    if disparity[y, x] >= 0.0:
        return
    farthest = float(1.0e30)
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            if y + dy >= 0 and x + dx >= 0 and y + dy < image.shape[0] and x + dx < image.shape[1]:
                v = disparity[y + dy, x + dx]
                if v >= 0.0:
                    farthest = wp.min(farthest, v)
    if farthest > 1.0e29:
        return
    total = wp.vec3(0.0, 0.0, 0.0)
    depth = float(0.0)
    count = float(0.0)
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            if y + dy >= 0 and x + dx >= 0 and y + dy < image.shape[0] and x + dx < image.shape[1]:
                v = disparity[y + dy, x + dx]
                if v >= 0.0 and v <= 1.15 * farthest:
                    total += image[y + dy, x + dx]
                    depth += v
                    count += 1.0
    grown_image[y, x] = total / count
    grown_disparity[y, x] = depth / count
