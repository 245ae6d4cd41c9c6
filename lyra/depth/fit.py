"""Robust fits between two sets of inverse depths: scale, scale and shift, and a smooth correction field.

Residuals are log differences, so an error of a tenth counts the same at every distance. Many candidate scales (or
lines through two pairs) are tried, and the one with the least Cauchy error is kept, under which far outliers weigh
little more than near ones. It is then refined by iteratively reweighted least squares with Tukey's biweight (Holland
and Welsch 1977, "Robust regression using iteratively reweighted least-squares"), which ignores outliers, such as
objects that only one of the two shows. Unlike with medians, a wall that fills the image does not outvote the floor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

ITERATIONS = 8
# Log difference up to which pairs agree; beyond it, a candidate's error grows slowly.
AGREEMENT = 0.1
# Tukey's width in standard deviations: 95 % efficient under normal noise.
WIDTH = 4.685
# Bounds of the estimated deviation of residuals.
FINEST, COARSEST = 0.01, 0.3
# Deviation with which the first fit of the field weights residuals.
LOCAL_START = 0.06
# A shift may remove at most this share of any inverse depth, and add at most MOST_ADDED of the median: otherwise a
# wall with uneven depth is best explained by a single depth for everything.
MOST_SHIFT, MOST_ADDED = 0.75, 1.0
# Prior deviation of a shift, as a share of the median inverse depth, and the number of independent pairs.
USUAL_SHIFT, INDEPENDENT = 0.15, 4.0
# Medians and candidates use about this many evenly spaced pairs.
SAMPLE = 20_000
TRIAL_PAIRS, TRIAL_SCALES = 1000, 101


@dataclass(frozen=True)
class InverseFit:
    """inverse depth -> gain * inverse depth + offset; without an offset, depth is divided by the gain.

    An offset is valid only between the inverse depths `low` and `high` to which it was fitted: values outside are
    scaled like the nearest end of that range.
    """

    gain: float = 1.0
    offset: float = 0.0
    low: float = 0.0
    high: float = np.inf

    def applied(self, inverse: np.ndarray) -> np.ndarray:
        """The fitted inverse depths, same shape as `inverse`; positive, and 0 for 0."""
        if self.offset == 0:
            return self.gain * inverse
        known = np.clip(inverse, max(self.low, float(np.finfo(np.float64).tiny)), self.high)
        return inverse * np.maximum(self.gain + self.offset / known, (1 - MOST_SHIFT) * self.gain)

    def scale_at(self, inverse: float) -> InverseFit:
        """A pure scaling equal to this fit at one inverse depth, which may be outside its range."""
        return InverseFit(float(InverseFit(self.gain, self.offset).applied(np.array(inverse)) / inverse))


def weighted_median(values: np.ndarray, weight: np.ndarray) -> float:
    """The value with half of the weight below it; for many values, of an evenly spaced subset."""
    step = -(-len(values) // SAMPLE)
    values, weight = values[::step], weight[::step]
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return float(values[order[np.searchsorted(total, total[-1] / 2)]])


def spread(residual: np.ndarray, weight: np.ndarray) -> float:
    """Standard deviation of residuals about 0, from their median magnitude, clamped to FINEST ... COARSEST."""
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

    `weight` (n,) weights a pair in the least squares, `vote` (n,) in the choice of the candidate, by default the same.
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

    The prior of the offset is 0 with a deviation of USUAL_SHIFT of the median inverse depth, and the pairs count as
    INDEPENDENT ones, since errors of neighbours are correlated: where depth hardly varies, noise does not produce a
    large offset. None if the pairs do not determine a shift, or determine one that flattens the depth.
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
    """Gain and offset with which `values` (n,) in [0, 1] are the inverse depths `known` (n,), for any offset.

    For maps in which any value may be at infinity. The gain may be negative; None if the values do not determine it.
    """
    weight = np.ones(len(values))
    low, span = values.min(), np.ptp(values)
    if span == 0:
        return None
    # The search for candidate lines separates values by their ratio.
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
    """Gain and offset by reweighted least squares of relative differences; None if undetermined.

    `usual_shift` is the prior deviation of the offset, as a share of the median inverse depth.
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
    """Gain and offset of the line through two pairs with the least error; None if all have the same depth.

    Each line connects a pair from the lower with one from the upper half of `seen`.
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
    """A field of corrections of log inverse depth, bilinear between nodes, spaced by the share `spacing` of the height.

    `roughness` is the expected difference between neighbouring nodes, `size` the expected correction; `shared_noise`
    is the number of neighbouring pairs that share one error.
    """

    spacing: float = 1 / 12
    roughness: float = 0.05
    size: float = 0.1
    shared_noise: float = 3.0
    rounds: int = 4


@dataclass(frozen=True)
class SmoothField:
    """Corrections at nodes (rows, columns), evenly spaced over an image, the outermost on its border pixels."""

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

    The maximum a posteriori field under normal noise and normal differences between neighbouring nodes, both at
    least as large as measured; far from all pairs it tends to 0.
    """
    height, width = size
    step = max(settings.spacing * height, 2.0)
    rows, columns = (max(2, round((n - 1) / step) + 1) for n in (height, width))
    across, down = _hats(pixels[:, 0], width, columns), _hats(pixels[:, 1], height, rows)
    basis = _products(down, across)
    smooth = _differences(rows, columns)
    # A large error of the estimator needs a large field.
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
    """(n, nodes): linear interpolation weights of the nodes at positions in [0, length - 1]."""
    at = np.clip(positions, 0, length - 1) * (nodes - 1) / max(length - 1, 1)
    left = np.minimum(at.astype(int), nodes - 2)
    share = at - left
    count = np.arange(len(at))
    data = np.concatenate([1 - share, share])
    where = (np.concatenate([count, count]), np.concatenate([left, left + 1]))
    return sparse.csr_matrix((data, where), (len(at), nodes))


def _products(down: sparse.csr_matrix, across: sparse.csr_matrix) -> sparse.csr_matrix:
    """(n, rows * columns): the products of two sets of hat functions with two non-zeros per row."""
    count, columns = down.shape[0], across.shape[1]
    i, j = down.indices.reshape(count, 2), across.indices.reshape(count, 2)
    a, b = down.data.reshape(count, 2), across.data.reshape(count, 2)
    data = (a[:, :, None] * b[:, None, :]).ravel()
    indices = (i[:, :, None] * columns + j[:, None, :]).ravel()
    return sparse.csr_matrix(
        (data, indices, np.arange(0, 4 * count + 1, 4)), (count, down.shape[1] * columns)
    )


def _differences(rows: int, columns: int) -> sparse.csr_matrix:
    """Matrix of the differences between neighbouring nodes of a grid, numbered row by row."""
    d_rows, d_columns = (sparse.diags([-1.0, 1.0], [0, 1], shape=(n - 1, n)) for n in (rows, columns))
    return sparse.vstack(
        [sparse.kron(d_rows, sparse.identity(columns)), sparse.kron(sparse.identity(rows), d_columns)]
    ).tocsr()
