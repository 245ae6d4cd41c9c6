"""A triangle mesh with vertex colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mesh:
    """A coloured triangle mesh in the world frame (OpenCV axes).

    `vertices` (V, 3) float32, `faces` (F, 3) int32, counter-clockwise seen from outside, `colors` (V, 3) uint8
    sRGB.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3), weighted by area; zero for a vertex without faces."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    of_faces = np.cross(b - a, c - a)
    normals = np.stack(
        [
            np.bincount(faces.ravel(), np.repeat(of_faces[:, axis], 3), minlength=len(vertices))
            for axis in range(3)
        ],
        1,
    )
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.where(lengths > 0, lengths, 1)
