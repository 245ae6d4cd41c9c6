"""Standing pieces: stixels joined to things, and the depth at which each of them stands."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.csgraph import connected_components

from lyra.depth.ground import LevelPlane
from lyra.depth.level_grid import LevelGrid
from lyra.depth.standing import FREE, GROUND, UPRIGHT, Stixels

# A leaning thing changes by less than this in log depth within this many cells to either side.
LEANS, JUMP_CELLS = 0.08, 2
# Neighbours whose log inverse depth differs by less belong to one thing.
TOGETHER = 0.12
# Levels are smoothed along the rows by a median over values that differ by less, in a window of (rows, columns).
ALIKE, WINDOW = 0.25, (3, 11)
# Foot rows this near to the horizon, in cells, are half believed: one cell there is a long way.
BELIEF = 3.0
# How much nearer or farther than the estimate a foot may put a thing.
MOST_MOVED = np.log(2)
# A slender thing is at most this wide against its height, and this many cells wide.
SLENDER, SLENDER_CELLS = 1.3, 24
# A wide thing is a plane if this share of it lies within this log deviation.
PLANE_SHARE, ON_PLANE = 0.7, 0.08
# Pieces with fewer cells are left as they were estimated, and so are those that do not stand there: whose cells lie
# this far from their level on average, in log depth.
FEWEST_CELLS, MOST_LEAN = 10, 0.4
# Most correction of a thing's level by the bend of the ground.
MOST_BEND = 0.3
# A piece is ground after all if it deviates by less from it on average, or by less with ground right above it.
IS_GROUND, GROUND_ABOVE = 0.15, 0.3
# Slope from which on a piece may be ground.
LIES = 0.5


@dataclass(frozen=True)
class Pieces:
    """Per cell (R, C): `labels` uint8, `number` int32 of its piece (0 none), and the upright surface on which it stands
    in level axes, 1 / depth = `tilt` x + `offset`, nan where nothing stands. `slender` (N + 1,) bool by number."""

    labels: np.ndarray
    number: np.ndarray
    tilt: np.ndarray
    offset: np.ndarray
    slender: np.ndarray


def find_pieces(grid: LevelGrid, ground: LevelPlane | None, stixels: Stixels) -> Pieces:
    """The pieces of `stixels`: slender ones at the depth of their foot, wide ones on a plane, others column by column.

    What turns out to lie on the ground is relabelled, and what is tiny is left free.
    """
    stixels = replace(stixels, labels=_relabelled(grid, ground, stixels))
    level = _smoothed(_smoothed(_standing_level(grid, ground, stixels)))
    number = joined(level, TOGETHER)
    area = np.bincount(number.ravel())
    off = np.nan_to_num(np.abs(level - grid.log_inverse), nan=0, posinf=0)
    lean = np.bincount(number.ravel(), off.ravel()) / np.maximum(area, 1)
    dropped = ((area < FEWEST_CELLS) | (lean > MOST_LEAN))[number] & (number > 0)
    labels = np.where(dropped, FREE, stixels.labels).astype(np.uint8)
    level = np.where(dropped, np.nan, level)
    number = np.where(dropped, 0, number)
    _, number = np.unique(np.append(0, number.ravel()), return_inverse=True)
    number = number[1:].reshape(level.shape).astype(np.int32)
    tilt, offset, slender = _surfaces(grid, level, number)
    return Pieces(labels, number, tilt, offset, slender)


def _relabelled(grid: LevelGrid, ground: LevelPlane | None, stixels: Stixels) -> np.ndarray:
    """`stixels.labels` with the pieces that lie on the ground as ground."""
    labels = stixels.labels.copy()
    if ground is None:
        return labels
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.where(grid.y > 0.01, np.log(grid.y / ground.height) + ground.bend, np.nan)
    off = np.abs(grid.log_inverse - expected[:, None])
    off = np.where(np.isfinite(off), np.minimum(off, 2), 2)
    for kind in (UPRIGHT, FREE):
        groups = joined(np.where(labels == kind, np.nan_to_num(stixels.level, nan=0.0), np.nan), TOGETHER)
        lies = _lies_on_ground(grid, labels, off, groups)
        labels[lies[groups]] = GROUND
    return labels


def _lies_on_ground(grid: LevelGrid, labels: np.ndarray, off: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Which of the pieces `groups` (R, C) lie on the ground, from which the cells are `off` (R, C): (N + 1,) bool."""
    inside = groups > 0
    owner = groups[inside]
    count = np.maximum(np.bincount(owner, minlength=int(groups.max()) + 1), 1)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(owner, values[inside], len(count)) / count

    residual = mean(off)
    slope = mean(np.clip(np.nan_to_num(grid.slope, nan=0.5), -0.5, 1.5))
    # Ground right above most of the columns of a piece.
    above, top = np.zeros(labels.shape, bool), np.zeros(labels.shape, bool)
    above[1:] = (labels[:-1] == GROUND) & inside[1:]
    top[1:] = inside[1:] & (groups[:-1] != groups[1:])
    covered = mean(above) > 0.5 * mean(top)
    lies = ((residual < IS_GROUND) | (residual < GROUND_ABOVE) & covered) & (slope > LIES)
    lies[0] = False
    return lies


