"""Twins of the kernels: the published algorithms in plain torch. Batch first, channels first."""

import torch
from torch.nn import functional

MAX_DEPTH = 1e4


def clean_depth(depth):
    return torch.nan_to_num(depth, nan=MAX_DEPTH).clamp(0, MAX_DEPTH)


def pixel_grid(height, width):
    """Homogeneous pixel coordinates (H, W, 3)."""
    v, u = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([u, v, torch.ones_like(u)], -1).float()


def unproject(depth, w2c, intrinsics, pixel_offset=0.0):
    """World points (B, H, W, 3) of depth (B, H, W); (0, 0, 0) where there is none."""
    depth = clean_depth(depth)
    grid = pixel_grid(*depth.shape[1:])
    grid[..., :2] += pixel_offset
    rays = (torch.linalg.inv(intrinsics)[:, None, None] @ grid[..., None])[..., 0]
    camera = torch.cat([rays * depth[..., None], torch.ones_like(depth)[..., None]], -1)
    world = (torch.linalg.inv(w2c)[:, None, None] @ camera[..., None])[..., :3, 0]
    return torch.where(depth[..., None] > 0, world, 0)


def project(points, w2c, intrinsics):
    """Pixel coordinates (B, H, W, 2) and z (B, H, W) of world points (B, H, W, 3)."""
    homogeneous = torch.cat([points, torch.ones_like(points[..., :1])], -1)[..., None]
    camera = (w2c[:, None, None] @ homogeneous)[..., :3, :]
    p = (intrinsics[:, None, None] @ camera)[..., 0]
    return p[..., :2] / (p[..., 2:] + 1e-7), p[..., 2]


