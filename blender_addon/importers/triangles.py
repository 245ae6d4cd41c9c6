"""Triangles as Blender stores them: no two alike, and every edge once. Plain maths.

Blender finds the edges itself, but in one call that holds it up; this way each part is a step of its own.
"""

from __future__ import annotations

import numpy as np


def distinct(faces: np.ndarray) -> np.ndarray:
    """The triangles (F, 3) without those that join the same three vertices as an earlier one, either way round.

    Thin walls have such pairs, and Blender calls a mesh with them invalid.
    """
    corners = np.sort(faces, axis=1)
    order = np.lexsort((corners[:, 1], _pairs(corners[:, 0], corners[:, 2])))
    ordered = corners[order]
    again = np.zeros(len(faces), bool)
    again[order[1:]] = (ordered[1:] == ordered[:-1]).all(1)
    return faces[~again]


def sides(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sides of triangles (F, 3) as keys (3 F,) that are equal where triangles meet, and the keys' order."""
    here, there = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    keys = _pairs(np.minimum(here, there), np.maximum(here, there))
    return keys, np.argsort(keys)


def edges(keys: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges (E, 2) int32 from `sides`, and for each corner the edge that leads on from it, (3 F,) int32."""
    ordered = keys[order]
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(keys)]
    at_corner = np.empty(len(keys), np.int32)
    at_corner[order] = np.cumsum(first, dtype=np.int32) - 1
    found = ordered[first]
    return np.stack([found >> 32, found & 0xFFFFFFFF], 1).astype(np.int32), at_corner


def _pairs(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Two vertex numbers in one, (M,) int64, ordered by the first."""
    return low.astype(np.int64) << 32 | high
