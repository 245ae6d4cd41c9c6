"""A floor, a back wall and a pillar with known depth from any camera, shared by the tests of depth alignment."""

import numpy as np
from scipy.spatial.transform import Rotation

SIZE = (64, 96)
INTRINSICS = np.array([[80.0, 0, 48], [0, 80, 32], [0, 0, 1]])
FLOOR, WALL = 1.5, 9.0
PILLAR_X, PILLAR_Z = (0.6, 1.4), 5.0


def camera(x=0.0, y=0.0, z=0.0, yaw=0.0, pitch=0.0) -> np.ndarray:
    """w2c of a camera at (x, y, z) that is turned right by `yaw` and up by `pitch` degrees."""
    c2w = np.eye(4)
    c2w[:3, :3] = Rotation.from_euler("YX", [yaw, pitch], degrees=True).as_matrix()
    c2w[:3, 3] = x, y, z
    return np.linalg.inv(c2w)


def true_depth(
    w2c: np.ndarray, size: tuple[int, int] = SIZE, intrinsics: np.ndarray = INTRINSICS
) -> np.ndarray:
    """z-depth (H, W) float32 of the room; inf where a ray meets nothing."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    c2w = np.linalg.inv(w2c)
    rays = np.stack([x, y, np.ones_like(x)], -1) @ (c2w[:3, :3] @ np.linalg.inv(intrinsics)).T
    origin = c2w[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        hits = [(FLOOR - origin[1]) / rays[..., 1], (WALL - origin[2]) / rays[..., 2]]
        pillar = (PILLAR_Z - origin[2]) / rays[..., 2]
    across = origin[0] + pillar * rays[..., 0]
    hits.append(np.where((across > PILLAR_X[0]) & (across < PILLAR_X[1]), pillar, np.inf))
    return np.min([np.where(hit > 0, hit, np.inf) for hit in hits], axis=0).astype(np.float32)
