"""Inputs of golden tensors, drawn anew from their seed instead of stored.

Every array comes from PCG64(crc32("seed:name")), as those who made the goldens did.
"""

import zlib

import numpy as np


def generator(seed: int, name: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(f"{seed}:{name}".encode())))


def depth_map(seed: int, name: str, height: int, width: int) -> np.ndarray:
    """A slanted plane with two boxes in front of it, 2 % noise and a hole of zeros, (H, W) float32."""
    v, u = np.mgrid[:height, :width]
    noise = generator(seed, name).standard_normal((height, width))
    depth = 3 + 2 * (u / width) + 1.0 * (v / height) + 0.02 * noise
    upper_left = slice(height // 4, height // 2), slice(width // 4, width // 2)
    depth[upper_left] = 1.8 + 0.01 * u[upper_left]
    depth[height // 2 + 3 : height // 2 + 12, width // 2 : width // 2 + 20] = 2.4
    depth[:3, :10] = 0
    return depth.astype(np.float32)


def conditioning_cameras(height: int, width: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """w2c (frames, 4, 4) and intrinsics (frames, 3, 3) float32 of the conditioning case."""
    a = np.linspace(0, 1.2, frames)
    w2c = np.tile(np.eye(4, dtype=np.float32), (frames, 1, 1))
    w2c[:, 0, 0], w2c[:, 0, 2], w2c[:, 2, 0], w2c[:, 2, 2] = np.cos(a), -np.sin(a), np.sin(a), np.cos(a)
    w2c[:, :3, 3] = np.stack([0.3 * np.sin(2 * a), 0.05 * a, -0.4 * a], -1)
    intrinsics = np.zeros((frames, 3, 3), np.float32)
    intrinsics[:] = [[70, 0, width / 2], [0, 70, height / 2], [0, 0, 1]]
    return w2c, intrinsics
