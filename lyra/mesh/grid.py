"""Sparse voxel grid: bricks of 8³ voxels near surfaces, looked up by sorted keys."""

from __future__ import annotations

import numpy as np

BRICK = 8
BRICK_VOXELS = BRICK**3
# Brick coordinates lie in [-2^20, 2^20); three of them are packed into an int64 key.
_BITS = 21
_HALF = 1 << (_BITS - 1)


def pack(coordinates: np.ndarray) -> np.ndarray:
    """Keys (N,) int64 of integer coordinates (N, 3) in [-2^20, 2^20)."""
    shifted = coordinates.astype(np.int64) + _HALF
    return (shifted[:, 0] << (2 * _BITS)) | (shifted[:, 1] << _BITS) | shifted[:, 2]


def unpack(keys: np.ndarray) -> np.ndarray:
    """Integer coordinates (N, 3) int64 of keys (N,)."""
    mask = (1 << _BITS) - 1
    return np.stack([keys >> (2 * _BITS), (keys >> _BITS) & mask, keys & mask], 1) - _HALF


def bricks_near(points: np.ndarray, voxel_size: float, margin_voxels: float) -> np.ndarray:
    """Sorted keys of the bricks with a voxel within `margin_voxels` (< 4) of any of the points (N, 3), per axis."""
    # Points in the same voxel need the same bricks, up to one voxel of margin.
    voxels = unpack(np.unique(pack(np.floor(points / voxel_size))))
    signs = np.stack(np.meshgrid(*[(-1, 1)] * 3, indexing="ij"), -1).reshape(8, 3)
    keys = [pack((voxels + np.ceil(margin_voxels) * sign) // BRICK) for sign in signs]
    return np.unique(np.concatenate(keys))


class BrickGrid:
    """B bricks of signed distances, in units of the truncation, and weights, each (B, 8, 8, 8) float32.

    Voxel (i, j, k) of the brick with coordinates b is at (8 b + (i, j, k)) * `voxel_size` in contracted space. A
    weight of 0 means that no view has observed the voxel.
    """

    def __init__(self, keys: np.ndarray, voxel_size: float):
        self.keys = keys
        self.coordinates = unpack(keys)
        self.voxel_size = voxel_size
        self.distances = np.zeros((len(keys), BRICK, BRICK, BRICK), np.float32)
        self.weights = np.zeros_like(self.distances)

    def find(self, coordinates: np.ndarray) -> np.ndarray:
        """Slots (N,) of the bricks with these coordinates (N, 3); -1 where there is none."""
        keys = pack(coordinates)
        slots = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[slots] == keys, slots, -1)

    def padded(self, first: int, last: int) -> np.ndarray:
        """Distances (n, 9, 9, 9) of bricks first ... last - 1, extended by the adjacent voxels of their neighbours.

        NaN where the voxel has not been observed or the brick does not exist.
        """
        values = np.full((last - first, BRICK + 1, BRICK + 1, BRICK + 1), np.nan, np.float32)
        for corner in np.ndindex(2, 2, 2):
            slots = self.find(self.coordinates[first:last] + corner)
            there = np.nonzero(slots >= 0)[0]
            source = tuple(slice(0, 1) if c else slice(None) for c in corner)
            target = tuple(slice(BRICK, None) if c else slice(0, BRICK) for c in corner)
            distances = self.distances[(slots[there], *source)]
            seen = self.weights[(slots[there], *source)] > 0
            values[(there, *target)] = np.where(seen, distances, np.nan)
        return values