def _standing_level(grid: LevelGrid, ground: LevelPlane | None, stixels: Stixels) -> np.ndarray:
    """Log inverse level depth (R, C) at which each upright cell stands, by segments; nan elsewhere.

    The depth of the foot where that is on the ground, otherwise the estimate, corrected as the ground there.
    """
    upright = stixels.labels == UPRIGHT
    rows, columns = grid.shape
    # Where the depth does not jump, the upper of two segments is the same thing, leaning in the estimate.
    goes_on = (stixels.level[:-1] == stixels.level[1:]) | ~_jumps(grid)[:-1]
    begins = upright.copy()
    begins[1:] &= ~(upright[:-1] & goes_on)
    segment = np.cumsum(begins.T.ravel()).reshape(columns, rows).T * upright
    count = int(segment.max())
    level = np.full(grid.shape, np.nan)
    if not count:
        return level
    known = upright & np.isfinite(grid.log_inverse)
    estimate = np.full(count + 1, np.nan)
    numbers = np.unique(segment[known])
    estimate[numbers] = ndimage.median(grid.log_inverse[known], segment[known], numbers)
    if ground is not None:
        estimate = estimate - _bend_at(grid, ground, estimate)
        foot = np.zeros(count + 1, int)
        np.maximum.at(foot, segment[upright], stixels.foot[upright])
        edge = grid.y[foot] - grid.size / 2
        stands = (foot > 0) & (edge > grid.size)
        of_foot = np.log(np.where(stands, edge, 1) / ground.height)
        belief = edge / (edge + BELIEF * grid.size)
        moved = belief * (of_foot - estimate)
        stands &= np.abs(of_foot - estimate) < MOST_MOVED
        estimate = np.where(stands, estimate + moved, estimate)
    level[upright] = estimate[segment[upright]]
    return level


def _jumps(grid: LevelGrid) -> np.ndarray:
    """Where (R, C) the log depth changes by more than a leaning thing's within a few cells of a column."""
    values = np.where(np.isfinite(grid.log_inverse), grid.log_inverse, -9.0)
    window = (2 * JUMP_CELLS + 1, 1)
    return ndimage.maximum_filter(values, window) - ndimage.minimum_filter(values, window) > LEANS


def _bend_at(grid: LevelGrid, ground: LevelPlane, level: np.ndarray) -> np.ndarray:
    """How far the estimated ground deviates from its plane at the depths `level` (N,) of the estimate."""
    rows = np.flatnonzero(grid.y > 2 * grid.size)
    if len(rows) < 2:
        return np.zeros(len(level))
    seen = np.maximum.accumulate(np.log(grid.y[rows] / ground.height) + ground.bend[rows])
    return np.interp(level, seen, np.clip(ground.bend[rows], -MOST_BEND, MOST_BEND))


