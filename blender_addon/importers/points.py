"""The coloured points of a world's first view, imported as flat round splats."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np

from ..camera.conversion import SH_C0
from . import ply
from .splats import Cloud

# Neighbouring round splats with this standard deviation, in spacings, close the surface between them.
SPREAD = 0.6


def reading(path: Path) -> Generator[None, None, ply.Element]:
    """The points of a first picture, an Element returned when it is whole. Raises ply.FileError."""
    vertices = (yield from ply.reading(path))["vertex"]
    if not vertices.count:
        raise ply.FileError(
            f"{path} holds no points: the image seems to be all sky. Try another depth or image."
        )
    return vertices


def decode(vertices: ply.Element, focal: float, pixels_per_point: float) -> Cloud:
    """The points as flat round splats, each as large as the part of the picture it stands for.

    `focal` is the picture's focal length in pixels. A vertex-only mesh shows nothing in Blender's object mode and a
    point cloud no colours, so the points are drawn as splats are.
    """
    position = vertices.stacked("x", "y", "z")
    color = vertices.stacked("red", "green", "blue") / 255
    spacing = position[:, 2] / focal * np.sqrt(max(1.0, pixels_per_point))
    return Cloud(
        position=position,
        # Flat towards the camera that saw them, so that they close in renders too.
        scale=SPREAD * spacing[:, None] * np.array([1, 1, 0.1], np.float32),
        rotation=np.tile(np.array([1, 0, 0, 0], np.float32), (len(position), 1)),
        base=np.concatenate([(color - 0.5) / SH_C0, np.ones((len(position), 1), np.float32)], 1),
        sh=np.zeros((len(position), 0, 3), np.float32),
    )
