"""What lies, stands and floats in a picture: stixels by dynamic programming in the grid of a level camera.

Each column is cut into segments from the nearest row to the farthest, as in Badino, Franke and Pfeiffer, "The stixel
world" (2009), and Pfeiffer and Franke, "Towards a global optimal multi-layer stixel representation" (2011): level
ground, things that stand upright at one level depth, free surfaces such as crowns and slopes, ceiling and sky.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lyra.depth.ground import LevelPlane
from lyra.depth.level_grid import LevelGrid

SKY, GROUND, UPRIGHT, FREE, CEILING = range(5)

# Levels of log inverse depth at which things may stand.
LEVELS = 32
# Deviation from the ground and from a level, in log inverse depth, that costs 1; and the most it costs.
GROUND_SPREAD, LEVEL_SPREAD, MOST = 0.09, 0.25, 2.0
# Deviation of the slope by 1 costs this; at most 1.5 times it.
SLOPE_COST = 0.9
FREE_COST = 1.15
# What shows no sky costs this as sky, and sky this as anything else.
NOT_SKY, IS_SKY = 20.0, 8.0
# A new segment; the share of it that a clear edge in colour (CIELAB units) spares.
CHANGE, EDGE_SHARE, EDGE_COLOUR = 2.5, 0.6, 12.0
# A foot away from the ground by LEVEL_SPREAD; a thing that appears over a nearer one, or over a farther one.
FOOT, OVER_NEARER, OVER_FARTHER = 1.2, 1.0, 3.0
# A thing right over another where the depth does not jump, so that one thing leans in the estimate; and the jump in log
# depth within JUMP_CELLS that does not cost it.
NO_JUMP, JUMP, JUMP_CELLS = 4.0, 0.2, 2
# A thing whose foot is not in the picture.
CUT_OFF = 6.0
# Of a cell on a vertical line of the picture.
LINE_GROUND, LINE_UPRIGHT = 1.0, -0.6
# Disagreement with all the neighbouring columns; how many to either side are asked.
DISAGREE, NEIGHBOURS = 0.6, 6
OVER_SKY, IMPOSSIBLE = 5.0, 50.0
# Of one label (rows) below another, in the order sky, ground, free, ceiling.
_BETWEEN = np.array([[0, IMPOSSIBLE, 2.0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, IMPOSSIBLE, 0, 0]], np.float32)


@dataclass(frozen=True)
class Stixels:
    """Per cell (R, C): `labels` uint8, `level` float64, the log inverse level depth at which an upright cell stands
    (nan elsewhere), and `foot` int, the row of its segment's foot where that is on the ground, else -1."""

    labels: np.ndarray
    level: np.ndarray
    foot: np.ndarray


def find_stixels(
    grid: LevelGrid, ground: LevelPlane | None, ceiling: LevelPlane | None, lines: np.ndarray
) -> Stixels:
    """The segments of least cost; `lines` (R, C) bool marks the cells on vertical lines.

    A second pass asks the neighbouring columns.
    """
    problem = _Problem(grid, ground, ceiling, lines)
    labels, _, _ = problem.solve(problem.unary)
    around = np.stack(
        [
            ndimage.uniform_filter((labels == kind).astype(np.float32), (3, 2 * NEIGHBOURS + 1))
            for kind in range(5)
        ]
    )
    return Stixels(*problem.solve(problem.unary + DISAGREE * (1 - around)))