def reliable_depth_mask(depth, threshold=0.05, window=5):
    """Continuity (B, H, W) of depth (B, H, W)."""
    depth = clean_depth(depth)[:, None]
    pool = {"kernel_size": window, "stride": 1, "padding": window // 2}
    high = functional.max_pool2d(depth, **pool)
    low = -functional.max_pool2d(-depth, **pool)
    mean = functional.avg_pool2d(depth, **pool)
    return (((high - low) / (mean + 1e-6) < threshold) & (depth > 0))[:, 0]


def bilinear_splat(values, mask, z, coordinates):
    """Sums of `values` (B, C, H, W) at `coordinates` (B, H, W, 2), with weights that fall with z (B, 1, H, W)."""
    b, channels, height, width = values.shape
    zeta = torch.log1p(z.clamp(min=0))
    divisor = torch.exp((50 * zeta / (zeta.max() + 1e-7)).clamp(max=80)) + 1e-7
    position = coordinates.permute(0, 3, 1, 2) + 1
    limits = torch.tensor([width + 1, height + 1])[None, :, None, None]
    low = torch.minimum(position.floor().long().clamp(min=0), limits)
    high = torch.minimum(position.ceil().long().clamp(min=0), limits)
    near, far = 1 - (position - low), 1 - (high - position)
    sums = torch.zeros(b, height + 2, width + 2, channels)
    weights = torch.zeros(b, height + 2, width + 2, 1)
    batch = torch.arange(b)[:, None, None]
    rows = values.permute(0, 2, 3, 1)
    for x, weight_x in ((low[:, 0], near[:, 0]), (high[:, 0], far[:, 0])):
        for y, weight_y in ((low[:, 1], near[:, 1]), (high[:, 1], far[:, 1])):
            weight = (weight_x * weight_y * mask[:, 0] / divisor[:, 0])[..., None]
            sums.index_put_((batch, y, x), rows * weight, accumulate=True)
            weights.index_put_((batch, y, x), weight, accumulate=True)
    return sums[:, 1:-1, 1:-1], weights[:, 1:-1, 1:-1]


def finish(sums, weights, fill, limits=None):
    """Channels-first quotient and mask of accumulated splats."""
    weights = torch.nan_to_num(weights, nan=1000.0)
    hit = weights > 0
    values = torch.where(hit, sums / torch.where(hit, weights, 1), torch.tensor(fill))
    values = values if limits is None else values.clamp(*limits)
    return values.permute(0, 3, 1, 2), hit.permute(0, 3, 1, 2)


def forward_warp(image, depth, w2c, intrinsics, target_w2c, target_intrinsics, mask=None, pixel_offset=0.0):
    """Image (B, C, H, W), mask (B, 1, H, W) and depth (B, 1, H, W) of views (B, V, ...) splatted into B targets.

    `image` (B, V, C, H, W), `depth` (B, V, H, W), `w2c` (B, V, 4, 4), `intrinsics` (B, V, 3, 3). The maximum of
    the depth weight is taken over the whole batch, as published.
    """
    b, views, channels, height, width = image.shape
    flat = depth.reshape(b * views, height, width)
    reliable = reliable_depth_mask(flat) if mask is None else mask.reshape(flat.shape)
    use = reliable & ~(flat <= 0)
    points = unproject(
        torch.where(use, flat, 0), w2c.reshape(-1, 4, 4), intrinsics.reshape(-1, 3, 3), pixel_offset
    )
    repeat = [target.repeat_interleave(views, 0) for target in (target_w2c, target_intrinsics)]
    coordinates, z = project(points, *repeat)
    use = (use & (z > 0))[:, None].float()
    shared = (use, z[:, None], coordinates - pixel_offset)
    results = []
    for values, fill, limits in (
        (image.reshape(b * views, channels, height, width), -1.0, (-1, 1)),
        (z[:, None], 0.0, None),
    ):
        sums, weights = bilinear_splat(values, *shared)
        sums, weights = (x.reshape(b, views, *x.shape[1:]).sum(1) for x in (sums, weights))
        results.append(finish(sums, weights, fill, limits))
    (warped, hit), (warped_depth, _) = results
    return warped, hit, warped_depth


def greedy_coverage(points, frame_ids, w2c, intrinsics, grid_hw, slots, tolerance=0.1, exclude_newest=True):
    """Frame ids, best last, chosen for views `w2c` (V, 4, 4), `intrinsics` (V, 3, 3) of the grid.

    `points` (E, P, 3) are the world points of the remembered frames.
    """
    grid_h, grid_w = grid_hw
    entries = len(points)
    covered = torch.zeros(entries, len(w2c), grid_h * grid_w, dtype=torch.bool)
    homogeneous = torch.cat([points, torch.ones_like(points[..., :1])], -1)
    for view, (camera, k) in enumerate(zip(w2c, intrinsics, strict=True)):
        p = (homogeneous @ camera.T)[..., :3] @ k.T
        z = p[..., 2]
        uv = (p[..., :2] / (z[..., None] + 1e-7)).round()
        inside = (z > 0) & (uv >= 0).all(-1) & (uv[..., 0] < grid_w) & (uv[..., 1] < grid_h)
        cell = torch.where(inside, uv[..., 1] * grid_w + uv[..., 0], 0).long()
        nearest = torch.full((grid_h * grid_w,), torch.inf)
        nearest.scatter_reduce_(0, cell[inside], z[inside], "amin")
        visible = inside & (z <= nearest[cell] + tolerance)
        entry = torch.arange(entries)[:, None].expand_as(cell)
        covered[entry[visible], view, cell[visible]] = True
    covered = covered.flatten(1)
    if not covered.any():
        return []
    seen = torch.zeros(covered.shape[1], dtype=torch.bool)
    newest = max(frame_ids)
    if exclude_newest and newest > 0:
        seen |= covered[frame_ids.index(newest)]
    picks = []
    for _ in range(slots):
        gains = (covered & ~seen).sum(1)
        best = int(gains.argmax())
        if gains[best] <= 0:
            break
        picks.append(frame_ids[best])
        seen |= covered[best]
    return picks[::-1]