def _smoothed(level: np.ndarray) -> np.ndarray:
    """The median (R, C) of each cell's window over the values that are like its own."""
    half = [n // 2 for n in WINDOW]
    padded = np.pad(level, [(h, h) for h in half], constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[~np.isnan(level)].reshape(
        -1, np.prod(WINDOW)
    )
    own = level[~np.isnan(level)][:, None]
    alike = np.where(np.abs(around - own) < ALIKE, around, np.inf)
    alike.sort(1)
    count = np.isfinite(alike).sum(1)
    smooth = level.copy()
    smooth[~np.isnan(level)] = alike[np.arange(len(alike)), (count - 1) // 2]
    return smooth


def _surfaces(
    grid: LevelGrid, level: np.ndarray, number: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`tilt`, `offset` and `slender` as in `Pieces`."""
    count = int(number.max())
    tilt, offset = np.zeros(grid.shape), np.exp(level)
    inside = number > 0
    slender = np.zeros(count + 1, bool)
    if not count:
        return tilt, offset, slender
    boxes = ndimage.find_objects(number)
    tall, wide = (np.array([0] + [box[axis].stop - box[axis].start for box in boxes]) for axis in (0, 1))
    slender = (wide <= SLENDER * tall) & (wide <= SLENDER_CELLS)
    slender[0] = False
    owner = number[inside]
    x, inverse = np.broadcast_to(grid.x, grid.shape)[inside], np.exp(level[inside])
    middle = np.exp(ndimage.median(level[inside], owner, np.arange(1, count + 1)))
    middle = np.append(np.nan, middle)
    slope, constant = np.zeros(count + 1), middle.copy()
    for _ in range(3):
        off = np.log(np.maximum(slope[owner] * x + constant[owner], 1e-9) / inverse)
        weight = 1 / (1 + (off / ON_PLANE) ** 2) / inverse**2
        sums = [np.bincount(owner, weight * term, count + 1) for term in (1, x, x * x, inverse, x * inverse)]
        w, wx, wxx, wq, wxq = sums
        spread = wxx * w - wx * wx
        fits = spread > 1e-9 * np.maximum(wxx * w, 1e-12)
        slope = np.where(fits, (wxq * w - wx * wq) / np.where(fits, spread, 1), 0)
        constant = np.where(w > 0, (wq - slope * wx) / np.maximum(w, 1e-12), middle)
    fitted = slope[owner] * x + constant[owner]
    on = np.abs(np.log(np.maximum(fitted, 1e-9) / inverse)) < ON_PLANE
    share = np.bincount(owner, on, count + 1) / np.maximum(np.bincount(owner, minlength=count + 1), 1)
    least, most = np.full(count + 1, np.inf), np.zeros(count + 1)
    np.minimum.at(least, owner, fitted / inverse)
    np.maximum.at(most, owner, fitted / inverse)
    flat = (share >= PLANE_SHARE) & (least > 0.5) & (most < 2) & ~slender
    a = np.where(flat, slope, 0.0)[owner]
    b = np.where(flat[owner], constant[owner], np.where(slender[owner], middle[owner], inverse))
    tilt[inside], offset[inside] = a, b
    offset[~inside] = np.nan
    return tilt, offset, slender


def joined(level: np.ndarray, tolerance: float) -> np.ndarray:
    """Numbers (R, C), from 1 on, of the connected cells whose `level` (R, C) differs little between neighbours.

    0 where the level is nan.
    """
    rows, columns = level.shape
    index = np.arange(rows * columns).reshape(rows, columns)
    pairs = []
    for first, second in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        close = np.abs(level[first] - level[second]) < tolerance
        pairs.append(np.stack([index[first][close], index[second][close]]))
    a, b = np.concatenate(pairs, 1)
    graph = sparse.coo_matrix((np.ones(len(a), bool), (a, b)), (index.size, index.size))
    _, number = connected_components(graph, directed=False)
    inside = ~np.isnan(level)
    found = np.zeros(level.shape, np.int64)
    _, order = np.unique(number.reshape(rows, columns)[inside], return_inverse=True)
    found[inside] = order + 1
    return found
