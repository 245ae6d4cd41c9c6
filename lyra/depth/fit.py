"""Robust fits between two readings of the same inverse depths: scale, scale and shift, and a smooth field on top.

Residuals are differences of logarithms, so a tenth too near counts the same at every distance. Many scales (or lines
through two pairs) are tried and the one that the pairs agree with best is kept, by Cauchy's error, to which far
outliers are hardly worse than near ones. It is then refined by least squares in which outliers (things that only one
of the two shows) have no weight, by Tukey's biweight (Holland and Welsch 1977, "Robust regression using iteratively
reweighted least-squares"). A wall that fills the picture cannot vote the floor out, as it could with medians.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

ITERATIONS = 8
# Where pairs stop to agree: beyond, the error of a trial grows slowly.
AGREEMENT = 0.1
# Tukey's width in deviations: 95 % efficient on normal noise.
WIDTH = 4.685
# Residuals are never taken to be better or worse known than this.
FINEST, COARSEST = 0.01, 0.3
# The field first listens to residuals up to WIDTH times this.
LOCAL_START = 0.06
# The shift may take at most this share of any inverse depth away, and add at most MOST_ADDED of the middle one: else a
# wall that is seen at uneven depths is best explained by one depth for everything.
MOST_SHIFT, MOST_ADDED = 0.75, 1.0
# What is thought of a shift beforehand, as a share of the middle inverse depth, and how many pairs err on their own.
USUAL_SHIFT, INDEPENDENT = 0.15, 4.0
# Medians and trials use about so many evenly chosen pairs.
SAMPLE = 20_000
TRIAL_PAIRS, TRIAL_SCALES = 1000, 101


@dataclass(frozen=True)
class InverseFit:
    """inverse depth -> gain * inverse depth + offset; without an offset, depth is divided by the gain.

    An offset is only known between the inverse depths `low` and `high` it was fitted to: nearer and farther things
    are scaled as those at the end of the range are.
    """

    gain: float = 1.0
    offset: float = 0.0
    low: float = 0.0
    high: float = np.inf

    def applied(self, inverse: np.ndarray) -> np.ndarray:
        """The fitted inverse depths; they stay positive, and 0 stays 0."""
        if self.offset == 0:
            return self.gain * inverse
        known = np.clip(inverse, max(self.low, np.finfo(np.float64).tiny), self.high)
        return inverse * np.maximum(self.gain + self.offset / known, (1 - MOST_SHIFT) * self.gain)

    def scale_at(self, inverse: float) -> InverseFit:
        """The fit that only scales, as this one does at an inverse depth whatever its range."""
        return InverseFit(float(InverseFit(self.gain, self.offset).applied(np.float64(inverse)) / inverse))


def weighted_median(values: np.ndarray, weight: np.ndarray) -> float:
    """The value with half of the weight below it; of many values, of an even choice of them."""
    step = -(-len(values) // SAMPLE)
    values, weight = values[::step], weight[::step]
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return float(values[order[np.searchsorted(total, total[-1] / 2)]])


def spread(residual: np.ndarray, weight: np.ndarray) -> float:
    """Deviation of residuals about 0, from their median size, as of a normal distribution; FINEST to COARSEST."""
    return float(np.clip(weighted_median(np.abs(residual), weight) / 0.6745, FINEST, COARSEST))


def biweight(residual: np.ndarray, deviation: float) -> np.ndarray:
    """Tukey's weights in [0, 1]: 0 from WIDTH deviations on."""
    return np.maximum(1 - (residual / (WIDTH * deviation)) ** 2, 0) ** 2


