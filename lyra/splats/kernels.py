"""Warp kernels of the tile rasterizer: project, bin, composite, and gather residuals per Gaussian.

Elliptical weighted average splatting as in 3D Gaussian Splatting (Kerbl et al. 2023, section 6): each Gaussian is
projected with the Jacobian of the pinhole at its mean, widened by a low-pass of 0.3 px² and composited front to
back. One thread composites one tile, splat by splat: splats of pixel size cover few pixels, so this is cheaper than
testing every splat of a tile at every pixel.
"""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})

TILE = wp.constant(wp.int32(16))
NEAR = wp.constant(wp.float32(1e-3))
LOW_PASS = wp.constant(wp.float32(0.3))
MIN_ALPHA = wp.constant(wp.float32(1.0 / 255.0))
MAX_ALPHA = wp.constant(wp.float32(0.999))
# A pixel with less transmittance than this is finished.
MIN_TRANSMITTANCE = wp.constant(wp.float32(1e-3))
# Beyond this multiple of the half field of view the linearised projection is clamped, as in 3DGS.
FRUSTUM_MARGIN = wp.constant(wp.float32(1.3))
CULLED_DEPTH = wp.constant(wp.float32(3.0e38))


@wp.struct
class TileCamera:
    """A pinhole camera: rotation and translation of w2c, focal lengths and principal point in pixels, size."""

    rotation: wp.mat33
    translation: wp.vec3
    fx: wp.float32
    fy: wp.float32
    cx: wp.float32
    cy: wp.float32
    width: wp.int32
    height: wp.int32
    tiles_x: wp.int32
    tiles_y: wp.int32


@wp.func
def projected_covariance(camera: TileCamera, point: wp.vec3, covariance: wp.mat33) -> wp.vec3:
    """The 2D covariance (xx, xy, yy) in pixels², low-pass included, of a covariance in camera axes at `point`."""
    inv_z = wp.float32(1.0) / point[2]
    limit_x = FRUSTUM_MARGIN * wp.max(camera.cx, wp.float32(camera.width) - camera.cx) / camera.fx
    limit_y = FRUSTUM_MARGIN * wp.max(camera.cy, wp.float32(camera.height) - camera.cy) / camera.fy
    x = wp.clamp(point[0] * inv_z, -limit_x, limit_x)
    y = wp.clamp(point[1] * inv_z, -limit_y, limit_y)
    row_u = wp.vec3(camera.fx * inv_z, wp.float32(0.0), -camera.fx * x * inv_z)
    row_v = wp.vec3(wp.float32(0.0), camera.fy * inv_z, -camera.fy * y * inv_z)
    on_u = covariance * row_u
    on_v = covariance * row_v
    return wp.vec3(wp.dot(row_u, on_u) + LOW_PASS, wp.dot(row_u, on_v), wp.dot(row_v, on_v) + LOW_PASS)


