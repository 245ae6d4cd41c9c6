"""Warp kernels that build a surface from an image with disparity: shared corners and bands along depth edges."""

import warp as wp

# Unrolling loops and generating adjoints would make compilation ten times slower.
wp.set_module_options({"max_unroll": 4, "enable_backward": False})

NEAR_SIDE = 1
FAR_SIDE = 2
# Not a side of an edge: a surface that yields to others, as what was prepared behind the source image does.
BACKSTAGE = 3

_NEAR = wp.constant(NEAR_SIDE)
_FAR = wp.constant(FAR_SIDE)


@wp.func
def disparity_at(texture: wp.array2d(dtype=wp.vec4), y: int, x: int):
    """Disparity of a pixel; -1 outside the image."""
    if y < 0 or x < 0 or y >= texture.shape[0] or x >= texture.shape[1]:
        return -1.0
    return texture[y, x][3]


@wp.func
def limited(back: float, forward: float):
    if back * forward <= 0.0:
        return 0.0
    if wp.abs(back) < wp.abs(forward):
        return back
    return forward


@wp.func
def slope(texture: wp.array2d(dtype=wp.vec4), y: int, x: int, w: float):
    """Disparity per pixel along x and y: the flatter one-sided slope of each, which never crosses an edge."""
    left = disparity_at(texture, y, x - 1)
    right = disparity_at(texture, y, x + 1)
    up = disparity_at(texture, y - 1, x)
    down = disparity_at(texture, y + 1, x)
    dx = float(0.0)
    dy = float(0.0)
    if left >= 0.0 and right >= 0.0:
        dx = limited(w - left, right - w)
    if up >= 0.0 and down >= 0.0:
        dy = limited(w - up, down - w)
    return wp.vec2(dx, dy)


@wp.func
def differ(a: float, b: float, share: float):
    return wp.abs(a - b) > share * wp.max(a, b)


@wp.func
def corner_disparity(texture: wp.array2d(dtype=wp.vec4), y: int, x: int, member: int, join: float):
    """Disparity at the corner (x, y) between four pixels, averaged over those on one surface with `member`."""
    guess = wp.vec4(-1.0, -1.0, -1.0, -1.0)
    for i in range(4):
        px = x - 1 + i % 2
        py = y - 1 + i / 2
        w = disparity_at(texture, py, px)
        if w >= 0.0:
            g = slope(texture, py, px, w)
            guess[i] = wp.max(w + g[0] * (0.5 - float(i % 2)) + g[1] * (0.5 - float(i / 2)), 0.0)
    chosen = wp.vec4(0.0, 0.0, 0.0, 0.0)
    chosen[member] = 1.0
    for _pass in range(3):
        for i in range(4):
            if chosen[i] == 0.0 and guess[i] >= 0.0:
                for j in range(4):
                    if chosen[j] == 1.0 and not differ(guess[i], guess[j], join):
                        chosen[i] = 1.0
    total = float(0.0)
    count = float(0.0)
    for i in range(4):
        total += chosen[i] * guess[i]
        count += chosen[i]
    return total / count


@wp.kernel
def build_surface(
    pixels: wp.array(dtype=int),
    texture: wp.array2d(dtype=wp.vec4),
    join: float,
    step: float,
    near_band: int,
    far_band: int,
    corners: wp.array(dtype=wp.vec4),
    other: wp.array(dtype=float),
    side: wp.array2d(dtype=wp.uint8),
):
    i = wp.tid()
    x = pixels[i] % texture.shape[1]
    y = pixels[i] / texture.shape[1]
    w = texture[y, x][3]
    corners[i] = wp.vec4(
        corner_disparity(texture, y, x, 3, join),
        corner_disparity(texture, y, x + 1, 2, join),
        corner_disparity(texture, y + 1, x + 1, 0, join),
        corner_disparity(texture, y + 1, x, 1, join),
    )
    g = slope(texture, y, x, w)
    nearest = w
    farthest = w
    reach = wp.max(near_band, far_band)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            v = disparity_at(texture, y + dy, x + dx)
            if v >= 0.0 and differ(v, w, step):
                expected = w + g[0] * float(dx) + g[1] * float(dy)
                h = slope(texture, y + dy, x + dx, v)
                back = v - h[0] * float(dx) - h[1] * float(dy)
                if differ(expected, v, step) and differ(back, w, step):
                    away = wp.max(wp.abs(dx), wp.abs(dy))
                    if v > w and away <= far_band:
                        nearest = wp.max(nearest, v)
                    if v < w and away <= near_band:
                        farthest = wp.min(farthest, v)
    # A pixel between two edges is blended with the nearer surface.
    if nearest > w:
        side[y, x] = wp.uint8(_FAR)
        other[i] = nearest
    elif farthest < w:
        side[y, x] = wp.uint8(_NEAR)
        other[i] = farthest
