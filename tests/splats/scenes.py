"""A room with boxes and a ball, ray-cast in numpy: views with true depth, and the true distance to its surfaces."""

from __future__ import annotations

import numpy as np

from lyra.geometry.cameras import Trajectory, intrinsics_from_fov
from lyra.geometry.views import View

# Axis-aligned boxes (low corner, high corner) in the world: x right, y down, z forward; the floor is at y = 1.5.
FLOOR = 1.5
BOXES = np.array(
    [
        [[-2.0, 0.3, 4.0], [-0.8, 1.5, 5.0]],
        [[0.9, -0.6, 5.0], [1.9, 1.5, 6.0]],
        [[-6.0, -4.0, 12.0], [3.0, 1.5, 13.0]],
    ]
)
BALL_CENTER, BALL_RADIUS = np.array([0.2, 0.9, 3.6]), 0.6


def texture(points: np.ndarray) -> np.ndarray:
    """A smooth procedural colour (..., 3) in [0, 1] of world points; detail fades with distance, as in a photo."""
    x, y, z = np.moveaxis(points, -1, 0)
    detail = 1 / (1 + (z / 12) ** 4)
    waves = detail * np.sin(7 * x + 2 * np.sin(3 * z)) * np.cos(6 * y + 1.5 * z)
    checks = detail * np.tanh(4 * np.sin(9 * x) * np.sin(9 * z + 9 * y))
    return np.clip(
        np.stack([0.5 + 0.3 * waves, 0.5 + 0.2 * checks, 0.45 + 0.25 * np.sin(x + y) * waves], -1), 0, 1
    )


def surface_distance(points: np.ndarray) -> np.ndarray:
    """Unsigned distance (N,) of world points (N, 3) to the nearest surface of the scene."""
    middle, half = BOXES.mean(1), (BOXES[:, 1] - BOXES[:, 0]) / 2
    away = np.abs(points[:, None] - middle) - half
    boxes = np.linalg.norm(np.maximum(away, 0), axis=2) + np.minimum(away.max(2), 0)
    ball = np.linalg.norm(points - BALL_CENTER, axis=1) - BALL_RADIUS
    floor = FLOOR - points[:, 1]
    return np.abs(np.concatenate([boxes, ball[:, None], floor[:, None]], 1)).min(1)


def cast(w2c: np.ndarray, intrinsics: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Image (H, W, 3) uint8 and z-depth (H, W) float32 with inf for sky."""
    c2w = np.linalg.inv(w2c)
    v, u = np.mgrid[:height, :width] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(intrinsics).T @ c2w[:3, :3].T
    origin = c2w[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.where(rays[..., 1] > 0, (FLOOR - origin[1]) / rays[..., 1], np.inf)
        for low, high in BOXES:
            hits = np.sort(np.stack([(low - origin) / rays, (high - origin) / rays]), axis=0)
            near, far = hits[0].max(-1), hits[1].min(-1)
            depth = np.where((near < far) & (near > 0) & (near < depth), near, depth)
        a, b = (rays**2).sum(-1), rays @ (origin - BALL_CENTER)
        root = b * b - a * (((origin - BALL_CENTER) ** 2).sum() - BALL_RADIUS**2)
        ball = (-b - np.sqrt(root)) / a
        depth = np.where((root > 0) & (ball > 0) & (ball < depth), ball, depth)
    depth = np.where(depth < 60, depth, np.inf)
    points = origin + rays * np.where(np.isfinite(depth), depth, 0)[..., None]
    sky = np.stack([0.55 + 0.2 * rays[..., 1], 0.7 + 0.15 * rays[..., 1], 0.9 + 0 * u], -1)
    color = np.where(np.isfinite(depth)[..., None], texture(points), np.clip(sky, 0, 1))
    return np.round(color * 255).astype(np.uint8), depth.astype(np.float16).astype(np.float32)


def path(frames: int, height: int, width: int) -> Trajectory:
    """A camera that moves to the right and slightly forward and turns left."""
    t = np.linspace(0, 1, frames)
    c2w = np.tile(np.eye(4), (frames, 1, 1))
    angle = -0.25 * t
    c2w[:, 0, 0], c2w[:, 0, 2] = np.cos(angle), np.sin(angle)
    c2w[:, 2, 0], c2w[:, 2, 2] = -np.sin(angle), np.cos(angle)
    c2w[:, :3, 3] = np.stack([1.0 * t, -0.2 * t, 0.6 * t], 1)
    intrinsics = np.tile(intrinsics_from_fov(np.radians(65), height, width), (frames, 1, 1))
    return Trajectory(np.linalg.inv(c2w), intrinsics, height, width)


def make_views(frames: int, height: int, width: int) -> list[View]:
    trajectory = path(frames, height, width)
    return [
        View(*cast(camera.w2c, camera.intrinsics, height, width), camera, index)
        for index, camera in enumerate(trajectory)
    ]