def disagreement(residual: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean of log(1 + (r / AGREEMENT)^2) over residuals (..., n), which grows ever more slowly with r (Cauchy)."""
    return np.log1p((residual / AGREEMENT) ** 2) @ weight / weight.sum()


def fit_scale(
    seen: np.ndarray, known: np.ndarray, weight: np.ndarray, vote: np.ndarray | None = None
) -> InverseFit:
    """The gain with which inverse depths `seen` (n,) are `known` (n,); n >= 1, all positive.

    `weight` (n,) is how well a pair is known, `vote` (n,) how much it has to say about which pairs are outliers, by
    default its weight.
    """
    vote = weight if vote is None else vote
    ratio = np.log(known / seen)
    few = slice(None, None, -(-len(ratio) // TRIAL_PAIRS))
    trials = np.quantile(ratio[few], np.linspace(0, 1, TRIAL_SCALES))
    gain = trials[disagreement(ratio[few] - trials[:, None], vote[few]).argmin()]
    for _ in range(ITERATIONS):
        away = ratio - gain
        step = float(np.average(away, weights=weight * biweight(away, spread(away, weight)) + 1e-12))
        gain += step
        if abs(step) < 1e-5:
            break
    return InverseFit(float(np.exp(gain)))


def fit_scale_and_shift(
    seen: np.ndarray, known: np.ndarray, weight: np.ndarray, vote: np.ndarray | None = None
) -> InverseFit | None:
    """Gain and offset with which inverse depths `seen` (n,) are `known` (n,); `weight`, `vote` as for `fit_scale`.

    The offset is thought to be 0 within a deviation of USUAL_SHIFT of the middle inverse depth, and the pairs to be
    worth INDEPENDENT ones, since neighbours err together: where depth hardly varies, an offset that would be read off
    its errors stays small. None when the pairs do not determine a shift, or one that leaves little of the differences
    in depth.
    """
    solution = _best_line(seen, known, weight if vote is None else vote)
    if solution is not None:
        solution = _refined(solution, seen, known, weight, USUAL_SHIFT)
    if solution is None:
        return None
    middle = np.median(seen)
    gain, offset = solution
    explained = np.abs((gain * seen + offset) / known - 1) < AGREEMENT
    if gain <= 0 or not explained.any():
        return None
    low, high = np.quantile(seen[explained], (0.02, 0.98))
    if not -MOST_SHIFT * gain * low <= offset <= MOST_ADDED * gain * middle:
        return None
    return InverseFit(float(gain), float(offset), float(low), float(high))


def fit_line(values: np.ndarray, known: np.ndarray) -> tuple[float, float] | None:
    """Gain and offset with which `values` (n,) in [0, 1] are the inverse depths `known` (n,), whatever the offset is.

    For maps in which any value may be infinitely far. The gain is not always positive; None where the values do not
    determine it.
    """
    weight = np.ones(len(values))
    low, span = values.min(), np.ptp(values)
    if span == 0:
        return None
    # The search for a first line takes values as apart by their ratio.
    spanned = (values - low) / span
    solution = _best_line(spanned, known, weight)
    if solution is not None:
        solution = _refined(solution, spanned, known, weight, np.inf)
    if solution is None:
        return None
    gain = float(solution[0] / span)
    return gain, float(solution[1] - gain * low)


def _refined(
    solution: np.ndarray, seen: np.ndarray, known: np.ndarray, weight: np.ndarray, usual_shift: float
) -> np.ndarray | None:
    """Gain and offset by least squares of relative differences, outliers without weight; None where undetermined.

    `usual_shift` is the deviation that is thought of the offset beforehand, as a share of the middle inverse depth.
    """
    middle = np.median(seen)
    design = np.stack([seen / known, 1 / known], 1)
    for _ in range(ITERATIONS):
        residual = design @ solution - 1
        deviation = spread(residual, weight)
        robust = weight * biweight(residual, deviation)
        worth = INDEPENDENT / (max(robust.sum(), 1e-12) * deviation**2)
        (a, b), (_, d) = worth * (design * robust[:, None]).T @ design
        if np.isfinite(usual_shift):
            d += 1 / (usual_shift * max(solution[0], 1e-6) * middle) ** 2
        determinant = a * d - b * b
        if determinant <= 1e-8 * a * d:
            return None
        right = worth * design.T @ robust
        previous, solution = solution, np.array([[d, -b], [-b, a]]) @ right / determinant
        if np.abs((solution - previous) * (middle, 1)).max() < 1e-5 * middle * solution[0]:
            break
    return solution


def _best_line(seen: np.ndarray, known: np.ndarray, vote: np.ndarray) -> np.ndarray | None:
    """Gain and offset of the line through two pairs that agrees with most; None where all have one depth.

    The lines go from the lower to the upper half of `seen`.
    """
    few = slice(None, None, -(-len(seen) // TRIAL_PAIRS))
    order = np.argsort(seen[few], kind="stable")
    x, y, w = seen[few][order], known[few][order], vote[few][order]
    half = len(x) // 2
    low, high = slice(0, half), slice(len(x) - half, None)
    apart = x[high] > x[low] * 1.05
    if not apart.any():
        return None
    gain = (y[high] - y[low])[apart] / (x[high] - x[low])[apart]
    offset = y[low][apart] - gain * x[low][apart]
    best = disagreement((gain[:, None] * x + offset[:, None]) / y - 1, w).argmin()
    return np.array([gain[best], offset[best]])


@dataclass(frozen=True)
class FieldSettings:
    """A field of corrections of the logarithm of inverse depth, bilinear between nodes `spacing` of the height apart.

    `roughness` is the difference expected between neighbouring nodes, `size` that from no correction at all;
    `shared_noise` is how many neighbouring pairs have one and the same error.
    """

    spacing: float = 1 / 12
    roughness: float = 0.05
    size: float = 0.1
    shared_noise: float = 3.0
    rounds: int = 4


@dataclass(frozen=True)
class SmoothField:
    """Corrections at nodes (rows, columns) that lie evenly over an image, the outermost on its outermost pixels."""

    nodes: np.ndarray

    def over(self, height: int, width: int) -> np.ndarray:
        """The field at every pixel, (height, width) float64."""
        rows = _hats(np.arange(height), height, self.nodes.shape[0])
        columns = _hats(np.arange(width), width, self.nodes.shape[1])
        return rows @ (columns @ self.nodes.T).T

    def at(self, pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The field (n,) at `pixels` (n, 2) as x, y of an image of `size` (H, W)."""
        across = _hats(pixels[:, 0], size[1], self.nodes.shape[1])
        down = _hats(pixels[:, 1], size[0], self.nodes.shape[0])
        return _products(down, across) @ self.nodes.ravel()


def fit_field(
    pixels: np.ndarray,
    residual: np.ndarray,
    weight: np.ndarray,
    size: tuple[int, int],
    settings: FieldSettings = FieldSettings(),
) -> SmoothField:
    """The smooth field through `residual` (n,) at `pixels` (n, 2) as x, y of an image of `size` (H, W).

    The most likely field under normal noise and normal differences between neighbouring nodes, both at least as
    large as measured; far from every pair it runs out toward 0.
    """
    height, width = size
    step = max(settings.spacing * height, 2.0)
    rows, columns = (max(2, round((n - 1) / step) + 1) for n in (height, width))
    across, down = _hats(pixels[:, 0], width, columns), _hats(pixels[:, 1], height, rows)
    basis = _products(down, across)
    smooth = _differences(rows, columns)
    # An estimator that is far off needs a field that is large.
    more = max(1.0, spread(residual, weight) / settings.size)
    prior = (smooth.T @ smooth) / (more * settings.roughness) ** 2
    prior = prior + sparse.identity(rows * columns) / (more * settings.size) ** 2
    nodes = np.zeros(rows * columns)
    for turn in range(settings.rounds):
        away = residual - basis @ nodes
        deviation = max(spread(away, weight), 0 if turn else LOCAL_START)
        robust = weight * biweight(away, deviation) / (settings.shared_noise * deviation**2)
        weighted = basis.multiply(robust[:, None]).tocsr()
        nodes = spsolve((weighted.T @ basis + prior).tocsc(), weighted.T @ residual)
    return SmoothField(nodes.reshape(rows, columns))


def _hats(positions: np.ndarray, length: int, nodes: int) -> sparse.csr_matrix:
    """(n, nodes): how much of each node a position in [0, length - 1] gets by linear interpolation."""
    at = np.clip(positions, 0, length - 1) * (nodes - 1) / max(length - 1, 1)
    left = np.minimum(at.astype(int), nodes - 2)
    share = at - left
    count = np.arange(len(at))
    data = np.concatenate([1 - share, share])
    where = (np.concatenate([count, count]), np.concatenate([left, left + 1]))
    return sparse.csr_matrix((data, where), (len(at), nodes))


def _products(down: sparse.csr_matrix, across: sparse.csr_matrix) -> sparse.csr_matrix:
    """(n, rows * columns): row by row the products of two sets of hats with two entries each."""
    count, columns = down.shape[0], across.shape[1]
    i, j = down.indices.reshape(count, 2), across.indices.reshape(count, 2)
    a, b = down.data.reshape(count, 2), across.data.reshape(count, 2)
    data = (a[:, :, None] * b[:, None, :]).ravel()
    indices = (i[:, :, None] * columns + j[:, None, :]).ravel()
    return sparse.csr_matrix(
        (data, indices, np.arange(0, 4 * count + 1, 4)), (count, down.shape[1] * columns)
    )


def _differences(rows: int, columns: int) -> sparse.csr_matrix:
    """Differences between neighbouring nodes of a grid, as a matrix on its nodes row by row."""
    d_rows, d_columns = (sparse.diags([-1.0, 1.0], [0, 1], shape=(n - 1, n)) for n in (rows, columns))
    return sparse.vstack(
        [sparse.kron(d_rows, sparse.identity(columns)), sparse.kron(sparse.identity(rows), d_columns)]
    ).tocsr()
