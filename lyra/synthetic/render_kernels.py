"""Warp kernels for images, depth and clearances of packed scenes."""

import warp as wp

from lyra.synthetic.shading_kernels import colour_of
from lyra.synthetic.tracing_kernels import NOTHING, Arrays, Hit, KernelView, nearest, openness, seen

wp.set_module_options({"max_unroll": 4, "enable_backward": False, "fast_math": True})


@wp.func
def ray_at(view: KernelView, x: float, y: float):
    return view.rotation * wp.vec3((x - view.cx) / view.focal, (y - view.cy) / view.focal, 1.0)


@wp.kernel
def trace(
    arrays: Arrays,
    depth: wp.array3d(dtype=float),
    which: wp.array3d(dtype=int),
    normals: wp.array3d(dtype=wp.vec3),
    open: wp.array3d(dtype=float),
):
    """Z-depth (V, H, W) at pixel centres, inf for sky; the solid hit; normals in OpenCV camera axes, 0 for sky.

    `open` receives one direction's share of the openness, to be averaged over 4 x 4 pixels.
    """
    index, row, column = wp.tid()
    view = arrays.views[index]
    ray = ray_at(view, float(column) + 0.5, float(row) + 0.5)
    hit = seen(arrays, index, view, row, column, ray)
    which[index, row, column] = hit.which
    if hit.which == NOTHING:
        depth[index, row, column] = wp.inf
        normals[index, row, column] = wp.vec3(0.0, 0.0, 0.0)
        open[index, row, column] = 1.0
    else:
        depth[index, row, column] = hit.t
        normals[index, row, column] = wp.transpose(view.rotation) * hit.normal
        p = view.centre + hit.t * ray
        open[index, row, column] = openness(arrays, arrays.worlds[view.world], hit, p, row, column)


@wp.kernel
def probe(arrays: Arrays, depth: wp.array3d(dtype=float)):
    """Z-depth (V, H, W) alone."""
    index, row, column = wp.tid()
    view = arrays.views[index]
    ray = ray_at(view, float(column) + 0.5, float(row) + 0.5)
    depth[index, row, column] = seen(arrays, index, view, row, column, ray).t


@wp.kernel
def paint(
    arrays: Arrays,
    depth: wp.array3d(dtype=float),
    which: wp.array3d(dtype=int),
    normals: wp.array3d(dtype=wp.vec3),
    open: wp.array3d(dtype=float),
    image: wp.array3d(dtype=wp.vec3),
):
    """Linear colour (V, H, W) of what `trace` found; four rays where the surface changes within a pixel's reach."""
    index, row, column = wp.tid()
    view = arrays.views[index]
    height = depth.shape[1]
    width = depth.shape[2]
    here = which[index, row, column]
    z = depth[index, row, column]
    n = normals[index, row, column]
    edge = False
    for k in range(4):
        i = wp.clamp(row + (k & 1) * (2 * (k >> 1) - 1), 0, height - 1)
        j = wp.clamp(column + (1 - (k & 1)) * (2 * (k >> 1) - 1), 0, width - 1)
        if which[index, i, j] != here:
            edge = True
        elif here != NOTHING:
            other = depth[index, i, j]
            jump = wp.abs(other - z) / wp.min(other, z)
            # On rough ground normals and depth change at every pixel; only its ridges are edges.
            if jump > 0.5 or (here >= 0 and (jump > 0.2 or wp.dot(n, normals[index, i, j]) < 0.8)):
                edge = True
    total_open = float(0.0)
    count = float(0.0)
    for di in range(4):
        for dj in range(4):
            i = wp.clamp(row + di - 2, 0, height - 1)
            j = wp.clamp(column + dj - 2, 0, width - 1)
            if open[index, i, j] >= 0.0 and wp.abs(depth[index, i, j] - z) < 0.1 * z:
                total_open = total_open + open[index, i, j]
                count = count + 1.0
    free = float(0.8)
    if count > 0.0:
        free = total_open / count
    x = float(column)
    y = float(row)
    if not edge:
        hit = Hit()
        hit.t = z
        hit.which = here
        hit.normal = view.rotation * n
        image[index, row, column] = colour_of(arrays, view, hit, ray_at(view, x + 0.5, y + 0.5), free)
        return
    total = wp.vec3(0.0, 0.0, 0.0)
    for k in range(4):
        # Rotated-grid supersampling: four distinct rows and columns.
        ray = ray_at(view, x + 0.125 + 0.25 * float((2 * k + (k >> 1)) & 3), y + 0.125 + 0.25 * float(k))
        colour = colour_of(arrays, view, seen(arrays, index, view, row, column, ray), ray, free)
        total = total + 0.25 * wp.min(colour, wp.vec3(4.0, 4.0, 4.0))
    image[index, row, column] = total


@wp.kernel
def clearance(
    arrays: Arrays,
    world_of: wp.array(dtype=int),
    points: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    distance: wp.array2d(dtype=float),
):
    """Distance (P, D) from scene points to the first surface in each unit direction."""
    index, k = wp.tid()
    world = arrays.worlds[world_of[index]]
    distance[index, k] = nearest(arrays, world, points[index], directions[k]).t
