"""Small made-up views for the geometry and memory tests."""

import zlib

import numpy as np
import torch


def rng(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def depth_map(height, width, name="depth"):
    """A slanted plane with a box in front of it and a little noise, (H, W) float32."""
    v, u = np.mgrid[:height, :width]
    depth = 3 + 0.5 * u / width + 0.3 * v / height
    depth[height // 4 : height // 2, width // 4 : width // 2] = 1.8
    depth *= 1 + 0.003 * rng(name).standard_normal((height, width))
    return depth.astype(np.float32)


def pose(turn, shift):
    """w2c (4, 4) float32 of a camera that turned by `turn` radians about y and then moved by `shift`."""
    w2c = np.eye(4, dtype=np.float32)
    w2c[:3, :3] = [[np.cos(turn), 0, -np.sin(turn)], [0, 1, 0], [np.sin(turn), 0, np.cos(turn)]]
    w2c[:3, 3] = shift
    return w2c


def poses(count, step=0.03):
    """w2c (count, 4, 4) float32 of a camera on a bend."""
    return np.stack([pose(step * i, (0.05 * i, -0.02 * i, -0.06 * i)) for i in range(count)])


def intrinsics(count, height, width):
    """Pinhole intrinsics (count, 3, 3) float32 with an off-centre principal point."""
    k = np.array([[0.9 * width, 0, 0.52 * width], [0, 0.92 * width, 0.47 * height], [0, 0, 1]], np.float32)
    return np.tile(k, (count, 1, 1))


def views(count, height, width):
    """Depth (count, H, W), w2c and intrinsics of as many views."""
    depth = np.stack([depth_map(height, width, f"depth{i}") for i in range(count)])
    return depth, poses(count), intrinsics(count, height, width)


def image(height, width, channels=3, name="image"):
    """Values (H, W, C) float32 in [-1, 1]."""
    return rng(name).uniform(-1, 1, (height, width, channels)).astype(np.float32)


def as_torch(*arrays):
    return [torch.from_numpy(np.ascontiguousarray(a)) for a in arrays]
