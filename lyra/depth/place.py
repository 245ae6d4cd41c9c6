from __future__ import annotations

import numpy as np


def line_cells(grid, gravity, intrinsics, size_hw):
    mask = np.zeros(size_hw, bool)
    lines = gravity.lines[gravity.vertical]
    steps = np.linspace(0, 1, 64)[:, None]
    points = (lines[:, None, :2] * (1 - steps) + lines[:, None, 2:] * steps).reshape(-1, 2).astype(int)
    points = points[(points >= 0).all(1) & (points[:, 0] < size_hw[1]) & (points[:, 1] < size_hw[0])]
    cells = grid.cell[points[:, 1], points[:, 0]]
    marked = np.zeros(grid.shape, bool)
    marked.ravel()[cells[cells >= 0]] = True
    return marked