@wp.kernel(enable_backward=False)
def project_gaussians(
    camera: TileCamera,
    means: wp.array(dtype=wp.vec3),
    log_scales: wp.array(dtype=wp.vec3),
    rotations: wp.array(dtype=wp.vec4),
    opacity_logits: wp.array(dtype=wp.float32),
    depth_keys: wp.array(dtype=wp.float32),
    order: wp.array(dtype=wp.int32),
    splats: wp.array(dtype=wp.vec4),
    conics: wp.array(dtype=wp.vec3),
    tile_bounds: wp.array(dtype=wp.vec4i),
    tile_counts: wp.array(dtype=wp.int32),
):
    """Per Gaussian: splat (x, y, z, opacity), inverse covariance, the tiles it covers (x0, y0, x1, y1)."""
    g = wp.tid()
    order[g] = g
    depth_keys[g] = CULLED_DEPTH
    tile_counts[g] = 0
    point = camera.rotation * means[g] + camera.translation
    opacity = wp.min(wp.float32(1.0) / (wp.float32(1.0) + wp.exp(-opacity_logits[g])), MAX_ALPHA)
    if point[2] > NEAR and opacity > MIN_ALPHA:
        wxyz = rotations[g]
        scale = log_scales[g]
        basis = camera.rotation * wp.quat_to_matrix(wp.quat(wxyz[1], wxyz[2], wxyz[3], wxyz[0]))
        scaled = basis * wp.diag(wp.vec3(wp.exp(scale[0]), wp.exp(scale[1]), wp.exp(scale[2])))
        cov = projected_covariance(camera, point, scaled * wp.transpose(scaled))
        determinant = cov[0] * cov[2] - cov[1] * cov[1]
        u = camera.fx * point[0] / point[2] + camera.cx
        v = camera.fy * point[1] / point[2] + camera.cy
        # Outside this ellipse the Gaussian's alpha is below MIN_ALPHA.
        reach = wp.float32(2.0) * wp.log(opacity / MIN_ALPHA)
        half_u = wp.sqrt(reach * cov[0])
        half_v = wp.sqrt(reach * cov[2])
        visible = u + half_u > wp.float32(0.0) and u - half_u < wp.float32(camera.width)
        visible = visible and v + half_v > wp.float32(0.0) and v - half_v < wp.float32(camera.height)
        if visible and determinant > wp.float32(0.0):
            tile = wp.float32(TILE)
            x0 = wp.int32(wp.max((u - half_u) / tile, wp.float32(0.0)))
            y0 = wp.int32(wp.max((v - half_v) / tile, wp.float32(0.0)))
            x1 = wp.int32(wp.min((u + half_u) / tile, wp.float32(camera.tiles_x - 1))) + 1
            y1 = wp.int32(wp.min((v + half_v) / tile, wp.float32(camera.tiles_y - 1))) + 1
            splats[g] = wp.vec4(u, v, point[2], opacity)
            conics[g] = wp.vec3(cov[2] / determinant, -cov[1] / determinant, cov[0] / determinant)
            tile_bounds[g] = wp.vec4i(x0, y0, x1, y1)
            tile_counts[g] = (x1 - x0) * (y1 - y0)
            depth_keys[g] = point[2]


@wp.kernel(enable_backward=False)
def reorder_counts(
    order: wp.array(dtype=wp.int32), counts: wp.array(dtype=wp.int32), ordered: wp.array(dtype=wp.int32)
):
    i = wp.tid()
    ordered[i] = counts[order[i]]


@wp.kernel(enable_backward=False)
def emit_pairs(
    order: wp.array(dtype=wp.int32),
    ends: wp.array(dtype=wp.int32),
    tile_bounds: wp.array(dtype=wp.vec4i),
    tile_counts: wp.array(dtype=wp.int32),
    tiles_x: wp.int32,
    pair_tiles: wp.array(dtype=wp.int32),
    pair_gaussians: wp.array(dtype=wp.int32),
):
    """Writes (tile, Gaussian) pairs in depth order, which the stable sort by tile preserves."""
    i = wp.tid()
    g = order[i]
    count = tile_counts[g]
    if count > 0:
        at = ends[i] - count
        bounds = tile_bounds[g]
        for y in range(bounds[1], bounds[3]):
            for x in range(bounds[0], bounds[2]):
                pair_tiles[at] = y * tiles_x + x
                pair_gaussians[at] = g
                at += 1


@wp.kernel(enable_backward=False)
def find_tile_ranges(pair_tiles: wp.array(dtype=wp.int32), count: wp.int32, starts: wp.array(dtype=wp.int32)):
    """starts[t] is the first pair of tile t or a later one; starts[tiles] is the number of pairs."""
    i = wp.tid()
    before = wp.int32(-1)
    if i > 0:
        before = pair_tiles[i - 1]
    here = starts.shape[0] - 1
    if i < count:
        here = pair_tiles[i]
    for tile in range(before + 1, here + 1):
        starts[tile] = i


@wp.func
def splat_alpha(splat: wp.vec4, conic: wp.vec3, row: wp.int32, column: wp.int32) -> wp.float32:
    du = wp.float32(column) + wp.float32(0.5) - splat[0]
    dv = wp.float32(row) + wp.float32(0.5) - splat[1]
    power = wp.float32(0.5) * (conic[0] * du * du + conic[2] * dv * dv) + conic[1] * du * dv
    return splat[3] * wp.exp(-power)


@wp.func
def pixel_span(splat: wp.vec4, conic: wp.vec3) -> wp.vec2:
    """Half the width and height, in pixels, of the box outside which the splat's alpha is below MIN_ALPHA."""
    reach = wp.float32(2.0) * wp.log(splat[3] / MIN_ALPHA)
    scale = reach / (conic[0] * conic[2] - conic[1] * conic[1])
    return wp.vec2(wp.sqrt(scale * conic[2]), wp.sqrt(scale * conic[0]))


