"""Properties of Gaussian splats in PLY files, in the order of the 3DGS paper's code."""

from __future__ import annotations

import numpy as np

POSITION = ("x", "y", "z")
# Always zero; readers of the original layout expect them.
NORMAL = ("nx", "ny", "nz")
DC = ("f_dc_0", "f_dc_1", "f_dc_2")
OPACITY = ("opacity",)
SCALE = ("scale_0", "scale_1", "scale_2")
ROTATION = ("rot_0", "rot_1", "rot_2", "rot_3")
# Coefficients a channel beside the constant one, for spherical harmonics of degree 0 to 3.
REST_COUNTS = (0, 3, 8, 15)
FULL_REST = REST_COUNTS[-1]


def rest_names(count: int) -> tuple[str, ...]:
    """Names of `count` coefficients of red, then of green, then of blue."""
    return tuple(f"f_rest_{i}" for i in range(3 * count))


def layout(rest: int) -> tuple[str, ...]:
    """All properties with `rest` coefficients a channel beside the constant one; 62 with 15 of them."""
    return (*POSITION, *NORMAL, *DC, *rest_names(rest), *OPACITY, *SCALE, *ROTATION)


def rest_count(names: tuple[str, ...]) -> int:
    """Coefficients a channel among the properties of a file. Raises ValueError for a number that no degree has."""
    found = [name for name in names if name.startswith("f_rest_")]
    if len(found) % 3 or len(found) // 3 not in REST_COUNTS:
        raise ValueError(f"{len(found)} f_rest properties; spherical harmonics have 0, 9, 24 or 45")
    return len(found) // 3


def widened(rows: np.ndarray) -> np.ndarray:
    """The same splats with all 62 properties as float32, those that `rows` lacks 0, for readers of fixed records."""
    names = rows.dtype.names
    count = rest_count(names)
    wide = np.zeros(len(rows), [(name, "<f4") for name in layout(FULL_REST)])
    for name in names:
        if name in (wide.dtype.names or ()) and not name.startswith("f_rest_"):
            wide[name] = rows[name]
    for channel in range(3):
        for i in range(count):
            wide[f"f_rest_{channel * FULL_REST + i}"] = rows[f"f_rest_{channel * count + i}"]
    return wide


def splat_header(rows: int, rest: int) -> bytes:
    """The PLY header before `rows` splats of float32, little-endian, in `layout(rest)`."""
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {rows}"]
    lines += [f"property float {name}" for name in layout(rest)]
    return "\n".join([*lines, "end_header\n"]).encode("ascii")
