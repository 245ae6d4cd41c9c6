"""Point attributes of Blender data as NumPy arrays."""

from __future__ import annotations

import bpy
import numpy as np


def positions(data: bpy.types.ID) -> np.ndarray:
    """Positions (M, 3) float32 of an object's splats or points, in the object's own frame."""
    return values(data, "position", "vector", 3)


def values(data: bpy.types.ID, name: str, key: str, width: int) -> np.ndarray:
    """An attribute (M, width) float32; `key` is the property of its elements that holds the numbers."""
    found = np.empty(len(data.attributes[name].data) * width, np.float32)
    data.attributes[name].data.foreach_get(key, found)
    return found.reshape(-1, width)
