"""Scene contraction: the identity near the path, logarithmic in the distance beyond.

Scenes reach from two metres to two hundred. The voxels of a uniform grid in contracted space grow with distance, as
pixel footprints do, without seams between levels of detail.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp


@dataclass(frozen=True)
class Contraction:
    """Contracted = world - center within `radius`; beyond, the distance r becomes radius (1 + ln(r / radius)).

    `center` (3,) in the world. Directions from the centre are preserved; the map is continuous and invertible.
    """

    center: np.ndarray
    radius: float

    def contract(self, points_world: np.ndarray) -> np.ndarray:
        """Contracted coordinates (N, 3) float64 of world points (N, 3)."""
        offset = np.asarray(points_world, np.float64) - self.center
        distance = np.linalg.norm(offset, axis=1, keepdims=True)
        far = np.maximum(distance, self.radius) / self.radius
        return offset * np.where(far > 1, (1 + np.log(far)) / far, 1)

    def expand(self, points: np.ndarray) -> np.ndarray:
        """World points (N, 3) float64 of contracted coordinates (N, 3)."""
        distance = np.maximum(np.linalg.norm(points, axis=1, keepdims=True), self.radius) / self.radius
        return points * (np.exp(distance - 1) / distance) + self.center

    def contracted_distance(self, distance: np.ndarray) -> np.ndarray:
        """Contracted distances from the centre, same shape as `distance`."""
        far = np.maximum(distance, self.radius) / self.radius
        return np.where(far > 1, self.radius * (1 + np.log(far)), distance)


@wp.func
def expanded(q: wp.vec3, radius: wp.float32) -> wp.vec3:
    """`Contraction.expand` relative to the centre."""
    length = wp.length(q) / radius
    if length > wp.float32(1.0):
        return q * (wp.exp(length - wp.float32(1.0)) / length)
    return q


@wp.func
def normal_stretch(offset: wp.vec3, normal: wp.vec3, radius: wp.float32) -> wp.float32:
    """Contracted length per world length along a unit `normal` at world position centre + `offset`."""
    distance = wp.length(offset)
    if distance <= radius:
        return wp.float32(1.0)
    radial = wp.dot(normal, offset) / distance
    shrink_radial = radius / distance
    shrink_across = shrink_radial * (wp.float32(1.0) + wp.log(distance / radius))
    across = wp.max(wp.float32(1.0) - radial * radial, wp.float32(0.0))
    return wp.sqrt(radial * radial * shrink_radial * shrink_radial + across * shrink_across * shrink_across)
