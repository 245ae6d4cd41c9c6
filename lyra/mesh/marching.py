"""Marching cubes over a sparse grid, watertight across bricks and with shared vertices.

The triangle table is derived, not copied: on each face of a cell the surface crossings are connected so that inside
corners are separated in ambiguous cases. Both cells of a face agree, so the surface has no cracks, which the table of
Lorensen and Cline (1987) does not guarantee.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from lyra.common.progress import Progress
from lyra.mesh.grid import BRICK, BrickGrid, pack

# Corner c of a cell lies at (c & 1, c >> 1 & 1, c >> 2 & 1).
CORNERS = np.array([[c & 1, c >> 1 & 1, c >> 2 & 1] for c in range(8)])
EDGES = [(c, c | 1 << axis, axis) for axis in range(3) for c in range(8) if not c >> axis & 1]
EDGE_START = np.array([start for start, _, _ in EDGES])
EDGE_END = np.array([end for _, end, _ in EDGES])
EDGE_AXIS = np.array([axis for _, _, axis in EDGES])
# Corners of each face, counter-clockwise seen from outside.
_FACES = [(0, 4, 6, 2), (1, 3, 7, 5), (0, 1, 5, 4), (2, 6, 7, 3), (0, 2, 3, 1), (4, 5, 7, 6)]
_BRICKS_AT_ONCE = 2048
# Crossings closer to a voxel than this are moved away from it, to avoid degenerate triangles.
_MIN_FRACTION = 1e-3


@cache
def triangle_table() -> tuple[np.ndarray, np.ndarray]:
    """Edges (256, T, 3) of the triangles for each set of inside corners (bit c for corner c), and counts (256,).

    Triangles are counter-clockwise seen from outside (where the distance is positive).
    """
    edge_of = {frozenset((start, end)): number for number, (start, end, _) in enumerate(EDGES)}
    triangles = [_case_triangles(case, edge_of) for case in range(256)]
    table = np.zeros((256, max(map(len, triangles)), 3), np.int64)
    for case, rows in enumerate(triangles):
        if rows:
            table[case, : len(rows)] = rows
    return table, np.array([len(rows) for rows in triangles])


def _case_triangles(case: int, edge_of: dict[frozenset[int], int]) -> list[tuple[int, int, int]]:
    successor = {}
    for face in _FACES:
        inside = [bool(case >> corner & 1) for corner in face]
        crossed = [edge_of[frozenset((face[i], face[(i + 1) % 4]))] for i in range(4)]
        for i in range(4):
            if inside[i] and not inside[(i + 1) % 4]:
                # Back along the run of inside corners to the edge where it starts.
                start = i
                while inside[start - 1]:
                    start -= 1
                successor[crossed[start - 1]] = crossed[i]
    triangles = []
    while successor:
        first, following = successor.popitem()
        loop = [first]
        while following != first:
            loop.append(following)
            following = successor.pop(following)
        triangles += [(loop[0], loop[i], loop[i + 1]) for i in range(1, len(loop) - 1)]
    return triangles


def extract_surface(grid: BrickGrid, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) float64 in contracted space and faces (F, 3) int32 where the distance crosses zero.

    Only cells with all eight voxels observed are used: the surface ends where observations end.
    """
    keys, positions = [], []
    for first in range(0, len(grid.keys), _BRICKS_AT_ONCE):
        progress.update("mesh", first / len(grid.keys))
        last = min(first + _BRICKS_AT_ONCE, len(grid.keys))
        corners, positions_here = _cells_of(grid, first, last)
        keys.append(corners)
        positions.append(positions_here)
    if not keys or not sum(map(len, keys)):
        return np.zeros((0, 3)), np.zeros((0, 3), np.int32)
    _, chosen, faces = np.unique(np.concatenate(keys), return_index=True, return_inverse=True)
    return np.concatenate(positions)[chosen] * grid.voxel_size, faces.reshape(-1, 3).astype(np.int32)


def _cells_of(grid: BrickGrid, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """For every corner of every triangle in some bricks: the key (N,) of its grid edge and its position (N, 3)."""
    padded = grid.padded(first, last)
    views = [padded[:, x : x + BRICK, y : y + BRICK, z : z + BRICK] for x, y, z in CORNERS]
    case = np.zeros(views[0].shape, np.uint8)
    valid = np.ones(views[0].shape, bool)
    for bit, values in enumerate(views):
        case |= (values < 0).astype(np.uint8) << np.uint8(bit)
        valid &= ~np.isnan(values)
    cells = np.nonzero(valid & (case != 0) & (case != 255))
    cases = case[cells]
    values = np.stack([view[cells] for view in views], 1)
    origins = grid.coordinates[first + cells[0]] * BRICK + np.stack(cells[1:], 1)
    table, counts = triangle_table()
    cell, slot = np.nonzero(np.arange(table.shape[1]) < counts[cases][:, None])
    edges = table[cases[cell], slot].reshape(-1)
    cell = np.repeat(cell, 3)
    low, high = values[cell, EDGE_START[edges]], values[cell, EDGE_END[edges]]
    fraction = np.clip(low / (low - high), _MIN_FRACTION, 1 - _MIN_FRACTION)
    base = origins[cell] + CORNERS[EDGE_START[edges]]
    axis = EDGE_AXIS[edges]
    positions = base.astype(np.float64)
    positions[np.arange(len(base)), axis] += fraction
    # The middle of an edge has unique integer coordinates on a grid twice as fine.
    return pack(2 * base + np.eye(3, dtype=np.int64)[axis]), positions
