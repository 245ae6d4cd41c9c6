"""Binary little-endian PLY files from structured arrays: splats, meshes and points alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from plyfile import PlyData, PlyElement

from lyra.common.files import whole_file

# What points and vertices with a colour have.
COLORED = [(axis, "<f4") for axis in "xyz"] + [(channel, "u1") for channel in ("red", "green", "blue")]


def write_elements(path: str | Path, **elements: np.ndarray) -> None:
    """Writes each structured array as the element of its name; the file is whole or not there. Raises DiskFullError."""
    described = [PlyElement.describe(rows, name) for name, rows in elements.items()]
    with whole_file(Path(path)) as temporary:
        PlyData(described, byte_order="<").write(temporary)
