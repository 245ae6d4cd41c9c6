"""Warp kernels of the fusion: integration of distances into voxels and of colours onto vertices."""

from __future__ import annotations

import warp as wp

from lyra.mesh.contraction import expanded, normal_stretch

wp.set_module_options({"enable_backward": False})

BRICK = wp.constant(wp.int32(8))
# Up to this many truncations behind a surface, along the ray, its plane is trusted. Farther behind, the foot of the
# perpendicular must be visible, too: true below ground at a grazing angle, false behind a box seen from its side.
MAX_BEHIND = wp.constant(wp.float32(2.0))
# A point is visible in a view whose depth agrees with it within this share.
VISIBLE = wp.constant(wp.float32(0.02))
MIN_DEPTH = wp.constant(wp.float32(1e-4))


@wp.struct
class FusionCamera:
    """A pinhole camera whose world origin is the contraction's centre; `radius` is the contraction's."""

    rotation: wp.mat33
    translation: wp.vec3
    fx: wp.float32
    fy: wp.float32
    cx: wp.float32
    cy: wp.float32
    radius: wp.float32


@wp.func
def plane_at(
    camera: FusionCamera,
    row: wp.int32,
    column: wp.int32,
    inverse_depth: wp.array2d(dtype=wp.float32),
    slope_u: wp.array2d(dtype=wp.float32),
    slope_v: wp.array2d(dtype=wp.float32),
) -> wp.vec3:
    """The plane n · point = 1, in camera axes, given by a pixel's inverse depth and slopes."""
    a = slope_u[row, column]
    b = slope_v[row, column]
    half = wp.float32(0.5)
    at_axis = (
        inverse_depth[row, column]
        - a * (wp.float32(column) + half - camera.cx)
        - b * (wp.float32(row) + half - camera.cy)
    )
    return wp.vec3(a * camera.fx, b * camera.fy, at_axis)


@wp.func
def sees(
    camera: FusionCamera,
    point: wp.vec3,
    inverse_depth: wp.array2d(dtype=wp.float32),
    confidence: wp.array2d(dtype=wp.float32),
) -> wp.bool:
    """Whether a point in camera axes lies on the surface seen in the pixel it projects to."""
    if point[2] <= MIN_DEPTH:
        return False
    column = wp.int32(wp.floor(camera.fx * point[0] / point[2] + camera.cx))
    row = wp.int32(wp.floor(camera.fy * point[1] / point[2] + camera.cy))
    if row < 0 or row >= confidence.shape[0] or column < 0 or column >= confidence.shape[1]:
        return False
    agreement = wp.abs(inverse_depth[row, column] * point[2] - wp.float32(1.0))
    return confidence[row, column] > wp.float32(0.0) and agreement <= VISIBLE


@wp.kernel(enable_backward=False)
def integrate(
    camera: FusionCamera,
    bricks: wp.array(dtype=wp.vec3i),
    voxel_size: wp.float32,
    truncation: wp.float32,
    inverse_depth: wp.array2d(dtype=wp.float32),
    slope_u: wp.array2d(dtype=wp.float32),
    slope_v: wp.array2d(dtype=wp.float32),
    confidence: wp.array2d(dtype=wp.float32),
    distances: wp.array(dtype=wp.float32),
    weights: wp.array(dtype=wp.float32),
):
    """Adds a view to the running weighted mean of distances, in truncations (contracted length), at most 1."""
    voxel = wp.tid()
    brick = bricks[voxel // (BRICK * BRICK * BRICK)]
    i = voxel // (BRICK * BRICK) % BRICK
    j = voxel // BRICK % BRICK
    k = voxel % BRICK
    q = voxel_size * wp.vec3(
        wp.float32(brick[0] * BRICK + i), wp.float32(brick[1] * BRICK + j), wp.float32(brick[2] * BRICK + k)
    )
    world = expanded(q, camera.radius)
    point = camera.rotation * world + camera.translation
    if point[2] <= MIN_DEPTH:
        return
    column = wp.int32(wp.floor(camera.fx * point[0] / point[2] + camera.cx))
    row = wp.int32(wp.floor(camera.fy * point[1] / point[2] + camera.cy))
    if row < 0 or row >= confidence.shape[0] or column < 0 or column >= confidence.shape[1]:
        return
    if confidence[row, column] == wp.float32(0.0):
        return
    plane = plane_at(camera, row, column, inverse_depth, slope_u, slope_v)
    steepness = wp.length(plane)
    normal_world = wp.transpose(camera.rotation) * (plane / steepness)
    scale = normal_stretch(world, normal_world, camera.radius) / truncation
    distance = (wp.float32(1.0) - wp.dot(plane, point)) / steepness * scale
    # The ray meets the plane where plane · (t point) = 1.
    ray = wp.length(point)
    along = (
        (wp.float32(1.0) / wp.max(wp.dot(plane, point), wp.float32(1e-12)) - wp.float32(1.0)) * ray * scale
    )
    if distance <= wp.float32(-1.0):
        return
    if along <= -MAX_BEHIND:
        foot = point + plane * ((wp.float32(1.0) - wp.dot(plane, point)) / (steepness * steepness))
        if not sees(camera, foot, inverse_depth, confidence):
            return
    facing = wp.dot(plane, point) / (ray * steepness)
    # Near and head-on views measure the surface best.
    weight = (
        confidence[row, column]
        * wp.max(facing, wp.float32(0.05))
        * camera.radius
        * camera.radius
        / (ray * ray)
    )
    known = weights[voxel]
    distances[voxel] = (distances[voxel] * known + wp.min(distance, wp.float32(1.0)) * weight) / (
        known + weight
    )
    weights[voxel] = known + weight


@wp.kernel(enable_backward=False)
def color_vertices(
    camera: FusionCamera,
    vertices: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    image: wp.array2d(dtype=wp.vec3),
    inverse_depth: wp.array2d(dtype=wp.float32),
    confidence: wp.array2d(dtype=wp.float32),
    sums: wp.array(dtype=wp.vec4),
):
    """Adds a view's (weighted colour, weight), sampled bilinearly, to every vertex visible in it."""
    g = wp.tid()
    point = camera.rotation * vertices[g] + camera.translation
    if point[2] <= MIN_DEPTH:
        return
    if not sees(camera, point, inverse_depth, confidence):
        return
    u = camera.fx * point[0] / point[2] + camera.cx
    v = camera.fy * point[1] / point[2] + camera.cy
    trust = confidence[wp.int32(v), wp.int32(u)]
    u -= wp.float32(0.5)
    v -= wp.float32(0.5)
    column = wp.int32(wp.floor(u))
    row = wp.int32(wp.floor(v))
    if row < 0 or row + 1 >= confidence.shape[0] or column < 0 or column + 1 >= confidence.shape[1]:
        return
    du = u - wp.float32(column)
    dv = v - wp.float32(row)
    one = wp.float32(1.0)
    color = (one - dv) * ((one - du) * image[row, column] + du * image[row, column + 1])
    color += dv * ((one - du) * image[row + 1, column] + du * image[row + 1, column + 1])
    ray = wp.length(point)
    facing = wp.max(-wp.dot(camera.rotation * normals[g], point) / ray, wp.float32(0.05))
    # Squared, so that the best view dominates where views disagree.
    weight = facing * camera.radius / ray
    weight = weight * weight * trust
    sums[g] += weight * wp.vec4(color[0], color[1], color[2], one)
