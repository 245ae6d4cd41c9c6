"""Warp kernel of lyra.engines.preview.tiles."""

import warp as wp

# Unrolling loops and generating adjoints would make compilation ten times slower.
wp.set_module_options({"max_unroll": 4, "enable_backward": False})

_SKEW = wp.constant(0.5773502691896258)
_ROW = wp.constant(0.8660254037844386)


@wp.func
def bilinear(grid: wp.array2d(dtype=wp.vec4), row: float, column: float):
    """The grid at a position in pixels, clamped to it."""
    y = wp.clamp(row, 0.0, float(grid.shape[0] - 1))
    x = wp.clamp(column, 0.0, float(grid.shape[1] - 1))
    y0 = int(y)
    x0 = int(x)
    y1 = wp.min(y0 + 1, grid.shape[0] - 1)
    x1 = wp.min(x0 + 1, grid.shape[1] - 1)
    fy = y - float(y0)
    fx = x - float(x0)
    upper = grid[y0, x0] * (1.0 - fx) + grid[y0, x1] * fx
    lower = grid[y1, x0] * (1.0 - fx) + grid[y1, x1] * fx
    return upper * (1.0 - fy) + lower * fy


@wp.kernel
def paint_tiles(
    at: wp.array(dtype=wp.vec2),
    strength: wp.array(dtype=float),
    detail: wp.array2d(dtype=wp.vec4),
    low: wp.array2d(dtype=wp.vec4),
    low_origin: wp.vec2,
    low_cell: float,
    cell: wp.vec2,
    first: wp.vec2i,
    sources: wp.array2d(dtype=wp.vec2),
    painted: wp.array(dtype=wp.vec4),
):
    """Low-frequency colour plus the detail of the three tiles around each position.

    `at` are (row, column) in the example's pixels; `detail` holds colour and validity; tile (j, i) of the triangular
    lattice shows the example around `sources[j - first[0], i - first[1]]`. Where no tile is valid, detail is 0.
    """
    n = wp.tid()
    row = at[n][0]
    column = at[n][1]
    base = bilinear(low, (row - low_origin[0]) / low_cell, (column - low_origin[1]) / low_cell)
    sx = column / cell[1]
    sy = row / cell[0]
    px = sx - _SKEW * sy
    py = 2.0 * _SKEW * sy
    i0 = int(wp.floor(px))
    j0 = int(wp.floor(py))
    fx = px - float(i0)
    fy = py - float(j0)
    third = 1.0 - fx - fy
    total = wp.vec3(0.0, 0.0, 0.0)
    squares = float(0.0)
    for k in range(3):
        i = i0
        j = j0
        weight = third
        if third > 0.0:
            if k == 1:
                j = j0 + 1
                weight = fy
            if k == 2:
                i = i0 + 1
                weight = fx
        else:
            i = i0 + 1
            j = j0 + 1
            weight = -third
            if k == 1:
                j = j0
                weight = 1.0 - fy
            if k == 2:
                i = i0
                weight = 1.0 - fx
        jj = wp.clamp(j - first[0], 0, sources.shape[0] - 1)
        ii = wp.clamp(i - first[1], 0, sources.shape[1] - 1)
        source = sources[jj, ii]
        y = source[0] + row - float(j) * _ROW * cell[0]
        x = source[1] + column - (float(i) + 0.5 * float(j)) * cell[1]
        if y >= 0.0 and x >= 0.0 and y <= float(detail.shape[0] - 1) and x <= float(detail.shape[1] - 1):
            d = bilinear(detail, y, x)
            # Squared weights show more of one tile and less of a blend.
            w = weight * weight * d[3]
            total += w * wp.vec3(d[0], d[1], d[2])
            squares += w * w
    if squares > 1.0e-12:
        total = total * (strength[n] / wp.sqrt(squares))
    else:
        total = wp.vec3(0.0, 0.0, 0.0)
    painted[n] = wp.vec4(base[0] + total[0], base[1] + total[1], base[2] + total[2], base[3])