@wp.func
def tile_box(camera: TileCamera, tile: wp.int32, splat: wp.vec4, conic: wp.vec3) -> wp.vec4i:
    """Pixels (row0, column0, row1, column1) of a tile whose centres lie in the splat's box."""
    half_size = pixel_span(splat, conic)
    row0 = tile // camera.tiles_x * TILE
    column0 = tile % camera.tiles_x * TILE
    row1 = wp.min(row0 + TILE, camera.height)
    column1 = wp.min(column0 + TILE, camera.width)
    half = wp.float32(0.5)
    return wp.vec4i(
        wp.max(row0, wp.int32(wp.ceil(splat[1] - half_size[1] - half))),
        wp.max(column0, wp.int32(wp.ceil(splat[0] - half_size[0] - half))),
        wp.min(row1, wp.int32(wp.floor(splat[1] + half_size[1] - half)) + 1),
        wp.min(column1, wp.int32(wp.floor(splat[0] + half_size[0] - half)) + 1),
    )


@wp.func
def pixels_of_tile(camera: TileCamera, tile: wp.int32) -> wp.int32:
    row0 = tile // camera.tiles_x * TILE
    column0 = tile % camera.tiles_x * TILE
    return wp.min(TILE, camera.height - row0) * wp.min(TILE, camera.width - column0)


@wp.kernel(enable_backward=False)
def composite(
    camera: TileCamera,
    splats: wp.array(dtype=wp.vec4),
    conics: wp.array(dtype=wp.vec3),
    colors: wp.array(dtype=wp.vec3),
    pair_gaussians: wp.array(dtype=wp.int32),
    starts: wp.array(dtype=wp.int32),
    transmittance: wp.array2d(dtype=wp.float32),
    rgb: wp.array2d(dtype=wp.vec3),
    depth: wp.array2d(dtype=wp.float32),
):
    """Composites each tile front to back; initialise `transmittance` to 1, the weighted sums `rgb`, `depth` to 0."""
    tile = wp.tid()
    unfinished = pixels_of_tile(camera, tile)
    for pair in range(starts[tile], starts[tile + 1]):
        if unfinished == 0:
            break
        g = pair_gaussians[pair]
        splat = splats[g]
        conic = conics[g]
        color = colors[g]
        box = tile_box(camera, tile, splat, conic)
        for row in range(box[0], box[2]):
            for column in range(box[1], box[3]):
                light = transmittance[row, column]
                if light >= MIN_TRANSMITTANCE:
                    alpha = splat_alpha(splat, conic, row, column)
                    if alpha >= MIN_ALPHA:
                        weight = alpha * light
                        rgb[row, column] += weight * color
                        depth[row, column] += weight * splat[2]
                        light -= weight
                        transmittance[row, column] = light
                        if light < MIN_TRANSMITTANCE:
                            unfinished -= 1


@wp.kernel(enable_backward=False)
def gather_residuals(
    camera: TileCamera,
    splats: wp.array(dtype=wp.vec4),
    conics: wp.array(dtype=wp.vec3),
    pair_gaussians: wp.array(dtype=wp.int32),
    starts: wp.array(dtype=wp.int32),
    residual: wp.array2d(dtype=wp.vec3),
    transmittance: wp.array2d(dtype=wp.float32),
    sums: wp.array(dtype=wp.vec4),
):
    """Adds (weighted residual rgb, weight), summed over the pixels a Gaussian contributes to, to its sum.

    Traverses the tiles as `composite` does; initialise `transmittance` to 1.
    """
    tile = wp.tid()
    unfinished = pixels_of_tile(camera, tile)
    for pair in range(starts[tile], starts[tile + 1]):
        if unfinished == 0:
            break
        g = pair_gaussians[pair]
        splat = splats[g]
        conic = conics[g]
        box = tile_box(camera, tile, splat, conic)
        total = wp.vec4()
        for row in range(box[0], box[2]):
            for column in range(box[1], box[3]):
                light = transmittance[row, column]
                if light >= MIN_TRANSMITTANCE:
                    alpha = splat_alpha(splat, conic, row, column)
                    if alpha >= MIN_ALPHA:
                        weight = alpha * light
                        miss = residual[row, column]
                        total += weight * wp.vec4(miss[0], miss[1], miss[2], wp.float32(1.0))
                        light -= weight
                        transmittance[row, column] = light
                        if light < MIN_TRANSMITTANCE:
                            unfinished -= 1
        wp.atomic_add(sums, g, total)