class _Problem:
    """The costs of one picture. Rows run from the lowest up; states are the levels, then the other four labels."""

    def __init__(
        self, grid: LevelGrid, ground: LevelPlane | None, ceiling: LevelPlane | None, lines: np.ndarray
    ):
        self.grid = grid
        inverse = grid.log_inverse
        self.solid = np.isfinite(inverse)
        sky, unknown = np.isneginf(inverse), np.isnan(inverse)
        known = inverse[self.solid] if self.solid.any() else np.zeros(1)
        low, high = np.percentile(known, [0.5, 99.5])
        self.levels = np.linspace(low, max(high, low + 0.5), LEVELS)
        self.plane = _expected(grid.y, ground, 1)
        above = _expected(grid.y, ceiling, -1)
        slope = np.nan_to_num(grid.slope, nan=0.5)
        values = np.where(self.solid, inverse, 0)
        upright_slope = SLOPE_COST * np.minimum(np.abs(slope), 1.5)
        level_slope = SLOPE_COST * np.minimum(np.abs(slope - 1), 1.5)

        def on(expected: np.ndarray) -> np.ndarray:
            off = np.minimum(np.abs(values - expected[:, None]) / GROUND_SPREAD, MOST) + level_slope
            return np.where(np.isfinite(expected)[:, None], off, IMPOSSIBLE)

        # Costs of the labels (5, R, C) beside those of the levels.
        self.unary = np.stack(
            [
                np.where(sky, 0.0, NOT_SKY),
                on(np.where(np.isfinite(self.plane), self.plane, np.inf)) + LINE_GROUND * lines,
                upright_slope + LINE_UPRIGHT * lines,
                np.full(inverse.shape, FREE_COST),
                on(np.where(np.isfinite(above), above, np.inf)),
            ]
        ).astype(np.float32)
        self.unary[1:, sky] += IS_SKY
        self.unary[:, unknown] = 0
        self.data = np.minimum(np.abs(values[..., None] - self.levels) / LEVEL_SPREAD, MOST).astype(
            np.float32
        )
        self.data[~self.solid] = 0
        change = np.full(inverse.shape, CHANGE)
        step = np.linalg.norm(np.diff(grid.lab, axis=0), axis=-1)
        change[:-1] *= 1 - EDGE_SHARE * np.clip(step / EDGE_COLOUR, 0, 1)
        change[unknown] = 0
        self.change = change.astype(np.float32)
        self.seen = ~unknown
        self.no_jump = self._no_jump(values)

    def _no_jump(self, values: np.ndarray) -> np.ndarray:
        """What it costs (R, C) that a thing begins over another although the depth goes on there."""
        padded = np.pad(values, ((JUMP_CELLS, JUMP_CELLS), (0, 0)), mode="edge")
        jump = np.abs(padded[: -2 * JUMP_CELLS] - padded[2 * JUMP_CELLS :])
        return (NO_JUMP * (1 - np.clip(jump / JUMP, 0, 1))).astype(np.float32)

    def solve(self, unary: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Labels, levels and feet as in `Stixels` for label costs (5, R, C).

        The states of a cell are the levels, then sky, ground, free and ceiling.
        """
        rows, columns = self.grid.shape
        kinds = [SKY, GROUND, FREE, CEILING]
        back = np.zeros((rows, columns, LEVELS + 4), np.int16)
        states = np.arange(LEVELS + 4)
        total = np.zeros((columns, LEVELS + 4), np.float32)
        start = np.where(states < LEVELS, CUT_OFF, 0).astype(np.float32)
        begun = np.zeros(columns, bool)
        for row in range(rows - 1, -1, -1):
            entered, origin = self._entered(row, total)
            stays = total <= entered
            back[row] = np.where(stays, states, origin)
            total = np.where(stays, total, entered)
            fresh = ~begun & self.seen[row]
            total[fresh] = start
            begun |= fresh
            total[:, :LEVELS] += self.data[row] + unary[UPRIGHT, row, :, None]
            total[:, LEVELS:] += unary[kinds, row].T
            total -= total.min(1, keepdims=True)
        return self._traced(back, total, np.arange(columns)[:, None])

    def _entered(self, row: int, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The least cost (C, S) of a segment that begins at `row`, and the state (C, S) of the one below it."""
        every = np.arange(len(total))
        upright, sky, ground, free, ceiling = np.split(total, LEVELS + np.arange(4), 1)
        best = upright.argmin(1)[:, None]
        least = np.take_along_axis(upright, best, 1)
        # Over a nearer thing: the least of the nearer levels.
        nearer, index = _running_minimum(upright[:, ::-1])
        nearer, index = nearer[:, ::-1] + OVER_NEARER, LEVELS - 1 - index[:, ::-1]
        expected = self.plane[row]
        foot, behind = np.full(LEVELS, FOOT, np.float32), np.zeros(LEVELS, np.float32)
        if np.isfinite(expected):
            # A foot belongs on the ground, and ground that appears over a thing lies behind it.
            foot = (FOOT * np.minimum(np.abs(self.levels - expected) / LEVEL_SPREAD, 4)).astype(np.float32)
            behind = np.where(self.levels < expected - 0.1, OVER_FARTHER, 0).astype(np.float32)
        ones = np.ones(LEVELS, np.float32)
        still = self.no_jump[row][:, None]
        choices = [
            (nearer + still, index),
            (least + still + OVER_FARTHER * ones, np.broadcast_to(best, upright.shape)),
            (ground + foot, np.full(upright.shape, LEVELS + 1)),
            (free + OVER_FARTHER * ones, np.full(upright.shape, LEVELS + 2)),
            (ceiling + OVER_FARTHER * ones, np.full(upright.shape, LEVELS + 3)),
            (sky + OVER_SKY * ones, np.full(upright.shape, LEVELS)),
        ]
        entered, origin = choices[0]
        for cost, state in choices[1:]:
            better = cost < entered
            entered, origin = np.where(better, cost, entered), np.where(better, state, origin)
        over = (upright + behind).argmin(1)
        others = [sky[:, 0], ground[:, 0], free[:, 0], ceiling[:, 0]]
        columns, origins = [entered], [origin]
        for number in range(4):
            things = (upright + behind)[every, over] if number == 1 else least[:, 0]
            came = over if number == 1 else best[:, 0]
            below = np.stack([things, *(other + _BETWEEN[k, number] for k, other in enumerate(others))])
            chosen = below.argmin(0)
            columns.append(below[chosen, every][:, None])
            origins.append(np.where(chosen == 0, came, LEVELS - 1 + chosen)[:, None])
        return np.concatenate(columns, 1) + self.change[row][:, None], np.concatenate(origins, 1)

    def _traced(
        self, back: np.ndarray, total: np.ndarray, column: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows, columns = self.grid.shape
        path = np.zeros((rows, columns), np.int64)
        path[0] = total.argmin(1)
        for row in range(rows - 1):
            path[row + 1] = back[row, column[:, 0], path[row]]
        labels = np.where(
            path < LEVELS, UPRIGHT, np.take([SKY, GROUND, FREE, CEILING], np.maximum(path - LEVELS, 0))
        )
        level = np.where(path < LEVELS, self.levels[np.minimum(path, LEVELS - 1)], np.nan)
        foot = np.full((rows, columns), -1)
        for row in range(rows - 2, -1, -1):
            upright = labels[row] == UPRIGHT
            same = upright & (path[row] == path[row + 1])
            foot[row] = np.where(
                same, foot[row + 1], np.where(upright & (labels[row + 1] == GROUND), row + 1, -1)
            )
        unknown = np.isnan(self.grid.log_inverse)
        labels[unknown] = FREE
        level[unknown] = np.nan
        return labels.astype(np.uint8), level, foot


def _expected(y: np.ndarray, plane: LevelPlane | None, side: int) -> np.ndarray:
    """Log inverse depth (R,) at which a level plane is seen, nan beyond its horizon."""
    if plane is None:
        return np.full(len(y), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.log(side * y / plane.height) + plane.bend
    return np.where(side * y > 0.01, expected, np.nan)


def _running_minimum(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least value up to each place of the rows of `values` (C, K), and where it is."""
    least = np.minimum.accumulate(values, 1)
    places = np.where(values <= least, np.arange(values.shape[1]), 0)
    return least, np.maximum.accumulate(places, 1)
